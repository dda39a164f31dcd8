"""Whole lists of REST v2: all rows at once, or page by page as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from b24oauth.actions.options import ListOptions, checked, http_for
from b24oauth.actions.reading import Pages, Reading, read_all, read_pages, walk_options
from b24oauth.lists.choosing import choose_v2
from b24oauth.protocol.methods import checked_method
from b24oauth.rest.client import HttpClient
from b24oauth.result import Result

__all__ = ["CallList", "FetchList"]

T = TypeVar("T")
Params = Mapping[str, Any] | Sequence[Any] | None


class CallList:
    """`actions.v2.call_list`.

    Args:
        http: Makes REST calls of v2.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[ListOptions]
    ) -> Result[list[T]]: ...

    @overload
    async def make(self, method: str, params: Params = None, **options: Unpack[ListOptions]) -> Result[list[Any]]: ...

    async def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[ListOptions]
    ) -> Result[list[Any]]:
        """All rows of a list: in the order of their identifiers, or in the order that `params` asks for.

        Args:
            method: List method, for example "crm.deal.list".
            params: Its parameters. An order by another field than the identifier, a `start` and a filter that cannot be
                combined with a cursor make the list be read by position.
            result_type: An attrs class, dataclass or TypedDict to build the rows as.
            options: How the list is read; see `ListOptions`. `timeout` covers the whole list.

        Returns:
            The rows; after a soft error those before it, with the error under "base-error".

        Raises:
            AjaxError: A request failed, or the walk cannot go on.
            ConfigurationError: An option that this list cannot honour; nothing was sent.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            InvalidParamsError: A parameter is given twice in different spellings, or cannot be read; nothing was sent.
            ListChangedError: Rows were added or deleted while the list was read by position; `rows` has what was read.
            RequestTimeoutError: Not done in time.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        known = checked(options, ListOptions, "call_list.make")
        reading = _reading(self._http, "call_list.make", method, params, known, row_type=result_type, eager=True)
        return await read_all(reading, options.get("timeout"))


class FetchList:
    """`actions.v2.fetch_list`.

    Args:
        http: Makes REST calls of v2.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    def make(
        self, method: str, params: Params = None, *, result_type: type[T], **options: Unpack[ListOptions]
    ) -> Pages[T]: ...

    @overload
    def make(self, method: str, params: Params = None, **options: Unpack[ListOptions]) -> Pages[Any]: ...

    def make(
        self, method: str, params: Params = None, *, result_type: Any = None, **options: Unpack[ListOptions]
    ) -> Pages[Any]:
        """The pages of a list as they come; close it with `contextlib.aclosing` when you leave early.

        Args:
            method: List method, for example "crm.deal.list".
            params: Its parameters, as for `call_list`.
            result_type: An attrs class, dataclass or TypedDict to build the rows as.
            options: How the list is read; see `ListOptions`. `timeout` covers each request.

        Returns:
            An async iterator of pages. Up to 100 pages may wait for each request that `concurrency` allows; with 1, it
            holds the rows of one request and of the next one under way.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            ConfigurationError: An option that this list cannot honour; nothing was sent.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            InvalidParamsError: A parameter is given twice in different spellings, or cannot be read; nothing was sent.
            ListChangedError: Rows were added or deleted while the list was read by position.
            SdkError: A request failed with a soft error, which is the cause.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        known = checked(options, ListOptions, "fetch_list.make")
        return read_pages(
            _reading(self._http, "fetch_list.make", method, params, known, row_type=result_type), "FETCH_LIST"
        )


def _reading(
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
        choose_v2(action, method, params, options),
        walk_options(options, eager=eager),
        row_type,
    )
