"""Boundaries of the histograms that observers make."""

from __future__ import annotations

from typing import Final

__all__ = ["LEVELS", "SECONDS"]

# A portal answers in 50 ms to some seconds, and ends a request after 60; a method may be blocked for 10 minutes.
SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)
# Parts of a bucket.
LEVELS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
