"""What an application has registered on the fake portal: handlers of events, placements, robots, and their methods."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from b24oauth.shapes import as_mapping, is_mapping
from b24oauth.testing.changes import Change
from b24oauth.testing.messages import Call, Handler, Reply, RestError
from b24oauth.testing.offline import OfflineQueue
from b24oauth.testing.payment import Payment

__all__ = ["Binding", "Bindings", "Placement", "Queued", "in_application"]

EVENTS: Final = frozenset(
    {
        "ONAPPINSTALL", "ONAPPUSERREADY",
        "ONAPPUNINSTALL", "ONAPPUPDATE", "ONAPPPAYMENT", "ONSUBSCRIPTIONRENEW", "ONAPPTEST",
        "ONAPPMETHODCONFIRM", "ONOFFLINEEVENT", "ONUSERADD", "ONEXTERNALCALLSTART", "ONEXTERNALCALLBACKSTART",
        "ONVOXIMPLANTCALLINIT", "ONVOXIMPLANTCALLSTART", "ONVOXIMPLANTCALLEND", "ONIMCONNECTORMESSAGEADD",
        "ONIMCONNECTORLINEDELETE", "ONCALENDARENTRYADD", "ONCALENDARENTRYUPDATE", "ONCALENDARENTRYDELETE",
        "ONTASKADD", "ONTASKUPDATE", "ONTASKDELETE", "ONTASKCOMMENTADD",
    }
    | {f"ONCRM{what}{action}" for what in ("LEAD", "DEAL", "CONTACT", "COMPANY", "ACTIVITY", "QUOTE", "DYNAMICITEM")
       for action in ("ADD", "UPDATE", "DELETE")}
)  # fmt: skip
_DYNAMIC: Final = re.compile(r"(ONCRMDYNAMICITEM(ADD|UPDATE|DELETE))_[0-9]+", re.ASCII)
PLACEMENTS: Final = frozenset(
    {"DEFAULT", "LEFT_MENU", "CALL_CARD", "PAGE_BACKGROUND_WORKER", "REST_APP_URI", "USERFIELD_TYPE"}
    | {f"CRM_{what}_DETAIL_TAB" for what in ("LEAD", "DEAL", "CONTACT", "COMPANY")}
    | {"CRM_DEAL_LIST_MENU", "CRM_ANALYTICS_MENU", "TASK_VIEW_TAB", "TASK_LIST_CONTEXT_MENU"}
)
# Placements on items of a type of the portal.
_OF_ITEMS: Final = re.compile(r"CRM_DYNAMIC_[0-9]+_(DETAIL|LIST)_[A-Z]+", re.ASCII)
_MOST_PLACEMENTS: Final = 10
_CODE: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_BACKGROUND: Final = "PAGE_BACKGROUND_WORKER"


@attrs.frozen
class Binding:
    """A handler of an event.

    Attributes:
        event: Its name, in upper case.
        handler: Where it is sent.
        auth_type: The only user whose events are sent; 0 for all.
    """

    event: str
    handler: str
    auth_type: int = 0


@attrs.frozen(kw_only=True)
class Placement:
    """A page of the application somewhere on the portal.

    Attributes:
        code: Where it is.
        handler: Its address.
        title: What it is called.
        user_id: The only user who sees it; 0 for all.
        options: Its options.
    """

    code: str
    handler: str
    title: str = ""
    user_id: int = 0
    options: Any = attrs.field(factory=list[Any])


@attrs.frozen(kw_only=True)
class Queued:
    """An event that the portal is about to send.

    Attributes:
        url: Where to.
        event: Its name.
        data: What happened.
        user_id: The user who caused it; None if none did.
    """

    url: str
    event: str
    data: Any = None
    user_id: int | None = 1


class Bindings:
    """What an application has registered on the portal.

    Args:
        offline: The queue of offline events, which `event.bind` serves too.
        is_admin: Tells whether a user is an administrator.
        payment: How the application is paid for; without payment nothing is sent.

    Attributes:
        events: Handlers of events.
        placements: Pages.
        robots: Robots and activities by code, as they were registered.
        queue: Events that are to be sent, in the order in which they happened.
        version: Version of the application.
        is_finished: Whether the installation was finished; before, nothing is sent.
        waiting: Codes of robots whose workflow waits, by token.
        returned: What robots have returned, by token; only values of their `RETURN_PROPERTIES`.

    Source: https://apidocs.bitrix24.com/api-reference/events/index.html
    """

    def __init__(self, offline: OfflineQueue, *, is_admin: Callable[[int], bool], payment: Payment) -> None:
        self._offline, self._is_admin, self._payment = offline, is_admin, payment
        self.events: list[Binding] = []
        self.placements: list[Placement] = []
        self.robots: dict[str, dict[str, Any]] = {}
        self.queue: list[Queued] = []
        self.version = 1
        self.is_finished = True
        self.waiting: dict[str, str] = {}
        self.returned: dict[str, Any] = {}

    @property
    def is_paid(self) -> bool:
        """Whether the application is paid for; otherwise nothing is sent."""
        return not self._payment.is_expired

    @is_paid.setter
    def is_paid(self, value: bool) -> None:
        self._payment.days, self._payment.is_required = None if value else -1, False

    def happened(self, change: Change) -> None:
        """A row was added, changed or deleted."""
        self.tell(change.event, change.data, user_id=change.user_id)

    def tell(self, event: str, data: Any = None, *, user_id: int | None = 1) -> None:
        """Queues an event for its bound handlers; no event is sent before the installation is finished."""
        if not (self.is_finished and self.is_paid):
            return
        names = _names(event.upper(), data)
        self.queue += [
            Queued(url=one.handler, event=one.event, data=data, user_id=user_id)
            for one in self.events
            if one.event in names and one.auth_type in (0, user_id)
        ]

    def clear(self) -> None:
        """The application is removed, and with it all that it has registered."""
        self.events.clear()
        self.placements.clear()
        self.robots.clear()
        self.queue.clear()
        self.waiting.clear()

    # --- methods ------------------------------------------------------------------------------------------------------

    def methods(self) -> dict[str, Handler]:
        """The methods of v2 that register and remove."""
        handlers: dict[str, Callable[[Call], Any]] = {
            "events": lambda _: sorted(EVENTS),
            "event.bind": self._bind,
            "event.unbind": self._unbind,
            "event.get": self._get,
            "event.test": self._test,
            "placement.bind": self._place,
            "placement.unbind": self._displace,
            "placement.get": self._placements,
            "placement.list": lambda _: sorted(PLACEMENTS),
            "bizproc.event.send": self._return,
            "bizproc.activity.log": self._log,
        }
        for kind in ("robot", "activity"):
            handlers |= {
                f"bizproc.{kind}.add": self._add_robot,
                f"bizproc.{kind}.update": self._update_robot,
                f"bizproc.{kind}.list": lambda _: sorted(self.robots),
                f"bizproc.{kind}.delete": self._delete_robot,
            }
        return {name: in_application(handler) for name, handler in handlers.items()}

    def _bind(self, call: Call) -> Any:
        params = _lowered(call.params)
        if str(params.get("event_type", "online")).lower() == "offline":
            return self._offline.bind_by_call(call)
        event, handler = _needed(params, "event").upper(), _needed(params, "handler")
        if event not in EVENTS and not _DYNAMIC.fullmatch(event):
            raise RestError("ERROR_EVENT_NOT_FOUND", "Event not found")
        _check_url(handler)
        auth_type = _number(params.get("auth_type"))
        is_admin = self._is_admin(call.user_id)
        if not is_admin and auth_type not in (0, call.user_id):
            raise RestError("ACCESS_DENIED", "Access denied!", status=403)
        binding = Binding(event, handler, auth_type if is_admin else call.user_id)
        if binding in self.events:
            raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")
        self.events.append(binding)
        return True

    def _unbind(self, call: Call) -> Any:
        params = _lowered(call.params)
        if str(params.get("event_type", "online")).lower() == "offline":
            return self._offline.unbind_by_call(call)
        event, handler = str(params.get("event") or "").upper(), str(params.get("handler") or "")
        auth_type = _number(params["auth_type"]) if "auth_type" in params else None
        is_admin = self._is_admin(call.user_id)
        kept = [
            one
            for one in self.events
            # What is not given selects everything.
            if (event and one.event != event)
            or (handler and one.handler != handler)
            or (auth_type is not None and one.auth_type != auth_type)
            or (not is_admin and one.auth_type != call.user_id)
        ]
        count, self.events[:] = len(self.events) - len(kept), kept
        return {"count": count}

    def _get(self, call: Call) -> Any:
        is_admin = self._is_admin(call.user_id)
        own = [one for one in self.events if is_admin or one.auth_type == call.user_id]
        online: list[dict[str, Any]] = [
            {"event": one.event, "handler": one.handler, "auth_type": str(one.auth_type), "offline": 0} for one in own
        ]
        return online + self._offline.listed_bindings() if is_admin else online

    def _test(self, call: Call) -> Any:
        self.tell("ONAPPTEST", {"QUERY": call.params, "LANGUAGE_ID": "en"}, user_id=call.user_id)
        return 1

    def _place(self, call: Call) -> Any:
        self._administrators_only(call)
        params = _lowered(call.params)
        code, handler = _needed(params, "placement").upper(), _needed(params, "handler")
        if code not in PLACEMENTS and not _OF_ITEMS.fullmatch(code):
            raise RestError("ERROR_PLACEMENT_NOT_FOUND", "Placement not found")
        _check_url(handler)
        options = as_mapping(params.get("options"))
        user_id = _number(params.get("user_id"))
        if code == _BACKGROUND and not options.get("errorHandlerUrl"):
            raise RestError("EMPTY_ERROR_HANDLER_URL", "Option errorHandlerUrl is required", status=200)
        if code == _BACKGROUND and user_id:
            raise RestError("ERROR_PLACEMENT_USER_MODE", "The placement is not for single users", status=200)
        if any((one.code, one.handler, one.user_id) == (code, handler, user_id) for one in self.placements):
            raise RestError("ERROR_CORE", "Unable to set placement handler: Handler already binded")
        if sum(one.code == code for one in self.placements) >= _MOST_PLACEMENTS:
            raise RestError("ERROR_PLACEMENT_MAX_COUNT", "Placement max count", status=200)
        title = str(params.get("title") or "")
        self.placements.append(
            Placement(code=code, handler=handler, title=title, user_id=user_id, options=options or [])
        )
        return True

    def _displace(self, call: Call) -> Any:
        self._administrators_only(call)
        params = _lowered(call.params)
        code, handler = _needed(params, "placement").upper(), str(params.get("handler") or "")
        kept = [one for one in self.placements if one.code != code or (handler and one.handler != handler)]
        count, self.placements[:] = len(self.placements) - len(kept), kept
        # Bitrix24 counts each removed handler twice.
        return {"count": 2 * count}

    def _placements(self, call: Call) -> Any:
        self._administrators_only(call)
        return [
            {
                "placement": one.code, "userId": one.user_id, "handler": one.handler, "options": one.options,
                "title": one.title, "description": "", "langAll": {},
            }
            for one in self.placements
        ]  # fmt: skip

    def _add_robot(self, call: Call) -> Any:
        self._administrators_only(call)
        code, handler = _needed(call.params, "CODE"), _needed(call.params, "HANDLER")
        if not _CODE.fullmatch(code) or not call.params.get("NAME"):
            raise RestError("ERROR_ACTIVITY_VALIDATION_FAILURE", "Empty or wrong activity code or name")
        _check_url(handler)
        if code in self.robots:
            raise RestError("ERROR_ACTIVITY_ALREADY_INSTALLED", "Activity or robot already installed")
        self.robots[code] = dict(call.params)
        return True

    def _update_robot(self, call: Call) -> Any:
        self._administrators_only(call)
        code, fields = _needed(call.params, "CODE"), as_mapping(call.params.get("FIELDS"))
        if code not in self.robots:
            raise RestError("ERROR_ACTIVITY_NOT_FOUND", "Activity or robot not found")
        if "HANDLER" in fields:
            _check_url(_needed(fields, "HANDLER"))
        self.robots[code] |= {**fields, "CODE": code}
        return True

    def _delete_robot(self, call: Call) -> Any:
        self._administrators_only(call)
        if self.robots.pop(_needed(call.params, "CODE"), None) is None:
            raise RestError("ERROR_ACTIVITY_NOT_FOUND", "Activity or robot not found")
        return True

    def _return(self, call: Call) -> Any:
        token = self._waiting_token(call)
        code = self.waiting.pop(token)
        declared = {name.upper() for name in as_mapping(self.robots.get(code, {}).get("RETURN_PROPERTIES"))}
        values = as_mapping(call.params.get("RETURN_VALUES"))
        # Bitrix24 drops others without a word.
        self.returned[token] = {name: value for name, value in values.items() if name.upper() in declared}
        return True

    def _log(self, call: Call) -> Any:
        self._waiting_token(call)
        _needed(call.params, "LOG_MESSAGE")
        return True

    def _waiting_token(self, call: Call) -> str:
        token = str(call.params.get("EVENT_TOKEN") or "")
        if token not in self.waiting:
            raise RestError("ACCESS_DENIED", "Access denied!", status=403)
        return token

    def _administrators_only(self, call: Call) -> None:
        if not self._is_admin(call.user_id):
            raise RestError("ACCESS_DENIED", "Access denied!", status=403)


def _names(event: str, data: Any) -> set[str]:
    """The names under which an event is sent: one of an item has the general name, and one with its type."""
    numbered = _DYNAMIC.fullmatch(event)
    if numbered:
        return {event, numbered[1]}
    kind = str(as_mapping(as_mapping(data).get("FIELDS")).get("ENTITY_TYPE_ID") or "")
    return {event, f"{event}_{kind}"} if kind and _DYNAMIC.fullmatch(f"{event}_{kind}") else {event}


def in_application(handler: Callable[[Call], Any]) -> Handler:
    """A method for applications: a webhook may not call it."""

    def handle(call: Call) -> Reply:
        if call.hook is not None:
            raise RestError("WRONG_AUTH_TYPE", "Current authorization type is denied for this method", status=403)
        result = handler(call)
        return result if isinstance(result, Reply) else Reply(result=result)

    return handle


def _lowered(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in params.items()}


def _needed(params: Mapping[str, Any], name: str) -> str:
    value = params.get(name)
    if not value or is_mapping(value):
        raise RestError("ERROR_ARGUMENT", f"Argument '{name}' is null or empty")
    return str(value)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https"):
        raise RestError("ERROR_UNSUPPORTED_PROTOCOL", "Unsupported event handler protocol")
    if "." not in (parts.hostname or ""):
        raise RestError("ERROR_WRONG_HANDLER_URL", "Wrong event handler URL")


def _number(value: Any) -> int:
    try:
        return int(value or 0)
    except (TypeError, ValueError):
        return 0
