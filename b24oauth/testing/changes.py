"""Which events the calls cause that add, change and delete rows of the fake portal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs

from b24oauth.shapes import is_mapping
from b24oauth.testing.messages import Call, Handler, Reply, Version

__all__ = ["Change", "watched"]


@attrs.frozen(kw_only=True)
class Change:
    """A row was added, changed or deleted.

    Attributes:
        event: The event, for example ``ONCRMDEALUPDATE``.
        data: Its data, for example ``{"FIELDS": {"ID": "1"}}``.
        user_id: The user who did it.
        source: `auth_connector` of the call; empty without one.
    """

    event: str
    data: Any
    user_id: int
    source: str


# How the events of a table begin.
_EVENTS: Final[Mapping[str, str]] = {
    "crm.deal": "ONCRMDEAL",
    "crm.contact": "ONCRMCONTACT",
    "crm.item": "ONCRMDYNAMICITEM",
    "tasks.task": "ONTASK",
}
_ACTIONS: Final = ("add", "update", "delete")


def watched(
    methods: Mapping[tuple[Version, str], Handler], happened: Callable[[Change], None]
) -> dict[tuple[Version, str], Handler]:
    """Those methods that change rows, so that they tell what they have done.

    Args:
        methods: All methods, by version and name.
        happened: Is called with each change.
    """
    found: dict[tuple[Version, str], Handler] = {}
    for (version, name), handler in methods.items():
        table, _, action = name.rpartition(".")
        if table in _EVENTS and action in _ACTIONS:
            found[version, name] = _watching(handler, table, action, happened)
    return found


def _watching(handler: Handler, table: str, action: str, happened: Callable[[Change], None]) -> Handler:
    def handle(call: Call) -> Reply:
        reply = handler(call)
        if not isinstance(reply, Reply):
            raise TypeError(f"{call.method} is not a built-in method: its changes are not known")
        row_id = _id_in(reply.result) if action == "add" else _id_in(call.params)
        event, data = _event(table, action, row_id, call)
        source = str(call.params.get("auth_connector") or "")
        happened(Change(event=event, data=data, user_id=call.user_id, source=source))
        return reply

    return handle


def _event(table: str, action: str, row_id: str, call: Call) -> tuple[str, Any]:
    event = _EVENTS[table] + action.upper()
    if table == "tasks.task":
        # A side that does not exist is this text.
        before = "undefined" if action == "add" else {"ID": row_id}
        after = "undefined" if action == "delete" else {"ID": row_id}
        return event, {"FIELDS_BEFORE": before, "FIELDS_AFTER": after}
    fields = {"ID": row_id}
    if table == "crm.item":
        fields["ENTITY_TYPE_ID"] = str(call.params.get("entityTypeId", ""))
    return event, {"FIELDS": fields}


def _id_in(value: Any) -> str:
    """The identifier in a result, which may be wrapped, or among parameters."""
    if not is_mapping(value):
        return str(value)
    for name, inner in value.items():
        if name.lower() in ("id", "taskid"):
            return str(inner)
        if name in ("item", "task"):
            return _id_in(inner)
    return ""
