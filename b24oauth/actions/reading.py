"""Shared code of v2 and v3 lists and tails: reads all pages, or yields them one by one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

import attrs

from b24oauth.errors import AjaxError, ListChangedError, RequestInfo, RequestTimeoutError, SdkError
from b24oauth.lists.choosing import ByIdentifier
from b24oauth.lists.options import chosen
from b24oauth.lists.page_requests import SoftError
from b24oauth.lists.paging import Pager
from b24oauth.lists.walk import WalkOptions, walk
from b24oauth.rest.client import HttpClient
from b24oauth.result import Result
from b24oauth.rows import check_row_type, structure_rows

__all__ = ["Pages", "Reading", "read_all", "read_pages", "walk_options"]

T = TypeVar("T")
Pages: TypeAlias = AsyncGenerator[list[T], None]


@attrs.frozen
class Reading:
    """One list read and the conversion of its rows.

    Attributes:
        http: Client for REST calls.
        way: The pagination method.
        options: Settings of the read.
        row_type: Type to convert rows to; None for no conversion.
    """

    http: HttpClient
    way: ByIdentifier | Pager
    options: WalkOptions
    row_type: Any = None

    def __attrs_post_init__(self) -> None:
        if self.row_type is not None:
            check_row_type(self.row_type)

    @property
    def method(self) -> str:
        """REST method of the list."""
        return self.way.pager.method if isinstance(self.way, ByIdentifier) else self.way.method

    def pages(self) -> aclosing[Pages[Any]]:
        """The unconverted pages; leaving the context cancels running requests."""
        return aclosing(walk(self.http, self.way, self.options))

    def converted(self, page: list[Any], first: int) -> list[Any]:
        """The rows of a page, converted to `row_type`.

        Args:
            page: The unconverted rows.
            first: Number of rows on earlier pages.

        Raises:
            InvalidDataError: A row does not match `row_type`; the error names row and field.
        """
        if self.row_type is None:
            return page
        return structure_rows(page, self.row_type, method=self.method, request_id=self.options.request_id, first=first)

    def name_request(self, error: AjaxError) -> None:
        """Adds the request ID to an error, because pagers and batch commands know only the method."""
        if error.request_info is not None and not error.request_info.request_id:
            error.request_info = attrs.evolve(error.request_info, request_id=self.options.request_id)


def walk_options(options: Mapping[str, Any], *, eager: bool = False) -> WalkOptions:
    """Settings of a list read; for an eager read, `timeout` is left out because it covers the whole read."""
    given = {name: value for name, value in options.items() if not (eager and name == "timeout")}
    return chosen(WalkOptions, {**given, "request_id": given.get("request_id") or str(uuid.uuid4())})


async def read_all(reading: Reading, timeout: float | None) -> Result[list[Any]]:
    """Reads all rows. After a soft error, the result has the rows before it and the error."""
    rows: list[Any] = []
    result = Result(rows)
    method, request_id = reading.method, reading.options.request_id
    deadline = asyncio.timeout(timeout)
    try:
        with reading.http.operation():
            async with deadline, reading.pages() as pages:
                async for page in pages:
                    rows.extend(reading.converted(page, len(rows)))
    except SoftError as soft:
        result.add_error(soft.error, "base-error")
    except AjaxError as error:
        reading.name_request(error)
        raise
    except ListChangedError as changed:
        changed.rows = rows
        raise
    except TimeoutError as error:
        if isinstance(error, RequestTimeoutError) or not deadline.expired():
            raise
        raise RequestTimeoutError(
            f"The list {method} was not read within {timeout:g} seconds",
            code="REQUEST_TIMEOUT",
            status=408,
            request_info=RequestInfo(method=method, request_id=request_id),
        ) from None
    if not result.is_success:
        text = f"The list {method} ended after {len(rows)} rows: {'; '.join(result.get_error_messages())}"
        reading.http.log.warning(text, method=method, request_id=request_id)
    return result


async def read_pages(begin: Callable[[], Reading], name: str) -> Pages[Any]:
    """Yields the pages; a soft error is raised.

    Args:
        begin: Creates the `Reading`; its exceptions are raised when the first page is requested.
        name: Name of the action in error codes.
    """
    reading, count = begin(), 0
    try:
        async with reading.pages() as pages:
            async for page in pages:
                rows = reading.converted(page, count)
                count += len(rows)
                yield rows
    except SoftError as soft:
        failure = SdkError(
            f"API Error: {soft.error.message}",
            code=f"B24OAUTH_CORE_B24_{name}_METHOD_API_{reading.http.api_version.upper()}",
            status=500,
        )
        failure.__cause__ = soft.error
    except AjaxError as error:
        reading.name_request(error)
        raise
    else:
        return
    raise failure
