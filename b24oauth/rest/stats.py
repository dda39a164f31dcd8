"""How many calls were made and how they ended."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from b24oauth.limits.manager import RestrictionManagerStats

__all__ = ["CallCounter", "HttpStats", "MethodStats"]

_KEPT_ERRORS = 100


@attrs.define
class MethodStats:
    """Calls of one method.

    Attributes:
        count: How many were sent, repeats included.
        total_duration: How long they took together, waiting included, seconds.
    """

    count: int = 0
    total_duration: float = 0.0


@attrs.frozen(kw_only=True)
class HttpStats:
    """What a client did so far.

    Attributes:
        total_requests: Attempts to make a call.
        successful_requests: Those that came through.
        failed_requests: Those that did not.
        by_method: Attempts by method.
        last_errors: Method and message of the last errors.
        limits: What the portal's limits did, for all clients that share them.
    """

    total_requests: int
    successful_requests: int
    failed_requests: int
    by_method: Mapping[str, MethodStats]
    last_errors: tuple[tuple[str, str], ...]
    limits: RestrictionManagerStats


class CallCounter:
    """Counts attempts."""

    __slots__ = ("_by_method", "_failed", "_last_errors", "_succeeded")

    def __init__(self) -> None:
        self._succeeded = self._failed = 0
        self._by_method: dict[str, MethodStats] = {}
        self._last_errors: list[tuple[str, str]] = []

    @property
    def succeeded(self) -> int:
        """How many attempts came through."""
        return self._succeeded

    def count(self, method: str, seconds: float, error: str | None = None) -> None:
        """Counts one attempt.

        Args:
            method: REST method.
            seconds: Time since the call began.
            error: What went wrong, None for a success.
        """
        if error is None:
            self._succeeded += 1
        else:
            self._failed += 1
            self._last_errors = [*self._last_errors[1 - _KEPT_ERRORS :], (method, error)]
        known = self._by_method.get(method)
        if known is None:
            known = self._by_method[method] = MethodStats()
        known.count += 1
        known.total_duration += seconds

    def stats(self, limits: RestrictionManagerStats) -> HttpStats:
        """The counts, as a copy."""
        return HttpStats(
            total_requests=self._succeeded + self._failed,
            successful_requests=self._succeeded,
            failed_requests=self._failed,
            by_method={method: attrs.evolve(known) for method, known in self._by_method.items()},
            last_errors=tuple(self._last_errors),
            limits=limits,
        )

    def reset(self) -> None:
        """Resets all counters."""
        self._succeeded = self._failed = 0
        self._by_method.clear()
        self._last_errors.clear()
