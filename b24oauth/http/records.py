"""The log records of a call, in the reference's words; collected only when somebody listens."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from b24oauth.errors import AjaxError
from b24oauth.limits.rate import RateLimiter
from b24oauth.models import ApiVersion
from b24oauth.observing import Log, text_for_log, truncate_for_log
from b24oauth.protocol.decoding import RawResponse, parse_json
from b24oauth.redaction import redact
from b24oauth.result import AjaxQuery
from b24oauth.scrubbing import scrub

__all__ = ["CallRecords", "batch_completed", "batch_starting"]


class CallRecords:
    """Writes what happens to one call.

    Args:
        log: Where to.
        query: The call.
        api: The version of the API it speaks.
    """

    __slots__ = ("_api", "_debug", "_info", "_log", "_query")

    def __init__(self, log: Log, query: AjaxQuery, api: ApiVersion) -> None:
        self._log = log
        self._query = query
        self._api = api
        # Asked once: a call that nobody listens to must not pay for each of its records.
        self._info = log.hears(logging.INFO)
        self._debug = log.hears(logging.DEBUG)

    def starting(self) -> None:
        """The call begins."""
        if self._debug:
            self._log.debug(
                "http request starting", **self._call, params=redact(self._query.params), timestamp=time.time()
            )

    def attempt(self, number: int, most: int) -> None:
        """It is about to be sent for the `number`-th time."""
        if self._info:
            self._log.info("http request attempt", **self._call, attempt={"current": number, "max": most})

    def blocked(self, seconds: float) -> None:
        """It waits for the execution time of its method."""
        message = f"operatingLimiter blocked method {self._query.method}"
        self._log.info(message, **self._without_api(), wait=seconds, limiter="operatingLimiter")

    def sending(self, secrets: Iterable[str]) -> None:
        """It is sent."""
        if self._info:
            params = self._query.params
            shown = redact({**params, "auth": ""} if isinstance(params, dict) else params)
            self._log.info("post/send", **self._without_api(), params=_as_text(shown, secrets))

    def answered(self, payload: Any, secrets: Iterable[str]) -> None:
        """It was answered well."""
        if self._info:
            self._log.info(
                "post/response",
                request_id=self._query.request_id,
                result=_as_text(redact(payload.get("result")), secrets),
                time=_as_text(redact(payload.get("time")), secrets),
            )

    def not_answered(self, answer: RawResponse | None, secrets: Iterable[str]) -> None:
        """It was answered with an error, or not at all."""
        if self._info:
            body = None if answer is None else redact(parse_json(answer.body))
            self._log.info(
                "post/catchError",
                request_id=self._query.request_id,
                status=None if answer is None else answer.status,
                response_data="undefined" if body is None else _as_text(body, secrets),
            )

    def token_refused(self) -> None:
        """The portal does not accept the token."""
        self._log.info("http auth error detected", **self._without_method())

    def renewing(self) -> None:
        """The call waits for a renewed token."""
        self._log.info("http refreshing auth token", **self._without_method())

    def rate(self, rate: RateLimiter) -> None:
        """How the bucket stands after a success."""
        if self._debug and rate.config.adaptive_enabled:
            self._log.debug(
                "rateLimiter state",
                request_id=self._query.request_id,
                success={"count": rate.recent_successes},
                fail={"count": rate.recent_errors},
                drain_rate={"current": rate.drain_rate, "original": rate.config.drain_rate},
                burst_limit={"current": rate.burst_limit, "original": rate.config.burst_limit},
            )

    def succeeded(self, seconds: float) -> None:
        """The call is done."""
        if self._debug:
            self._log.debug("http request successful", **self._call, duration={"ms": seconds * 1000, "sec": seconds})

    def failed(self, error: AjaxError, number: int, most: int) -> None:
        """This attempt did not come through."""
        facts = {"code": error.code, "message": error.message, "status": error.status}
        attempt = {"current": number, "max": most}
        if error.status == 0:
            # Somebody must look at it: the host is unknown, the certificate not trusted, the network down.
            self._log.warning(f"http request failed: {error.message}", **self._call, attempt=attempt, error=facts)
        else:
            self._log.debug("http request failed", **self._call, attempt=attempt, error=facts)

    def refused_for_good(self, error: AjaxError) -> None:
        """The portal refuses the call in a way that repeating cannot change."""
        if 400 <= error.status < 500 and error.status not in (408, 429):
            self._log.error(
                f"client error {error.status} ({error.code}) for the {self._query.method} method is not retryable",
                **self._without_api(),
                status=error.status,
                error={"code": error.code, "message": error.message},
            )

    def recognized(self, error: AjaxError, seconds: float, limiter: str | None) -> None:
        """Why the call will be repeated."""
        facts: dict[str, Any] = {"wait": seconds, "error": {"code": error.code, "message": error.message}}
        prefix = ""
        if limiter is not None:
            prefix, facts["limiter"] = f"{limiter} ", limiter
        self._log.error(
            f"{prefix}recognized the {error.code} error for the {self._query.method} method",
            **self._without_api(),
            **facts,
        )

    def waiting(self, seconds: float, number: int, most: int) -> None:
        """How long it waits before it is repeated."""
        attempt = {"current": number, "max": most}
        self._log.debug(f"http wait {seconds:.2f} sec.", **self._call, wait=seconds, attempt=attempt)

    def exhausted(self, number: int, most: int) -> None:
        """It will not be sent again."""
        self._log.warning("http all retry attempts exhausted", **self._call, attempt={"current": number, "max": most})

    @property
    def _call(self) -> dict[str, Any]:
        return {"request_id": self._query.request_id, "method": self._query.method, "api": str(self._api)}

    def _without_api(self) -> dict[str, Any]:
        return {"request_id": self._query.request_id, "method": self._query.method}

    def _without_method(self) -> dict[str, Any]:
        return {"request_id": self._query.request_id, "api": str(self._api)}


def _as_text(value: object, secrets: Iterable[str]) -> str:
    # Cut last: half a secret is not found any more.
    return truncate_for_log(scrub(text_for_log(value), secrets))


def batch_starting(log: Log, request_id: str, count: int, api: ApiVersion, *, halt: bool) -> None:
    """A batch begins."""
    facts = {"call_count": count, "api": str(api), "is_halt_on_error": halt, "timestamp": time.time()}
    log.debug("http batch request starting ", request_id=request_id, **facts)


def batch_completed(log: Log, request_id: str, count: int, failed: int, api: ApiVersion) -> None:
    """A batch was answered."""
    log.debug(
        "http batch request completed",
        request_id=request_id,
        api=str(api),
        total_calls=count,
        successful=count - failed,
        failed=failed,
        success_rate=f"{(count - failed) / count:.1%}",
    )
