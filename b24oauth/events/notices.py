"""The event for what has no class of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Notice"]


@attrs.frozen(kw_only=True)
class Notice:
    """Anything else that an operator or a developer should know.

    Attributes:
        level: As of `logging`.
        text: What it is about.
        facts: Details by name.
    """

    level: int
    text: str
    facts: Mapping[str, Any] = attrs.field(factory=dict[str, Any])

    def __str__(self) -> str:
        return self.text
