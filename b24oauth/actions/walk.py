"""Walks a list page by page: plainly, or several chained pages in one batch, with the next request on its way.

A walk yields every row once, in order, or raises. Nothing here decides what a page is asked with; pagers do.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator
from typing import Any, Final

import anyio
import attrs

from b24oauth.actions.batch_codec import MAX_COMMANDS, Command, Row, batch_params, read_rows, times_by_method
from b24oauth.actions.options import Progress
from b24oauth.errors import AjaxError, BadResponseError, RequestInfo
from b24oauth.http.client import HttpClient
from b24oauth.http.retry import is_refused_command
from b24oauth.protocol.listing import PAGE_SIZE, KeysetPager, Pager
from b24oauth.result import AjaxResult

__all__ = ["SoftError", "WalkOptions", "walk"]

_NOT_IN_BATCH: Final = "ERROR_BATCH_METHOD_NOT_ALLOWED"


class SoftError(Exception):
    """A soft error in the middle of a walk."""

    def __init__(self, error: AjaxError) -> None:
        super().__init__(error.code)
        self.error = error


@attrs.frozen(kw_only=True)
class WalkOptions:
    """How a walk is made.

    Attributes:
        request_id: Shown in the portal's log, the same for all requests.
        timeout: For each request, with its waiting and repeats, seconds.
        max_items: Rows to give at most.
        on_progress: Called after each page with the rows so far and, where known, of all.
        pages_per_request: Chained pages in one batch at most; None finds it out.
    """

    request_id: str
    timeout: float | None = None
    max_items: int | None = None
    on_progress: Progress | None = None
    pages_per_request: int | None = None


@attrs.frozen
class _Fetched:
    """Pages that came with one request, and what went wrong behind them."""

    pages: list[list[Any]]
    error: Exception | None = None


async def walk(http: HttpClient, pager: Pager, options: WalkOptions) -> AsyncGenerator[list[Any], None]:
    """The pages of a list, none of them empty.

    Args:
        http: Makes REST calls of the API version that the pager speaks.
        pager: The place of the walk.
        options: How it is made.

    Raises:
        AjaxError: A request failed, or the walk cannot go on; pages before it were given.
        SoftError: A request failed with a soft error.
    """
    chain = _Chain(http, pager, options) if isinstance(pager, KeysetPager) and options.pages_per_request != 1 else None
    given = 0
    upcoming: asyncio.Task[_Fetched] | None = None
    try:
        while True:
            fetched = await (upcoming or _fetch(http, pager, options, chain, given))
            upcoming = None
            arrived = given + sum(map(len, fetched.pages))
            enough = options.max_items is not None and arrived >= options.max_items
            over = pager.done or enough or fetched.error is not None
            if chain is not None and not over:
                # On its way while the caller works on what came.
                upcoming = asyncio.create_task(chain.fetch(arrived), name="b24oauth list walk")
            for page in fetched.pages:
                rows = page if options.max_items is None else page[: options.max_items - given]
                given += len(rows)
                await _tell(options, given, getattr(pager, "total", None))
                if rows:
                    yield rows
            if fetched.error is not None and not enough:
                raise fetched.error
            if over:
                return
    finally:
        if upcoming is not None:
            upcoming.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait({upcoming})


async def _fetch(http: HttpClient, pager: Pager, options: WalkOptions, chain: _Chain | None, given: int) -> _Fetched:
    return await (_one_page(http, pager, options) if chain is None else chain.fetch(given))


async def _one_page(http: HttpClient, pager: Pager, options: WalkOptions) -> _Fetched:
    answer = await http.call(
        pager.method, pager.params(), request_id=options.request_id, timeout=options.timeout, idempotent=True
    )
    _raise_soft(answer)
    rows = pager.read(answer.payload)
    return _Fetched([rows] if rows else [])


async def _tell(options: WalkOptions, done: int, total: int | None) -> None:
    if options.on_progress is not None:
        told = options.on_progress(done, total)
        if inspect.isawaitable(told):
            await told


def _raise_soft(answer: AjaxResult[Any]) -> None:
    for error in answer.get_errors():
        raise SoftError(error) if isinstance(error, AjaxError) else error


class _Chain:
    """Asks for 1, 2, 4 … 50 pages a request: each command begins behind the last row of the one before."""

    def __init__(self, http: HttpClient, pager: KeysetPager, options: WalkOptions) -> None:
        self._http = http
        self._pager = pager
        self._options = options
        self._most = min(options.pages_per_request or MAX_COMMANDS, MAX_COMMANDS)
        self._size = 1
        self._refusals = 0

    async def fetch(self, given: int) -> _Fetched:
        """The next pages.

        Args:
            given: Rows that were fetched before.
        """
        size = min(self._size, self._wanted(given))
        if size == 1:
            fetched = await _one_page(self._http, self._pager, self._options)
        else:
            fetched = await self._batch(size)
        self._size = min(self._size * 2, self._most)
        return fetched

    def _wanted(self, given: int) -> int:
        if self._options.max_items is None:
            return self._most
        return max(1, -(-(self._options.max_items - given) // PAGE_SIZE))

    async def _batch(self, size: int) -> _Fetched:
        commands = self._commands(size)
        token = self._http.current_token()
        answer = await self._http.call(
            "batch",
            batch_params(commands, self._http.api_version, halt=True),
            request_id=self._options.request_id,
            timeout=self._options.timeout,
            idempotent=True,
            inner_methods=[self._pager.method],
            times_of=lambda payload: times_by_method(payload, commands),
        )
        _raise_soft(answer)
        pages: list[list[Any]] = []
        for row in read_rows(answer.payload, commands, self._http.api_version):
            if row is None or row.error is not None:
                return await self._interrupted(pages, row, token)
            rows = self._pager.rows(row.payload or {})
            if pages and not self._pager.follows(rows):
                # The reference to the page before was empty, which selects from the start: asked anew from here.
                self._most = self._size = 1
                break
            self._pager.advance(rows)
            pages.append(rows)
            if self._pager.done:
                break
        self._refusals = 0
        return _Fetched([page for page in pages if page])

    def _commands(self, size: int) -> list[Command]:
        pager, commands = self._pager, list[Command]()
        for number in range(size):
            after = None if number == 0 else pager.reference(f"p{number - 1}")
            alias = f"p{number}"
            commands.append(Command(key=alias, alias=alias, method=pager.method, params=pager.params(after)))
        return commands

    async def _interrupted(self, pages: list[list[Any]], row: Row | None, token: str) -> _Fetched:
        """What a batch gave before a page failed; the walk goes on from there when the failure was a refusal."""
        error = row.error if row is not None else None
        if error is None:
            return _Fetched(pages, None if pages else self._incomplete())
        if error.code == _NOT_IN_BATCH:
            self._most = self._size = 1
            return _Fetched(pages)
        self._refusals = 0 if pages else self._refusals + 1
        if not is_refused_command(error) or self._refusals >= self._http.max_attempts:
            return _Fetched(pages, error)
        await self._http.wait_for_refused([(self._pager.method, error)], attempt=self._refusals, token=token)
        return _Fetched(pages)

    def _incomplete(self) -> BadResponseError:
        method = self._pager.method
        return BadResponseError(
            f"The answer to a batch of {method} leaves out its first page",
            code="B24OAUTH_LIST_WALK",
            status=200,
            request_info=RequestInfo(method=method),
        )
