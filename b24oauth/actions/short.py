"""The short API: `call`, `rows`, `pages` and `batch` return values or raise; `with_options` changes their defaults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, cast, overload

from b24oauth.actions.call import Params
from b24oauth.actions.namespaces import ActionsManager, ActionsV2, ActionsV3
from b24oauth.actions.options import (
    CallOptions,
    DefaultOptions,
    ListOptions,
    ShortBatchOptions,
    TailOptions,
    V3ListOptions,
    checked,
)
from b24oauth.actions.streams import Pages, Rows
from b24oauth.errors import BatchError, ClientStateError, IncompleteBatchError
from b24oauth.result import AjaxResult, Result
from b24oauth.shapes import is_mapping

if TYPE_CHECKING:
    from b24oauth.protocol.batch import Calls

__all__ = ["Api", "ApiV3", "ApiView"]

T = TypeVar("T")
V3Params = Mapping[str, Any] | None
NO_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({})


class Api(ABC):
    """The short API for REST v2; its property `v3` is the same API for REST v3."""

    _defaults: Mapping[str, Any] = NO_OPTIONS

    @property
    @abstractmethod
    def actions(self) -> ActionsManager:
        """Calls as the JS SDK names them, by API version; they return result objects."""

    @property
    def v3(self) -> ApiV3:
        """The same methods for REST v3, plus `tail` and `aggregate`."""
        return ApiV3(self.actions.v3, self._defaults)

    @overload
    async def call(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[CallOptions]
    ) -> T: ...

    @overload
    async def call(self, method: str, params: Params = None, **options: Unpack[CallOptions]) -> Any: ...

    async def call(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Calls one method and returns its result.

        Args:
            method: REST method, for example "crm.deal.get".
            params: Its parameters.
            result_type: An attrs class, dataclass, TypedDict or other type to convert the result to.
            options: `request_id`, `timeout`, `max_attempts`, `idempotent`; see `CallOptions`.

        Raises:
            AjaxError: The call failed; the error class gives the reason.
            InvalidDataError: The result does not match `result_type`.
            RefreshTokenError: The token pair could not be refreshed.
            TokenPersistenceError: The new token pair could not be saved.
            ClientStateError: The client is closed, or used in a second event loop.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/general-principles.html
        """
        return await _call(
            self.actions.v2, method, params, result_type, _merged("call", options, self._defaults, CallOptions)
        )

    @overload
    def rows(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[ListOptions]
    ) -> Rows[T]: ...

    @overload
    def rows(self, method: str, params: Params = None, **options: Unpack[ListOptions]) -> Rows[Any]: ...

    def rows(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[ListOptions]
    ) -> Rows[Any]:
        """The rows of a list, one after another; further pages are requested as they are needed.

        Args:
            method: List method, for example "crm.deal.list".
            params: Its parameters: filter, select, order, as the method documents them.
            result_type: An attrs class, dataclass or TypedDict to convert each row to.
            options: How the list is read; see `ListOptions`. `timeout` covers each request.

        Returns:
            An async iterator; open it with `async with` if you may stop before the last row.

        Raises:
            AjaxError: A request failed; earlier rows have already been yielded.
            ConfigurationError: An option is not supported for this list; nothing was sent.
            ListChangedError: Rows were added or deleted while the list was read by offset.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        known = _merged("rows", options, self._defaults, ListOptions)
        return Rows(self.actions.v2.fetch_list.make(method, params, result_type=result_type, **known))

    @overload
    def pages(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[ListOptions]
    ) -> Pages[T]: ...

    @overload
    def pages(self, method: str, params: Params = None, **options: Unpack[ListOptions]) -> Pages[Any]: ...

    def pages(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[ListOptions]
    ) -> Pages[Any]:
        """The pages of a list, each a list of rows; otherwise as `rows`."""
        known = _merged("pages", options, self._defaults, ListOptions)
        return Pages(self.actions.v2.fetch_list.make(method, params, result_type=result_type, **known))

    async def batch(
        self,
        calls: Calls,
        *,
        return_errors: bool = False,
        result_type: Any = None,
        **options: Unpack[ShortBatchOptions],
    ) -> Any:
        """Calls any number of methods, 50 per request, and returns their results.

        Args:
            calls: A list, or a mapping by name, of ``(method,)``, ``(method, params)`` or
                ``{"method": …, "params": …}``. `BatchRefV2` and `BatchRefV3` refer to results of earlier commands.
            return_errors: Return the error of a command in place of its result, instead of raising `BatchError`.
            result_type: An attrs class, dataclass or TypedDict to convert each result to.
            options: See `ShortBatchOptions`. `is_halt_on_error` is False by default: every command runs.

        Returns:
            A list if `calls` is a list, a dict if it is a mapping; in the order of `calls`.

        Raises:
            BatchError: At least one command failed; the error holds all results and errors by key.
            InvalidCallParamsError: A command is invalid; nothing was sent.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/batch.html
        """
        known = _merged("batch", options, self._defaults, ShortBatchOptions)
        return await _batch(self.actions.v2, calls, known, result_type, return_errors=return_errors)

    def with_options(self, **options: Unpack[DefaultOptions]) -> ApiView:
        """The same client with other default options: same connections, limits and tokens.

        Args:
            options: Defaults for the options of calls, lists and batches; each method uses those that apply to it.

        Returns:
            A view with the same methods. It shares the client's resources and cannot be closed.

        Raises:
            ConfigurationError: An option has an invalid value.
        """
        checked(options, DefaultOptions, "with_options")
        return ApiView(self.actions, {**self._defaults, **options})


class ApiV3:
    """The short API of REST v3.

    Args:
        actions: Calls of v3.
        defaults: Options by name.
    """

    def __init__(self, actions: ActionsV3, defaults: Mapping[str, Any]) -> None:
        self._actions = actions
        self._defaults = defaults

    @overload
    async def call(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[CallOptions]
    ) -> T: ...

    @overload
    async def call(self, method: str, params: Params = None, **options: Unpack[CallOptions]) -> Any: ...

    async def call(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[CallOptions]
    ) -> Any:
        """Calls one method and returns its result, as `B24OAuth.call`."""
        return await _call(
            self._actions, method, params, result_type, _merged("call", options, self._defaults, CallOptions)
        )

    @overload
    def rows(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[V3ListOptions]
    ) -> Rows[T]: ...

    @overload
    def rows(self, method: str, params: V3Params = None, **options: Unpack[V3ListOptions]) -> Rows[Any]: ...

    def rows(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[V3ListOptions]
    ) -> Rows[Any]:
        """The rows of a list, as `B24OAuth.rows`; see `V3ListOptions`."""
        known = _merged("rows", options, self._defaults, V3ListOptions)
        return Rows(self._actions.fetch_list.make(method, params, result_type=result_type, **known))

    @overload
    def pages(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[V3ListOptions]
    ) -> Pages[T]: ...

    @overload
    def pages(self, method: str, params: V3Params = None, **options: Unpack[V3ListOptions]) -> Pages[Any]: ...

    def pages(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[V3ListOptions]
    ) -> Pages[Any]:
        """The pages of a list, each a list of rows; otherwise as `rows`."""
        known = _merged("pages", options, self._defaults, V3ListOptions)
        return Pages(self._actions.fetch_list.make(method, params, result_type=result_type, **known))

    @overload
    def tail(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[TailOptions]
    ) -> Rows[T]: ...

    @overload
    def tail(self, method: str, params: V3Params = None, **options: Unpack[TailOptions]) -> Rows[Any]: ...

    def tail(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[TailOptions]
    ) -> Rows[Any]:
        """Iterates over the rows of a `*.tail` method in the order of its cursor field; see `TailOptions`."""
        known = _merged("tail", options, self._defaults, TailOptions)
        return Rows(self._actions.fetch_tail.make(method, params, result_type=result_type, **known))

    async def aggregate(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        select: Mapping[str, Any],
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> dict[str, Any]:
        """Aggregates computed by the portal; see `actions.v3.aggregate.make`."""
        timeout = self._defaults.get("timeout") if timeout is None else timeout
        make = self._actions.aggregate.make
        outcome = await make(method, params, select=select, request_id=request_id, timeout=timeout)
        return outcome.raise_for_error().result

    async def batch(
        self,
        calls: Calls,
        *,
        return_errors: bool = False,
        result_type: Any = None,
        **options: Unpack[ShortBatchOptions],
    ) -> Any:
        """Calls any number of methods, as `B24OAuth.batch`."""
        known = _merged("batch", options, self._defaults, ShortBatchOptions)
        return await _batch(self._actions, calls, known, result_type, return_errors=return_errors)


class ApiView(Api):
    """A view of a client with other default options; see `Api.with_options`.

    Args:
        actions: Calls of the client.
        defaults: Options by name.
    """

    def __init__(self, actions: ActionsManager, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults
        self._actions = actions

    @property
    def actions(self) -> ActionsManager:
        """Calls as the JS SDK names them; the default options of this view do not apply to them."""
        return self._actions

    async def aclose(self) -> None:
        """Always raises: a view cannot be closed; close the client instead.

        Raises:
            ClientStateError: Always.
        """
        raise ClientStateError("A view created by with_options cannot be closed: close the original client")


def _merged(action: str, options: Mapping[str, Any], defaults: Mapping[str, Any], known: type) -> Any:
    """The options of a call, completed by the defaults that apply to it."""
    if options:
        checked(options, known, action)
    if not defaults:
        return options
    names: frozenset[str] = getattr(known, "__optional_keys__", frozenset())
    return {name: value for name, value in defaults.items() if name in names} | dict(options)


async def _call(
    actions: ActionsV2 | ActionsV3, method: str, params: Params, result_type: Any, options: Mapping[str, Any]
) -> Any:
    answer = await actions.call.make(method, params, result_type=result_type, **options)
    return answer.raise_for_error().result


async def _batch(
    actions: ActionsV2 | ActionsV3,
    calls: Calls,
    options: Mapping[str, Any],
    result_type: Any,
    *,
    return_errors: bool,
) -> Any:
    known: Any = {"is_halt_on_error": False, **checked(options, ShortBatchOptions, "batch"), "return_ajax_result": True}
    missing: IncompleteBatchError | None = None
    try:
        outcome: Result[Any] = await actions.batch_by_chunk.make(calls, result_type=result_type, **known)
    except IncompleteBatchError as error:
        missing, outcome = error, cast("Result[Any]", error.result)
    told: Mapping[str, Exception] = outcome.errors
    data: Any = outcome.get_data()
    answers: dict[Any, AjaxResult[Any] | None] = (
        {key: data.get(key) for key in calls} if is_mapping(calls) else {i: data[i] for i in range(len(calls))}
    )
    results: dict[Any, Any] = {}
    errors: dict[Any, Exception] = {}
    for key, answer in answers.items():
        if str(key) in told:
            errors[key] = told[str(key)]
        elif answer is not None:
            results[key] = answer.result
        elif missing is not None:
            errors[key] = missing
    if errors and not return_errors:
        first = "; ".join(f"{key}: {getattr(error, 'message', error)}" for key, error in list(errors.items())[:3])
        more = "; …" if len(errors) > 3 else ""
        message = f"{len(errors)} of {len(answers)} commands failed: {first}{more}"
        raise BatchError(message, results=results, errors=errors)
    values = {key: errors.get(key, results.get(key)) for key in answers}
    return values if is_mapping(calls) else list(values.values())
