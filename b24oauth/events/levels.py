"""Levels of events below those of `logging`: few observers need them. An observer asks for them by its `level`."""

from __future__ import annotations

from typing import Final

__all__ = ["CONTENT", "TRACE"]

# Begin and end of each HTTP request and of each refresh.
TRACE: Final = 7
# Bodies of requests and responses.
CONTENT: Final = 5
