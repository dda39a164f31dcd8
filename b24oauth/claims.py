"""What requests and responses of Bitrix24 claim about a token pair, as fields of `B24OAuthParams`. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from b24oauth.errors import InvalidDataError
from b24oauth.shapes import as_mapping, is_mapping, whole_number

__all__ = ["nested", "pair_in_event", "pair_in_page", "pair_in_response", "scopes"]

_NESTED: Final = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]\Z")
_SCOPE: Final = re.compile(r"[^,\s]+")
_COPIED: Final = (
    "access_token", "refresh_token", "client_endpoint", "server_endpoint", "member_id", "application_token", "status",
)  # fmt: skip


def nested(form: Mapping[str, object]) -> Mapping[str, object]:
    """The form with `auth[…]` and `data[…]` as mappings, as some frameworks leave them flat."""
    flat = [(name, match[1], match[2]) for name in form if (match := _NESTED.match(name))]
    if not flat:
        return form
    result: dict[str, Any] = dict(form)
    for outer in {outer for _, outer, _ in flat}:
        result[outer] = dict(as_mapping(result.get(outer)))
    for name, outer, inner in flat:
        result[outer][inner] = result.pop(name)
    return result


def pair_in_event(form: Mapping[str, object]) -> dict[str, object]:
    """The pair of an event. That of `ONAPPUSERREADY` is the system user's, which is in its `data`.

    Args:
        form: The fields of the event.

    Raises:
        InvalidDataError: It carries no tokens, or no refresh token.
    """
    form = nested(form)
    block = "data" if str(form.get("event", "")).upper() == "ONAPPUSERREADY" else "auth"
    auth = form.get(block)
    if not is_mapping(auth):
        raise InvalidDataError("The event", [f"has no block `{block}`, so it carries no tokens"])
    missing = [name for name in ("access_token", "refresh_token") if not auth.get(name)]
    if missing:
        hint = "only events about the application itself carry both tokens"
        raise InvalidDataError("The event", [f"{block}[{name}] is missing: {hint}" for name in missing])
    endpoint = str(auth.get("client_endpoint", ""))
    pair: dict[str, object] = {name: auth[name] for name in _COPIED if name in auth}
    # The domain may be that of the OAuth server.
    pair["domain"] = _host(endpoint, "The event") or auth.get("domain", "")
    if "client_endpoint" not in pair and auth.get("domain"):
        pair["client_endpoint"] = f"https://{auth['domain']}/rest/"
    if auth.get("user_id"):
        pair["user_id"] = auth["user_id"]
    lifetime = whole_number(auth.get("expires_in"))
    if lifetime is not None:
        pair["expires_in"] = lifetime
    # Without a time of expiry it is counted from when the portal queued the event; without that it is over.
    sent = whole_number(form.get("ts"))
    pair["expires"] = auth.get("expires") or (sent + lifetime if sent is not None and lifetime is not None else 0)
    pair["scope"] = ",".join(scopes(auth.get("scope")))
    return pair


def pair_in_page(form: Mapping[str, object], query: Mapping[str, object], received_at: float) -> dict[str, object]:
    """The pair of the user who opened a page.

    Args:
        form: The fields of the body.
        query: The fields of the query string.
        received_at: When the request arrived, Unix timestamp in seconds.

    Raises:
        InvalidDataError: A field is missing.
    """
    needed = {"AUTH_ID": form, "REFRESH_ID": form, "member_id": form, "DOMAIN": query}
    missing = [name for name, where in needed.items() if not where.get(name)]
    if missing:
        raise InvalidDataError("The page request", [f"{name} is missing" for name in missing])
    lifetime = whole_number(form.get("AUTH_EXPIRES"))
    lifetime = 3600 if lifetime is None else lifetime
    scheme = "http" if query.get("PROTOCOL") in ("0", 0) else "https"
    pair: dict[str, object] = {
        "access_token": form["AUTH_ID"],
        "refresh_token": form["REFRESH_ID"],
        "expires": int(received_at) + lifetime,
        "expires_in": lifetime,
        "client_endpoint": f"{scheme}://{query['DOMAIN']}/rest/",
        "domain": query["DOMAIN"],
        "member_id": form["member_id"],
        "application_token": form.get("APPLICATION_TOKEN") or "",
        "scope": ",".join(scopes(form.get("APPLICATION_SCOPE"))),
        "status": form.get("status") or "",
    }
    if form.get("SERVER_ENDPOINT"):
        pair["server_endpoint"] = form["SERVER_ENDPOINT"]
    return pair


def pair_in_response(response: Mapping[str, object], received_at: float) -> dict[str, object]:
    """The pair in a response of the OAuth server, to a code or to a renewal.

    Args:
        response: The fields of the response.
        received_at: When it arrived, Unix timestamp in seconds.
    """
    pair = dict(response)
    endpoint = str(response.get("client_endpoint", ""))
    # The domain in the response is that of the OAuth server.
    pair["domain"] = _host(endpoint, "The response")
    lifetime = whole_number(response.get("expires_in"))
    if "expires" not in pair:
        pair["expires"] = int(received_at) + (3600 if lifetime is None else lifetime)
    pair["scope"] = ",".join(scopes(response.get("scope")))
    return pair


def _host(endpoint: str, what: str) -> str:
    try:
        return urlsplit(endpoint).netloc
    except ValueError:
        pass
    raise InvalidDataError(what, ["client_endpoint must be a URL"])


def scopes(text: object) -> tuple[str, ...]:
    """The scopes in a text: separated by commas, blanks or both."""
    return tuple(_SCOPE.findall(text)) if isinstance(text, str) else ()
