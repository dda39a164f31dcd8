"""Plans a walk by identifiers: what is asked for, with which request, and in which order rows are given on. Pure.

The identifiers still to be seen are cut into segments. A segment is a walk of its own: pages behind its cursor, up to
its end; only the last one may be open. When a list proves long, a survey asks for single pages all over it. Where those
lie evenly, pieces that fill a request are cut off ahead of those under way. Where they do not, the list is cut by the
number of rows instead. Where the portal does not count either, the walk stays one segment.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from b24oauth.lists.cuts import Mark, Marks, Survey, are_alike, in_requests, spread
from b24oauth.lists.estimates import Estimates
from b24oauth.lists.keyset import KeysetPager
from b24oauth.lists.paging import PAGE_SIZE
from b24oauth.lists.segments import Ask, Segment, Segments

__all__ = ["Plan"]

_PROBES: Final = 9
# Pages that one survey speaks for, in windows.
_SURVEYED_WINDOWS: Final = 4
# Pages under way or waiting for those before them: this many times what all requests under way can bring.
_HELD: Final = 2
# Pages below which a request, and the remainder or the beginning of a segment in it, is not worth it.
_SMALL_REQUEST: Final = 20
_SMALL_PIECE: Final = 5
# What is left is long when it takes more requests than this.
_LONG: Final = 2
# More pages than any list has.
_ALL: Final = 10**9


class Plan:
    """The state of one walk.

    Args:
        pager: Knows the list, and where the walk begins.
        most: Commands of one request.
        concurrency: Requests under way; 1 for a plain chain.
        wanted: Rows wanted at most; None for all.
    """

    def __init__(self, pager: KeysetPager, *, most: int, concurrency: int, wanted: int | None = None) -> None:
        self._most = most
        self._concurrency = concurrency
        self._wanted = wanted
        self._pager = pager
        self._id_of = pager.identifier
        begin = pager.cursor or 0
        self._segments = Segments(Segment(cursor=begin, end=pager.last))
        self._known = Estimates()
        self._wants_greatest = most > 1
        self._surveyed_to = begin
        self._survey: Survey | None = None
        self._uneven = False
        self._marks: Marks | None = None
        # Marks of small requests would need more of these than they save.
        self._counts = most >= _SMALL_REQUEST
        self._marks_at_once = concurrency

    # --- what is given on ------------------------------------------------------------------------------------------

    def pages(self) -> Iterator[list[Any]]:
        """The pages that are next in order and have come."""
        while True:
            front = self._segments.front
            while front.pages:
                yield front.pages.popleft()
            if not front.done or front.asked or len(self._segments) == 1:
                return
            self._segments.remove_front()

    @property
    def finished(self) -> bool:
        """True when every page was given on."""
        front = self._segments.front
        return front.done and not (front.asked or front.pages) and len(self._segments) == 1

    @property
    def total(self) -> int | None:
        """How many rows the list has, as the portal counted them; None when it did not."""
        return self._known.total

    @property
    def error(self) -> Exception | None:
        """Why nothing follows the rows that were given on."""
        return self._segments.front.error

    # --- what is asked for -----------------------------------------------------------------------------------------

    def requests(self, free: int) -> list[list[Ask]]:
        """What to ask for now; each request is a list of parts.

        Args:
            free: How many requests may begin.
        """
        if free < 1:
            return []
        made = self._cuts(free) if self._concurrency > 1 else []
        share = self._share(free)
        while len(made) < free and (asks := self._request(share)):
            made.append(asks)
        return made

    def _share(self, free: int) -> int:
        """Pages of a request: what is left is spread over those that may begin, but not too thinly."""
        sure = (segment for segment in self._askable() if self._known.is_even(segment) or segment.left is not None)
        expected = [self._expected(segment) for segment in sure]
        if not expected:
            return self._most
        least = _SMALL_REQUEST if max(expected) > _SMALL_REQUEST else _SMALL_PIECE
        return min(self._most, max(least, -(-sum(expected) // free)))

    def _request(self, share: int) -> list[Ask]:
        asks: list[Ask] = []
        for segment in self._askable():
            expected = self._expected(segment)
            # Only where rows lie evenly may a segment be cut wherever it suits.
            room = share if asks or self._known.is_even(segment) else self._most
            count = min(expected, room - sum(ask.count for ask in asks), self._still_wanted())
            if segment is self._segments.front and not segment.pages:
                count = max(1, count)  # or nothing could ever be given on
            elif count < (self._least_piece(segment, expected) if asks else 1) or count > self._space():
                break
            asks.append(self._ask(segment, count))
        if asks and self._known.rows and self._wants_greatest and self._still_wanted() > self._most:
            self._wants_greatest = False
            asks.append(Ask(asks[0].segment, greatest=True))
        return asks

    def _ask(self, segment: Segment, count: int) -> Ask:
        pages = self._known.pages_left(segment)
        segment.asked = count
        if self._known.is_even(segment) and pages > count:
            surely = max(1, count - self._known.slack(segment))
            self._segments.split(segment, segment.cursor + math.ceil(surely * PAGE_SIZE * self._known.span_in(segment)))
        return Ask(segment, count, whole=pages <= count)

    def _least_piece(self, segment: Segment, expected: int) -> int:
        """Pages below which the beginning of a segment does not go with what is before it."""
        return min(_SMALL_PIECE, expected) if self._known.is_even(segment) else expected

    def _askable(self) -> Iterator[Segment]:
        """Segments that may be asked for more; none behind one that failed."""
        for segment in self._segments:
            if segment.error is not None:
                return
            waits = self._survey is not None and segment in self._survey.segments
            if not (segment.asked or segment.done or waits):
                yield segment

    # --- estimates ---------------------------------------------------------------------------------------------------

    def _expected(self, segment: Segment) -> int:
        """Pages to ask for."""
        pages, seen = self._known.pages_left(segment), segment.rows // PAGE_SIZE
        if self._known.is_even(segment):
            expected = pages + self._known.slack(segment) if pages > 1 else 1
        elif segment.left is not None:
            expected = pages
        elif pages > 0:
            sure = self._known.affordable >= 0 or segment is self._segments.front
            expected = min(pages, 2 * seen if sure else seen // 2)
        else:
            # Behind the greatest identifier, or not knowing it.
            expected = 1 if segment.cursor == self._known.greatest else seen + 1
        return max(segment.least, expected)

    def _space(self) -> int:
        """Pages that may still be held before they are given on."""
        return _HELD * self._most * self._concurrency - self._segments.held

    def _still_wanted(self) -> int:
        """Pages that the caller wants beside those under way."""
        if self._wanted is None:
            return _ALL
        return -(-(self._wanted - self._known.rows) // PAGE_SIZE) - sum(segment.asked for segment in self._segments)

    # --- cuts --------------------------------------------------------------------------------------------------------

    def _cuts(self, free: int) -> list[list[Ask]]:
        """What is asked for to learn where what is left can be cut, if it is long enough."""
        last = self._segments.last
        if last.asked or last.done or self._survey is not None or self._known.greatest is None:
            return []
        if any(segment.error for segment in self._segments):
            return []
        if not self._uneven and (self._known.affordable < 0 or not self._known.is_as_counted(self._segments)):
            self._uneven = True
            self._drop(self._segments.not_begun()[1:])
            last = self._segments.last
        if self._uneven:
            last.density = None
        # What is short, the portal counts quickly.
        short = last.left is not None and last.left <= _SURVEYED_WINDOWS * self._most * self._concurrency * PAGE_SIZE
        if self._counts and last.density is None and (self._uneven or short):
            return self._ask_marks(free) if self._wants_marks(last) else []
        return self._ask_survey(free) if not self._uneven and self._wants_survey(last) else []

    def _wants_survey(self, last: Segment) -> bool:
        """True when so much is left that a survey pays, and none speaks for it."""
        long = _LONG * self._most
        window = self._most * self._concurrency * PAGE_SIZE * self._known.span_in(last)
        surveyed = self._surveyed_to - last.cursor > window or self._surveyed_to >= self._known.end_of(last)
        return not surveyed and min(self._known.pages_left(last), self._space(), self._still_wanted()) > long

    def _ask_survey(self, free: int) -> list[list[Ask]]:
        last, pages = self._segments.last, self._known.pages_left(self._segments.last)
        most = _SURVEYED_WINDOWS * self._most * self._concurrency
        far = last.cursor + int(most * PAGE_SIZE * self._known.span_in(last))
        self._surveyed_to = self._known.end_of(last) if pages <= most else far
        step = (self._surveyed_to - last.cursor) // (_PROBES + 1)
        begin, survey = last.cursor, Survey([last], usual=self._known.span_in(last))
        last.density = None
        for number in range(1, _PROBES + 1):
            probe = self._segments.split(survey.segments[-1], begin + number * step)
            probe.asked = 1
            survey.segments.append(probe)
            survey.waiting.add(probe)
        self._survey = survey
        asks = [Ask(segment, probe=True) for segment in survey.segments[1:]]
        return in_requests(asks, self._most, free if pages <= self._most * self._concurrency else 1)

    def _wants_marks(self, last: Segment) -> bool:
        """True when what is left takes several requests, and few others can begin before."""
        before = [segment for segment in self._segments if not (segment is last or segment.asked or segment.done)]
        few = sum(map(self._known.pages_left, before)) < self._most * self._concurrency
        long = min(self._known.pages_left(last), self._still_wanted()) > self._most
        return few and long and self._space() > self._most

    def _ask_marks(self, free: int) -> list[list[Ask]]:
        last = self._segments.last
        pages = None if last.left is None else min(self._known.pages_left(last), self._still_wanted())
        of_segment, count = spread(pages, most=self._most, concurrency=self._concurrency, at_once=self._marks_at_once)
        count = min(count, free * self._most if pages is not None else self._known.affordable)
        self._marks = Marks(last, of_segment * PAGE_SIZE, max(1, count))
        last.asked = len(self._marks.waiting)
        # The first ones are waited for; those that follow are asked for in time.
        self._marks_at_once = self._most
        asks = [Ask(last, mark=rows_before) for rows_before in self._marks.waiting]
        short = pages is not None and pages <= self._most * self._concurrency
        return in_requests(asks, self._most, free if short else 1)

    def _judge(self) -> None:
        """Ends a survey that is complete: of use when rows lie evenly, else they are walked as if it had not been."""
        survey = self._survey
        if survey is None or survey.waiting:
            return
        self._survey = None
        density = survey.density()
        if density is None:
            self._uneven = True
            self._drop(survey.segments[1:])
            return
        for segment in survey.segments:
            segment.density, segment.left = density, None

    def _drop(self, segments: Sequence[Segment]) -> None:
        """Takes some for never having been cut off; their rows come once more."""
        self._segments.drop(segments)
        for segment in segments:
            self._known.rows -= segment.rows
            self._known.useful -= len(segment.pages)
            self._known.wasted += len(segment.pages)

    def _cut(self, marks: Marks) -> None:
        """Cuts a segment at its marks, which are the first pages of what follows."""
        self._marks = None
        segment = marks.segment
        left = segment.left if marks.total is None else self._known.counted(segment, marks.total)
        segment.asked = taken = 0
        for mark in marks.usable():
            rest = self._segments.split(segment, mark.first - 1)
            segment.left = marks.distance - taken
            rest.left = left = None if left is None else max(0, left - marks.distance)
            self._take(rest, mark.page)
            segment, taken = rest, len(mark.page)
        self._known.wasted += marks.wasted
        self._counts = marks.lost or segment is not marks.segment

    # --- what came ---------------------------------------------------------------------------------------------------

    def received(self, ask: Ask, pages: Sequence[list[Any]], total: int | None = None) -> None:
        """Takes in what a part of a request brought.

        Args:
            ask: The part.
            pages: Its pages, as far as they came.
            total: How many rows there are in all, where the portal counted.

        Raises:
            BadResponseError: A row has no usable identifier.
        """
        if ask.greatest:
            self._learn_extent(ask.segment, pages, total)
        elif ask.mark is not None:
            self._learn_mark(ask.mark, pages, total)
        else:
            self._learn_rows(ask, pages)

    def _learn_extent(self, segment: Segment, pages: Sequence[list[Any]], total: int | None) -> None:
        self._known.greatest = self._id_of(pages[0][0]) if pages and pages[0] else None
        segment.left = self._known.counted(segment, None if total is None else total - self._known.rows)
        self._known.total = None if segment.left is None else total
        if segment.left:
            overall = max(1.0, (self._known.end_of(segment) - segment.cursor) / segment.left)
            self._uneven = not are_alike(overall, self._known.span_in(segment))

    def _learn_mark(self, rows_before: int, pages: Sequence[list[Any]], total: int | None) -> None:
        marks = self._marks
        if marks is None or rows_before not in marks.waiting:
            return
        ids = [self._id_of(row) for page in pages for row in page]
        marks.note(rows_before, Mark(ids[0], ids[-1], pages[0]) if ids else None, total)
        marks.lost = marks.lost or not pages
        if not marks.waiting:
            self._cut(marks)

    def _learn_rows(self, ask: Ask, pages: Sequence[list[Any]]) -> None:
        segment, before, rows = ask.segment, ask.segment.cursor, ask.segment.rows
        if ask.probe and self._survey is not None:
            self._survey.note(segment, [self._id_of(row) for page in pages for row in page])
        self._take_all(ask, pages)
        segment.asked = 0
        if segment.rows > rows:
            segment.span = max(1.0, (segment.cursor - before) / (segment.rows - rows))
        self._judge()

    def _take_all(self, ask: Ask, pages: Sequence[list[Any]]) -> None:
        segment = ask.segment
        # More than the estimate came: it is too low, so each time twice as much is asked for.
        segment.least = 2 * segment.least if ask.whole and ask.count <= segment.least else 1
        for position, page in enumerate(pages):
            if segment.done:
                self._known.wasted += 1
            elif position and page and self._id_of(page[-1]) <= segment.cursor:
                # The reference to the page before was empty, which selects from the start: asked anew from here.
                self.go_plainly()
                return
            else:
                self._take(segment, page)

    def _take(self, segment: Segment, page: list[Any]) -> None:
        before, end = segment.cursor, segment.end
        last = self._pager.last_in_order(page, before) if page else before
        rows = page if end is None or last <= end else [row for row in page if self._id_of(row) <= end]
        segment.take(rows, done=len(page) < PAGE_SIZE or (end is not None and last >= end), last=last)
        for density in filter(None, (self._known.overall, segment.density)):
            density.covered += segment.cursor - before
            density.rows += len(rows)
        self._known.rows += len(rows)
        self._known.useful += bool(rows)
        self._known.wasted += not rows

    def failed(self, ask: Ask, error: Exception) -> None:
        """Notes that a part of a request failed for good."""
        if ask.greatest:
            return
        if ask.mark is not None:
            # What keeps the portal from answering it, the pages that come next will tell.
            self._learn_mark(ask.mark, [[]], None)
            return
        ask.segment.asked = 0
        ask.segment.error = error
        if ask.probe and self._survey is not None:
            self._survey.note(ask.segment, [])
        self._judge()

    def limit(self, most: int) -> None:
        """Bounds the pages of each request from now on.

        Args:
            most: Pages in one request at most.
        """
        if most == 1:
            self.go_plainly()
        elif self._most > 1:
            self._most = most

    def go_plainly(self) -> None:
        """From now on each request asks for one page, as a call of its own."""
        self._most = self._concurrency = 1
        self._wants_greatest = False
