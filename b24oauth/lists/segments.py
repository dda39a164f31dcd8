"""The parts of a walk by identifiers: ranges of them, how densely rows lie there, and what is asked for. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import attrs

from b24oauth.lists.paging import PAGE_SIZE

__all__ = ["Ask", "Density", "Segment", "Segments"]


@attrs.define(eq=False)
class Density:
    """How densely rows lie in what a survey speaks for; known better with each page.

    Attributes:
        covered: Identifiers that were seen, gaps included.
        rows: How many of them are rows.
    """

    covered: int = 0
    rows: int = 0

    @property
    def span(self) -> float:
        """Identifiers to a row."""
        return max(1.0, self.covered / self.rows) if self.rows else 1.0


@attrs.define(eq=False, kw_only=True)
class Segment:
    """A range of identifiers.

    Attributes:
        cursor: Identifiers up to here are done with.
        end: The last identifier that belongs to it; None for all that follow.
        left: Rows in it that have not come, as the portal counted them; None when it did not.
        density: That of its survey, None when its rows do not lie evenly or nothing is known.
        span: Identifiers to a row in what came last, gaps included; None before anything came.
        rows: How many came.
        pages: Rows that came and were not given on.
        asked: Commands under way.
        least: Pages to ask for at least, since the last ones were not all.
        refused: How often it was refused for now since something came.
        done: Nothing is left in it.
        error: Why it cannot go on.
    """

    cursor: int
    end: int | None = None
    left: int | None = None
    density: Density | None = None
    span: float | None = None
    rows: int = 0
    pages: deque[list[Any]] = attrs.field(factory=deque[list[Any]])
    asked: int = 0
    least: int = 1
    refused: int = 0
    done: bool = False
    error: Exception | None = None

    def take(self, rows: list[Any], *, last: int, done: bool) -> None:
        """Takes in the rows of a page.

        Args:
            rows: Those that belong to the segment.
            last: The last identifier of the page; the cursor where it has none.
            done: Nothing follows.
        """
        self.done = done
        self.cursor = self.end if done and self.end is not None else last
        self.rows += len(rows)
        self.left = None if self.left is None else max(0, self.left - len(rows))
        if rows:
            self.pages.append(rows)


class Segments:
    """All segments of a walk, in the order of their identifiers.

    Args:
        whole: What is to be walked.
    """

    def __init__(self, whole: Segment) -> None:
        self._segments = [whole]

    def __iter__(self) -> Iterator[Segment]:
        """Each in turn, those included that are cut off meanwhile."""
        return iter(self._segments)

    def __len__(self) -> int:
        return len(self._segments)

    @property
    def front(self) -> Segment:
        """The one whose rows come next."""
        return self._segments[0]

    @property
    def last(self) -> Segment:
        """The one with the greatest identifiers."""
        return self._segments[-1]

    @property
    def held(self) -> int:
        """Pages that wait to be given on, and commands under way."""
        return sum(segment.asked + len(segment.pages) for segment in self._segments)

    def remove_front(self) -> None:
        """Goes on with the one behind the front."""
        del self._segments[0]

    def split(self, segment: Segment, cut: int) -> Segment:
        """Cuts off what is behind an identifier; gives the new segment."""
        rest = Segment(cursor=cut, end=segment.end, density=segment.density)
        segment.end = cut
        self._segments.insert(self._segments.index(segment) + 1, rest)
        return rest

    def drop(self, segments: Sequence[Segment]) -> None:
        """Goes on with the segment before some in their place, as if nothing had come in them."""
        for segment in segments:
            self._segments[self._segments.index(segment) - 1].end = segment.end
            self._segments.remove(segment)

    def not_begun(self) -> list[Segment]:
        """Those at the end that nothing is under way in; a page at most has come in all but the first."""
        found: list[Segment] = []
        for segment in reversed(self._segments):
            if segment.asked or segment.done:
                break
            found.insert(0, segment)
            if segment.rows > PAGE_SIZE:
                break
        return found


@attrs.frozen
class Ask:
    """A part of a request: chained pages of a segment.

    Attributes:
        segment: Where they are.
        count: How many.
        whole: That is all that is expected to be left.
        probe: One page without an end, which shows where rows go on.
        mark: One page behind so many rows of the segment; None for the pages that come next.
        greatest: No page, but what the greatest identifier is, and how many rows the list has.
    """

    segment: Segment
    count: int = 1
    whole: bool = False
    probe: bool = False
    mark: int | None = None
    greatest: bool = False
