"""How many examples the long tests try: a sample by default, the full number when the environment asks for storms."""

from __future__ import annotations

import os

__all__ = ["STORMS", "examples"]

STORMS = os.environ.get("B24OAUTH_STORMS") == "1"


def examples(sample: int, full: int) -> int:
    """The number of examples to try."""
    return full if STORMS else sample
