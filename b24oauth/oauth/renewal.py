"""How a new pair is obtained: from the OAuth server, again when an answer is lost, or from a custom refresh."""

from __future__ import annotations

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from itertools import chain
from typing import Any, Final, Literal

import attrs

from b24oauth.errors import RefreshTokenError
from b24oauth.models import B24OAuthParams, B24OAuthSecret, HandlerRefreshAuth
from b24oauth.oauth.exchange import Refusal, lost_answer, read_pair, read_renewal, refresh_form
from b24oauth.protocol.endpoints import oauth_token_url
from b24oauth.redaction import scrub
from b24oauth.wire import NoAnswer, Wire

__all__ = ["CustomRefreshAuth", "Renewer", "outcome_of", "safe_cause", "what_happened"]

CustomRefreshAuth = Callable[[], Awaitable[HandlerRefreshAuth | None] | HandlerRefreshAuth | None]

FORM_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_PAUSE: Final = 0.5


@attrs.define(eq=False)
class Renewer:
    """Asks for a new pair; holds no pair itself.

    Attributes:
        wire: Sends the request.
        secret: Identifies the application.
        trusted_hosts: OAuth hosts that may see it.
        http_method: "POST", or "GET" for a server that only reads the query.
        attempts: How often a renewal whose answer was lost is asked for, at most.
        wall_clock: Unix timestamp, seconds.
        custom: Replaces the request when set.
    """

    wire: Wire
    secret: B24OAuthSecret
    trusted_hosts: frozenset[str]
    http_method: Literal["POST", "GET"]
    attempts: int
    wall_clock: Callable[[], float]
    custom: CustomRefreshAuth | None = None

    async def renew(self, current: B24OAuthParams) -> B24OAuthParams | Refusal:
        """A new pair, or why there is none; raises nothing of its own.

        Args:
            current: The pair to renew.
        """
        if self.custom is not None:
            return await self._ask_custom(self.custom, current)
        lost = False
        outcome: B24OAuthParams | Refusal = await self._ask_server(current)
        for attempt in range(1, self.attempts):
            if isinstance(outcome, B24OAuthParams) or not outcome.repeatable:
                break
            lost = lost or outcome.lost
            await asyncio.sleep(_PAUSE * 2 ** (attempt - 1))
            outcome = await self._ask_server(current)
        if isinstance(outcome, Refusal) and lost:
            # What is refused now may be what the lost answer had renewed.
            return attrs.evolve(outcome, lost=True)
        return outcome

    async def _ask_server(self, current: B24OAuthParams) -> B24OAuthParams | Refusal:
        url = oauth_token_url(current.server_endpoint, self.trusted_hosts)
        form = refresh_form(self.secret, current.refresh_token)
        try:
            if self.http_method == "GET":
                answer = await self.wire.send(f"{url}?{form}", None, {"Accept": "application/json"})
            else:
                answer = await self.wire.send(url, form.encode(), FORM_HEADERS)
        except NoAnswer as failure:
            return lost_answer(sent=failure.sent, timed_out=failure.timed_out, reason=failure.reason)
        outcome = read_renewal(answer, current, now=self.wall_clock())
        if isinstance(outcome, Refusal):
            return self._clean(outcome, current)
        return outcome

    async def _ask_custom(self, custom: CustomRefreshAuth, current: B24OAuthParams) -> B24OAuthParams | Refusal:
        try:
            data: Mapping[str, Any] | None = await outcome_of(custom())
        except RefreshTokenError as error:
            cause = safe_cause(error, self.secrets_of(current))
            refusal = Refusal(
                code=error.code, status=error.status, message=error.message, final=error.needs_reauth, cause=cause
            )
            return self._clean(refusal, current)
        except Exception as error:  # noqa: BLE001 - whatever people's code raises reaches every waiter
            secrets = self.secrets_of(current)
            return Refusal(
                code="B24OAUTH_CUSTOM_REFRESH_FAILED",
                message=f"The custom refresh failed: {what_happened(error, secrets)}",
                cause=safe_cause(error, secrets),
            )
        return read_pair(data, current, now=self.wall_clock())

    def secrets_of(self, *pairs: B24OAuthParams) -> tuple[str, ...]:
        """What no message may repeat: the client secret and all tokens of some pairs."""
        tokens = [(pair.access_token, pair.refresh_token, pair.application_token) for pair in pairs]
        return (self.secret.client_secret, *chain.from_iterable(tokens))

    def _clean(self, refusal: Refusal, current: B24OAuthParams) -> Refusal:
        secrets = self.secrets_of(current)
        return attrs.evolve(refusal, code=scrub(refusal.code, secrets), message=scrub(refusal.message, secrets))


async def outcome_of(value: Any) -> Any:
    """What an async function gives, or what a plain one gave already."""
    return await value if inspect.isawaitable(value) else value


def what_happened(error: BaseException, secrets: Iterable[str]) -> str:
    """The kind and text of people's own error, without the secrets it may repeat."""
    return f"{type(error).__name__}: {scrub(str(error), secrets)}"


def safe_cause(error: BaseException, secrets: Iterable[str]) -> BaseException | None:
    """The error as a cause to show, or None when its traceback would print a secret."""
    text = "".join(traceback.format_exception(error))
    return error if scrub(text, secrets) == text else None
