"""Makes the events and placements that an application has on a portal what its handlers ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from b24oauth.apps.handlers import PageRoute
from b24oauth.client import B24OAuth
from b24oauth.errors import AjaxError
from b24oauth.shapes import is_list, is_mapping

__all__ = ["Registered", "SyncReport", "Wanted", "sync", "to_change"]

# Bitrix24 answers so when the same handler is bound a second time, or by two calls at once.
_BOUND_ALREADY: Final = "ERROR_CORE"
# Bitrix24 registers these itself, or a channel of offline events does.
_NOT_OURS: Final = ("ONIMBOT", "ONAPPSETTINGS", "ONAPPUSERREADY", "ONOFFLINEEVENT")


@attrs.frozen(order=True)
class Registered:
    """An event or a placement, and the address where it arrives.

    Attributes:
        kind: ``event`` or ``placement``.
        name: Its name on the portal, in upper case.
        address: Where it arrives.
        user: The only user for whom it is registered; empty for all.
    """

    kind: str
    name: str
    address: str
    user: str = ""


@attrs.frozen
class Wanted:
    """What an application asks for.

    Attributes:
        events: Names of events.
        placements: Pages by address.
        address: Where events arrive; all bindings at or below this address belong to the application's handlers.
    """

    events: frozenset[str]
    placements: Mapping[str, PageRoute]
    address: str

    def registered(self) -> set[Registered]:
        """All that is to be registered."""
        names = {name for name in self.events if not name.startswith(_NOT_OURS)}
        events = {Registered("event", name, self.address) for name in names}
        return events | {Registered("placement", page.placement, at) for at, page in self.placements.items()}

    def is_own(self, one: Registered) -> bool:
        """True for what this application registers, so that it may remove it too."""
        root = self.address.rstrip("/")
        is_here = one.address == root or one.address.startswith((f"{root}/", f"{root}?"))
        return is_here and not one.user and not (one.kind == "event" and one.name.startswith(_NOT_OURS))


@attrs.frozen(kw_only=True)
class SyncReport:
    """What `B24App.sync` changed on a portal.

    Attributes:
        added: What was registered.
        removed: What no handler asks for any more.
        kept: What was registered already.
        foreign: What was left alone: it arrives at another address, for example of an older version, or is registered
            for one user.
    """

    added: tuple[Registered, ...] = ()
    removed: tuple[Registered, ...] = ()
    kept: tuple[Registered, ...] = ()
    foreign: tuple[Registered, ...] = ()


def to_change(wanted: Wanted, found: Iterable[Registered]) -> SyncReport:
    """What has to change; pure.

    Args:
        wanted: What the application asks for.
        found: What is registered on the portal.
    """
    asked = wanted.registered()
    there = set(found)
    own = {one for one in there if wanted.is_own(one)}
    return SyncReport(
        added=tuple(sorted(asked - there)),
        removed=tuple(sorted(own - asked)),
        kept=tuple(sorted(asked & there)),
        foreign=tuple(sorted(there - own - asked)),
    )


async def sync(b24: B24OAuth, wanted: Wanted) -> SyncReport:
    """Registers what is missing and removes what is left over. It may be called at any time, also by several processes.

    Args:
        b24: The client of an administrator's pair.
        wanted: What the application asks for.

    Raises:
        AjaxError: The portal refuses; what was done before is kept, and the next call goes on.
    """
    report = to_change(wanted, await _found(b24, wanted))
    for one in report.removed:
        await _remove(b24, one)
    doubted: dict[Registered, AjaxError] = {}
    for one in report.added:
        try:
            await _add(b24, one, wanted)
        except AjaxError as error:
            if error.code != _BOUND_ALREADY:
                raise
            doubted[one] = error
    if doubted:
        there = set(await _found(b24, wanted))
        for one, refusal in doubted.items():
            if one not in there:
                raise refusal
    return report


async def _found(b24: B24OAuth, wanted: Wanted) -> list[Registered]:
    found = [_registered("event", one, "auth_type") for one in _mappings(await b24.call("event.get"))]
    # Without the scope `placement` the portal does not know the method.
    if wanted.placements or "placement" in await b24.call("scope"):
        found += [_registered("placement", one, "userId") for one in _mappings(await b24.call("placement.get"))]
    # Offline events have no address: they belong to the reader of the queue.
    return [one for one in found if one.address]


def _registered(kind: str, fields: Mapping[str, Any], user_field: str) -> Registered:
    user = str(fields.get(user_field) or "0")
    name, address = str(fields.get(kind) or "").upper(), str(fields.get("handler") or "")
    return Registered(kind, name, address, "" if user == "0" else user)


async def _add(b24: B24OAuth, one: Registered, wanted: Wanted) -> None:
    if one.kind == "event":
        await b24.call("event.bind", {"event": one.name, "handler": one.address}, idempotent=True)
        return
    params: dict[str, Any] = {"PLACEMENT": one.name, "HANDLER": one.address}
    title = wanted.placements[one.address].title
    if title:
        params["TITLE"] = title
    await b24.call("placement.bind", params, idempotent=True)


async def _remove(b24: B24OAuth, one: Registered) -> None:
    # All parameters are given: without them Bitrix24 removes more.
    if one.kind == "event":
        params = {"event": one.name, "handler": one.address, "auth_type": "0"}
        await b24.call("event.unbind", params, idempotent=True)
    else:
        await b24.call("placement.unbind", {"PLACEMENT": one.name, "HANDLER": one.address}, idempotent=True)


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if is_mapping(one)] if is_list(value) else []
