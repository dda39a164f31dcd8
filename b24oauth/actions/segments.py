"""The parts of a walk by identifiers: ranges of them, how densely rows lie there, and what is asked for. Pure."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs

from b24oauth.protocol.listing import PAGE_SIZE

__all__ = ["Ask", "Density", "Segment"]


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
        density: That of its survey, None when its rows do not lie evenly or nothing is known.
        span: Identifiers to a row in what came last, gaps included; None before anything came.
        growth: How many times that of what came before.
        came: Pages that came last.
        rows: How many came.
        pages: Rows that came and were not given on.
        asked: Commands under way.
        least: Pages to ask for at least, since the last ones were not all.
        done: Nothing is left in it.
        error: Why it cannot go on.
    """

    cursor: int
    end: int | None = None
    density: Density | None = None
    span: float | None = None
    growth: float = 1.0
    came: float = 0.0
    rows: int = 0
    pages: deque[list[Any]] = attrs.field(factory=deque[list[Any]])
    asked: int = 0
    least: int = 1
    done: bool = False
    error: Exception | None = None

    def note_span(self, covered: int, rows: int) -> None:
        """Takes in what a request brought: so many identifiers, gaps included, and rows."""
        span, pages = max(1.0, covered / rows), rows / PAGE_SIZE
        # From the middle of what came before to the middle of this.
        between = (self.came + pages) / 2
        self.growth = 1.0 if self.span is None else (span / self.span) ** (pages / between)
        self.span, self.came = span, pages


@attrs.frozen
class Ask:
    """A part of a request: chained pages of a segment.

    Attributes:
        segment: Where they are.
        count: How many.
        whole: That is all that is expected to be left.
        probe: One page without an end, which shows where rows go on.
        greatest: No page, but what the greatest identifier is.
    """

    segment: Segment
    count: int = 1
    whole: bool = False
    probe: bool = False
    greatest: bool = False
