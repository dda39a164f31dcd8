"""Whole lists of REST v2: all rows at once, or page by page as they come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

from b24oauth.actions.options import ListOptions, checked
from b24oauth.actions.reading import Pages, Reading, named_params, read_all, read_pages, walk_options, warn_about_order
from b24oauth.errors import ConfigurationError
from b24oauth.http.client import HttpClient
from b24oauth.protocol.listing import KeysetPager, NavPager, OffsetPager, Pager, listing_of
from b24oauth.protocol.methods import checked_method
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
        """All rows of a list, in the order of their identifiers.

        Args:
            method: List method, for example "crm.deal.list".
            params: Its parameters; `order` and `start` belong to the walk.
            result_type: An attrs class, dataclass or TypedDict to build the rows as.
            options: How the list is read; see `ListOptions`. `timeout` covers the whole list.

        Returns:
            The rows; after a soft error those before it, with the error under "base-error".

        Raises:
            AjaxError: A request failed, or the walk cannot go on.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            RequestTimeoutError: Not done in time.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        pager = _pager(self._http, "callList.make", method, params, checked(options, ListOptions, "call_list.make"))
        reading = Reading(self._http, pager, walk_options(options, eager=True), result_type)
        return await read_all(reading, options.get("timeout"), "callFastListMethod")


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
            params: Its parameters; `order` and `start` belong to the walk.
            result_type: An attrs class, dataclass or TypedDict to build the rows as.
            options: How the list is read; see `ListOptions`. `timeout` covers each request.

        Returns:
            An async iterator of pages. Up to 100 pages may wait for each request that `concurrency` allows; with 1, it
            holds the rows of one request and of the next one under way.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: A request failed with a soft error, which is the cause.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        pager = _pager(self._http, "fetchList.make", method, params, checked(options, ListOptions, "fetch_list.make"))
        return read_pages(Reading(self._http, pager, walk_options(options), result_type), "FETCH_LIST")


def _pager(
    http: HttpClient, action: str, method: str, params: Params, options: Mapping[str, Any]
) -> Pager | KeysetPager:
    method = checked_method(method)
    listing = listing_of(
        method,
        id_key=options.get("id_key"),
        cursor_id_key=options.get("cursor_id_key"),
        result_key=options.get("custom_key_for_result"),
        paging=options.get("paging"),
    )
    if listing.paging == "nav":
        return NavPager(method=method, given=params or {}, listing=listing)
    given = named_params(method, params)
    if listing.paging == "offset":
        return OffsetPager(method=method, given=given, listing=listing)
    _check_concurrency(options.get("concurrency"))
    warn_about_order(http, action, given)
    return KeysetPager(method=method, given=given, listing=listing, cursor=options.get("start_after", 0))


def _check_concurrency(value: object) -> None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
        raise ConfigurationError("concurrency must be a whole number of at least 1, or None")
