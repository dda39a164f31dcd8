"""Obtains a new pair from the OAuth server (with retries for lost responses) or from a custom refresh function."""

from __future__ import annotations

import asyncio
import inspect
import re
import traceback
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, Literal, cast

import attrs

from b24oauth.backing_off import exponential
from b24oauth.errors import ConfigurationError, RefreshTokenError
from b24oauth.models import B24OAuthParams, B24OAuthSecret, HandlerRefreshAuth
from b24oauth.oauth.exchange import Refusal, lost_answer, read_pair, read_renewal, refresh_form
from b24oauth.protocol.endpoints import oauth_token_url
from b24oauth.redaction import CREDENTIALS, REDACTED, redact_text
from b24oauth.scrubbing import scrub, scrub_start
from b24oauth.wire import Deadline, NoResponse, Wire

__all__ = [
    "CustomRefreshAuth",
    "Renewer",
    "ends_the_program",
    "is_own_cancellation",
    "maybe_await",
    "safe_cause",
    "what_happened",
]

CustomRefreshAuth = Callable[[], Awaitable[HandlerRefreshAuth | None] | HandlerRefreshAuth | None]

QUERY_HEADERS: Final = {"Accept": "application/json"}
FORM_HEADERS: Final = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_PAUSE: Final = 0.5
_LONGEST_CODE: Final = 200
# Independent of callers' timeouts: if a refresh is aborted after the server issued a new pair, that pair is lost.
_LONGEST_ATTEMPT: Final = 30.0
_LONGEST_RENEWAL: Final = 60.0
# Exception messages may contain tokens inside a sentence or in the form of Python keyword arguments.
_NAMED: Final = re.compile(rf"""(?<![a-z])((?:{"|".join(CREDENTIALS)})\s*=\s*['"]?)[^\s'",;&)\]}}]+""", re.IGNORECASE)


@attrs.define(eq=False)
class Renewer:
    """Requests new pairs; stateless with respect to tokens.

    Attributes:
        wire: Sends the request.
        secret: Identifies the application.
        trusted_hosts: OAuth hosts to which the client secret may be sent.
        http_method: "POST", or "GET" for a server that only reads the query.
        attempts: Maximum number of attempts for one renewal, when responses are lost.
        wall_clock: Unix timestamp, seconds.
        user_id: The only user whose pair it obtains; None for any.
        custom: Replaces the request when set.
    """

    wire: Wire
    secret: B24OAuthSecret
    trusted_hosts: frozenset[str]
    http_method: Literal["POST", "GET"]
    attempts: int
    wall_clock: Callable[[], float]
    user_id: int | None = None
    custom: CustomRefreshAuth | None = None

    async def renew(self, current: B24OAuthParams) -> B24OAuthParams | Refusal:
        """Returns a new pair, or a `Refusal` with the reason; does not raise.

        Args:
            current: The pair to renew.
        """
        if self.custom is not None:
            return await self._ask_custom(self.custom, current)
        lost, loop = False, asyncio.get_running_loop()
        end = loop.time() + _LONGEST_RENEWAL
        outcome: B24OAuthParams | Refusal = await self._ask_server(current, end)
        for attempt in range(1, self.attempts):
            pause = exponential(attempt - 1, first=_PAUSE, longest=_LONGEST_RENEWAL)
            if isinstance(outcome, B24OAuthParams) or not outcome.repeatable or loop.time() + pause >= end:
                break
            lost = lost or outcome.lost
            await asyncio.sleep(pause)
            outcome = await self._ask_server(current, end)
        if isinstance(outcome, Refusal) and lost:
            # The refresh token may be rejected now because the earlier request, whose response was lost, already used
            # it.
            return attrs.evolve(outcome, lost=True)
        return outcome

    async def _ask_server(self, current: B24OAuthParams, end: float) -> B24OAuthParams | Refusal:
        url = oauth_token_url(current.server_endpoint, self.trusted_hosts)
        form = refresh_form(self.secret, current.refresh_token)
        seconds = min(_LONGEST_ATTEMPT, end - asyncio.get_running_loop().time())
        deadline = Deadline(seconds)
        try:
            # The transport's timeouts restart with each chunk of a response, so an overall deadline is needed.
            async with deadline:
                if self.http_method == "GET":
                    answer = await self.wire.send("GET", f"{url}?{form}", None, QUERY_HEADERS, timeout=seconds)
                else:
                    answer = await self.wire.send("POST", url, form.encode(), FORM_HEADERS, timeout=seconds)
        except NoResponse as failure:
            return lost_answer(
                sent=failure.sent,
                timed_out=failure.timed_out,
                reason=failure.reason,
                repeatable=failure.retryable,
                cause=failure.cause,
            )
        except ConfigurationError as error:
            return Refusal(code=error.code, message=error.message, is_configuration=True)
        except TimeoutError:
            return lost_answer(sent=True, timed_out=True, reason=f"no whole response within {seconds:g} seconds")
        outcome = read_renewal(answer, current, now=self.wall_clock(), user_id=self.user_id)
        if isinstance(outcome, Refusal):
            return self._clean(outcome, current)
        return outcome

    async def _ask_custom(self, custom: CustomRefreshAuth, current: B24OAuthParams) -> B24OAuthParams | Refusal:
        task = asyncio.current_task()
        try:
            data: Mapping[str, Any] | None = await maybe_await(custom())
            return read_pair(data, current, now=self.wall_clock(), user_id=self.user_id)
        except RefreshTokenError as error:
            cause = safe_cause(error, self.secrets_of(current))
            refusal = Refusal(
                code=error.code, status=error.status, message=error.message, final=error.needs_reauth, cause=cause
            )
            return self._clean(refusal, current)
        except BaseException as error:  # every waiter gets what the application's code raises
            if is_own_cancellation(error, task) or ends_the_program(error):
                raise
            secrets = self.secrets_of(current)
            return Refusal(
                code="B24OAUTH_CUSTOM_REFRESH_FAILED",
                message=f"The custom refresh failed: {what_happened(error, secrets)}",
                cause=safe_cause(error, secrets),
            )

    def secrets_of(self, *pairs: B24OAuthParams) -> tuple[str, ...]:
        """What no message may repeat: the client secret and all tokens of some pairs, as they are and as hosts."""
        tokens = [(pair.access_token, pair.refresh_token, pair.application_token) for pair in pairs]
        secrets = (self.secret.client_secret, *chain.from_iterable(tokens))
        return (*secrets, *(secret.lower() for secret in secrets))

    def _clean(self, refusal: Refusal, current: B24OAuthParams) -> Refusal:
        secrets = self.secrets_of(current)
        code, message = scrub_start(refusal.code, secrets, _LONGEST_CODE), scrub_start(refusal.message, secrets)
        return attrs.evolve(refusal, code=_masked(code, ()), message=_masked(message, ()))


async def maybe_await(value: Any) -> Any:
    """Awaits the value if it is awaitable, otherwise returns it unchanged."""
    return await value if inspect.isawaitable(value) else value


def is_own_cancellation(error: BaseException, task: asyncio.Task[Any] | None) -> bool:
    """True when the task itself is to end; anything else is of the code it called, also a cancellation in there.

    Args:
        error: What was raised.
        task: The task that called the code.
    """
    if task is None:
        return True
    if isinstance(error, asyncio.CancelledError):
        return task.cancelling() > 0
    # GeneratorExit is raised when a coroutine is garbage-collected, in whichever task runs at that moment.
    return isinstance(error, GeneratorExit) and asyncio.current_task(task.get_loop()) is not task


def ends_the_program(error: BaseException) -> bool:
    """True for exceptions that must propagate to the event loop (KeyboardInterrupt, SystemExit)."""
    return isinstance(error, (KeyboardInterrupt, SystemExit))


def what_happened(error: BaseException, secrets: Iterable[str]) -> str:
    """Type and text of an error of the application, without the secrets it may repeat."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - __str__ of the application may raise anything
        text = "its text cannot be read"
    return f"{type(error).__name__}: {_masked(scrub_start(text, tuple(secrets)), ())}"


def safe_cause(error: BaseException, secrets: Iterable[str]) -> BaseException | None:
    """The error as a cause to show, or None when it, or its traceback, would print a secret or cannot be printed."""
    try:
        printed = "".join(traceback.format_exception(error))
        said = "\n".join(text for part in _chained(error) for text in _texts(part))
    except Exception:  # noqa: BLE001 - __str__ and __repr__ of the application may raise anything
        return None
    # Search for known secret values only: source lines in a traceback mention parameter names such as `token` without
    # their values.
    return error if scrub(printed, secrets) == printed and _masked(said, secrets) == said else None


def _masked(text: str, secrets: Iterable[str]) -> str:
    """Masks known secrets, and also unknown values that follow a credential name such as `refresh_token=`."""
    return _NAMED.sub(rf"\1{REDACTED}", redact_text(scrub(text, secrets)))


def _texts(error: BaseException) -> Iterator[str]:
    yield from (str(error), repr(error), repr(error.args))
    # Use the strings unchanged: repr() would escape characters and hide a secret from the search.
    yield from map(str, error.args)


def _chained(error: BaseException) -> Iterator[BaseException]:
    """The error and everything that is printed with it, each once."""
    known: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        part = queue.pop()
        if part is None or id(part) in known:
            continue
        known.add(id(part))
        yield part
        queue += [part.__cause__, part.__context__]
        if isinstance(part, BaseExceptionGroup):
            queue += cast("tuple[BaseException, ...]", part.exceptions)
