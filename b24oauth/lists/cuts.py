"""Where a long list is cut: at even identifiers where rows lie evenly, else at even numbers of rows. Pure.

A survey asks for single pages at even distances; when each spans about as many identifiers as the others, they tell how
densely rows lie. Marks are pages at even numbers of rows, wherever these lie: the portal counts for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import attrs

from b24oauth.lists.paging import PAGE_SIZE
from b24oauth.lists.segments import Ask, Density, Segment

__all__ = ["Mark", "Marks", "Survey", "are_alike", "in_requests", "spread"]

# Rows lie evenly when no page of a survey spans more or less than this many times the usual.
_EVEN: Final = 2.0
# Pages below which a segment is not worth a request.
_SMALL: Final = 20


def are_alike(*spans: float) -> bool:
    """True when rows that span so many identifiers lie evenly."""
    usual = sorted(spans)[len(spans) // 2]
    return usual <= min(spans) * _EVEN and max(spans) <= usual * _EVEN


@attrs.define(eq=False)
class Survey:
    """Pages at even distances, each the beginning of a segment.

    Attributes:
        segments: The surveyed one and what was cut off it, in their order.
        usual: Identifiers to a row before the first of those pages.
        waiting: Segments whose page has not come.
    """

    segments: list[Segment]
    usual: float = attrs.field(kw_only=True)
    waiting: set[Segment] = attrs.field(factory=set[Segment], init=False)
    _spans: list[float] = attrs.field(factory=list[float], init=False)

    def note(self, segment: Segment, ids: Sequence[int]) -> None:
        """Notes the identifiers of a page that came; none when it was lost."""
        self.waiting.discard(segment)
        inside = bool(ids) and (segment.end is None or ids[0] <= segment.end)
        self._spans.append((ids[-1] - segment.cursor) / len(ids) if inside else math.inf)

    def density(self) -> Density | None:
        """How densely rows lie, None when they do not lie evenly."""
        spans = [self.usual, *self._spans]
        if not are_alike(*spans):
            return None
        return Density(covered=round(sum(spans) * PAGE_SIZE), rows=len(spans) * PAGE_SIZE)


def in_requests(asks: Sequence[Ask], most: int, free: int) -> list[list[Ask]]:
    """Single pages in as many requests as may begin, so that none takes longer than it must."""
    size = min(most, -(-len(asks) // free))
    return [list(asks[at : at + size]) for at in range(0, len(asks), size)]


def spread(pages: int | None, *, most: int, concurrency: int, at_once: int) -> tuple[int, int]:
    """How a list is cut by the number of rows.

    Args:
        pages: Its length; None when it is not known.
        most: Commands of one request.
        concurrency: Requests under way.
        at_once: Segments that may be cut off.

    Returns:
        Pages of a segment, and how many segments are cut off its beginning.
    """
    # The command behind the last page, which shows that there is no more, goes with the same request.
    largest = most - 1
    if pages is None:
        return largest, at_once
    if whole := pages // (largest * concurrency):
        return largest, min(at_once, whole * concurrency)
    # The last requests shall be as long as each other.
    count = max(math.ceil(pages / largest), min(concurrency, pages // _SMALL))
    return math.ceil(pages / count), count - 1


@attrs.frozen
class Mark:
    """A page that was found by the number of rows before it.

    Attributes:
        first: The identifier of its first row.
        last: That of its last.
        page: Its rows.
    """

    first: int
    last: int
    page: list[Any]


class Marks:
    """Marks at even distances.

    Args:
        segment: What is to be cut there.
        distance: Rows between them.
        count: How many.

    Attributes:
        waiting: Numbers of rows before those that have not come.
        total: Rows behind the segment's cursor, as the portal counted them; None when it did not.
        lost: One was not answered, which tells nothing about the others.
        wasted: Marks that are of no use.
    """

    def __init__(self, segment: Segment, distance: int, count: int) -> None:
        self.segment = segment
        self.distance = distance
        self.waiting = [distance * number for number in range(1, count + 1)]
        self.total: int | None = None
        self.lost = False
        self.wasted = 0
        self._found: dict[int, Mark] = {}

    def note(self, rows_before: int, mark: Mark | None, total: int | None) -> None:
        """Notes what came; no mark when the list is shorter."""
        self.waiting.remove(rows_before)
        self.total = self.total if total is None else total
        if mark is None:
            self.wasted += 1
        else:
            self._found[rows_before] = mark

    def usable(self) -> Iterator[Mark]:
        """Marks that lie as far apart as they should; the first that does not says that the portal does not count."""
        before = reached = self.segment.cursor
        for number, (rows_before, mark) in enumerate(sorted(self._found.items()), 1):
            # So many rows have so many identifiers at least.
            too_near = mark.first - before <= self.distance or mark.first <= reached
            if rows_before != number * self.distance or too_near:
                self.wasted += len(self._found) - number + 1
                return
            yield mark
            before, reached = mark.first - 1, mark.last
