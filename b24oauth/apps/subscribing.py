"""Subscribes to offline events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from b24oauth.checks import check_text
from b24oauth.client import B24OAuth
from b24oauth.errors import BatchError, ConfigurationError
from b24oauth.shapes import is_list, is_mapping

__all__ = ["subscribe_offline"]


async def subscribe_offline(b24: B24OAuth, events: Iterable[str], *, auth_connector: str = "") -> list[str]:
    """Lets a portal keep events in its queue of offline events, if it does not do so already.

    Call it in an installation handler. It may be repeated, and removes no subscription.

    Args:
        b24: The client of the portal; its pair must be an administrator's.
        events: The events, in any case, for example ``["ONCRMDEALADD", "ONCRMDEALUPDATE"]``.
        auth_connector: The queue; the same in `B24App.offline_events`. Some plans do not have it.

    Returns:
        The events that were not subscribed to before.

    Raises:
        ConfigurationError: An argument is invalid.
        BatchError: The portal refuses events; the others are subscribed to.
        AjaxError: The request failed.

    Source: https://apidocs.bitrix24.com/api-reference/events/event-bind.html
    """
    if isinstance(events, str):
        raise ConfigurationError("events must be a list of names")
    names = dict[str, None]()
    for name in events:
        check_text(name, "events")
        names[name.upper()] = None
    if auth_connector:
        check_text(auth_connector, "auth_connector")
    subscribed = await _subscribed(b24, auth_connector)
    missing = [name for name in names if name not in subscribed]
    of_queue = {"event_type": "offline", **({"auth_connector": auth_connector} if auth_connector else {})}
    calls: dict[str, Any] = {name: ("event.bind", {"event": name, **of_queue}) for name in missing}
    try:
        await b24.batch(calls)
    except BatchError as error:
        # Another process may have subscribed at the same moment: the portal refuses the second one with a general code.
        subscribed = await _subscribed(b24, auth_connector)
        if any(name not in subscribed for name in error.errors):
            raise
    return missing


async def _subscribed(b24: B24OAuth, auth_connector: str) -> set[str]:
    bound = await b24.call("event.get")
    rows = [row for row in bound if is_mapping(row)] if is_list(bound) else []
    return {
        str(row.get("event", "")).upper()
        for row in rows
        if str(row.get("offline")) == "1" and str(row.get("connector_id") or "") == auth_connector
    }
