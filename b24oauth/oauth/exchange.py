"""Builds token requests and parses the OAuth server's responses. Pure functions, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from b24oauth.errors import ConfigurationError, InvalidDataError, RefreshTokenError, SdkError
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.oauth.pair import is_timestamp
from b24oauth.protocol.decoding import RawResponse, parse_json, read_error
from b24oauth.protocol.endpoints import host_of
from b24oauth.shapes import is_mapping

__all__ = ["Refusal", "lost_answer", "read_pair", "read_renewal", "refresh_form"]

DEFAULT_LIFETIME: Final = 3600
_EARLIEST: Final = 10**9
# Maximum length of server-supplied values quoted in messages.
_SHOWN: Final = 64

# Error codes that are permanent for a token pair: retrying with the same pair cannot succeed.
# Source: https://apidocs.bitrix24.com/settings/oauth/index.html
_FINAL: Final = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "insufficient_scope",
        "invalid_scope",
        "payment_required",
        "wrong_client",
        "not_installed",
        "application_not_found",
    }
)


@attrs.frozen(kw_only=True)
class Refusal:
    """Why a renewal failed, as facts: each waiter raises an error object of its own.

    Attributes:
        code: Code of the OAuth server, or one of ours.
        status: HTTP status, 0 when there was no response.
        message: What happened.
        final: True when the same pair will never be renewed.
        answered: True when it was the server that refused, so that the same request will be refused again.
        True if the server may have issued a new pair although no usable response arrived.
        repeatable: True when asking again at once may help.
        cause: The error of a custom refresh, or of the system when the server could not be reached.
        is_configuration: True when the proxy or certificates that the request needs cannot be used.
    """

    code: str
    message: str
    status: int = 0
    final: bool = False
    answered: bool = False
    lost: bool = False
    repeatable: bool = False
    cause: BaseException | None = None
    is_configuration: bool = False

    def error(self) -> SdkError:
        """A new error object that says it."""
        if self.is_configuration:
            return ConfigurationError(self.message, code=self.code)
        error = RefreshTokenError(self.message, code=self.code, status=self.status, needs_reauth=self.final)
        error.__cause__ = self.cause
        return error


def refresh_form(secret: B24OAuthSecret, refresh_token: str) -> str:
    """The form that asks for a renewal.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """
    return urlencode(
        {
            "grant_type": "refresh_token",
            "client_id": secret.client_id,
            "client_secret": secret.client_secret,
            "refresh_token": refresh_token,
        }
    )


def read_renewal(
    answer: RawResponse, current: B24OAuthParams, *, now: float, user_id: int | None = None
) -> B24OAuthParams | Refusal:
    """Understands the OAuth server's answer.

    Args:
        answer: What came back.
        current: The pair that was renewed; what the response leaves out stays.
        now: Wall clock, Unix timestamp in seconds.
        user_id: The only user whose pair it may be; None for any.
    """
    body = parse_json(answer.body)
    ok = 200 <= answer.status < 300
    may_have_run = answer.status >= 500 or answer.status == 408  # the latter is a proxy's timeout
    if is_mapping(body):
        fallback = "B24OAUTH_OAUTH_TOKEN_REFRESH_FAILED" if ok else _transport_code(answer.status)
        found = read_error(body, fallback, payload="access_token")
        if found is not None:
            has_code = found.code != fallback
            refused = f"The OAuth server refused the renewal: {found.code}"
            # A 5xx with no error code does not prove a rejection, even if it has a message: the pair may have been
            # refreshed.
            unclear = may_have_run and not has_code
            return Refusal(
                code=found.code,
                status=answer.status,
                message=found.message or (refused if ok or has_code else _failed(answer)),
                final=found.code.lower() in _FINAL,
                answered=not unclear,
                lost=unclear,
                repeatable=unclear,
            )
        if ok:
            return read_pair(body, current, now=now, user_id=user_id)
    if ok:
        # Something between us and the server answered: the pair may or may not have been renewed.
        return _no_data(lost=True)
    return Refusal(
        code=_transport_code(answer.status),
        status=answer.status,
        message=_failed(answer),
        answered=not may_have_run,
        lost=may_have_run,
        repeatable=may_have_run,
    )


def read_pair(
    body: Mapping[str, Any] | None, current: B24OAuthParams, *, now: float, user_id: int | None = None
) -> B24OAuthParams | Refusal:
    """Builds the pair from token data of the OAuth server or a custom refresh.

    Rejects incomplete pairs and pairs of another portal or user.

    Args:
        body: What the OAuth server or a custom refresh gave.
        current: The pair that was renewed; what the data leaves out stays.
        now: Wall clock, Unix timestamp in seconds.
        user_id: The only user whose pair it may be; None for any.
    """
    if not is_mapping(body) or not _is_token(body, "access_token") or not _is_token(body, "refresh_token"):
        return _no_data(lost=False)
    named = _portal_named(body)
    if named and current.member_id and named != current.member_id:
        return Refusal(
            code="B24OAUTH_OAUTH_OTHER_PORTAL",
            message=f"The renewed pair is of another portal: its member_id is {named[:_SHOWN]!r}, "
            f"not {current.member_id!r}; it is not used, and nothing was sent with it",
            answered=True,
        )
    user = _seconds(body.get("user_id"))
    if user_id is not None and user not in (0, user_id):
        return Refusal(
            code="B24OAUTH_OAUTH_OTHER_USER",
            message=f"The renewed pair is of user {user}, not {user_id}; it is not used, and nothing was sent with it",
            answered=True,
        )
    changes: dict[str, Any] = {name: body[name] for name in ("access_token", "refresh_token")}
    lifetime = _seconds(body.get("expires_in")) or DEFAULT_LIFETIME
    changes["expires_in"] = lifetime
    changes["expires"] = _timestamp(body.get("expires")) or int(now) + lifetime
    changes["status"] = str(body.get("status") or "")
    changes["member_id"] = current.member_id or named
    changes["user_id"] = user or current.user_id
    for name in ("client_endpoint", "server_endpoint", "scope"):
        if isinstance(body.get(name), str) and body[name]:
            changes[name] = body[name]
    try:
        return attrs.evolve(current, **changes)
    except InvalidDataError as error:
        return Refusal(code="B24OAUTH_OAUTH_TOKEN_REFRESH_NO_DATA", message=error.message, answered=True)


def lost_answer(
    *, sent: bool, timed_out: bool, reason: str, repeatable: bool = True, cause: BaseException | None = None
) -> Refusal:
    """Creates the failure for a refresh request that got no response.

    Args:
        sent: False when the server cannot have seen the request.
        timed_out: True if the request was aborted by a timeout.
        reason: What happened.
        repeatable: False when asking again cannot help.
        cause: The system's error.
    """
    where = "did not answer" if sent else "could not be reached"
    code = "REQUEST_TIMEOUT" if timed_out else "NETWORK_ERROR"
    message = f"The OAuth server {where}: {reason}"
    return Refusal(code=code, message=message, lost=sent, repeatable=repeatable, cause=cause)


def _is_token(body: Mapping[str, Any], name: str) -> bool:
    return isinstance(body.get(name), str) and bool(body[name].strip())


def _portal_named(body: Mapping[str, Any]) -> str:
    """The `member_id` in a renewal's data, or nothing. What is no text cannot be ours, and is not passed over."""
    named = body.get("member_id")
    return named.strip() if isinstance(named, str) else "" if named is None else str(named)


def _timestamp(value: object) -> int:
    """Returns a Unix timestamp in seconds, or 0 for invalid values (milliseconds, or dates before Bitrix24 existed)."""
    seconds = _seconds(value)
    return seconds if seconds >= _EARLIEST and is_timestamp(seconds) else 0


def _seconds(value: object) -> int:
    """A positive whole number, else 0."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        return int(value)
    return int(value) if isinstance(value, (int, float)) and value is not True and 0 < value < 1e12 else 0


def _no_data(*, lost: bool) -> Refusal:
    return Refusal(
        code="B24OAUTH_OAUTH_TOKEN_REFRESH_NO_DATA",
        message="Unable to obtain authorization update data: the response contains no token pair",
        answered=not lost,
        lost=lost,
        repeatable=lost,
    )


def _failed(answer: RawResponse) -> str:
    # Show the redirect target, because the redirect caused the failure.
    host = host_of(answer.headers.get("location", ""))
    elsewhere = f": it redirects to {host}, which is not followed" if host and 300 <= answer.status < 400 else ""
    return f"Request failed with status code {answer.status}{elsewhere}"


def _transport_code(status: int) -> str:
    return "ERR_BAD_REQUEST" if status < 500 else "ERR_BAD_RESPONSE"
