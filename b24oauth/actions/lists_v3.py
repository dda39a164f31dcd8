"""Whole lists and tails of REST v3: all rows at once, or page by page as they come."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, TypeVar, Unpack, overload

from b24oauth.actions.options import TailOptions, V3ListOptions, checked, http_for
from b24oauth.actions.reading import Pages, Reading, read_all, read_pages, walk_options
from b24oauth.lists.choosing import choose_tail, choose_v3
from b24oauth.protocol.methods import checked_method
from b24oauth.rest.client import HttpClient
from b24oauth.result import Result
from b24oauth.shapes import is_list

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
            params: Its parameters; `filter` is a list of conditions. An order by another field than the identifier,
                and a `pagination` with a page or an offset, make the list be read by position.
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
        known = checked(options, V3ListOptions, "call_list.make")
        reading = _list_reading(self._http, "call_list.make", method, params, known, row_type=result_type, eager=True)
        return await read_all(reading, options.get("timeout"))


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
        return read_pages(
            _list_reading(self._http, "fetch_list.make", method, params, known, row_type=result_type), "FETCH_LIST"
        )


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
        known = checked(options, TailOptions, "call_tail.make")
        reading = _tail_reading(self._http, "call_tail.make", method, params, known, row_type=result_type, eager=True)
        return await read_all(reading, options.get("timeout"))


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
            reading = _tail_reading(self._http, "fetch_tail.make", method, params, known, row_type=result_type)
            async with aclosing(read_pages(reading, "FETCH_TAIL")) as found:
                async for page in found:
                    yield page

        return pages()


def _list_reading(
    http: HttpClient,
    action: str,
    method: str,
    params: Params,
    options: Mapping[str, Any],
    *,
    row_type: Any,
    eager: bool = False,
) -> Reading:
    method = checked_method(method)
    return Reading(
        http_for(http, options),
        choose_v3(action, method, params, options),
        walk_options(options, eager=eager),
        row_type,
    )


def _tail_reading(
    http: HttpClient,
    action: str,
    method: str,
    params: Params,
    options: Mapping[str, Any],
    *,
    row_type: Any,
    eager: bool = False,
) -> Reading:
    method = checked_method(method)
    pager = choose_tail(action, method, params, options)
    _warn_about_cursor(http, action, pager.field, pager.params)
    return Reading(http_for(http, options), pager, walk_options(options, eager=eager), row_type)


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
