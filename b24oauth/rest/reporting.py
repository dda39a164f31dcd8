"""Creates the events of one call, only if an observer wants them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from b24oauth.errors import AjaxError, AmbiguousResultError, SdkError
from b24oauth.events import (
    CONTENT,
    AttemptFinished,
    AttemptStarted,
    CallFinished,
    CallStarted,
    Reason,
    RequestContent,
    ResponseContent,
    Retrying,
    Throttled,
)
from b24oauth.models import ApiVersion
from b24oauth.observing import Log, text_for_log, truncate_for_log
from b24oauth.protocol.decoding import RawResponse, parse_json
from b24oauth.redaction import redact
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub
from b24oauth.shapes import is_mapping

__all__ = ["CallReport"]

# Waits of at least this many seconds are logged at INFO.
_LONG_WAIT: Final = 5.0


class CallReport:
    """Tells the observers about one call.

    Args:
        log: Knows them.
        query: The call.
        api: Version of the API it speaks.

    Attributes:
        is_detailed: True if an observer wants attempt-level events; determined once, at the start of the call.
        has_content: True when contents of its requests and responses are observed as well.

    For performance, callers check `is_detailed` or `has_content` before calling the methods that are marked with it.
    """

    __slots__ = ("_api", "_log", "_query", "has_content", "is_detailed")

    def __init__(self, log: Log, query: AjaxQuery, api: ApiVersion) -> None:
        self._log = log
        self._query = query
        self._api = api
        # Asked once: a call that nobody observes must not pay for its events.
        self.is_detailed = log.is_enabled_for(logging.DEBUG)
        self.has_content = self.is_detailed and log.is_enabled_for(CONTENT)

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
        self._log.emit(RequestContent(method=self._query.method, request_id=self._query.request_id, content=content))

    def received(self, payload: Mapping[str, Any], secrets: Iterable[str]) -> None:
        """A response was received and decoded. Only when `has_content`."""
        shown = {"result": payload.get("result"), "time": payload.get("time")}
        self._received(_as_text(shown, secrets))

    def received_error(self, answer: RawResponse, secrets: Iterable[str]) -> None:
        """A response with an error, or one that cannot be read, was received."""
        if self.has_content:
            self._received(_as_text(parse_json(answer.body), secrets))

    def _received(self, content: str) -> None:
        self._log.emit(ResponseContent(method=self._query.method, request_id=self._query.request_id, content=content))

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
            method, request_id = self._query.method, self._query.request_id
            self._log.emit(Throttled(level=level, method=method, request_id=request_id, reason=reason, seconds=seconds))

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
                error_text=text,
                is_ambiguous=isinstance(error, AmbiguousResultError),
            )
        )

    def _call(self) -> dict[str, Any]:
        return {"method": self._query.method, "api": str(self._api), "request_id": self._query.request_id}


def _as_text(value: object, secrets: Iterable[str]) -> str:
    # Truncate after masking: a truncated secret would not be recognized.
    return truncate_for_log(scrub(text_for_log(redact(value)), secrets))
