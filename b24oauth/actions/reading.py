"""Reads walks to their end, or hands on their pages; what v2 and v3 lists and tails have in common."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

import attrs

from b24oauth.errors import AjaxError, ListChangedError, RequestInfo, RequestTimeoutError, SdkError
from b24oauth.lists.choosing import ByIdentifier
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
    """One walk and what becomes of its rows.

    Attributes:
        http: Makes REST calls.
        way: How the list is read.
        options: How it is made.
        row_type: What rows are built as; None leaves them as they came.
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

    async def pages(self) -> Pages[Any]:
        """The pages, with their rows built."""
        method, request_id, count = self.method, self.options.request_id, 0
        try:
            async with aclosing(walk(self.http, self.way, self.options)) as pages:
                async for page in pages:
                    if self.row_type is None:
                        yield page
                    else:
                        yield structure_rows(page, self.row_type, method=method, request_id=request_id, first=count)
                        count += len(page)
        except AjaxError as error:
            # Pagers and rows of batches know the method only.
            if error.request_info is not None and not error.request_info.request_id:
                error.request_info = attrs.evolve(error.request_info, request_id=self.options.request_id)
            raise


def walk_options(options: Mapping[str, Any], *, eager: bool = False) -> WalkOptions:
    """The rules of a walk; an eager one is timed as a whole."""
    names = ("max_items", "on_progress", "pages_per_request", "concurrency", *(() if eager else ("timeout",)))
    given = {name: options[name] for name in names if name in options}
    return WalkOptions(request_id=options.get("request_id") or str(uuid.uuid4()), **given)


async def read_all(reading: Reading, timeout: float | None) -> Result[list[Any]]:
    """All rows, or those before a soft error together with it."""
    rows: list[Any] = []
    result = Result(rows)
    method, request_id = reading.method, reading.options.request_id
    deadline = asyncio.timeout(timeout)
    try:
        with reading.http.operation():
            async with deadline, aclosing(reading.pages()) as pages:
                async for page in pages:
                    rows.extend(page)
    except SoftError as soft:
        result.add_error(soft.error, "base-error")
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


async def read_pages(reading: Reading, name: str) -> Pages[Any]:
    """The pages as they come; a soft error is raised."""
    try:
        async with aclosing(reading.pages()) as pages:
            async for page in pages:
                yield page
    except SoftError as soft:
        failure = SdkError(
            f"API Error: {soft.error.message}",
            code=f"B24OAUTH_CORE_B24_{name}_METHOD_API_{reading.http.api_version.upper()}",
            status=500,
        )
        failure.__cause__ = soft.error
    else:
        return
    raise failure
