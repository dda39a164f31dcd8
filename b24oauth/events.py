"""Event classes: frozen, without secrets; `str(event)` is a log message."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

__all__ = [
    "CONTENT",
    "AttemptFinished",
    "AttemptStarted",
    "CallFinished",
    "CallStarted",
    "Event",
    "Notice",
    "PairNotSaved",
    "PortalMoved",
    "Reason",
    "RefreshFailed",
    "RequestContent",
    "ResponseContent",
    "Retrying",
    "Throttled",
    "TokenRefreshed",
    "UserChanged",
]

# Log level for request and response bodies; lower than DEBUG, because few observers need them.
CONTENT: Final = 5

Reason = Literal["rate", "operating"]


@attrs.frozen(kw_only=True)
class CallStarted:
    """A call begins, before it waits for anything.

    Attributes:
        level: As of `logging`.
        method: REST method.
        api: Version of the API, "v2" or "v3".
        request_id: Shown in the portal's log.
    """

    level: int = logging.DEBUG
    method: str
    api: str
    request_id: str

    def __str__(self) -> str:
        return f"{self.method} begins"


@attrs.frozen(kw_only=True)
class AttemptStarted:
    """A call is about to be sent, once it has its token and its place in the limits.

    Attributes:
        level: As of `logging`.
        method: REST method.
        api: Version of the API.
        request_id: Shown in the portal's log.
        attempt: Number of the attempt, from 1.
        max_attempts: How many there are at most.
    """

    level: int = logging.DEBUG
    method: str
    api: str
    request_id: str
    attempt: int
    max_attempts: int

    def __str__(self) -> str:
        return f"{self.method}: attempt {self.attempt} of {self.max_attempts}"


@attrs.frozen(kw_only=True)
class RequestContent:
    """The parameters of a request: masked, and cut to a length that no log suffers from.

    Attributes:
        level: Below those of `logging`.
        method: REST method.
        request_id: Shown in the portal's log.
        content: The parameters as JSON.
    """

    level: int = CONTENT
    method: str
    request_id: str
    content: str

    def __str__(self) -> str:
        return f"{self.method} sends {self.content}"


@attrs.frozen(kw_only=True)
class ResponseContent:
    """The body of a response: masked, and cut to a length that no log suffers from.

    Attributes:
        level: Below those of `logging`.
        method: REST method.
        request_id: Shown in the portal's log.
        content: The body as JSON.
    """

    level: int = CONTENT
    method: str
    request_id: str
    content: str

    def __str__(self) -> str:
        return f"{self.method} received {self.content}"


@attrs.frozen(kw_only=True)
class AttemptFinished:
    """An attempt received a response or failed.

    Attributes:
        level: As of `logging`.
        method: REST method.
        api: Version of the API.
        request_id: Shown in the portal's log.
        attempt: Number of the attempt, from 1.
        max_attempts: How many there are at most.
        duration: Time from the beginning of the call, seconds.
        status: HTTP status; 0 without a response.
        error_code: Code of the error; None for a success.
        error_text: What the error says; None for a success.
    """

    level: int = logging.DEBUG
    method: str
    api: str
    request_id: str
    attempt: int
    max_attempts: int
    duration: float
    status: int
    error_code: str | None = None
    error_text: str | None = None

    def __str__(self) -> str:
        what = str(self.status) if self.error_code is None else _failure(self.status, self.error_code)
        text = "" if self.error_text is None else f": {self.error_text}"
        return f"{self.method}: {what} in {self.duration:.3f} s, attempt {self.attempt} of {self.max_attempts}{text}"


@attrs.frozen(kw_only=True)
class Retrying:
    """A call waits before it is sent again.

    Attributes:
        level: As of `logging`.
        method: REST method.
        api: Version of the API.
        request_id: Shown in the portal's log.
        attempt: Number of the attempt that failed.
        max_attempts: How many there are at most.
        seconds: How long it waits.
        status: HTTP status of the failure; 0 without a response.
        error_code: Code of the error.
    """

    level: int = logging.DEBUG
    method: str
    api: str
    request_id: str
    attempt: int
    max_attempts: int
    seconds: float
    status: int
    error_code: str

    def __str__(self) -> str:
        what = f"{_failure(self.status, self.error_code)}, attempt {self.attempt} of {self.max_attempts}"
        return f"{self.method}: {what}; the next one in {self.seconds:.2f} s"


@attrs.frozen(kw_only=True)
class CallFinished:
    """A call has succeeded, or is given up.

    Attributes:
        level: DEBUG for a success at the first attempt and for an error response from the portal, INFO for a success
            after retries, WARNING for a call that is given up or may have been executed.
        method: REST method.
        api: Version of the API.
        request_id: Shown in the portal's log.
        attempts: How often it was sent.
        duration: Time from its beginning, seconds.
        status: HTTP status of the last response; 0 without one.
        error_code: Code of the error; None for a success.
        error_text: What the error says; None for a success.
        is_ambiguous: True for a write that may have been executed.
    """

    level: int
    method: str
    api: str
    request_id: str
    attempts: int
    duration: float
    status: int
    error_code: str | None = None
    error_text: str | None = None
    is_ambiguous: bool = False

    def __str__(self) -> str:
        attempts = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        took = f"in {self.duration:.3f} s, {attempts}"
        if self.error_code is None:
            return f"{self.method} succeeded: {self.status} {took}"
        return f"{self.method} failed: {_failure(self.status, self.error_code)} {took}: {self.error_text}"


@attrs.frozen(kw_only=True)
class Throttled:
    """A call waits, or has waited, for the portal's limits.

    Attributes:
        level: INFO for some seconds and more, else DEBUG.
        method: REST method.
        request_id: Shown in the portal's log.
        reason: "rate" for the portal's bucket, "operating" for the method's execution time.
        seconds: How long.
    """

    level: int
    method: str
    request_id: str
    reason: Reason
    seconds: float

    def __str__(self) -> str:
        why = "for the rate limit" if self.reason == "rate" else "because its execution time is used up"
        return f"{self.method}: throttled for {self.seconds:.1f} s {why}"


@attrs.frozen(kw_only=True)
class TokenRefreshed:
    """A token pair was renewed, and saved where there is a store or a callback.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        seconds: How long it took.
    """

    level: int = logging.INFO
    member_id: str
    seconds: float

    def __str__(self) -> str:
        return f"The token pair of portal {self.member_id} was renewed in {self.seconds:.3f} s"


@attrs.frozen(kw_only=True)
class RefreshFailed:
    """A token pair could not be renewed.

    Attributes:
        level: ERROR when only a new authorization helps, else WARNING.
        member_id: The portal.
        status: HTTP status; 0 without a response.
        error_code: Code of the error.
        error_text: What the error says.
        needs_reauth: True when only a new authorization helps.
    """

    level: int
    member_id: str
    status: int
    error_code: str
    error_text: str
    needs_reauth: bool

    def __str__(self) -> str:
        remedy = "; the application must be authorized again" if self.needs_reauth else ""
        what = f"{_failure(self.status, self.error_code)}: {self.error_text}"
        return f"The token pair of portal {self.member_id} could not be renewed: {what}{remedy}"


@attrs.frozen(kw_only=True)
class PairNotSaved:
    """A new token pair could not be saved, or the token store failed while it was read.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        error_text: What failed, without secrets.
    """

    level: int = logging.ERROR
    member_id: str
    error_text: str

    def __str__(self) -> str:
        return f"Portal {self.member_id}: {self.error_text}"


@attrs.frozen(kw_only=True)
class PortalMoved:
    """A token refresh returned a new URL for the portal.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        before: Its host before.
        after: Its host now.
    """

    level: int = logging.INFO
    member_id: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"Portal {self.member_id} moved from {self.before} to {self.after}"


@attrs.frozen(kw_only=True)
class UserChanged:
    """A token refresh returned a pair of a different user; the application's permissions may have changed.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        before: The user before.
        after: The user now.
    """

    level: int = logging.WARNING
    member_id: str
    before: int
    after: int

    def __str__(self) -> str:
        return f"The token pair of portal {self.member_id} is now of user {self.after}, no longer of {self.before}"


@attrs.frozen(kw_only=True)
class Notice:
    """Anything else that an operator or a developer should know.

    Attributes:
        level: As of `logging`.
        text: What it is about.
        facts: Details by name.
    """

    level: int
    text: str
    facts: Mapping[str, Any] = attrs.field(factory=dict[str, Any])

    def __str__(self) -> str:
        return self.text


Event = (
    CallStarted
    | AttemptStarted
    | RequestContent
    | ResponseContent
    | AttemptFinished
    | Retrying
    | CallFinished
    | Throttled
    | TokenRefreshed
    | RefreshFailed
    | PairNotSaved
    | PortalMoved
    | UserChanged
    | Notice
)


def _failure(status: int, code: str) -> str:
    return f"{status} {code}" if status else f"no response, {code}"
