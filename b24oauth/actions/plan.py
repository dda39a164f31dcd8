"""Plans a walk by identifiers: what is asked for, with which request, and in which order rows are given on. Pure.

The identifiers still to be seen are cut into segments. A segment is a walk of its own: pages behind its cursor, up to
its end; only the last one may be open. When a list proves long, a survey asks for single pages all over it. Where those
lie evenly, pieces that fill a request are cut off ahead of those under way. Where they do not, the survey is dropped,
and the walk stays one segment, which is only asked for as much more as it has given already. What was asked for in vain
is counted: while it is too much, nothing is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from b24oauth.actions.segments import Ask, Density, Segment
from b24oauth.protocol.listing import PAGE_SIZE, KeysetPager

__all__ = ["Plan"]

_PROBES: Final = 9
# Pages that one survey speaks for, in windows.
_SURVEYED_WINDOWS: Final = 4
# The pages of a survey lie evenly when none spans more or less than this many times the usual.
_EVEN: Final = 2.0
# The distance between rows counts as growing when it does by more than this from request to request.
_STEADY: Final = 1.1
# Pages under way or waiting for those before them: this many times what all requests under way can bring.
_HELD: Final = 2
# Pages below which a request, and the remainder or the beginning of a segment in it, is not worth it.
_SMALL_REQUEST: Final = 20
_SMALL_PIECE: Final = 5
# What is left is long when it takes more requests than this.
_LONG: Final = 2
# Commands that found nothing, as far as that is no reason to stop guessing: so many, and a share of the useful ones.
_FREE_WASTE: Final = 10
_MOST_WASTE: Final = 0.05


class Plan:
    """The state of one walk.

    Args:
        pager: Knows the list, and where the walk begins.
        most: Commands of one request.
        concurrency: Requests under way; 1 for a plain chain.
        wanted: Rows wanted at most; None for all.
    """

    def __init__(
        self,
        pager: KeysetPager,
        *,
        most: int,
        concurrency: int,
        wanted: int | None = None,
    ) -> None:
        self.useful = self.wasted = self.rows = 0
        self._most = most
        self._concurrency = concurrency
        self._wanted = wanted
        self._pager = pager
        self._id_of = pager.identifier
        self._segments = [Segment(cursor=pager.cursor, end=pager.last)]
        self._overall = Density()
        self._greatest: int | None = None
        self._wants_greatest = concurrency > 1
        self._surveyed_to = pager.cursor
        self._surveyed: list[Segment] = []
        self._unmeasured: set[Segment] = set()
        self._spans: dict[Segment, float] = {}

    # --- what is given on ------------------------------------------------------------------------------------------

    def pages(self) -> Iterator[list[Any]]:
        """The pages that are next in order and have come."""
        while True:
            front = self._segments[0]
            while front.pages:
                yield front.pages.popleft()
            if not front.done or front.asked or len(self._segments) == 1:
                return
            del self._segments[0]

    @property
    def finished(self) -> bool:
        """True when every page was given on."""
        front = self._segments[0]
        return front.done and not (front.asked or front.pages) and len(self._segments) == 1

    @property
    def error(self) -> Exception | None:
        """Why nothing follows the rows that were given on."""
        return self._segments[0].error

    # --- what is asked for -----------------------------------------------------------------------------------------

    def requests(self, free: int) -> list[list[Ask]]:
        """What to ask for now; each request is a list of parts.

        Args:
            free: How many requests may begin.
        """
        if free < 1:
            return []
        if self._is_long() and not self._unmeasured:
            return self._survey(free)
        made: list[list[Ask]] = []
        share = self._share(free)
        while len(made) < free and (asks := self._request(share)):
            made.append(asks)
        return made

    def _share(self, free: int) -> int:
        """Pages of a request: what is left is spread over those that may begin, but not too thinly."""
        expected = [self._expected(segment) for segment in self._askable() if self._is_even(segment)]
        if not expected:
            return self._most
        least = _SMALL_REQUEST if max(expected) > _SMALL_REQUEST else _SMALL_PIECE
        return min(self._most, max(least, -(-sum(expected) // free)))

    def _request(self, room: int) -> list[Ask]:
        asks: list[Ask] = []
        for segment in self._askable():
            expected = self._expected(segment)
            count = min(expected, room, self._still_wanted())
            if segment is self._segments[0]:
                count = max(1, count)  # or nothing could ever be given on
            elif count < 1 or count > self._space() or (asks and count < min(_SMALL_PIECE, expected)):
                break
            asks.append(self._ask(segment, count))
            room -= count
        if asks and self.rows and self._wants_greatest and self._is_wanted(self._most):
            self._wants_greatest = False
            asks.append(Ask(asks[0].segment, greatest=True))
        return asks

    def _ask(self, segment: Segment, count: int) -> Ask:
        pages = self._pages_left(segment)
        segment.asked = count
        if self._is_even(segment) and pages > count:
            surely = max(1, count - self._slack(segment))
            self._split(segment, segment.cursor + math.ceil(surely * PAGE_SIZE * self._span_in(segment)))
        return Ask(segment, count, whole=pages <= count)

    def _askable(self) -> Iterator[Segment]:
        """Segments that may be asked for more, those made meanwhile included; none behind one that failed."""
        position = 0
        while position < len(self._segments):
            segment = self._segments[position]
            if segment.error is not None:
                return
            waits = bool(self._unmeasured) and segment in self._surveyed
            if not (segment.asked or segment.done or waits):
                yield segment
            position += 1

    def _split(self, segment: Segment, cut: int) -> Segment:
        rest = Segment(cursor=cut, end=segment.end, density=segment.density)
        segment.end = cut
        self._segments.insert(self._segments.index(segment) + 1, rest)
        return rest

    # --- estimates ---------------------------------------------------------------------------------------------------

    @property
    def _trusted(self) -> bool:
        return self.wasted <= _FREE_WASTE + _MOST_WASTE * self.useful

    def _is_even(self, segment: Segment) -> bool:
        return segment.density is not None and self._trusted

    def _span_in(self, segment: Segment) -> float:
        if segment.density is not None:
            return segment.density.span
        return segment.span or self._overall.span

    def _slack(self, segment: Segment) -> int:
        """Pages more than expected in a piece, since rows with gaps between them never lie quite evenly."""
        return 0 if self._span_in(segment) <= 1.0 else 1

    def _end_of(self, segment: Segment) -> int:
        known = segment.cursor if self._greatest is None else max(self._greatest, segment.cursor)
        return known if segment.end is None else min(segment.end, known)

    def _pages_left(self, segment: Segment) -> int:
        return math.ceil((self._end_of(segment) - segment.cursor) / self._span_in(segment) / PAGE_SIZE)

    def _fewest_left(self, segment: Segment) -> int:
        """Pages left where rows lie ever further apart, if they go on like that."""
        pages, growth = self._pages_left(segment), segment.growth
        if growth <= _STEADY:
            return pages
        return math.ceil(segment.came * math.log1p(pages / segment.came * (1 - 1 / growth)) / math.log(growth))

    def _expected(self, segment: Segment) -> int:
        """Pages to ask for."""
        pages, seen = self._pages_left(segment), segment.rows // PAGE_SIZE
        if self._is_even(segment):
            return max(segment.least, pages + self._slack(segment) if pages > 1 else 1)
        if pages > 0:
            sure = self._trusted or segment is self._segments[0]
            affordable = self._fewest_left(segment) + max(0, int(_MOST_WASTE * self.useful) - self.wasted)
            return max(segment.least, min(pages, affordable, 2 * seen if sure else seen // 2))
        # Behind the greatest identifier, or not knowing it.
        return 1 if segment.cursor == self._greatest else seen + 1

    def _space(self) -> int:
        """Pages that may still be held before they are given on."""
        held = sum(segment.asked + len(segment.pages) for segment in self._segments)
        return _HELD * self._most * self._concurrency - held

    def _still_wanted(self) -> int:
        """Pages that the caller wants beside those under way."""
        if self._wanted is None:
            return self._most
        return -(-(self._wanted - self.rows) // PAGE_SIZE) - sum(segment.asked for segment in self._segments)

    def _is_wanted(self, pages: int) -> bool:
        return self._wanted is None or self._wanted - self.rows > pages * PAGE_SIZE

    # --- surveys -----------------------------------------------------------------------------------------------------

    def _is_long(self) -> bool:
        """True when so much is left that a survey pays, and none speaks for it."""
        last = self._segments[-1]
        if self._greatest is None or self._concurrency == 1 or last.asked or last.done or not self._trusted:
            return False
        long = _LONG * self._most
        window = self._most * self._concurrency * PAGE_SIZE * self._span_in(last)
        surveyed = self._surveyed_to - last.cursor > window
        done = surveyed or self._surveyed_to >= self._greatest
        return not done and self._pages_left(last) > long and self._space() > long and self._is_wanted(long)

    def _survey(self, free: int) -> list[list[Ask]]:
        """Single pages at even distances, each the beginning of a segment."""
        last = self._segments[-1]
        pages = self._pages_left(last)
        most = _SURVEYED_WINDOWS * self._most * self._concurrency
        self._surveyed_to = (
            self._end_of(last) if pages <= most else last.cursor + int(most * PAGE_SIZE * self._span_in(last))
        )
        step = (self._surveyed_to - last.cursor) // (_PROBES + 1)
        begin, self._surveyed, self._spans = last.cursor, [last], {last: self._span_in(last)}
        last.density = None
        for number in range(1, _PROBES + 1):
            probe = self._split(self._surveyed[-1], begin + number * step)
            probe.asked = 1
            self._surveyed.append(probe)
            self._unmeasured.add(probe)
        wave = self._most * self._concurrency
        # When all requests may be under way at once, the survey should not take longer than it must.
        size = -(-_PROBES // free) if pages <= wave else _PROBES
        asks = [Ask(segment, probe=True) for segment in self._surveyed[1:]]
        return [asks[at : at + size] for at in range(0, _PROBES, size)]

    def _measured(self, segment: Segment, page: Sequence[Any]) -> None:
        if segment not in self._unmeasured:
            return
        self._unmeasured.discard(segment)
        if page and (segment.end is None or self._id_of(page[0]) <= segment.end):
            self._spans[segment] = (self._id_of(page[-1]) - segment.cursor) / len(page)

    def _judge(self) -> None:
        """Ends a survey that is complete: of use when all of its pages span about as much as usual."""
        if self._unmeasured or not self._surveyed:
            return
        spans = [self._spans.get(segment, math.inf) for segment in self._surveyed]
        usual = sorted(spans)[len(spans) // 2]
        if usual <= min(spans) * _EVEN and max(spans) <= usual * _EVEN:
            density = Density(covered=round(sum(spans) * PAGE_SIZE), rows=len(spans) * PAGE_SIZE)
            for segment in self._surveyed:
                segment.density = density
        else:
            self._drop(self._surveyed[1:])
        self._surveyed = []

    def _drop(self, segments: Sequence[Segment]) -> None:
        """Goes on with one segment in the place of many; their rows come once more."""
        keep = self._segments[self._segments.index(segments[0]) - 1]
        keep.end = segments[-1].end
        for segment in segments:
            self._segments.remove(segment)
            self.rows -= segment.rows
            self.useful -= len(segment.pages)
            self.wasted += len(segment.pages)

    # --- what came ---------------------------------------------------------------------------------------------------

    def received(self, ask: Ask, pages: Sequence[list[Any]]) -> None:
        """Takes in what a part of a request brought.

        Args:
            ask: The part.
            pages: Its pages, as far as they came.

        Raises:
            BadResponseError: A row has no usable identifier.
        """
        if ask.greatest:
            self._greatest = self._id_of(pages[0][0]) if pages and pages[0] else None
            return
        segment, before, rows = ask.segment, ask.segment.cursor, ask.segment.rows
        if ask.probe:
            self._measured(segment, pages[0] if pages else [])
        self._take_all(ask, pages)
        segment.asked = 0
        if segment.rows > rows:
            segment.note_span(segment.cursor - before, segment.rows - rows)
        self._judge()

    def _take_all(self, ask: Ask, pages: Sequence[list[Any]]) -> None:
        segment = ask.segment
        # More than the estimate came: it is too low, so each time twice as much is asked for.
        segment.least = 2 * segment.least if ask.whole and ask.count <= segment.least else 1
        for position, page in enumerate(pages):
            if segment.done:
                self.wasted += 1
            elif position and page and self._id_of(page[0]) <= segment.cursor:
                # The reference to the page before was empty, which selects from the start: asked anew from here.
                self.go_plainly()
                return
            else:
                self._take(segment, page)

    def _take(self, segment: Segment, page: list[Any]) -> None:
        before, end = segment.cursor, segment.end
        last = self._id_of(page[-1]) if page else before
        if page and last <= before:
            raise self._pager.stuck()
        rows = page if end is None or last <= end else [row for row in page if self._id_of(row) <= end]
        segment.done = len(page) < PAGE_SIZE or (end is not None and last >= end)
        segment.cursor = end if segment.done and end is not None else last
        for density in filter(None, (self._overall, segment.density)):
            density.covered += segment.cursor - before
            density.rows += len(rows)
        if not rows:
            self.wasted += 1
            return
        self.useful += 1
        self.rows += len(rows)
        segment.rows += len(rows)
        segment.pages.append(rows)

    def failed(self, ask: Ask, error: Exception) -> None:
        """Notes that a part of a request failed for good."""
        ask.segment.asked = 0
        if ask.greatest:
            return
        ask.segment.error = error
        self._unmeasured.discard(ask.segment)
        self._judge()

    def go_plainly(self) -> None:
        """From now on each request asks for one page, as a call of its own."""
        self._most = self._concurrency = 1
        self._wants_greatest = False
