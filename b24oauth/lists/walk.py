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
from b24oauth.lists.page_requests import NOT_IN_BATCH, PageRequests
from b24oauth.lists.pages import UnorderedRowsError, walk_error, whole_number
from b24oauth.lists.paging import PAGE_SIZE, Pager, PageRequest, Progress
from b24oauth.lists.plan import Plan
from b24oauth.lists.segments import Ask
from b24oauth.protocol.batch import MAX_COMMANDS, Command, Row
from b24oauth.protocol.batch_requests import has_text_reference
from b24oauth.protocol.encoding import encode_query
from b24oauth.rest.client import HttpClient
from b24oauth.rest.retry import took_too_long

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

    async def _follow_identifiers(self, way: ByIdentifier) -> Pages:
        pager, begin, requests = way.pager, way.pager.cursor, self._requests
        chain = KeysetChain(pager=pager, page_size=way.page_size)
        [request] = chain.requests(1)
        [row] = await requests.send([_command(pager.method, 0, request, alone=True)])
        payload = (row.payload if row is not None else None) or {}
        first = chain.read(request, payload)
        self.total = chain.total
        if first:
            yield first
        requests.batches = not has_text_reference(request.params)
        engine = len(first) == PAGE_SIZE and not (pager.descending or pager.reader.keyed)
        if chain.done or not engine:
            async with aclosing(self.in_turn(chain)) as pages:
                async for page in pages:
                    yield page
            return
        pager.cursor = begin
        async with aclosing(self._in_segments(pager, first, whole_number(payload.get("total")))) as pages:
            async for page in pages:
                yield page

    async def _in_segments(self, pager: KeysetPager, first: list[Any], total: int | None) -> Pages:
        most = self._most if self._requests.batches else 1
        concurrency = (self._options.concurrency or _CONCURRENCY) if most > 1 and pager.can_be_cut else 1
        plan = Plan(pager, most=most, concurrency=concurrency, wanted=self._options.max_items)
        [[ask]] = plan.requests(1)
        plan.received(ask, [first], total)
        for _ in plan.pages():
            pass  # the first page, which was yielded already
        count, wanted = len(first), self._options.max_items
        fetcher = _Fetcher(self._http, pager, self._requests, plan)
        try:
            while not plan.finished:
                fetcher.begin(concurrency)
                await asyncio.wait(fetcher.under_way, return_when=asyncio.FIRST_COMPLETED)
                self.total = plan.total if self.total is None else self.total
                for page in plan.pages():
                    count += len(page)
                    if most > 1 and (wanted is None or count < wanted):
                        # On its way while the caller works on what came.
                        fetcher.begin(concurrency)
                    yield page
                if plan.error is not None:
                    raise plan.error
        finally:
            await fetcher.stop()


@attrs.define(eq=False)
class _Part:
    """What a request brought for one of its parts."""

    ask: Ask
    pages: list[list[Any]] = attrs.field(factory=list[list[Any]])
    total: int | None = None
    error: Exception | None = None


class _Fetcher:
    """Sends what a plan asks for, and hands it what comes."""

    def __init__(self, http: HttpClient, pager: KeysetPager, requests: PageRequests, plan: Plan) -> None:
        self.under_way: set[asyncio.Task[None]] = set()
        self._http = http
        self._pager = pager
        self._requests = requests
        self._plan = plan
        self._ended = False

    def begin(self, concurrency: int) -> None:
        """Sends as much as may be under way."""
        if self._ended:
            # Several may have ended in the same turn of the loop: what is left is spread over all of them.
            self.under_way = {task for task in self.under_way if not task.done()}
            self._ended = False
        under_way = len(self.under_way)
        if under_way >= concurrency:
            return
        lasts = self._requests.sizing.seconds or _USUAL_REQUEST
        free = self._http.max_new_requests(concurrency - under_way, under_way, lasts)
        self._plan.limit(self._requests.most)
        for asks in self._plan.requests(free):
            self.under_way.add(asyncio.create_task(self._fetch(asks), name="b24oauth list walk"))

    async def stop(self) -> None:
        """Waits until nothing is under way any more."""
        left = set(self.under_way)
        for task in left:
            task.cancel()
        if left:
            with anyio.CancelScope(shield=True):
                await asyncio.wait(left)

    async def _fetch(self, asks: Sequence[Ask]) -> None:
        count = sum(ask.count for ask in asks)
        try:
            await self._request(asks, count)
        except Exception as error:  # noqa: BLE001 - it is raised where the rows end
            smaller = isinstance(error, AjaxError) and took_too_long(error) and self._requests.sizing.timed_out(count)
            for ask in asks:
                if smaller:
                    self._plan.received(ask, [])
                elif ask.segment.asked:
                    self._plan.failed(ask, error)
        finally:
            self._ended = True

    async def _request(self, asks: Sequence[Ask], count: int) -> None:
        token, commands = self._http.current_token(), list[Command]()
        for ask in asks:
            commands += self._commands(ask, len(commands), alone=count == 1)
        rows = await self._requests.send(commands)
        parts, begin = list[_Part](), 0
        for ask in asks:
            parts.append(self._part(ask, rows[begin : begin + ask.count]))
            begin += ask.count
        refused = await self._refused(parts, token)
        halted = any(row is not None and row.error is not None for row in rows)
        for part in parts:
            if part.error is None:
                part.ask.segment.refused = 0
            error = part.error if part.pages or part.error or halted else _incomplete(self._pager.method)
            self._plan.received(part.ask, part.pages, part.total)
            if error is not None and not refused:
                self._plan.failed(part.ask, error)

    def _commands(self, ask: Ask, begin: int, *, alone: bool) -> list[Command]:
        pager, commands = self._pager, list[Command]()
        until = None if ask.probe else ask.segment.end
        for number in range(begin, begin + ask.count):
            alias = f"p{number}"
            after = ask.segment.cursor if number == begin else pager.reference(f"p{number - 1}")
            if alone:
                params, query = pager.params(after, until, ask.mark), None
            else:
                params = None
                query = pager.query_of_max_id() if ask.greatest else pager.query(after, until, ask.mark)
            commands.append(Command(key=alias, alias=alias, method=pager.method, params=params, query=query))
        return commands

    def _part(self, ask: Ask, rows: Sequence[Row | None]) -> _Part:
        part = _Part(ask)
        for row in rows:
            if row is None or row.error is not None:
                # A page requested behind the last one needs no response.
                ended = any(len(page) < PAGE_SIZE for page in part.pages)
                part.error = None if row is None or ended else row.error
                break
            payload = row.payload or {}
            try:
                part.pages.append(self._pager.rows(payload))
            except BadResponseError as error:
                part.error = error
                break
            part.total = whole_number(payload.get("total"))
        return part

    async def _refused(self, parts: Sequence[_Part], token: str) -> bool:
        """True when a failed command may be sent again, after the waiting that it takes."""
        failed = next((part for part in parts if part.error is not None), None)
        if failed is None or not isinstance(failed.error, AjaxError):
            return False
        if failed.error.code == NOT_IN_BATCH:
            self._plan.go_plainly()
            return True
        segment = failed.ask.segment
        segment.refused = 1 if failed.pages else segment.refused + 1
        return await self._requests.may_repeat(failed.error, segment.refused, token)


def _command(method: str, number: int, request: PageRequest, *, alone: bool) -> Command:
    query = request.query
    if query is None and not alone:
        query = encode_query(request.params)
    return Command(key=number, alias=f"p{number}", method=method, params=request.params, query=query)


def _incomplete(method: str) -> BadResponseError:
    return walk_error(method, f"The response to a batch of {method} leaves out its first page")
