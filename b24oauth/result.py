"""Result objects of calls: data, or errors by key. Decoding of responses is in `protocol.decoding`."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, Protocol, Self, TypedDict, TypeVar, cast

import attrs

from b24oauth.errors import InvalidParamsError, RequestInfo, SdkError
from b24oauth.models import ApiVersion
from b24oauth.redaction import redact

__all__ = ["AjaxQuery", "AjaxResult", "PayloadTime", "RestCaller", "Result", "SuccessPayload"]

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def _redacted(value: object) -> str:
    return repr(redact(value))


class PayloadTime(TypedDict, total=False):
    """What the portal says about the time a call took; every part may be absent.

    Source: https://apidocs.bitrix24.com/api-reference/data-types.html
    """

    start: float
    finish: float
    duration: float
    processing: float
    date_start: str
    date_finish: str
    operating: float
    operating_reset_at: int


@attrs.frozen
class SuccessPayload(Generic[T_co]):
    """The part of a response that callers read.

    Attributes:
        result: What the method answered.
        time: What the portal says about the time it took, None when it said nothing.
    """

    result: T_co = attrs.field(repr=_redacted)
    time: PayloadTime | None


@attrs.frozen(kw_only=True)
class AjaxQuery:
    """The request, without the token.

    Attributes:
        method: REST method.
        params: The caller's parameters.
        request_id: Identifier of the request, as sent to the portal.
    """

    method: str
    params: Any = attrs.field(repr=_redacted)
    request_id: str

    @property
    def info(self) -> RequestInfo:
        """The same for an error, with credentials masked."""
        return RequestInfo(method=self.method, params=self.params, request_id=self.request_id)


class RestCaller(Protocol):
    """The part of an HTTP client that `AjaxResult.get_next` needs."""

    @property
    def api_version(self) -> ApiVersion:
        """The version this client speaks."""
        ...

    async def call(self, method: str, params: Mapping[str, Any]) -> AjaxResult[Any]:
        """Makes one REST call."""
        ...


class _Outcome:
    """Errors by key; what `Result` and `AjaxResult` have in common."""

    __slots__ = ("_errors",)

    def __init__(self) -> None:
        self._errors: dict[str, Exception] = {}

    @property
    def is_success(self) -> bool:
        """True when there is no error."""
        return not self._errors

    @property
    def errors(self) -> Mapping[str, Exception]:
        """The errors by key, as a copy."""
        return dict(self._errors)

    def add_error(self, error: Exception | str, key: str | None = None) -> Self:
        """Adds one error, or the text of one.

        Args:
            error: The error.
            key: What failed; without one, a generated key.
        """
        self._errors[key or str(uuid.uuid4())] = Exception(error) if isinstance(error, str) else error
        return self

    def add_errors(self, errors: Iterable[Exception | str]) -> Self:
        """Adds errors under generated keys."""
        for error in errors:
            self.add_error(error)
        return self

    def get_errors(self) -> Iterator[Exception]:
        """The errors in the order they were added."""
        return iter(tuple(self._errors.values()))

    def get_errors_by_key(self) -> dict[str, Exception]:
        """The errors by key, as a copy."""
        return dict(self._errors)

    def has_error(self, key: str) -> bool:
        """True when something failed under this key."""
        return key in self._errors

    def get_error_messages(self) -> list[str]:
        """The messages of the errors, in the order they happened."""
        return [_message(error) for error in self._errors.values()]

    def get_error_messages_by_key(self) -> dict[str, str]:
        """The messages of the errors, by key."""
        return {key: _message(error) for key, error in self._errors.items()}

    def raise_for_error(self) -> Self:
        """Raises the first error, or returns self.

        Raises:
            SdkError: The first error; notes on it name the others.
        """
        if self._errors:
            first, *others = self._errors.items()
            for key, error in others:
                note = f"also failed: {key}: {_message(error)}"
                # raise_for_error() may be called several times; do not add the notes twice.
                if note not in getattr(first[1], "__notes__", ()):
                    first[1].add_note(note)
            raise first[1]
        return self

    def _describe(self, data: object) -> str:
        shown = json.dumps(redact(data), indent=2, ensure_ascii=False, default=str)
        if self.is_success:
            return f"Result(success): {shown}"
        return f"Result(failure): {shown}\nErrors: {', '.join(self.get_error_messages())}"


class Result(_Outcome, Generic[T]):
    """Data, or errors by key, or both: a batch may fail in parts.

    Args:
        data: The data; None when there is none.
    """

    __slots__ = ("_data",)

    def __init__(self, data: T | None = None) -> None:
        super().__init__()
        self._data = data

    def get_data(self) -> T | None:
        """The data, whether or not something failed."""
        return self._data

    def set_data(self, data: T | None) -> Self:
        """Replaces the data."""
        self._data = data
        return self

    @property
    def result(self) -> T:
        """The data.

        Raises:
            SdkError: The error, if there is one.
        """
        self.raise_for_error()
        return self._data  # type: ignore[return-value]  # a success without data is a Result[None]

    @classmethod
    def ok(cls, data: T | None = None) -> Self:
        """A success."""
        return cls(data)

    @classmethod
    def fail(cls, error: Exception | str, key: str | None = None) -> Self:
        """A failure."""
        return cls().add_error(error, key)

    def __str__(self) -> str:
        return self._describe(self._data)

    def __repr__(self) -> str:
        return f"<Result {'success' if self.is_success else f'{len(self._errors)} errors'}>"


class AjaxResult(_Outcome, Generic[T_co]):
    """The outcome of one REST call.

    Args:
        payload: The decoded body of the response.
        query: The request.
        status: HTTP status of the response.
        error: The error, if there is one.

    Attributes:
        elapsed: Time from sending the request to its response, seconds; None for a result without its own HTTP
            response, such as a batch command.
        size: Bytes of the response, uncompressed; 0 likewise.
    """

    __slots__ = ("_built", "_payload", "_query", "_status", "elapsed", "size")

    def __init__(
        self, payload: Mapping[str, Any], *, query: AjaxQuery, status: int = 200, error: SdkError | None = None
    ) -> None:
        super().__init__()
        self.elapsed: float | None = None
        self.size = 0
        self._payload = payload
        self._query = query
        self._status = status
        self._built: tuple[Any] | None = None
        if error is not None:
            self.add_error(error, "base-error")

    @property
    def status(self) -> int:
        """HTTP status of the response."""
        return self._status

    def get_status(self) -> int:
        """HTTP status of the response."""
        return self._status

    @property
    def payload(self) -> Mapping[str, Any]:
        """The whole decoded body, for methods that return data outside the `result` field."""
        return self._payload

    @property
    def result(self) -> T_co:
        """What the method answered.

        Raises:
            SdkError: The error, if there is one.
        """
        self.raise_for_error()
        if self._built is not None:
            built: T_co = self._built[0]
            return built
        value: T_co = self._payload.get("result")  # type: ignore[assignment]  # the caller names the type
        return value

    def get_data(self) -> SuccessPayload[T_co] | None:
        """Result and times of a success, else None."""
        if self._errors:
            return None
        time = self._payload.get("time")
        # PHP writes an empty object as a list.
        return SuccessPayload(self.result, cast("PayloadTime", time) if isinstance(time, Mapping) else None)

    def with_result(self, result: T) -> AjaxResult[T]:
        """Returns a copy whose `result` has been converted to another type."""
        other: AjaxResult[T] = AjaxResult(self._payload, query=self._query, status=self._status)
        other._errors, other._built = dict(self._errors), (result,)
        other.elapsed, other.size = self.elapsed, self.size
        return other

    def is_more(self) -> bool:
        """True when the response names a next page."""
        following = self._payload.get("next")
        return self.is_success and isinstance(following, (int, float)) and not isinstance(following, bool)

    has_more = is_more

    def get_total(self) -> int:
        """How many rows there are in all, 0 when the response does not say."""
        return _whole(self._payload.get("total")) if self.is_success else 0

    def get_query(self) -> AjaxQuery:
        """The request, without the token."""
        return self._query

    async def get_next(self, http: RestCaller) -> AjaxResult[T_co] | None:
        """Asks for the next page of the same v2 query.

        Args:
            http: The v2 client, `b24.get_http_client(ApiVersion.V2)`.

        Returns:
            The next page, or None when there is none.

        Raises:
            SdkError: For v3, which pages differently, and for what `http` raises.
            InvalidParamsError: For positional parameters, which carry their page inside.
        """
        if http.api_version is ApiVersion.V3:
            raise SdkError(
                "restApi:v3 not support method getNext: walk it with fetch_list or call_list",
                code="B24OAUTH_CORE_METHOD_NOT_SUPPORT_IN_API_V3",
                status=500,
            )
        if not self.is_more():
            return None
        params: object = self._query.params or {}
        if not isinstance(params, Mapping):
            raise InvalidParamsError(
                f"{self._query.method} was called with positional parameters: ask for its next page by NAV_PARAMS"
            )
        following = {"start": _whole(self._payload["next"])}
        return await http.call(self._query.method, {**cast("Mapping[str, Any]", params), **following})

    fetch_next = get_next

    def __str__(self) -> str:
        return self._describe(self._payload)

    def __repr__(self) -> str:
        return f"<AjaxResult {self._query.method} {self._status} {'success' if self.is_success else 'failure'}>"


def _message(error: Exception) -> str:
    return error.message if isinstance(error, SdkError) else str(error)


def _whole(value: object) -> int:
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # what is no number is caught below
    except (TypeError, ValueError, OverflowError):
        return 0
