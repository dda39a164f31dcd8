"""Creates the events of one call, only if an observer wants them."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, TypeAlias

import attrs

from b24oauth.errors import AjaxError, AmbiguousResultError, SdkError
from b24oauth.events import (
    CONTENT,
    TRACE,
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    Reason,
    RequestContent,
    RequestFinished,
    RequestStarted,
    ResponseContent,
    Retrying,
    Throttled,
)
from b24oauth.limits.manager import RestrictionManager
from b24oauth.models import ApiVersion
from b24oauth.observing import Log, text_for_log, truncate_for_log
from b24oauth.protocol.decoding import RawResponse, parse_json
from b24oauth.protocol.endpoints import host_of
from b24oauth.redaction import redact
from b24oauth.rest.credentials import Credentials
from b24oauth.rest.failures import without_response
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub
from b24oauth.shapes import is_mapping
from b24oauth.wire import NoResponse

__all__ = ["CallReport", "Reporter", "Send"]

Send: TypeAlias = Callable[[str, str, bytes | None, Mapping[str, str]], Awaitable[RawResponse]]

# Waits of at least this many seconds are logged at INFO.
_LONG_WAIT: Final = 5.0


# Shared by all clients: one observer may have several of them.
_CALL_IDS: Final = itertools.count(1)


@attrs.frozen(kw_only=True)
class Reporter:
    """What the events of all calls of one client and API version have in common.

    Attributes:
        log: Calls the observers.
        api: Version of the API.
        credentials: Know the portal.
        limits: Know how full its bucket is.
    """

    log: Log
    api: ApiVersion
    credentials: Credentials
    limits: RestrictionManager

    @property
    def portal(self) -> str:
        """Host of the portal."""
        return host_of(self.credentials.params.client_endpoint)

    @property
    def bucket_level(self) -> float:
        """How much of the burst is used now, from 0 to 1."""
        bucket = self.limits.rate
        most = max(1, int(bucket.burst_limit))
        return 1 - bucket.room(most) / most


class CallReport:
    """Tells the observers about one call.

    Args:
        reporter: Knows them.
        query: The call.

    Attributes:
        is_detailed: True if an observer wants attempt-level events; determined once, at the start of the call.
        has_content: True when contents of its requests and responses are observed as well.

    For performance, callers check `is_detailed` or `has_content` before calling the methods that are marked with it.
    """

    __slots__ = ("_call_id", "_query", "_reporter", "has_content", "is_detailed")

    def __init__(self, reporter: Reporter, query: AjaxQuery) -> None:
        self._reporter = reporter
        self._query = query
        # Given with the first event: most calls have none.
        self._call_id = 0
        log = reporter.log
        # Asked once: a call that nobody observes must not pay for its events.
        self.is_detailed = log.is_enabled_for(logging.DEBUG)
        self.has_content = self.is_detailed and log.is_enabled_for(CONTENT)

    @property
    def _log(self) -> Log:
        return self._reporter.log

    def started(self) -> None:
        """The call begins. Only when `is_detailed`."""
        self._log.emit(CallStarted(**self._call()))

    def attempt_started(self, number: int, most: int) -> None:
        """It is about to be sent for the `number`-th time, or to wait until it may be. Only when `is_detailed`."""
        self._log.emit(AttemptStarted(**self._call(), attempt=number, max_attempts=most))

    def sending(self, secrets: Iterable[str]) -> None:
        """A request is sent. Only when `has_content`."""
        params = self._query.params
        content = _as_text({**params, "auth": ""} if is_mapping(params) else params, secrets)
        self._log.emit(RequestContent(**self._call(), content=content))

    def observed(self, send: Send, *, attempt: int, number: int, since: float | None, secrets: Collection[str]) -> Send:
        """Returns a function that sends as the given one does, and reports it. Only when `is_detailed`.

        Args:
            send: Sends a request.
            attempt: Number of the attempt.
            number: Number of the request within the call.
            since: When the attempt began, seconds of the loop's clock; None for its further requests.
            secrets: What no event may repeat.
        """
        if self.has_content:
            self.sending(secrets)
        if not self._log.is_enabled_for(TRACE):
            return send

        async def sending(http_method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> RawResponse:
            which: dict[str, Any] = {**self._call(), "attempt": attempt, "number": number}
            clock = asyncio.get_running_loop().time
            shown, level = _shown(url, secrets), self._reporter.bucket_level
            started, status = clock(), 0
            waited = None if since is None else started - since
            self._log.emit(
                RequestStarted(**which, http_method=http_method, url=shown, bucket_level=level, waited=waited)
            )
            error_type: str | None = None
            try:
                answer = await send(http_method, url, body, headers)
                status = answer.status
            except NoResponse as failure:
                error_type = type(without_response(failure, self._query, secrets)).__name__
                raise
            except BaseException as error:
                error_type = type(error).__name__
                raise
            finally:
                duration = clock() - started
                self._log.emit(RequestFinished(**which, duration=duration, status=status, error_type=error_type))
            return answer

        return sending

    def received(self, payload: Mapping[str, Any], secrets: Iterable[str]) -> None:
        """A response was received and decoded. Only when `has_content`."""
        shown = {"result": payload.get("result"), "time": payload.get("time")}
        self._received(_as_text(shown, secrets))

    def received_error(self, answer: RawResponse, secrets: Iterable[str]) -> None:
        """A response with an error, or one that cannot be read, was received."""
        if self.has_content:
            self._received(_as_text(parse_json(answer.body), secrets))

    def _received(self, content: str) -> None:
        self._log.emit(ResponseContent(**self._call(), content=content))

    def attempt_finished(self, number: int, most: int, duration: float, status: int, error: AjaxError | None) -> None:
        """An attempt failed, or succeeded."""
        if self.is_detailed:
            self._log.emit(
                AttemptFinished(
                    **self._call(),
                    attempt=number,
                    max_attempts=most,
                    duration=duration,
                    status=status,
                    error_code=None if error is None else error.code,
                    error_text=None if error is None else error.message,
                )
            )

    def throttled(self, reason: Reason, seconds: float) -> None:
        """It waits, or has waited, for the limits."""
        level = logging.INFO if seconds >= _LONG_WAIT else logging.DEBUG
        if seconds > 0 and (self.is_detailed or (level == logging.INFO and self._log.is_enabled_for(level))):
            self._log.emit(Throttled(level=level, **self._call(), reason=reason, seconds=seconds))

    def retrying(self, error: AjaxError, number: int, most: int, seconds: float) -> None:
        """It waits before it is sent again."""
        if self.is_detailed:
            self._log.emit(
                Retrying(
                    **self._call(),
                    attempt=number,
                    max_attempts=most,
                    seconds=seconds,
                    status=error.status,
                    error_code=error.code,
                    error_type=type(error).__name__,
                )
            )

    def succeeded(self, attempts: int, duration: float, status: int, error: AjaxError | None = None) -> None:
        """The call succeeded; `error` is a soft error contained in the result."""
        if self.is_detailed or attempts > 1:
            level = logging.INFO if attempts > 1 and error is None else logging.DEBUG
            self._finished(level, attempts, duration, status, error)

    def failed(self, error: BaseException, attempts: int, duration: float) -> None:
        """It raises an error."""
        status = error.status if isinstance(error, AjaxError) else 0
        # Error responses are handled by the caller (DEBUG); missing responses are logged as warnings for the operator.
        given_up = isinstance(error, AjaxError) and (not 200 <= status < 500 or status in (408, 429))
        level = logging.WARNING if given_up or isinstance(error, AmbiguousResultError) else logging.DEBUG
        self._finished(level, attempts, duration, status, error)

    def _finished(self, level: int, attempts: int, duration: float, status: int, error: BaseException | None) -> None:
        if not self._log.is_enabled_for(level):
            return
        code = text = None if error is None else type(error).__name__
        if isinstance(error, SdkError):
            code, text = error.code, error.message
        self._log.emit(
            CallFinished(
                level=level,
                **self._call(),
                attempts=attempts,
                duration=duration,
                status=status,
                error_code=code,
                error_type=None if error is None else type(error).__name__,
                error_text=text,
                is_ambiguous=isinstance(error, AmbiguousResultError),
            )
        )

    def _call(self) -> dict[str, Any]:
        self._call_id = self._call_id or next(_CALL_IDS)
        return {
            "call_id": self._call_id,
            "method": self._query.method,
            "api": str(self._reporter.api),
            "request_id": self._query.request_id,
            "portal": self._reporter.portal,
        }


def _shown(url: str, secrets: Collection[str]) -> str:
    """The address without its query and without the secret of a webhook, which is one part of the path."""
    parts = url.partition("?")[0].split("/")
    return scrub("/".join("***" if part and part in secrets else part for part in parts), secrets)


def _as_text(value: object, secrets: Iterable[str]) -> str:
    # Truncate after masking: a truncated secret would not be recognized.
    return truncate_for_log(scrub(text_for_log(redact(value)), secrets))
