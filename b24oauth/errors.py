"""All exceptions of the library. `error_codes` maps portal error codes to these classes.

SdkError                          anything raised by this library
├── ConfigurationError            wrong use, found before anything is sent (also a ValueError)
│   ├── InvalidDataError          a field is missing or of the wrong type; names the fields
│   └── UntrustedHostError        an endpoint that must not see a secret; nothing was sent
├── InvalidParamsError            parameters that cannot be sent (also a ValueError)
├── ClientStateError              closed, entered twice, or used in a second event loop (also a RuntimeError)
├── RefreshTokenError             the token pair could not be renewed
├── TokenPersistenceError         the renewed pair could not be saved; it is kept and saved again
├── StoreError                    a store cannot be read or written: no permission, disk full, server not reachable
│   ├── StoreConflictError        it holds another record than the one to be replaced
│   ├── StoreRecordError          a record of it cannot be read; the record stays as it is
│   └── UnknownPortalError        it has no token pair of the portal (also a LookupError)
├── BatchError                    commands of a batch failed; holds all results and errors by key
├── IncompleteBatchError          a batch was answered without one of its commands; holds the results of the others
├── ListChangedError              rows were added or deleted while a list was read by position
└── AjaxError                     a REST call failed
    ├── InvalidCallParamsError    … before it was sent (also an InvalidParamsError)
    ├── AuthRefusedError          401: the portal does not accept the application or user
    │   └── ExpiredTokenError     … nor the access token, even after a renewal
    ├── AccessDeniedError         403: a permission or scope is missing
    ├── NotFoundError             the record or the method does not exist
    ├── ValidationError           the portal refuses the parameters
    ├── ConflictError             the current state of the record does not allow the change
    ├── RateLimitError            503: too many requests, not executed
    ├── OperatingLimitError       429: too much execution time, not executed
    ├── PortalBlockedError        the portal is blocked or deleted
    ├── BadResponseError          the response is not what Bitrix24 answers
    ├── PortalMovedError          302 to an address that the OAuth server does not confirm
    ├── NetworkError              no connection, or no response
    ├── RequestTimeoutError       no response in time
    └── AmbiguousResultError      sent, no response: a write that may have been executed
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import attrs

from b24oauth.redaction import redact, redact_validation

# fmt: off
__all__ = [
    "AccessDeniedError", "AjaxError", "AmbiguousResultError", "AuthRefusedError", "BadResponseError", "BatchError",
    "ClientStateError", "ConfigurationError", "ConflictError", "ExpiredTokenError", "IncompleteBatchError",
    "InvalidCallParamsError", "InvalidDataError", "InvalidParamsError", "ListChangedError", "NetworkError",
    "NotFoundError", "OperatingLimitError", "PortalBlockedError", "PortalMovedError", "RateLimitError",
    "RefreshTokenError", "RequestInfo", "RequestTimeoutError", "SdkError", "StoreConflictError", "StoreError",
    "StoreRecordError", "TokenPersistenceError", "UnknownPortalError", "UntrustedHostError", "ValidationError",
]
# fmt: on


@attrs.frozen(kw_only=True)
class RequestInfo:
    """The request of a call that failed.

    Attributes:
        method: REST method.
        params: Parameters of the call, with credentials masked.
        request_id: Identifier of the request, as sent to the portal.
    """

    method: str
    params: Any = attrs.field(factory=dict[str, Any], converter=redact)
    request_id: str = ""


class SdkError(Exception):
    """Anything raised by this library.

    Attributes:
        code: Machine-readable code: the portal's own, or one that starts with ``B24OAUTH_``.
        status: HTTP status of the response, 0 when there was none.
        message: What happened, as text for a person.
        timestamp: When, in UTC.
    """

    # Results are not pickled, because they contain the caller's unmasked parameters.
    _when_pickled: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, message: str = "Internal error", *, code: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.timestamp = datetime.now(UTC)

    @property
    def description(self) -> str:
        """Alias of `message`, for compatibility with the JS SDK."""
        return self.message

    def to_dict(self) -> dict[str, Any]:
        """The error as plain values for a structured log; never holds a secret."""
        return {
            "name": type(self).__name__,
            **{name: getattr(self, name) for name in ("code", "message", "status")},
            "timestamp": self.timestamp.isoformat(),
            "stack": traceback.format_tb(self.__traceback__),
        }

    def __str__(self) -> str:
        return f"[{type(self).__name__}] {self.code} ({self.status}): {self.message}"

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call the constructor without its keyword-only arguments.
        return _restored, (type(self), self.args, {**self.__dict__, **self._when_pickled})


def _restored(cls: type[SdkError], args: tuple[Any, ...], state: dict[str, Any]) -> SdkError:
    error = cls.__new__(cls, *args)
    error.args = args  # OSError, which is a TimeoutError's base, drops them
    error.__dict__.update(state)
    return error


class ConfigurationError(SdkError, ValueError):
    """The library is used wrongly; nothing was sent."""

    def __init__(self, message: str, *, code: str = "B24OAUTH_CONFIGURATION", status: int = 0) -> None:
        super().__init__(message, code=code, status=status)


class InvalidDataError(ConfigurationError):
    """A required field is missing or has the wrong type.

    Attributes:
        problems: One sentence for each field, naming it and never its value.
        request_info: The request whose response does not fit, None when it was not a response.
    """

    def __init__(self, what: str, problems: Sequence[str], *, request_info: RequestInfo | None = None) -> None:
        super().__init__(f"{what}: {'; '.join(problems)}", code="B24OAUTH_INVALID_DATA")
        self.problems = tuple(problems)
        self.request_info = request_info

    def to_dict(self) -> dict[str, Any]:
        """The error as plain values for a structured log; never holds a value of the payload."""
        if self.request_info is None:
            return super().to_dict()
        return super().to_dict() | {"request_info": attrs.asdict(self.request_info, recurse=False)}

    def __str__(self) -> str:
        if self.request_info is None:
            return super().__str__()
        return f"{super().__str__()} [{self.request_info.method}, request {self.request_info.request_id}]"


class UntrustedHostError(ConfigurationError):
    """The endpoint's host is not trusted; no secret was sent to it.

    Attributes:
        host: The host that was refused.
    """

    def __init__(self, message: str, *, host: str) -> None:
        super().__init__(message, code="B24OAUTH_UNTRUSTED_HOST")
        self.host = host


class InvalidParamsError(SdkError, ValueError):
    """Parameters that cannot be sent; the message names the place of the value."""

    def __init__(self, message: str, *, code: str = "B24OAUTH_INVALID_PARAMS", status: int = 400) -> None:
        super().__init__(message, code=code, status=status)


class ClientStateError(SdkError, RuntimeError):
    """The client is closed, entered twice, or used in a second event loop."""

    def __init__(self, message: str, *, code: str = "B24OAUTH_CLIENT_STATE") -> None:
        super().__init__(message, code=code)


class RefreshTokenError(SdkError):
    """The token pair could not be renewed.

    Attributes:
        needs_reauth: True if the pair is permanently rejected and the user must authorize the application again.
    """

    def __init__(self, message: str, *, code: str, status: int = 0, needs_reauth: bool = False) -> None:
        super().__init__(message, code=code, status=status)
        self.needs_reauth = needs_reauth


class TokenPersistenceError(SdkError):
    """A renewed pair could not be saved.

    The pair stays in memory and is saved before the next call or at close. The cause is what store or callback raised.
    """

    def __init__(self, message: str, *, code: str = "B24OAUTH_TOKEN_PERSISTENCE") -> None:
        super().__init__(message, code=code)


class StoreError(SdkError):
    """A store could not be read or written; the message names the store and the remedy."""

    _what: ClassVar = ("The store failed", "B24OAUTH_STORE")

    def __init__(self, message: str = "", *, code: str = "") -> None:
        super().__init__(message or self._what[0], code=code or self._what[1])


class StoreConflictError(StoreError):
    """The stored record is not the one to be replaced: another process has saved or removed it meanwhile."""

    _what = ("The stored token pair has changed meanwhile", "B24OAUTH_STORE_CONFLICT")


class StoreRecordError(StoreError):
    """A stored record cannot be read: damaged, of a newer version or encrypted with another key. It is not replaced."""

    _what = ("A stored record cannot be read", "B24OAUTH_STORE_RECORD")


class UnknownPortalError(StoreError, LookupError):
    """A store has no token pair of the portal and user that were asked for."""

    _what = ("The store has no token pair of this portal", "B24OAUTH_UNKNOWN_PORTAL")


class BatchError(SdkError):
    """Commands of a batch failed.

    Attributes:
        results: Results of the commands that succeeded, by name or position; not in a pickle.
        errors: Errors of the others, by name or position.
    """

    _when_pickled: ClassVar = {"results": {}}

    def __init__(
        self,
        message: str,
        *,
        code: str = "B24OAUTH_BATCH",
        results: Mapping[Any, Any] | None = None,
        errors: Mapping[Any, Exception] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.results, self.errors = results or {}, errors or {}


class IncompleteBatchError(SdkError):
    """The response to a batch has no result and no error for a command.

    Attributes:
        result: What the response holds of the other commands; not in a pickle.
    """

    _when_pickled: ClassVar = {"result": None}

    def __init__(self, message: str, *, code: str, result: object = None) -> None:
        super().__init__(message, code=code, status=500)
        self.result = result


class ListChangedError(SdkError):
    """Rows were added or deleted while a list was read by position, so rows may be missing or repeated.

    Lists that are read by identifier do not have this problem. ``allow_changes=True`` accepts it.

    Attributes:
        method: REST method of the list.
        rows: Rows read by `call_list` before the error; empty for `fetch_list` and after unpickling.
    """

    _when_pickled: ClassVar = {"rows": []}

    def __init__(self, message: str, *, method: str, code: str = "B24OAUTH_LIST_CHANGED") -> None:
        super().__init__(message, code=code)
        self.method = method
        self.rows: list[Any] = []


class AjaxError(SdkError):
    """A REST call failed.

    Attributes:
        request_info: The request.
        validation: Rows of a v3 validation error, else None.
        retryable: True when the same call may succeed later.
        retry_after: Seconds that the portal asked to wait (`Retry-After`); None when it did not.
    """

    retryable: bool = False
    retry_after: float | None = None

    def __init__(
        self,
        message: str = "",
        *,
        code: str,
        status: int = 0,
        request_info: RequestInfo | None = None,
        validation: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        on = f" (on {request_info.method})" if request_info else ""
        super().__init__(message or f"{code}{on}", code=code, status=status)
        self.request_info = request_info
        self.validation = None if validation is None else tuple(redact_validation(validation))

    def to_dict(self) -> dict[str, Any]:
        """The error as plain values for a structured log; never holds a secret."""
        # attrs.asdict(recurse=False): recursion would expose hidden fields of objects in the parameters.
        info = None if self.request_info is None else attrs.asdict(self.request_info, recurse=False)
        rows = {} if self.validation is None else {"validation": [dict(row) for row in self.validation]}
        return {**super().to_dict(), "request_info": info, **rows}

    def __str__(self) -> str:
        if self.request_info is None or not self.request_info.request_id:
            return super().__str__()
        return f"{super().__str__()} [{self.request_info.method}, request {self.request_info.request_id}]"


class InvalidCallParamsError(AjaxError, InvalidParamsError):
    """The parameters of a call are invalid; no request was sent."""


class AuthRefusedError(AjaxError):
    """401: the portal does not accept the application, the user or the token."""


class ExpiredTokenError(AuthRefusedError):
    """401 for the access token, even after a renewal."""

    retryable = True


class AccessDeniedError(AjaxError):
    """A permission or a scope is missing."""


class NotFoundError(AjaxError):
    """The record or the method does not exist."""


class ValidationError(AjaxError):
    """The portal refuses the parameters."""


class ConflictError(AjaxError):
    """The current state does not allow the change: the record exists already, is in use, locked or completed."""


class RateLimitError(AjaxError):
    """503: too many requests; the call was not executed."""

    retryable = True


class OperatingLimitError(AjaxError):
    """429: the method has used up its execution time; the call was not executed."""

    retryable = True


class PortalBlockedError(AjaxError):
    """The portal is blocked or deleted; repeating does not help."""


class BadResponseError(AjaxError):
    """The response is not JSON, or not what Bitrix24 answers.

    Attributes:
        is_empty: True for a response of HTTP 2xx without a body.
    """

    is_empty: bool = False


class PortalMovedError(AjaxError):
    """The portal redirects to an address that the OAuth server does not confirm; no token was sent there."""


class NetworkError(AjaxError):
    """The connection failed or was lost before the response arrived."""

    retryable = True


class RequestTimeoutError(AjaxError, TimeoutError):
    """No answer within the timeout."""

    retryable = True


class AmbiguousResultError(AjaxError):
    """A write was sent and no response came: it may have been executed.

    Look before you repeat it, or mark calls that may run twice with ``idempotent=True``.
    """
