"""A single REST call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from b24oauth.actions.options import CallOptions, checked, http_for
from b24oauth.rest.client import HttpClient
from b24oauth.result import AjaxResult

__all__ = ["Call"]

T = TypeVar("T")
Params = Mapping[str, Any] | Sequence[Any] | None


class Call:
    """`actions.v2.call` and `actions.v3.call`.

    Args:
        http: Client for REST calls of one API version.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[CallOptions]
    ) -> AjaxResult[T]: ...

    @overload
    async def make(self, method: str, params: Params = None, **options: Unpack[CallOptions]) -> AjaxResult[Any]: ...

    async def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[CallOptions]
    ) -> AjaxResult[Any]:
        """Calls one method.

        Args:
            method: REST method, for example "crm.deal.get".
            params: Its parameters; a sequence for the positional `task.*` methods.
            result_type: An attrs class, dataclass, TypedDict or other type to convert `result` to.
            options: `request_id`, `timeout`, `max_attempts`, `idempotent`, `idempotency_key`; see `CallOptions`.

        Returns:
            The result. It contains the error if this is a soft error: the portal sent it with HTTP 200, or its code is
            one of those that the JS SDK returns or one of `RestrictionParams.soft_error_codes`.

        Raises:
            AjaxError: The call failed; the error class gives the reason.
            ConfigurationError: `result_type` is not a supported type; nothing was sent.
            InvalidDataError: The result does not match `result_type`; the error names the field.
            RefreshTokenError: The token pair could not be refreshed.
            TokenPersistenceError: The new pair could not be saved.
            ClientStateError: The client is closed, or used in a second event loop.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
        """
        if result_type is not None:
            from b24oauth.rows import check_row_type  # noqa: PLC0415 - most programs need no cattrs

            check_row_type(result_type)
        known, http = checked(options, CallOptions, "call.make"), self._http
        if "max_attempts" in known:
            http = http_for(http, known)
            known = {name: value for name, value in known.items() if name != "max_attempts"}
        answer = await http.call(method, params, **known)
        if result_type is None or not answer.is_success:
            return answer
        from b24oauth.rows import structure_row  # noqa: PLC0415

        request_id = answer.get_query().request_id
        return answer.with_result(structure_row(answer.result, result_type, method=method, request_id=request_id))
