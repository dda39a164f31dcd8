"""Reads walks to their end, or hands on their pages; what v2 and v3 lists and tails have in common."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from b24oauth.actions.walk import SoftError, WalkOptions, walk
from b24oauth.errors import RequestInfo, RequestTimeoutError, SdkError
from b24oauth.http.client import HttpClient
from b24oauth.protocol.listing import Pager
from b24oauth.result import Result

__all__ = ["Pages", "read_all", "read_pages", "walk_options", "warn_about_order"]

Pages = AsyncGenerator[list[Any], None]


def warn_about_order(http: HttpClient, action: str, given: Mapping[str, Any]) -> None:
    """Tells that the order belongs to the walk."""
    if "order" in given:
        message = (
            f"{action}: user-provided `order` parameter is ignored because cursor-based pagination requires ordering "
            "by cursorIdKey. Use `filter` to narrow results instead."
        )
        http.log.warning(message)


def walk_options(request_id: str | None, **rules: Any) -> WalkOptions:
    """The rules of a walk, with a request id."""
    return WalkOptions(request_id=request_id or str(uuid.uuid4()), **rules)


async def read_all(
    http: HttpClient, pager: Pager, options: WalkOptions, timeout: float | None, told_as: str
) -> Result[list[Any]]:
    """All rows, or those before a soft error together with it."""
    rows: list[Any] = []
    result = Result(rows)
    deadline = asyncio.timeout(timeout)
    try:
        async with deadline, aclosing(walk(http, pager, options)) as pages:
            async for page in pages:
                rows.extend(page)
    except SoftError as soft:
        result.add_error(soft.error, "base-error")
    except TimeoutError as error:
        if isinstance(error, RequestTimeoutError) or not deadline.expired():
            raise
        raise RequestTimeoutError(
            f"The list {pager.method} was not read within {timeout:g} seconds",
            code="REQUEST_TIMEOUT",
            status=408,
            request_info=RequestInfo(method=pager.method, request_id=options.request_id),
        ) from None
    if not result.is_success:
        messages = result.get_error_messages()
        http.log.error(told_as, method=pager.method, request_id=options.request_id, messages=messages)
    return result


async def read_pages(http: HttpClient, pager: Pager, options: WalkOptions, name: str) -> Pages:
    """The pages as they come; a soft error is raised."""
    try:
        async with aclosing(walk(http, pager, options)) as pages:
            async for page in pages:
                yield page
    except SoftError as soft:
        failure = SdkError(
            f"API Error: {soft.error.message}",
            code=f"B24OAUTH_CORE_B24_{name}_METHOD_API_{http.api_version.upper()}",
            status=500,
        )
        failure.__cause__ = soft.error
    else:
        return
    raise failure
