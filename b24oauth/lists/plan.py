"""Plans a walk by identifier in several requests at once: what is requested, and which rows come next. Pure.

The first page tells how many rows there are. Those behind it are divided into segments, one for each request. The first
page of a segment is found by its distance in rows from an identifier that is known; the others follow by identifier,
one page into the next segment. A segment has joined the next one when it has read its first row. When rows were removed
meanwhile it has not, and goes on until it has. So every row is read by identifier from the row before it, and the
number of rows decides only how the work is divided: the last segment ends with a page that is not full.

An example: 20,000 rows and 10 requests at once. The first page leaves 399 pages, which are ten segments of 40. Each is
a request for 41 pages; the second one begins 40 x 50 rows behind the last row of the first page.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from b24oauth.errors import AjaxError, BadResponseError
from b24oauth.lists.keyset import KeysetPager
from b24oauth.lists.paging import PAGE_SIZE

__all__ = ["Plan", "Segment", "SegmentRequest"]

# Pages below which a request of its own is not worth it.
_SMALL_REQUEST: Final = 20
# Pages under way or waiting to be given on: this many times what all requests under way can bring.
_HELD: Final = 2
# A page by distance makes the portal count. One that takes longer than so many requests by identifier is not worth it.
_MOST_REQUESTS: Final = 8
# What counting may take without being compared to anything, seconds.
_CHEAP: Final = 0.3


@attrs.define(eq=False, kw_only=True)
class Segment:
    """Rows that are read one page after another.

    Attributes:
        start: Rows of the list before it, as planned.
        end: Rows of the list up to the next segment, as planned.
        after: The identifier that its first page is behind; None: the beginning of the list.
        skip: Rows between that and its first page.
        wanted: Pages to request, including the page that overlaps the next segment.
        first: Identifier of its first row; None before it came.
        cursor: Identifier of its last row so far; None before one came.
        received: Pages that came.
        pages: Those of them that were not given on, each with the identifiers before and at its end.
        asked: Pages under way.
        growth: Pages to request next when those that were planned did not reach its end.
        refused: How often it was refused for now since something came.
        done: No row follows.
        error: Why it cannot go on.
    """

    start: int
    end: int
    after: int | None
    skip: int = 0
    wanted: int
    first: int | None = None
    cursor: int | None = None
    received: int = 0
    pages: deque[tuple[list[Any], int | None, int]] = attrs.field(factory=deque[tuple[list[Any], int | None, int]])
    asked: int = 0
    growth: int = 1
    refused: int = 0
    done: bool = False
    error: Exception | None = None

    @property
    def position(self) -> int:
        """Rows of the list up to its cursor, as planned."""
        return self.start + self.received * PAGE_SIZE

    @property
    def next_page(self) -> tuple[int | None, int]:
        """The identifier that its next page is behind, and the rows between."""
        return (self.after, self.skip) if self.cursor is None else (self.cursor, 0)


@attrs.frozen(eq=False)
class SegmentRequest:
    """One request for a number of pages of a segment; the portal counts when the first is found by its distance."""

    segment: Segment
    count: int
    counts: bool


class Plan:
    """The state of one walk, from its second page on.

    Args:
        pager: Knows the list.
        first: Rows of the first page, which is full.
        total: How many rows the list has, as the portal counted them.
        most: Pages in one request at most.
        concurrency: Requests under way at most.
        wanted: Rows that the caller wants at most; None for all.
        counting: How long the first page took, for which the portal counted, seconds.
    """

    def __init__(
        self,
        pager: KeysetPager,
        first: Sequence[Any],
        total: int,
        *,
        most: int,
        concurrency: int,
        wanted: int | None = None,
        counting: float = 0.0,
    ) -> None:
        self._pager = pager
        self._most = most
        self._concurrency = concurrency
        self._total = total
        self._target = total if wanted is None else min(total, wanted)
        cursor = pager.last_in_order(first, pager.cursor)
        front = Segment(start=PAGE_SIZE, end=PAGE_SIZE, after=cursor, wanted=0, first=cursor, cursor=cursor)
        self._segments = [front]
        self._emitted = cursor
        self._distances_work = True
        # What counting takes, and a page by identifier, as far as it is known, seconds.
        self._counting = counting
        self._plain: float | None = None

    @property
    def counting_is_slow(self) -> bool:
        """True when pages by distance are not worth the time that the portal takes to count."""
        return self._counting > _CHEAP and self._plain is not None and self._segment_requests == 0

    @property
    def _segment_requests(self) -> int:
        """Requests of a segment, so that its page by distance takes less than they do; 0: no such pages now."""
        if not self._distances_work:
            return 0
        if self._counting <= _CHEAP:
            return 1
        if self._plain is None:
            return 0  # the first request by identifier will tell
        requests = math.ceil(self._counting / max(self._plain * self._most, 0.001))
        return requests if requests <= _MOST_REQUESTS else 0

    # --- what is given on ----------------------------------------------------------------------------------------

    def pages(self) -> Iterator[list[Any]]:
        """The pages that are next in order and have come; rows that were given on already are left out."""
        while True:
            front = self._segments[0]
            while front.pages:
                page, before, last = front.pages.popleft()
                if not self._is_after(last, self._emitted):
                    continue
                if before is None or self._is_after(self._emitted, before):
                    page = [row for row in page if self._is_after(self._pager.identifier(row), self._emitted)]
                self._emitted = last
                yield page
            if len(self._segments) == 1 or not self._joins(front, self._segments[1]):
                return
            del self._segments[0]

    @property
    def finished(self) -> bool:
        """True when every page was given on."""
        front = self._segments[0]
        return front.done and not front.pages and len(self._segments) == 1

    @property
    def error(self) -> Exception | None:
        """Why nothing follows the rows that were given on."""
        return self._segments[0].error

    # --- what is requested ---------------------------------------------------------------------------------------

    def requests(self, free: int) -> list[SegmentRequest]:
        """What to request now.

        Args:
            free: How many requests may begin.
        """
        made: list[SegmentRequest] = []
        is_next = True  # the first segment that is not complete: nothing can be given on without it
        for segment in self._segments:
            if segment.error is not None:
                return made  # what lies behind it is not given on
            count = min(self._pages_needed(segment), self._most)
            if len(made) < free and count and (is_next or count <= self._space()):
                made.append(self._request(segment, count))
            is_next = is_next and not segment.asked
        while len(made) < free and self._unplanned > 0 and self._space() > min(self._unplanned, self._most):
            planned = self._planned_segment(min(free - len(made), max(1, self._space() // self._most)))
            if planned is None:
                break
            made.append(self._request(planned, min(planned.wanted - planned.received, self._most)))
        return made

    def _request(self, segment: Segment, count: int) -> SegmentRequest:
        segment.asked = count
        return SegmentRequest(segment, count, counts=segment.next_page[1] > 0)

    @property
    def _unplanned(self) -> int:
        """Pages that no segment is responsible for."""
        return -(-(self._target - self._segments[-1].end) // PAGE_SIZE)

    def _space(self) -> int:
        """Pages that may be held in memory beside those that are."""
        held = sum(segment.asked + len(segment.pages) for segment in self._segments)
        return _HELD * self._most * self._concurrency - held

    def _pages_needed(self, segment: Segment) -> int:
        """Pages to request of a segment now; 0 when it is complete, or waits for what is under way."""
        if segment.asked or segment.done:
            return 0
        if segment.received < segment.wanted:
            return segment.wanted - segment.received
        if segment is self._segments[-1]:
            enough = self._target < self._total and (segment is not self._segments[0] or bool(segment.pages))
            if self._unplanned > 0 or enough:
                return 0
            pages = 0
        else:
            following = self._segments[self._segments.index(segment) + 1]
            if following.first is None or self._joins(segment, following):
                return 0
            pages = (following.start - segment.position) // PAGE_SIZE + 1
        segment.growth, growth = min(self._most, 2 * segment.growth), segment.growth
        return max(pages, growth)

    def _planned_segment(self, free: int) -> Segment | None:
        """Makes a segment responsible for rows that none was responsible for; None when it has to wait."""
        last, start, requests = self._segments[-1], self._segments[-1].end, self._segment_requests
        if requests == 1:
            # What is left is spread over the requests that may begin, but not too thinly.
            share = max(_SMALL_REQUEST, math.ceil(self._unplanned / free))
            pages = min(self._unplanned, share, max(1, self._most - 1))
        else:
            pages = min(self._unplanned, max(1, requests * self._most - 1) if requests else self._most)
        end = start + pages * PAGE_SIZE
        # One page into the next segment; behind the last row, one that is not full shows that there is no other.
        reaches_end = end >= self._target
        more = self._target == self._total and self._total % PAGE_SIZE == 0 if reaches_end else requests > 0
        wanted = pages + more
        if last.position >= start and not last.asked and not last.done:
            last.wanted, last.end = last.received + wanted - (last.position - start) // PAGE_SIZE, end
            return last
        base = self._base(start)
        if base is None or not requests or last.done:
            return None
        segment = Segment(start=start, end=end, after=base.cursor, skip=start - base.position, wanted=wanted)
        self._segments.append(segment)
        return segment

    def _base(self, start: int) -> Segment | None:
        """The segment that is known furthest, to find a row by its distance from there."""
        known = [segment for segment in self._segments if segment.cursor is not None and segment.position <= start]
        return max(known, key=lambda segment: segment.position, default=None)

    # --- what came -----------------------------------------------------------------------------------------------

    def received(self, request: SegmentRequest, pages: Sequence[list[Any]], seconds: float | None = None) -> None:
        """Takes in what a request brought.

        Args:
            request: The request.
            pages: Its pages, as far as they came.
            seconds: How long it took; None when that says nothing.

        Raises:
            BadResponseError: The walk cannot go on behind the rows of a page.
        """
        segment, segment.asked = request.segment, 0
        if segment not in self._segments:
            return
        if seconds is not None and len(pages) == request.count:
            self._took(request, seconds)
        before: list[Any] | None = None
        for page in pages:
            if segment.done or (before is not None and len(before) < PAGE_SIZE):
                return  # a reference to the last row of a full page led nowhere
            if segment.cursor is None:
                if not self._begins(segment, page):
                    return
            elif before and not page and not self._ends_as_counted(segment):
                return  # a reference may have led nowhere: the next page is requested by the identifier itself
            elif before and page and not self._is_after(self._pager.identifier(page[-1]), segment.cursor):
                # The portal did not follow the reference to the page before, which selects from the beginning.
                self.read_singly()
                return
            self._take(segment, page)
            before = page

    def _ends_as_counted(self, segment: Segment, rows: int = 0) -> bool:
        """True when the last segment has as many rows as the portal counted."""
        return segment is self._segments[-1] and segment.position + rows >= self._total

    def _begins(self, segment: Segment, page: list[Any]) -> bool:
        """False for a first page that is of no use: the segment before goes on instead."""
        if not page:
            # The list is shorter than it was; how long it is, the segment before will show.
            is_last = segment is self._segments[-1]
            self._drop(segment)
            if is_last:
                rows = self._segments[-1].end
                self._total, self._target = min(self._total, rows), min(self._target, rows)
            return False
        number = self._segments.index(segment)
        before, behind = self._segments[number - 1].first, self._segments[number + 1 : number + 2]
        try:
            self._pager.last_in_order(page, segment.after)
            segment.first = first = self._pager.identifier(page[0])
        except BadResponseError:
            in_order = False
        else:
            follows = before is None or self._is_after(first, before)
            in_order = follows and all(one.first is None or self._is_after(one.first, first) for one in behind)
        if not in_order:
            self._distances_work = False  # they do not lead where they should
            self._drop(segment)
        return in_order

    def _take(self, segment: Segment, page: list[Any]) -> None:
        before = segment.after if segment.cursor is None else segment.cursor
        # A page that is not full is the last one, unless there should be more rows: then an empty one is.
        segment.done = not page or (len(page) < PAGE_SIZE and self._ends_as_counted(segment, len(page)))
        segment.received += 1
        if page:
            segment.cursor = last = self._pager.last_in_order(page, before)
            segment.pages.append((page, before, last))

    def _drop(self, segment: Segment) -> None:
        """Takes a segment for never having been planned: the one before it goes on in its place."""
        self._segments.remove(segment)

    def _took(self, request: SegmentRequest, seconds: float) -> None:
        if not request.counts:
            page = seconds / request.count
            self._plain = page if self._plain is None else max(page, 0.8 * self._plain)
        elif self._plain is not None:
            self._counting = seconds - request.count * self._plain

    def timed_out(self, request: SegmentRequest) -> None:
        """Notes that a request took too long; its pages are requested again.

        Args:
            request: The request.
        """
        segment, segment.asked = request.segment, 0
        if request.counts and segment in self._segments:
            self._distances_work = False
            self._drop(segment)

    def failed(self, request: SegmentRequest, error: Exception) -> None:
        """Notes that a segment cannot go on.

        Args:
            request: The request that failed for good.
            error: Why.
        """
        segment, segment.asked = request.segment, 0
        if segment.cursor is not None:
            segment.error = error
        elif segment in self._segments:
            # The segment before goes on in its place; what keeps the portal from it, that one will meet.
            self._distances_work = self._distances_work and isinstance(error, AjaxError) and error.retryable
            self._drop(segment)

    def limit(self, most: int) -> None:
        """Bounds the pages of each request from now on.

        Args:
            most: Pages in one request at most.
        """
        if most == 1:
            self.read_singly()
        else:
            self._most = most

    def read_singly(self) -> None:
        """From now on each request asks for one page, as a call of its own, and none begins by its distance."""
        self._most, self._distances_work = 1, False

    # --- order ---------------------------------------------------------------------------------------------------

    def _is_after(self, one: int, other: int) -> bool:
        return one < other if self._pager.descending else one > other

    def _joins(self, segment: Segment, following: Segment) -> bool:
        """True when nothing is left between the two."""
        if following.first is None:
            return False
        reached = segment.cursor is not None and not self._is_after(following.first, segment.cursor)
        return segment.done or reached
