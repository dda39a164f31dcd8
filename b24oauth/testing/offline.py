"""The queue of offline events of the fake portal: bindings, rows, reservations, and the methods that read them."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import attrs

from b24oauth.shapes import as_mapping, is_mapping, is_sequence
from b24oauth.testing.changes import Change
from b24oauth.testing.conditions import comparable, matching, v2_conditions
from b24oauth.testing.messages import Call, Handler, Reply, RestError

__all__ = ["AUTH_CONNECTOR", "OFFLINE_EXTENDED", "OfflineQueue", "OfflineRow"]

# Features of a plan, as `feature.get` names them.
OFFLINE_EXTENDED: Final = "rest_offline_extended"
AUTH_CONNECTOR: Final = "rest_auth_connector"

# A reserved row that nobody has confirmed is deleted after this many seconds.
_KEPT: Final = 34 * 86_400.0
_LIMIT: Final = 50
_PAGE: Final = 50
_MESSAGE_ID_LENGTH: Final = 32
_OPERATORS: Final = ("", "=", ">", "<", ">=", "<=", "@", "%")
# Fields of a filter, for `event.offline.get` and `event.offline.list`.
_OF_EVENTS: Final = frozenset({"ID", "TIMESTAMP_X", "EVENT_NAME", "MESSAGE_ID"})
_OF_ROWS: Final = _OF_EVENTS | {"PROCESS_ID", "ERROR"}


@attrs.define(eq=False, kw_only=True)
class OfflineRow:
    """One row of the queue.

    Attributes:
        id: Number of the row.
        event: The event's name.
        data: What happened; None for nothing.
        user_id: The user who caused it; None if none did.
        message_id: MD5 of event and data: a repeated event has the same.
        connector: The queue that the row belongs to.
        changed_at: Time of the last change, Unix timestamp in seconds.
        place: Grows with each change.
        process_id: The reservation; empty for a free row.
        has_failed: True after `event.offline.error`.
    """

    id: int
    event: str
    data: Any
    user_id: int | None
    message_id: str
    connector: str
    changed_at: float
    place: int
    process_id: str = ""
    has_failed: bool = False

    def fields(self) -> dict[str, Any]:
        """The row as `event.offline.get` shows it."""
        return {
            "ID": str(self.id),
            "TIMESTAMP_X": datetime.fromtimestamp(self.changed_at, UTC).isoformat(timespec="seconds"),
            "EVENT_NAME": self.event,
            "EVENT_DATA": self.data or False,
            "EVENT_ADDITIONAL": False if self.user_id is None else {"user_id": self.user_id},
            "MESSAGE_ID": self.message_id,
        }

    def listed(self) -> dict[str, Any]:
        """The row as `event.offline.list` shows it."""
        return {**self.fields(), "PROCESS_ID": self.process_id, "ERROR": "1" if self.has_failed else "0"}


class OfflineQueue:
    """The offline events of a portal.

    Args:
        now: The Unix time, seconds.
        is_admin: Tells whether a user is an administrator; nobody else may read the queue.
        features: Features of the portal's plan.

    Source: https://apidocs.bitrix24.com/api-reference/events/offline-events.html
    """

    def __init__(self, now: Callable[[], float], *, is_admin: Callable[[int], bool], features: Collection[str]) -> None:
        self._now, self._is_admin, self._features = now, is_admin, features
        self._bound: set[tuple[str, str]] = set()
        self._rows: dict[int, OfflineRow] = {}
        # There is one free row of a message in a queue at most.
        self._free: dict[tuple[str, str], OfflineRow] = {}
        self._ids, self._places, self._processes = itertools.count(1), itertools.count(1), itertools.count(1)

    # --- for tests ----------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[OfflineRow]:
        """All rows, in the order of their last change, reserved and failed ones included."""
        self._delete_old()
        return sorted(self._rows.values(), key=lambda row: row.place)

    @property
    def open_processes(self) -> set[str]:
        """The reservations that have rows."""
        return {row.process_id for row in self.rows if row.process_id}

    def bind(self, event: str, *, connector: str = "") -> bool:
        """Subscribes to an event, as `event.bind` with `event_type` "offline"; False if that was done before."""
        key = event.upper(), connector
        is_new = key not in self._bound
        self._bound.add(key)
        return is_new

    def unbind(self, event: str, *, connector: str = "") -> bool:
        """Ends a subscription; False if there was none. Queued rows stay."""
        key = event.upper(), connector
        was_bound = key in self._bound
        self._bound.discard(key)
        return was_bound

    @property
    def bindings(self) -> list[tuple[str, str]]:
        """The subscriptions: event and connector."""
        return sorted(self._bound)

    def add(self, event: str, data: Any = None, *, user_id: int | None = 1, source: str = "") -> None:
        """Something happens: each subscription gets a row, or a new state of the row that it has already.

        Args:
            event: The event, for example ``ONCRMDEALUPDATE``.
            data: What happened, for example ``{"FIELDS": {"ID": "1"}}``.
            user_id: The user who caused it; None for a robot or an agent.
            source: `auth_connector` of the call that caused it; its own queue does not record it.
        """
        for name, connector in self.bindings:
            if name == event.upper() and not (connector and connector == source):
                self._record(name, data, user_id, connector)

    def happened(self, change: Change) -> None:
        """Records a change of a row."""
        self.add(change.event, change.data, user_id=change.user_id, source=change.source)

    def _record(self, event: str, data: Any, user_id: int | None, connector: str) -> None:
        text = json.dumps([event, data], sort_keys=True).encode()
        message_id = hashlib.md5(text, usedforsecurity=False).hexdigest()
        # Only a free row takes a change: one that is being processed has been read already.
        row = self._free.get((message_id, connector))
        if row is None:
            row = OfflineRow(
                id=next(self._ids),
                event=event,
                data=data,
                user_id=user_id,
                message_id=message_id,
                connector=connector,
                changed_at=0.0,
                place=0,
            )
            self._rows[row.id] = self._free[message_id, connector] = row
        row.user_id, row.changed_at, row.place = user_id, self._now(), next(self._places)

    def _remove(self, rows: Iterable[OfflineRow]) -> None:
        for row in rows:
            del self._rows[row.id]
            if not row.process_id:
                del self._free[row.message_id, row.connector]

    def _delete_old(self) -> None:
        oldest = self._now() - _KEPT
        self._remove([row for row in self._rows.values() if row.process_id and row.changed_at < oldest])

    # --- methods ------------------------------------------------------------------------------------------------------

    def methods(self) -> dict[str, Handler]:
        """The methods of v2 that read the queue."""
        handlers: dict[str, Callable[[dict[str, Any]], Reply]] = {
            "event.offline.get": self._get,
            "event.offline.list": self._list,
            "event.offline.clear": self._clear,
            "event.offline.error": self._mark,
        }
        methods: dict[str, Handler] = {name: self._for_administrators(handle) for name, handle in handlers.items()}
        bindings: dict[str, Handler] = {
            "event.bind": self.bind_by_call,
            "event.unbind": self.unbind_by_call,
            "event.get": lambda _: Reply(result=self.listed_bindings()),
        }
        return methods | bindings | {"feature.get": self._feature}

    def bind_by_call(self, call: Call) -> Reply:
        """`event.bind` with `event_type` "offline".

        Raises:
            RestError: It must be refused.
        """
        event, connector = str(call.params.get("event", "")).upper(), _connector(call.params)
        if not self._is_admin(call.user_id):
            raise _denied()
        if not event:
            raise _argument("event")
        if str(call.params.get("event_type", "online")) != "offline":
            raise RestError("ERROR_ARGUMENT", "The fake portal binds offline events only: event_type must be offline")
        if event == "ONOFFLINEEVENT":
            raise RestError("ERROR_ARGUMENT", "ONOFFLINEEVENT cannot be an offline event")
        if connector and AUTH_CONNECTOR not in self._features:
            raise _no_license(AUTH_CONNECTOR)
        if not self.bind(event, connector=connector):
            raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")
        return Reply(result=True)

    def unbind_by_call(self, call: Call) -> Reply:
        """`event.unbind` with `event_type` "offline".

        Raises:
            RestError: It must be refused.
        """
        if not self._is_admin(call.user_id):
            raise _denied()
        removed = self.unbind(str(call.params.get("event", "")), connector=_connector(call.params))
        return Reply(result={"count": int(removed)})

    def listed_bindings(self) -> list[dict[str, Any]]:
        """The subscriptions as `event.get` shows them."""
        return [{"event": event, "connector_id": connector, "offline": 1} for event, connector in self.bindings]

    def _for_administrators(self, handle: Callable[[dict[str, Any]], Reply]) -> Handler:
        def handled(call: Call) -> Reply:
            if call.hook is not None:
                raise RestError("WRONG_AUTH_TYPE", "Current authorization type is denied for this method", status=403)
            if not self._is_admin(call.user_id):
                raise _denied()
            return handle(call.params)

        return handled

    def _feature(self, call: Call) -> Reply:
        code = str(call.params.get("CODE", call.params.get("code", "")))
        if not code:
            raise _argument("CODE")
        return Reply(result={"value": "Y" if code in self._features else "N"})

    def _get(self, params: dict[str, Any]) -> Reply:
        clears = str(params.get("clear", 1)) != "0"
        limit = _number(params.get("limit", _LIMIT))
        if limit <= 0:
            raise RestError("ERROR_ARGUMENT", "Value must be positive integer {LIMIT}")
        if not clears and OFFLINE_EXTENDED not in self._features:
            raise _no_license("extended offline events handling")
        given, connector = str(params.get("process_id") or ""), _connector(params)
        wants_failed = str(params.get("error", 0)) == "1"
        process_id = given or self._new_process()
        rows = [
            row
            for row in self.rows
            if (row.process_id, row.connector, row.has_failed) == (given, connector, wants_failed)
        ]
        rows = _selected(rows, params, _OF_EVENTS)[:limit]
        for row in rows if not given else ():
            row.process_id = process_id
            del self._free[row.message_id, connector]
        if clears:
            self._remove(rows)
        events = [row.fields() for row in rows]
        # A reservation that has found nothing has an identifier as well.
        return Reply(result={"process_id": None if clears and not given else process_id, "events": events})

    def _new_process(self) -> str:
        return hashlib.md5(f"process {next(self._processes)}".encode(), usedforsecurity=False).hexdigest()

    def _list(self, params: dict[str, Any]) -> Reply:
        rows = _selected([row for row in self.rows if row.connector == _connector(params)], params, _OF_ROWS)
        start = max(0, _number(params.get("start", 0)))
        end = start + _PAGE
        shown = [row.listed() for row in rows[start:end]]
        return Reply(result=shown, total=len(rows), next=end if end < len(rows) else None)

    def _clear(self, params: dict[str, Any]) -> Reply:
        process_id, connector = _process_id(params), _connector(params)
        of_process = [row for row in self.rows if (row.process_id, row.connector) == (process_id, connector)]
        if "message_id" in params:
            message_ids = _message_ids(params)
            of_process = [row for row in of_process if row.message_id in message_ids]
        elif "id" in params:
            ids = {str(row_id) for row_id in _listed(params["id"], "id")}
            of_process = [row for row in of_process if str(row.id) in ids]
        self._remove(of_process)
        return Reply(result=True)

    def _mark(self, params: dict[str, Any]) -> Reply:
        process_id, connector = _process_id(params), _connector(params)
        message_ids = set(_listed(params.get("message_id"), "message_id"))
        # What has failed before stays as it is, reserved or free.
        same = [
            row
            for row in self._rows.values()
            if row.message_id in message_ids and row.connector == connector and not row.has_failed
        ]
        self._remove(row for row in same if row.process_id != process_id)
        for row in same:
            if row.process_id == process_id:
                row.process_id, row.has_failed = "", True
                self._free[row.message_id, connector] = row
        return Reply(result=True)


def _selected(rows: list[OfflineRow], params: Mapping[str, Any], fields: Collection[str]) -> list[OfflineRow]:
    """The rows that a filter selects, in the order that is asked for."""
    for name in as_mapping(params.get("filter")):
        field = name.lstrip("!=<>@%").upper()
        if name[: len(name) - len(field)] not in _OPERATORS:
            raise RestError("ERROR_ARGUMENT", "Filter operation not allowed")
        if field not in fields:
            raise RestError("ERROR_ARGUMENT", "Filter field not allowed")
    conditions = v2_conditions(params.get("filter"), str.upper)
    selected = [row for row in rows if matching(row.listed(), conditions)]
    for field, direction in reversed(list(as_mapping(params.get("order")).items())):
        selected.sort(key=_sort_key(field.upper()), reverse=str(direction).upper() == "DESC")
    return selected


def _sort_key(field: str) -> Callable[[OfflineRow], tuple[int, float, str]]:
    return lambda row: comparable(row.listed().get(field))


def _connector(params: Mapping[str, Any]) -> str:
    return str(params.get("auth_connector") or "")


def _process_id(params: Mapping[str, Any]) -> str:
    process_id = params.get("process_id")
    if not process_id:
        raise _argument("process_id")
    return str(process_id)


def _message_ids(params: Mapping[str, Any]) -> set[str]:
    message_ids = _listed(params.get("message_id"), "message_id")
    if not all(isinstance(text, str) and len(text) == _MESSAGE_ID_LENGTH for text in message_ids):
        raise RestError("ERROR_ARGUMENT", "Value must be array of MESSAGE_ID values {message_id}")
    return set(message_ids)


def _listed(value: Any, name: str) -> list[Any]:
    if is_mapping(value):
        return list(value.values())
    if not is_sequence(value):
        raise RestError("ERROR_ARGUMENT", f"Value must be array {{{name}}}")
    return list(value)


def _number(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0


def _argument(name: str) -> RestError:
    return RestError("ERROR_ARGUMENT", f"Argument '{name}' is null or empty")


def _denied() -> RestError:
    return RestError("ACCESS_DENIED", "Access denied!", status=403)


def _no_license(feature: str) -> RestError:
    return RestError("WRONG_LICENSE", f"License check failed: {feature}", status=403)
