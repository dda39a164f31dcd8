"""Types of options of lists, apart from what uses them, so that naming one loads nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal

__all__ = ["Paging", "Progress"]

Paging = Literal["keyset", "offset", "nav"]

# What is called with the rows read so far and how many there are in all, None when nobody knows.
Progress = Callable[[int, int | None], Awaitable[object] | object]
