"""Words that the messages of several events share."""

from __future__ import annotations

__all__ = ["failure"]


def failure(status: int, code: str) -> str:
    """What failed: the status, if there was a response, and the code."""
    return f"{status} {code}" if status else f"no response, {code}"
