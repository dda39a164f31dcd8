"""Figures of several rounds: medians, spreads, and ratios that are taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any

import attrs

__all__ = ["Check", "Samples", "Section", "Setup"]


@attrs.define(eq=False)
class Samples:
    """One figure of several contestants, round by round."""

    values: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])

    def add(self, name: str, value: float) -> None:
        """Notes the figure of one round."""
        self.values.setdefault(name, []).append(value)

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def median(self, name: str) -> float:
        """The median of all rounds."""
        return statistics.median(self.values[name])

    def known_median(self, name: str) -> float | None:
        """The median of all rounds; None when there was none."""
        return self.median(name) if name in self.values else None

    def ratio(self, name: str, base: str) -> float | None:
        """The median of the rounds' ratios to another contestant; None when one of them is missing."""
        if name not in self.values or base not in self.values:
            return None
        pairs = zip(self.values[name], self.values[base], strict=False)
        return statistics.median(value / other for value, other in pairs)

    def largest_ratio(self) -> float | None:
        """The largest of all ratios between two of them; None when there are no two."""
        ratios = [self.ratio(one, other) for one, other in permutations(self.values, 2)]
        return max((ratio for ratio in ratios if ratio is not None), default=None)

    def shown(self, name: str, digits: int = 3) -> str:
        """Median and, in brackets, least and largest."""
        values = self.values[name]
        middle = f"{self.median(name):,.{digits}f}"
        return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


@attrs.frozen(kw_only=True)
class Check:
    """One bound that a figure of the run is held against.

    Attributes:
        what: What is bounded, with its unit.
        value: The figure; None when it could not be measured here.
        bound: The bound.
        most: Whether the bound is the most (or the least) that is allowed.
    """

    what: str
    value: float | None
    bound: float
    most: bool = True

    @property
    def met(self) -> bool | None:
        """Whether it is met; None when it was not measured."""
        if self.value is None:
            return None
        return self.value <= self.bound if self.most else self.value >= self.bound


@attrs.frozen(kw_only=True)
class Section:
    """One table of the report.

    Attributes:
        key: Its name in the JSON.
        title: Its heading.
        columns: Heads of the columns; the first one is text, the others are figures.
        rows: The cells.
        notes: Sentences below it.
        checks: Bounds that its figures are held against.
        data: The figures behind it, round by round.
        pictures: File names and SVG texts.
    """

    key: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()
    checks: Sequence[Check] = ()
    data: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    pictures: Mapping[str, str] = attrs.field(factory=dict[str, str])


@attrs.frozen(kw_only=True)
class Setup:
    """How much is measured.

    Attributes:
        rounds: Interleaved rounds of each table.
        quick: Whether everything is made small.
    """

    rounds: int
    quick: bool
