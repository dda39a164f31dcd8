"""Events of calls."""

from __future__ import annotations

import logging
from typing import Literal

import attrs

from b24oauth.events.levels import CONTENT, TRACE
from b24oauth.events.wording import failure

__all__ = [
    "AttemptFinished",
    "AttemptStarted",
    "CallEvent",
    "CallFinished",
    "CallStarted",
    "Outcome",
    "Reason",
    "RequestContent",
    "RequestFinished",
    "RequestStarted",
    "ResponseContent",
    "Retrying",
    "Throttled",
]

Reason = Literal["rate", "operating"]
Outcome = Literal["success", "error", "ambiguous", "cancelled"]


@attrs.frozen(kw_only=True)
class CallEvent:
    """Something that happens to a call; the base of all events in this module.

    Attributes:
        call_id: Number of the call, unique in this process; all events of a call have the same.
        method: REST method.
        api: Version of the API, "v2" or "v3".
        request_id: Shown in the portal's log; all calls of a list or a batch have the same.
        portal: Host of the portal.
    """

    call_id: int
    method: str
    api: str
    request_id: str
    portal: str


@attrs.frozen(kw_only=True)
class CallStarted(CallEvent):
    """A call begins, before it waits for anything.

    `CallFinished` follows in any case, also when the call is cancelled.

    Attributes:
        level: As of `logging`.
    """

    level: int = logging.DEBUG

    def __str__(self) -> str:
        return f"{self.method} begins"


@attrs.frozen(kw_only=True)
class AttemptStarted(CallEvent):
    """An attempt begins: it waits for the limits and for a token, and sends a request, or several after a redirect.

    Attributes:
        level: As of `logging`.
        attempt: Number of the attempt, from 1.
        max_attempts: How many there are at most.
    """

    level: int = logging.DEBUG
    attempt: int
    max_attempts: int

    def __str__(self) -> str:
        return f"{self.method}: attempt {self.attempt} of {self.max_attempts}"


@attrs.frozen(kw_only=True)
class RequestStarted(CallEvent):
    """An HTTP request of a call is sent. `RequestFinished` follows in any case, before the call's next request.

    Attributes:
        level: Below those of `logging`.
        attempt: Number of the attempt that it belongs to, from 1.
        number: Number of the request within the call, from 1.
        http_method: HTTP method.
        url: Its address; the secret of a webhook is masked.
        bucket_level: How much of the rate limit's burst was used when it was sent, from 0 to 1.
        waited: How long the attempt waited for the limits, for a place among the concurrent requests and for a token,
            seconds; None for its further requests, after a redirect or with a new token.
    """

    level: int = TRACE
    attempt: int
    number: int
    http_method: str
    url: str
    bucket_level: float
    waited: float | None = None

    def __str__(self) -> str:
        return f"{self.method}: request {self.number} is sent to {self.url}"


@attrs.frozen(kw_only=True)
class RequestContent(CallEvent):
    """The parameters of a request: masked, and cut to a length that no log suffers from.

    Attributes:
        level: Below those of `logging`.
        content: The parameters as JSON.
    """

    level: int = CONTENT
    content: str

    def __str__(self) -> str:
        return f"{self.method} sends {self.content}"


@attrs.frozen(kw_only=True)
class ResponseContent(CallEvent):
    """The body of a response: masked, and cut to a length that no log suffers from.

    Attributes:
        level: Below those of `logging`.
        content: The body as JSON.
    """

    level: int = CONTENT
    content: str

    def __str__(self) -> str:
        return f"{self.method} received {self.content}"


@attrs.frozen(kw_only=True)
class RequestFinished(CallEvent):
    """An HTTP request received a response, failed, or was cancelled.

    Attributes:
        level: Below those of `logging`.
        attempt: Number of the attempt that it belongs to, from 1.
        number: Number of the request within the call, from 1.
        duration: Time from sending it, seconds.
        status: HTTP status; 0 without a response.
        error_type: Class of the error, such as "NetworkError"; None if there was a response of any status.
    """

    level: int = TRACE
    attempt: int
    number: int
    duration: float
    status: int
    error_type: str | None = None

    def __str__(self) -> str:
        what = str(self.status) if self.error_type is None else self.error_type
        return f"{self.method}: request {self.number} ended after {self.duration:.3f} s: {what}"


@attrs.frozen(kw_only=True)
class AttemptFinished(CallEvent):
    """An attempt received a response or failed.

    Attributes:
        level: As of `logging`.
        attempt: Number of the attempt, from 1.
        max_attempts: How many there are at most.
        duration: Time from the beginning of the call, seconds.
        status: HTTP status; 0 without a response.
        error_code: Code of the error; None for a success.
        error_text: What the error says; None for a success.
    """

    level: int = logging.DEBUG
    attempt: int
    max_attempts: int
    duration: float
    status: int
    error_code: str | None = None
    error_text: str | None = None

    def __str__(self) -> str:
        what = str(self.status) if self.error_code is None else failure(self.status, self.error_code)
        text = "" if self.error_text is None else f": {self.error_text}"
        return f"{self.method}: {what} in {self.duration:.3f} s, attempt {self.attempt} of {self.max_attempts}{text}"


@attrs.frozen(kw_only=True)
class Retrying(CallEvent):
    """A call waits before it is sent again.

    Attributes:
        level: As of `logging`.
        attempt: Number of the attempt that failed.
        max_attempts: How many there are at most.
        seconds: How long it waits.
        status: HTTP status of the failure; 0 without a response.
        error_code: Code of the error.
        error_type: Class of the error.
    """

    level: int = logging.DEBUG
    attempt: int
    max_attempts: int
    seconds: float
    status: int
    error_code: str
    error_type: str

    def __str__(self) -> str:
        what = f"{failure(self.status, self.error_code)}, attempt {self.attempt} of {self.max_attempts}"
        return f"{self.method}: {what}; the next one in {self.seconds:.2f} s"


@attrs.frozen(kw_only=True)
class CallFinished(CallEvent):
    """A call has succeeded, or is given up.

    Attributes:
        level: DEBUG for a success at the first attempt and for an error response from the portal, INFO for a success
            after retries, WARNING for a call that is given up or may have been executed.
        attempts: How often it was sent.
        duration: Time from its beginning, seconds.
        status: HTTP status of the last response; 0 without one.
        error_code: Code of the error; None for a success.
        error_type: Class of the error; None for a success.
        error_text: What the error says; None for a success.
        is_ambiguous: True for a write that may have been executed.
    """

    level: int
    attempts: int
    duration: float
    status: int
    error_code: str | None = None
    error_type: str | None = None
    error_text: str | None = None
    is_ambiguous: bool = False

    @property
    def outcome(self) -> Outcome:
        """How it ended: "success", "error", "ambiguous" for a write that may have been executed, or "cancelled"."""
        if self.error_code is None:
            return "success"
        if self.is_ambiguous:
            return "ambiguous"
        return "cancelled" if self.error_type == "CancelledError" else "error"

    def __str__(self) -> str:
        attempts = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        took = f"in {self.duration:.3f} s, {attempts}"
        if self.error_code is None:
            return f"{self.method} succeeded: {self.status} {took}"
        return f"{self.method} failed: {failure(self.status, self.error_code)} {took}: {self.error_text}"


@attrs.frozen(kw_only=True)
class Throttled(CallEvent):
    """A call waits, or has waited, for the portal's limits.

    Attributes:
        level: INFO for some seconds and more, else DEBUG.
        reason: "rate" for the portal's bucket, "operating" for the method's execution time.
        seconds: How long.
    """

    level: int
    reason: Reason
    seconds: float

    def __str__(self) -> str:
        why = "for the rate limit" if self.reason == "rate" else "because its execution time is used up"
        return f"{self.method}: throttled for {self.seconds:.1f} s {why}"
