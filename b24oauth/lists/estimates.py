"""What is known of a list that is being walked, and how much of it a segment is expected to hold. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

import attrs

from b24oauth.lists.paging import PAGE_SIZE
from b24oauth.lists.segments import Density, Segment

__all__ = ["Estimates"]

# Commands that found nothing, as far as that is no reason to stop guessing: so many, and a share of the useful ones.
_FREE_WASTE: Final = 10
_MOST_WASTE: Final = 0.05
# Pages by which estimates may be wrong, at least, and the share of those left.
_MISCOUNT: Final = 20
_MISCOUNT_SHARE: Final = 0.25


@attrs.define(eq=False)
class Estimates:
    """What is known of a list.

    Attributes:
        rows: How many came.
        useful: Commands that brought them.
        wasted: Commands that found nothing new.
        greatest: The greatest identifier; None when it is not known.
        total: How many rows there are, as the portal counted them; None when it did not.
        overall: How densely those lie that came.
    """

    rows: int = 0
    useful: int = 0
    wasted: int = 0
    greatest: int | None = None
    total: int | None = None
    overall: Density = attrs.field(factory=Density)

    @property
    def affordable(self) -> int:
        """Wasted commands still allowed; below zero, known densities are not trusted any more."""
        return math.floor(_FREE_WASTE + _MOST_WASTE * self.useful - self.wasted)

    def is_even(self, segment: Segment) -> bool:
        """True when rows lie evenly in it."""
        return segment.density is not None and self.affordable >= 0

    def span_in(self, segment: Segment) -> float:
        """Identifiers to a row in it."""
        if segment.density is not None:
            return segment.density.span
        return segment.span or self.overall.span

    def slack(self, segment: Segment) -> int:
        """Pages more than expected in a piece of it, since rows with gaps between them never lie quite evenly."""
        return 0 if self.span_in(segment) <= 1.0 else 1

    def end_of(self, segment: Segment) -> int:
        """The last identifier in it, as far as is known."""
        known = segment.cursor if self.greatest is None else max(self.greatest, segment.cursor)
        return known if segment.end is None else min(segment.end, known)

    def pages_left(self, segment: Segment) -> int:
        """Pages that are expected in it; where the portal counted, one more shows that there is no other."""
        if segment.left is not None and not self.is_even(segment):
            return segment.left // PAGE_SIZE + 1
        return math.ceil((self.end_of(segment) - segment.cursor) / self.span_in(segment) / PAGE_SIZE)

    def counted(self, segment: Segment, rows: int | None) -> int | None:
        """So many rows behind its cursor; None when there cannot be so many: the portal counted something else."""
        return rows if rows is not None and 0 <= rows <= self.end_of(segment) - segment.cursor else None

    def is_as_counted(self, segments: Iterable[Segment]) -> bool:
        """False when there are many more or fewer rows than all segments are expected to hold."""
        if self.total is None:
            return True
        counted = (self.total - self.rows) / PAGE_SIZE
        expected = sum(self.pages_left(segment) for segment in segments if not segment.done)
        return abs(counted - expected) <= max(_MISCOUNT, _MISCOUNT_SHARE * counted)
