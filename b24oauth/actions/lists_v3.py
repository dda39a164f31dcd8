"""Whole lists and tails of REST v3: all rows at once, or page by page as they come."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, TypeVar, Unpack, overload

from b24oauth.actions.options import TailOptions, V3ListOptions, checked
from b24oauth.actions.reading import Pages, Reading, named_params, read_all, read_pages, walk_options, warn_about_order
from b24oauth.errors import SdkError
from b24oauth.http.client import HttpClient
from b24oauth.narrowing import is_list
from b24oauth.protocol.listing import Pager, TailPager, V3KeysetPager, check_v3_filter
from b24oauth.protocol.methods import checked_method
from b24oauth.result import Result

__all__ = ["CallListV3", "CallTail", "FetchListV3", "FetchTail"]

T = TypeVar("T")
Params = Mapping[str, Any] | None


class CallListV3:
    """`actions.v3.call_list`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[V3ListOptions]
    ) -> Result[list[T]]: ...

    @overload
    async def make(self, method: str, params: Params = None, **options: Unpack[V3ListOptions]) -> Result[list[Any]]: ...

    async def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[V3ListOptions]
    ) -> Result[list[Any]]:
        """All rows of a v3 list, in the order of their identifiers.

        Args:
            method: List method, for example "tasks.task.list".
            params: Its parameters; `order` and `pagination` belong to the walk, `filter` is a list of conditions.
            result_type: An attrs class, dataclass or TypedDict to build the rows as.
            options: How the list is read; see `V3ListOptions`. `timeout` covers the whole list.

        Returns:
            The rows; after a soft error those before it, with the error under "base-error".

        Raises:
            AjaxError: A request failed, or the walk cannot go on.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: The filter is in the manner of v2.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        pager = _list_pager(
            self._http, "callList.make", method, params, checked(options, V3ListOptions, "call_list.make")
        )
        reading = Reading(self._http, pager, walk_options(options, eager=True), result_type)
        return await read_all(reading, options.get("timeout"), "callFastListMethod")


class FetchListV3:
    """`actions.v3.fetch_list`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[V3ListOptions]
    ) -> Pages[T]: ...

    @overload
    def make(self, method: str, params: Params = None, **options: Unpack[V3ListOptions]) -> Pages[Any]: ...

    def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[V3ListOptions]
    ) -> Pages[Any]:
        """The pages of a v3 list as they come; arguments as for `call_list`, `timeout` for each request.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: A soft error, which is the cause, or a filter in the manner of v2.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        known = checked(options, V3ListOptions, "fetch_list.make")
        pager = _list_pager(self._http, "fetchList.make", method, params, known)
        return read_pages(Reading(self._http, pager, walk_options(options), result_type), "FETCH_LIST")


class CallTail:
    """`actions.v3.call_tail`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[TailOptions]
    ) -> Result[list[T]]: ...

    @overload
    async def make(self, method: str, params: Params = None, **options: Unpack[TailOptions]) -> Result[list[Any]]: ...

    async def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[TailOptions]
    ) -> Result[list[Any]]:
        """All rows of a `*.tail` method from a place on.

        Args:
            method: Tail method, for example "main.eventlog.tail".
            params: Its parameters; the cursor's field must not be in `filter`.
            result_type: An attrs class, dataclass or TypedDict to build the rows as.
            options: How the tail is read; see `TailOptions`. `timeout` covers the whole tail.

        Returns:
            The rows; after a soft error those before it, with the error under "base-error".

        Raises:
            AjaxError: A request failed, or the walk cannot go on.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: "DESC" without `initial_value`.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        pager = _tail_pager(
            self._http, "callTail.make", method, params, checked(options, TailOptions, "call_tail.make")
        )
        reading = Reading(self._http, pager, walk_options(options, eager=True), result_type)
        return await read_all(reading, options.get("timeout"), "callTailMethod")


class FetchTail:
    """`actions.v3.fetch_tail`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[TailOptions]
    ) -> Pages[T]: ...

    @overload
    def make(self, method: str, params: Params = None, **options: Unpack[TailOptions]) -> Pages[Any]: ...

    def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[TailOptions]
    ) -> Pages[Any]:
        """The pages of a `*.tail` method as they come; arguments as for `call_tail`, `timeout` for each request.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: A soft error, which is the cause, or "DESC" without `initial_value`.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        known = checked(options, TailOptions, "fetch_tail.make")

        async def pages() -> Pages[Any]:
            # Refused at the first page, as every other error of a stream.
            pager = _tail_pager(self._http, "fetchTail.make", method, params, known)
            reading = Reading(self._http, pager, walk_options(known), result_type)
            async with aclosing(read_pages(reading, "FETCH_TAIL")) as found:
                async for page in found:
                    yield page

        return pages()


def _list_pager(http: HttpClient, action: str, method: str, params: Params, options: Mapping[str, Any]) -> Pager:
    method = checked_method(method)
    given = named_params(method, params)
    check_v3_filter(given, action)
    warn_about_order(http, action, given)
    id_key = options.get("id_key", "id")
    return V3KeysetPager(
        method=method,
        given=given,
        id_key=id_key,
        cursor_id_key=options.get("cursor_id_key") or id_key,
        result_key=options.get("custom_key_for_result", "items"),
        limit=options.get("limit", 50),
        cursor=options.get("start_after", 0),
    )


def _tail_pager(http: HttpClient, action: str, method: str, params: Params, options: Mapping[str, Any]) -> Pager:
    method = checked_method(method)
    given = named_params(method, params)
    field, order = options.get("cursor_field", "id"), options.get("order", "ASC")
    value = options.get("initial_value")
    if order.upper() == "DESC" and value is None:
        name = "CALL_TAIL" if action.startswith("call") else "FETCH_TAIL"
        raise SdkError(
            f'{action}: order "DESC" needs an `initial_value` to go down from: the newest or the highest value',
            code=f"B24OAUTH_CORE_B24_{name}_DESC_REQUIRES_INITIAL_VALUE",
            status=500,
        )
    _warn_about_cursor(http, action, field, given)
    return TailPager(
        method=method,
        given=given,
        field=field,
        order=order,
        value=0 if value is None else value,
        result_key=options.get("custom_key_for_result", "items"),
        limit=options.get("limit", 50),
    )


def _warn_about_cursor(http: HttpClient, action: str, field: str, given: Mapping[str, Any]) -> None:
    if field != "id" and "select" not in given:
        message = (
            f'{action}: no `select` provided with a non-default cursorField "{field}" — make sure it is in the '
            f'server\'s default field set, otherwise pass `select` including "{field}" so the cursor can advance.'
        )
        http.log.warning(message)
    conditions = given.get("filter")
    if is_list(conditions) and any(is_list(one) and one and one[0] == field for one in conditions):
        message = (
            f'{action}: the cursor field "{field}" must not appear in `filter` — the server orders and pages by it and '
            "will reject a filter on the same field (INVALIDFILTEREXCEPTION). Remove it from `filter`."
        )
        http.log.warning(message)
