"""Reads walks to their end, or hands on their pages; what v2 and v3 lists and tails have in common."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar

import attrs

from b24oauth.actions.walk import SoftError, WalkOptions, walk
from b24oauth.errors import ConfigurationError, RequestInfo, RequestTimeoutError, SdkError
from b24oauth.http.client import HttpClient
from b24oauth.narrowing import is_mapping
from b24oauth.protocol.listing import KeysetPager, Pager
from b24oauth.result import Result
from b24oauth.rows import check_row_type, structure_rows

__all__ = ["Pages", "Reading", "named_params", "read_all", "read_pages", "walk_options", "warn_about_order"]

T = TypeVar("T")
Pages: TypeAlias = AsyncGenerator[list[T], None]


@attrs.frozen
class Reading:
    """One walk and what becomes of its rows.

    Attributes:
        http: Makes REST calls.
        pager: The place of the walk.
        options: How it is made.
        row_type: What rows are built as; None leaves them as they came.
    """

    http: HttpClient
    pager: Pager | KeysetPager
    options: WalkOptions
    row_type: Any = None

    def __attrs_post_init__(self) -> None:
        if self.row_type is not None:
            check_row_type(self.row_type)

    async def pages(self) -> Pages[Any]:
        """The pages, with their rows built."""
        method, request_id, count = self.pager.method, self.options.request_id, 0
        async with aclosing(walk(self.http, self.pager, self.options)) as pages:
            async for page in pages:
                if self.row_type is None:
                    yield page
                else:
                    yield structure_rows(page, self.row_type, method=method, request_id=request_id, first=count)
                    count += len(page)


def named_params(method: str, params: object) -> dict[str, Any]:
    """A copy of a list's parameters, which have names.

    Raises:
        ConfigurationError: They are something else.
    """
    if params is None:
        return {}
    if not is_mapping(params):
        raise ConfigurationError(f"{method}: its params must be a mapping, not {type(params).__name__}")
    return dict(params)


def warn_about_order(http: HttpClient, action: str, given: Mapping[str, Any]) -> None:
    """Tells that the order belongs to the walk."""
    if "order" in given:
        message = (
            f"{action}: user-provided `order` parameter is ignored because cursor-based pagination requires ordering "
            "by cursorIdKey. Use `filter` to narrow results instead."
        )
        http.log.warning(message)


def walk_options(options: Mapping[str, Any], *, eager: bool = False) -> WalkOptions:
    """The rules of a walk; an eager one is timed as a whole."""
    names = ("max_items", "on_progress", "pages_per_request", "concurrency", *(() if eager else ("timeout",)))
    given = {name: options[name] for name in names if name in options}
    return WalkOptions(request_id=options.get("request_id") or str(uuid.uuid4()), **given)


async def read_all(reading: Reading, timeout: float | None, told_as: str) -> Result[list[Any]]:
    """All rows, or those before a soft error together with it."""
    rows: list[Any] = []
    result = Result(rows)
    method, request_id = reading.pager.method, reading.options.request_id
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline, aclosing(reading.pages()) as pages:
            async for page in pages:
                rows.extend(page)
    except SoftError as soft:
        result.add_error(soft.error, "base-error")
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
        reading.http.log.error(told_as, method=method, request_id=request_id, messages=result.get_error_messages())
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
