"""Walks a list: by identifiers in several requests at once, or page by page, with the next request on its way.

A walk yields every row once, in order, or raises. Nothing here decides what is asked for; plans and pagers do.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

import anyio
import attrs

from b24oauth.actions.batch_codec import MAX_COMMANDS, Command, Row, batch_params, read_rows, times_by_method
from b24oauth.actions.batch_requests import has_text_reference
from b24oauth.actions.options import Progress
from b24oauth.actions.plan import Plan
from b24oauth.actions.segments import Ask
from b24oauth.errors import AjaxError, BadResponseError, RequestInfo
from b24oauth.http.client import HttpClient
from b24oauth.http.retry import is_refused_command
from b24oauth.narrowing import is_mapping
from b24oauth.protocol.listing import PAGE_SIZE, KeysetPager, Pager
from b24oauth.protocol.pages import whole_number
from b24oauth.result import AjaxResult

__all__ = ["SoftError", "WalkOptions", "walk"]

# Unless the caller says otherwise; the gate of the client lets no more through by default.
_CONCURRENCY: Final = 10
# How long a request lasts at the portal as long as it does not say so, seconds.
_USUAL_REQUEST: Final = 1.0
# The portal ends what takes longer, seconds.
_LONGEST_REQUEST: Final = 60.0
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
        pages_per_request: Pages in one batch at most; None finds it out.
        concurrency: Requests under way at once; None finds it out, 1 is a plain chain.
    """

    request_id: str
    timeout: float | None = None
    max_items: int | None = None
    on_progress: Progress | None = None
    pages_per_request: int | None = None
    concurrency: int | None = None


async def walk(http: HttpClient, pager: Pager | KeysetPager, options: WalkOptions) -> AsyncGenerator[list[Any], None]:
    """The pages of a list, none of them empty.

    Args:
        http: Makes REST calls of the API version that the pager speaks.
        pager: Knows the list.
        options: How it is made.

    Raises:
        AjaxError: A request failed, or the walk cannot go on; pages before it were given.
        SoftError: A request failed with a soft error.
    """
    given = 0
    source = _in_segments(http, pager, options) if isinstance(pager, KeysetPager) else _in_turn(http, pager, options)
    async with aclosing(source) as pages:
        async for page in pages:
            rows = page if options.max_items is None else page[: options.max_items - given]
            given += len(rows)
            if options.on_progress is not None:
                await _tell(options.on_progress, given, getattr(pager, "total", None))
            if rows:
                yield rows
            if options.max_items is not None and given >= options.max_items:
                return


async def _in_turn(http: HttpClient, pager: Pager, options: WalkOptions) -> AsyncGenerator[list[Any], None]:
    while not pager.done:
        answer = await _page(http, pager.method, pager.params(), options)
        if rows := pager.read(answer.payload):
            yield rows


async def _in_segments(http: HttpClient, pager: KeysetPager, options: WalkOptions) -> AsyncGenerator[list[Any], None]:
    most = min(options.pages_per_request or MAX_COMMANDS, MAX_COMMANDS)
    if has_text_reference(pager.given):
        most = 1  # in a batch the portal would fill in the caller's text
    concurrency = (options.concurrency or _CONCURRENCY) if most > 1 and pager.can_be_cut else 1
    plan = Plan(pager, most=most, concurrency=concurrency, wanted=options.max_items)
    fetcher = _Fetcher(http, pager, options, plan)
    try:
        while not plan.finished:
            fetcher.begin(concurrency)
            await asyncio.wait(fetcher.under_way, return_when=asyncio.FIRST_COMPLETED)
            for page in plan.pages():
                if most > 1:
                    # On its way while the caller works on what came.
                    fetcher.begin(concurrency)
                yield page
            if plan.error is not None:
                raise plan.error
    finally:
        await fetcher.stop()


async def _page(http: HttpClient, method: str, params: Any, options: WalkOptions) -> AjaxResult[Any]:
    answer = await http.call(method, params, request_id=options.request_id, timeout=options.timeout, idempotent=True)
    _raise_soft(answer)
    return answer


async def _tell(on_progress: Progress, done: int, total: int | None) -> None:
    told = on_progress(done, total)
    if inspect.isawaitable(told):
        await told


def _duration(time: object, otherwise: float) -> float:
    duration = time.get("duration") if is_mapping(time) else None
    return float(duration) if isinstance(duration, (int, float)) and 0 < duration < _LONGEST_REQUEST else otherwise


def _raise_soft(answer: AjaxResult[Any]) -> None:
    for error in answer.get_errors():
        raise SoftError(error) if isinstance(error, AjaxError) else error


@attrs.define(eq=False)
class _Part:
    """What a request brought for one of its parts."""

    ask: Ask
    pages: list[list[Any]] = attrs.field(factory=list[list[Any]])
    total: int | None = None
    error: Exception | None = None


class _Fetcher:
    """Sends what a plan asks for, and hands it what comes."""

    def __init__(self, http: HttpClient, pager: KeysetPager, options: WalkOptions, plan: Plan) -> None:
        self.under_way: set[asyncio.Task[None]] = set()
        self._http = http
        self._pager = pager
        self._options = options
        self._plan = plan
        self._refusals = http.refusals()
        self._lasts = _USUAL_REQUEST
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
        free = self._http.worth_beginning(concurrency - under_way, under_way, self._lasts)
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
        try:
            if len(asks) == 1 and asks[0].count == 1:
                params = self._pager.params(asks[0].segment.cursor, self._until(asks[0]), asks[0].mark)
                answer = await _page(self._http, self._pager.method, params, self._options)
                total = whole_number(answer.payload.get("total"))
                self._plan.received(asks[0], [self._pager.rows(answer.payload)], total)
            else:
                await self._batch(asks)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the rows end
            for ask in asks:
                if ask.segment.asked:
                    self._plan.failed(ask, error)
        finally:
            self._ended = True

    async def _batch(self, asks: Sequence[Ask]) -> None:
        method, token = self._pager.method, self._http.current_token()
        commands: list[Command] = []
        for ask in asks:
            commands += self._commands(ask, len(commands))
        answer = await self._http.call(
            "batch",
            batch_params(commands, self._http.api_version, halt=True),
            request_id=self._options.request_id,
            timeout=self._options.timeout,
            idempotent=True,
            inner_methods=[method],
            times_of=lambda payload: times_by_method(payload, commands),
        )
        _raise_soft(answer)
        self._lasts = _duration(answer.payload.get("time"), self._lasts)
        rows = read_rows(answer.payload, commands, self._http.api_version)
        parts, begin = list[_Part](), 0
        for ask in asks:
            parts.append(self._part(ask, rows[begin : begin + ask.count]))
            begin += ask.count
        refused = await self._refused(parts, token)
        halted = any(row is not None and row.error is not None for row in rows)
        for part in parts:
            error = part.error if part.pages or part.error or halted else self._incomplete()
            self._plan.received(part.ask, part.pages, part.total)
            if error is not None and not refused:
                self._plan.failed(part.ask, error)

    def _commands(self, ask: Ask, begin: int) -> list[Command]:
        pager, commands = self._pager, list[Command]()
        for number in range(begin, begin + ask.count):
            after = ask.segment.cursor if number == begin else pager.reference(f"p{number - 1}")
            query = pager.query_of_greatest() if ask.greatest else pager.query(after, self._until(ask), ask.mark)
            alias = f"p{number}"
            commands.append(Command(key=alias, alias=alias, method=pager.method, params=pager.given, query=query))
        return commands

    @staticmethod
    def _until(ask: Ask) -> int | None:
        return None if ask.probe else ask.segment.end

    def _part(self, ask: Ask, rows: Sequence[Row | None]) -> _Part:
        part = _Part(ask)
        for row in rows:
            if row is None or row.error is not None:
                # What is asked for behind the last page needs no answer.
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
        if failed.error.code == _NOT_IN_BATCH:
            self._plan.go_plainly()
            return True
        segment = failed.ask.segment
        segment.refused = 1 if failed.pages else segment.refused + 1
        if not is_refused_command(failed.error) or segment.refused >= self._http.max_attempts:
            return False
        return await self._refusals.wait(
            [(self._pager.method, failed.error)],
            attempt=segment.refused - 1,
            token=token,
            timeout=self._options.timeout,
        )

    def _incomplete(self) -> BadResponseError:
        method = self._pager.method
        return BadResponseError(
            f"The answer to a batch of {method} leaves out its first page",
            code="B24OAUTH_LIST_WALK",
            status=200,
            request_info=RequestInfo(method=method),
        )
