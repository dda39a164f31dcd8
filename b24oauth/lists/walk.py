"""Walks a list: by identifier in several requests at once, or page by page, several pages in one request.

A walk yields every row once, in order, or raises. Nothing here decides what is requested; plans and pagers do.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import anyio
import attrs

from b24oauth.errors import AjaxError, BadResponseError
from b24oauth.lists.choosing import ByIdentifier
from b24oauth.lists.keyset import KeysetChain, KeysetPager
from b24oauth.lists.kinds import Progress
from b24oauth.lists.page_requests import NOT_IN_BATCH, PageRequests
from b24oauth.lists.pages import UnorderedRowsError, walk_error
from b24oauth.lists.paging import PAGE_SIZE, Pager, PageRequest
from b24oauth.lists.plan import Plan, Segment, SegmentRequest
from b24oauth.protocol.batch import MAX_COMMANDS, Command, Row
from b24oauth.protocol.batch_requests import has_text_reference
from b24oauth.protocol.encoding import encode_query
from b24oauth.rest.client import HttpClient
from b24oauth.rest.retry import took_too_long
from b24oauth.shapes import whole_number

__all__ = ["WalkOptions", "walk"]

# Requests under way at once by default; the client's gate admits no more by default either.
_CONCURRENCY: Final = 10
# Assumed duration of a request until one has been measured, seconds.
_USUAL_REQUEST: Final = 1.0

Pages = AsyncGenerator[list[Any], None]


@attrs.frozen(kw_only=True)
class WalkOptions:
    """How a walk is made.

    Attributes:
        request_id: Shown in the portal's log, the same for all requests.
        timeout: For each request, with its waiting and repeats, seconds.
        max_items: Rows to yield at most.
        on_progress: Called after each page with the number of rows so far and, where known, of all.
        pages_per_request: Pages in one batch at most; None: as many as are worth it.
        concurrency: Requests under way at once; None: the default, 1: one after another.
    """

    request_id: str
    timeout: float | None = None
    max_items: int | None = None
    on_progress: Progress | None = None
    pages_per_request: int | None = None
    concurrency: int | None = None


async def walk(http: HttpClient, way: ByIdentifier | Pager, options: WalkOptions) -> Pages:
    """The pages of a list, none of them empty.

    Args:
        http: Makes REST calls of the API version that the pager speaks.
        way: How the list is read.
        options: How the walk is made.

    Raises:
        AjaxError: A request failed, or the walk cannot go on; pages before it were yielded.
        ListChangedError: Rows were added or deleted while the list was read by position.
        SoftError: A request failed with a soft error.
    """
    if options.max_items == 0:
        return
    count, walker = 0, _Walker(http, way, options)
    source = walker.by_identifier(way) if isinstance(way, ByIdentifier) else walker.in_turn(way)
    async with aclosing(source) as pages:
        async for page in pages:
            rows = page if options.max_items is None else page[: options.max_items - count]
            if count:
                # Pages may be ready without a wait: other tasks get their turn, and a cancellation takes effect here.
                await asyncio.sleep(0)
            count += len(rows)
            if options.on_progress is not None:
                outcome = options.on_progress(count, walker.total)
                if inspect.isawaitable(outcome):
                    await outcome
            yield rows
            if options.max_items is not None and count >= options.max_items:
                return


class _Walker:
    """One walk.

    Attributes:
        total: How many rows the list has, as far as it is known.
    """

    def __init__(self, http: HttpClient, way: ByIdentifier | Pager, options: WalkOptions) -> None:
        self.total: int | None = None
        self._http = http
        self._options = options
        self._most = options.pages_per_request or MAX_COMMANDS
        method = way.pager.method if isinstance(way, ByIdentifier) else way.method
        self._requests = PageRequests(
            http, method, request_id=options.request_id, timeout=options.timeout, most=self._most
        )

    async def by_identifier(self, way: ByIdentifier) -> Pages:
        """The pages by identifier; by position where the portal turns out not to follow identifiers."""
        count, first = 0, list[Any]()
        try:
            async with aclosing(self._follow_identifiers(way)) as pages:
                async for page in pages:
                    count, first = count + 1, first or page
                    yield page
            if count or not way.doubtful:
                return
        except UnorderedRowsError:
            if way.insists or count > 1:
                raise
        pager = way.by_position()
        if count:
            pager.resume(first)
        async with aclosing(self.in_turn(pager)) as pages:
            async for page in pages:
                if way.insists:
                    raise walk_error(
                        pager.method,
                        f"{pager.method} has rows, but returns none when they are filtered by `{way.pager.field}`: "
                        "name another field with id_key and cursor_id_key, or leave both and paging out",
                    )
                yield page

    async def in_turn(self, pager: Pager) -> Pages:
        """The pages that a pager requests, one request after another."""
        refused, requests = 0, self._requests
        while wanted := pager.requests(requests.most):
            if len(wanted) > 1 and has_text_reference(wanted[0].params):
                # In a batch the portal would replace the caller's text by another command's response.
                requests.batches, wanted = False, wanted[:1]
            commands = [
                _command(pager.method, number, one, alone=len(wanted) == 1) for number, one in enumerate(wanted)
            ]
            token = self._http.current_token()
            try:
                rows = await requests.send(commands)
            except AjaxError as failure:
                if not took_too_long(failure) or not requests.sizing.timed_out(len(wanted)):
                    raise
                continue
            for one, row in zip(wanted, rows, strict=True):
                if pager.done:
                    break  # pages after the last one need no response
                if row is None or row.error is not None:
                    error = _incomplete(pager.method) if row is None else row.error
                    refused += 1
                    if error is not None and not await requests.may_repeat(error, refused, token):
                        raise error
                    break
                page, refused = pager.read(one, row.payload or {}), 0
                self.total = pager.total if self.total is None else self.total
                if page:
                    yield page
                elif one.params is None:
                    break  # what follows was requested by references that lead nowhere

    async def _follow_identifiers(self, way: ByIdentifier) -> Pages:
        pager, requests = way.pager, self._requests
        chain = KeysetChain(pager=pager, page_size=way.page_size)
        begin, concurrency = pager.cursor, self._options.concurrency or _CONCURRENCY
        in_parallel = self._most > 1 and concurrency > 1 and not pager.reader.keyed
        counts = in_parallel and pager.kind not in self._http.slow_counts
        [request] = chain.requests(1)
        if counts:
            request = attrs.evolve(request, params=pager.params(begin, skip=0))
        try:
            [row] = await requests.send([_command(pager.method, 0, request, alone=True)], counts=counts)
        except AjaxError as failure:
            if not counts or not took_too_long(failure):
                raise
            counts = False
            self._http.slow_counts[pager.kind] = None
            [request] = chain.requests(1)
            [row] = await requests.send([_command(pager.method, 0, request, alone=True)])
        payload = (row.payload if row is not None else None) or {}
        first, total = chain.read(request, payload), whole_number(payload.get("total"))
        self.total = chain.total
        requests.batches = not has_text_reference(request.params)
        if first:
            yield first
        counts = counts and requests.batches and not pager.reader.keyed
        if chain.done or not (counts and len(first) == PAGE_SIZE < (total or 0)):
            async with aclosing(self.in_turn(chain)) as pages:
                async for page in pages:
                    yield page
            return
        self.total, pager.cursor = total, begin
        plan = Plan(
            pager,
            first,
            total or 0,
            most=self._most,
            concurrency=concurrency,
            wanted=self._options.max_items,
            counting=requests.sizing.seconds or 0.0,
        )
        async with aclosing(self._in_segments(pager, plan, len(first))) as pages:
            async for page in pages:
                yield page
        if plan.counting_is_slow:
            self._http.slow_counts[pager.kind] = None

    async def _in_segments(self, pager: KeysetPager, plan: Plan, count: int) -> Pages:
        wanted = self._options.max_items
        fetcher = _Fetcher(self._http, pager, self._requests, plan, self._options.concurrency or _CONCURRENCY)
        try:
            while not plan.finished:
                fetcher.begin()
                await asyncio.wait(fetcher.under_way, return_when=asyncio.FIRST_COMPLETED)
                for page in plan.pages():
                    count += len(page)
                    if wanted is None or count < wanted:
                        fetcher.begin()  # on its way while the caller works on what came
                    yield page
                if plan.error is not None:
                    raise plan.error
        finally:
            await fetcher.stop()


class _Fetcher:
    """Sends what a plan requests, and hands it what comes."""

    def __init__(
        self, http: HttpClient, pager: KeysetPager, requests: PageRequests, plan: Plan, concurrency: int
    ) -> None:
        self.under_way: set[asyncio.Task[None]] = set()
        self._http = http
        self._pager = pager
        self._requests = requests
        self._plan = plan
        self._concurrency = concurrency
        self._ended = False

    def begin(self) -> None:
        """Sends as much as may be under way."""
        if self._ended:
            # Several may have ended in the same turn of the loop: what is left is spread over all of them.
            self.under_way = {task for task in self.under_way if not task.done()}
            self._ended = False
        under_way = len(self.under_way)
        if under_way >= self._concurrency:
            return
        lasts = self._requests.sizing.seconds or _USUAL_REQUEST
        free = self._http.max_new_requests(self._concurrency - under_way, under_way, lasts)
        self._plan.limit(self._requests.most)
        for request in self._plan.requests(free):
            self.under_way.add(asyncio.create_task(self._fetch(request), name="b24oauth list walk"))

    async def stop(self) -> None:
        """Waits until nothing is under way any more."""
        left = set(self.under_way)
        for task in left:
            task.cancel()
        if left:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(left)

    async def _fetch(self, request: SegmentRequest) -> None:
        try:
            await self._send(request)
        except Exception as error:  # noqa: BLE001 - it is raised where the rows end
            slow = isinstance(error, AjaxError) and took_too_long(error)
            if slow and (self._requests.sizing.timed_out(request.count) or request.counts):
                self._plan.timed_out(request)
            else:
                self._plan.failed(request, error)
        finally:
            self._ended = True

    async def _send(self, request: SegmentRequest) -> None:
        token, segment = self._http.current_token(), request.segment
        rows = await self._requests.send(self._commands(request))
        pages, error = self._pages(rows)
        if error is None and not pages:
            error = _incomplete(self._pager.method)
        # Nothing is requested of the segment while it waits until it may go on.
        goes_on = error is None or await self._may_repeat(error, segment, token, began=bool(pages))
        if error is None:
            segment.refused = 0
        self._plan.received(request, pages, self._requests.sizing.seconds)
        if error is not None and not goes_on:
            self._plan.failed(request, error)

    def _commands(self, request: SegmentRequest) -> list[Command]:
        pager = self._pager
        after, skip = request.segment.next_page
        counted = skip or None
        if request.count == 1:
            params = pager.params(after, skip=counted)
            return [Command(key="p0", alias="p0", method=pager.method, params=params, query=None)]
        queries = [pager.query(after, skip=counted)]
        queries += [pager.query(pager.reference(f"p{number}")) for number in range(request.count - 1)]
        return [
            Command(key=f"p{number}", alias=f"p{number}", method=pager.method, params=None, query=query)
            for number, query in enumerate(queries)
        ]

    def _pages(self, rows: Sequence[Row | None]) -> tuple[list[list[Any]], Exception | None]:
        """The pages of a response, and why there are no more of them."""
        pages: list[list[Any]] = []
        for row in rows:
            if row is None or row.error is not None:
                # A page requested behind the last one needs no response.
                ended = bool(pages) and len(pages[-1]) < PAGE_SIZE
                return pages, None if row is None or ended else row.error
            try:
                pages.append(self._pager.rows(row.payload or {}))
            except BadResponseError as error:
                return pages, error
        return pages, None

    async def _may_repeat(self, error: Exception, segment: Segment, token: str, *, began: bool) -> bool:
        """True when pages that were refused may be requested again, after the waiting that it takes."""
        if not isinstance(error, AjaxError):
            return False
        if error.code == NOT_IN_BATCH:
            self._plan.read_singly()
            self._requests.batches = False
            return True
        segment.refused = 1 if began else segment.refused + 1
        return await self._requests.may_repeat(error, segment.refused, token)


def _command(method: str, number: int, request: PageRequest, *, alone: bool) -> Command:
    query = request.query
    if query is None and not alone:
        query = encode_query(request.params)
    return Command(key=number, alias=f"p{number}", method=method, params=request.params, query=query)


def _incomplete(method: str) -> BadResponseError:
    return walk_error(method, f"The response to a batch of {method} leaves out its first page")
