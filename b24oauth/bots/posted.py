"""Events that portals post to an application, once their application token was verified."""

from __future__ import annotations

from urllib.parse import urlsplit

from b24oauth.apps.events import BotEvent, EventAuth
from b24oauth.apps.verifying import NotGenuineError, is_genuine
from b24oauth.bots.reading import read_update
from b24oauth.bots.talking import Talk
from b24oauth.bots.updates import Update
from b24oauth.client import B24OAuth
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import whole_number

__all__ = ["checked_update"]


def checked_update(event: BotEvent, b24: B24OAuth) -> Update:
    """The object of a verified event, which answers with the client of the application.

    The bot's own tokens in the event are not used. A request in which they belong to another portal was tampered with.

    Args:
        event: The event.
        b24: The client of the portal that the application token proves.

    Raises:
        NotGenuineError: The bot's tokens contradict the verified ones.
        InvalidDataError: A field is missing or of a wrong type.
    """
    if event.bot_auth is not None:
        _check_claim(event.bot_auth, event.auth)
    bot_id = whole_number(event.bot_id)
    if not bot_id:
        raise InvalidDataError("The event", ["data[bot][id] is missing"])
    return read_update(event.name, event.data, Talk(b24, bot_id))


def _check_claim(claim: EventAuth, proved: EventAuth) -> None:
    portals = (claim.member_id or proved.member_id, proved.member_id)
    hosts = {_host(one.client_endpoint) for one in (claim, proved)} - {""}
    is_other = portals[0] != portals[1] or len(hosts) > 1
    if is_other or (claim.application_token and not is_genuine(claim.application_token, [proved.application_token])):
        raise NotGenuineError(f"The tokens in data[bot][auth] do not belong to portal {proved.member_id}")


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return "no address"
