"""Actions that read whole lists and tails, either all rows at once or page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, Unpack, overload

import attrs

from b24oauth.actions.options import ListOptions, TailOptions, V3ListOptions, checked, http_for
from b24oauth.actions.reading import Pages, Reading, read_all, read_pages, walk_options
from b24oauth.lists.choosing import ByIdentifier, choose_tail, choose_v2, choose_v3
from b24oauth.lists.options import ListChoice, TailChoice, chosen
from b24oauth.lists.pagers import TailPager
from b24oauth.lists.paging import Pager
from b24oauth.protocol.methods import checked_method
from b24oauth.rest.client import HttpClient
from b24oauth.result import Result
from b24oauth.shapes import is_list

__all__ = ["CallList", "CallListV3", "CallTail", "FetchList", "FetchListV3", "FetchTail"]

T = TypeVar("T")
Params = Mapping[str, Any] | Sequence[Any] | None
V3Params = Mapping[str, Any] | None


@attrs.frozen
class _Action:
    """How one action reads a list.

    Attributes:
        name: As callers write it, for errors.
        known: The options that it takes.
        choose: Decides how the list is read.
        choice: What decides.
        eager: All rows are read at once.
    """

    name: str
    known: type
    choose: Callable[[str, str, object, Any], ByIdentifier | Pager]
    choice: type = ListChoice
    eager: bool = False

    def reading(self, http: HttpClient, method: str, params: object, row_type: Any, options: Any) -> Reading:
        """Builds the `Reading` for one call; raises if options or parameters are invalid."""
        method = checked_method(method)
        way = self.choose(self.name, method, params, chosen(self.choice, options))
        if isinstance(way, TailPager):
            _warn_about_cursor(http, self.name, way.field, way.params)
        return Reading(http_for(http, options), way, walk_options(options, eager=self.eager), row_type)


_CALL_LIST = _Action("call_list.make", ListOptions, choose_v2, eager=True)
_FETCH_LIST = _Action("fetch_list.make", ListOptions, choose_v2)
_CALL_LIST_V3 = _Action("call_list.make", V3ListOptions, choose_v3, eager=True)
_FETCH_LIST_V3 = _Action("fetch_list.make", V3ListOptions, choose_v3)
_CALL_TAIL = _Action("call_tail.make", TailOptions, choose_tail, TailChoice, eager=True)
_FETCH_TAIL = _Action("fetch_tail.make", TailOptions, choose_tail, TailChoice)


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
            RequestTimeoutError: The list was not read within `timeout`.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        known = checked(options, _CALL_LIST.known, _CALL_LIST.name)
        reading = _CALL_LIST.reading(self._http, method, params, result_type, known)
        return await read_all(reading, known.get("timeout"))


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
            An async iterator of pages. Buffers up to 100 pages per allowed concurrent request. With `concurrency=1` it
            holds the rows of the current request and of the next one.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            ConfigurationError: An option that this list cannot honour; nothing was sent.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            InvalidParamsError: A parameter is given twice in different spellings, or cannot be read; nothing was sent.
            ListChangedError: Rows were added or deleted while the list was read by position.
            SdkError: A request returned a soft error; it is available as `__cause__`.

        Source: https://apidocs.bitrix24.com/settings/how-to-call-rest-api/list-methods-pecularities.html
        """
        known = checked(options, _FETCH_LIST.known, _FETCH_LIST.name)
        reading = _FETCH_LIST.reading(self._http, method, params, result_type, known)
        return read_pages(lambda: reading, "FETCH_LIST")


class CallListV3:
    """`actions.v3.call_list`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[V3ListOptions]
    ) -> Result[list[T]]: ...

    @overload
    async def make(
        self, method: str, params: V3Params = None, **options: Unpack[V3ListOptions]
    ) -> Result[list[Any]]: ...

    async def make(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[V3ListOptions]
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
        known = checked(options, _CALL_LIST_V3.known, _CALL_LIST_V3.name)
        reading = _CALL_LIST_V3.reading(self._http, method, params, result_type, known)
        return await read_all(reading, known.get("timeout"))


class FetchListV3:
    """`actions.v3.fetch_list`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    def make(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[V3ListOptions]
    ) -> Pages[T]: ...

    @overload
    def make(self, method: str, params: V3Params = None, **options: Unpack[V3ListOptions]) -> Pages[Any]: ...

    def make(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[V3ListOptions]
    ) -> Pages[Any]:
        """The pages of a v3 list as they come; arguments as for `call_list`, `timeout` for each request.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: A soft error, which is the cause, or a filter in the manner of v2.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        known = checked(options, _FETCH_LIST_V3.known, _FETCH_LIST_V3.name)
        reading = _FETCH_LIST_V3.reading(self._http, method, params, result_type, known)
        return read_pages(lambda: reading, "FETCH_LIST")


class CallTail:
    """`actions.v3.call_tail`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    async def make(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[TailOptions]
    ) -> Result[list[T]]: ...

    @overload
    async def make(self, method: str, params: V3Params = None, **options: Unpack[TailOptions]) -> Result[list[Any]]: ...

    async def make(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[TailOptions]
    ) -> Result[list[Any]]:
        """Reads all rows of a `*.tail` method after `initial_value`.

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
        known = checked(options, _CALL_TAIL.known, _CALL_TAIL.name)
        reading = _CALL_TAIL.reading(self._http, method, params, result_type, known)
        return await read_all(reading, known.get("timeout"))


class FetchTail:
    """`actions.v3.fetch_tail`.

    Args:
        http: Makes REST calls of v3.
    """

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    @overload
    def make(
        self, method: str, params: V3Params = None, *, result_type: type[T], **options: Unpack[TailOptions]
    ) -> Pages[T]: ...

    @overload
    def make(self, method: str, params: V3Params = None, **options: Unpack[TailOptions]) -> Pages[Any]: ...

    def make(
        self, method: str, params: V3Params = None, *, result_type: Any = None, **options: Unpack[TailOptions]
    ) -> Pages[Any]:
        """The pages of a `*.tail` method as they come; arguments as for `call_tail`, `timeout` for each request.

        Raises:
            AjaxError: A request failed, or the walk cannot go on; the pages before it were given.
            InvalidDataError: A row does not fit `result_type`; names row and field.
            SdkError: A soft error, which is the cause, or "DESC" without `initial_value`.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        known = checked(options, _FETCH_TAIL.known, _FETCH_TAIL.name)

        def begin() -> Reading:
            # Parameter errors are raised when the first page is requested, like all other errors of a stream.
            return _FETCH_TAIL.reading(self._http, method, params, result_type, known)

        return read_pages(begin, "FETCH_TAIL")


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
