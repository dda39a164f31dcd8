"""Exponential back-off, used by all retries of the library."""

from __future__ import annotations

from typing import Final

__all__ = ["exponential"]

_MOST_DOUBLINGS: Final = 64  # beyond any cap, and below what a float can hold


def exponential(attempt: int, *, first: float, longest: float) -> float:
    """Seconds to wait, twice as long each time.

    Args:
        attempt: Number of previous retries.
        first: The first wait, seconds.
        longest: The longest wait, seconds.
    """
    return min(longest, first * 2.0 ** min(attempt, _MOST_DOUBLINGS))
