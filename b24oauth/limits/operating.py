"""How much execution time each method has left at the portal; for batches, each inner method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from b24oauth.limits.params import OperatingLimitConfig

__all__ = ["OperatingLimiter", "OperatingUse"]

# The portal blocks at the limit; the last calls before it would end beyond.
_RESERVE = 5.0
_SHORTEST_LIMIT = 1.0
_WAIT_WITHOUT_RESET = 5.0
_AFTER_RESET = 1.0
_AFTER_REFUSAL = 10.0
_MEMORY_BEYOND_WINDOW = 10.0
_LARGEST_NUMBER = 1e12


@attrs.define
class OperatingUse:
    """What the portal last said about one method.

    Attributes:
        operating: Execution time used within the window, seconds.
        reset_at: When the portal renews the budget, Unix timestamp.
        updated: When it was said, Unix timestamp.
        blocked_until: When a refused method may be tried again, Unix timestamp; None when it was not refused.
    """

    operating: float = 0.0
    reset_at: float = 0.0
    updated: float = 0.0
    blocked_until: float | None = None


class OperatingLimiter:
    """Tells how long a method must wait for its budget.

    Args:
        config: The budget.
        wall_clock: Unix timestamp, seconds; the portal names the reset by it.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    def __init__(self, config: OperatingLimitConfig, *, wall_clock: Callable[[], float]) -> None:
        self.config = config
        self.heavy_requests = 0
        self._wall_clock = wall_clock
        self._uses: dict[str, OperatingUse] = {}

    def use_of(self, method: str) -> OperatingUse | None:
        """What is known of a method, None when nothing is or it is too old."""
        use = self._uses.get(method)
        if use is None:
            return None
        if self._wall_clock() - use.updated > self.config.window + _MEMORY_BEYOND_WINDOW:
            del self._uses[method]
            return None
        return use

    def time_to_free(self, method: str) -> float:
        """Seconds until a method may be called, 0 when it may be now."""
        use = self.use_of(method)
        if use is None:
            return 0.0
        now = self._wall_clock()
        if use.blocked_until is not None:
            return max(0.0, use.blocked_until - now)
        if use.operating < max(_SHORTEST_LIMIT, self.config.limit - _RESERVE):
            return 0.0
        return use.reset_at - now + _AFTER_RESET if use.reset_at > now else _WAIT_WITHOUT_RESET

    def refused(self, method: str) -> float:
        """Notes that the portal refused a method for its execution time.

        Returns:
            Seconds until it may be tried again, for whoever calls it.
        """
        wait = max(_AFTER_REFUSAL, self.time_to_free(method))
        now = self._wall_clock()
        use = self._uses.setdefault(method, OperatingUse())
        use.updated = use.blocked_until = now + wait
        return wait

    def observe(self, method: str, time: Mapping[str, Any] | None) -> None:
        """Notes what an answer says about a method's execution time.

        Args:
            method: The method, for a batch the inner one.
            time: The answer's `time`; it and its parts may be absent.
        """
        # PHP writes an empty `time` as a list.
        if not isinstance(time, Mapping):
            return
        operating = _number(time.get("operating"))
        if operating is None:
            return
        use = self._uses.setdefault(method, OperatingUse())
        use.operating = operating
        reset_at = _number(time.get("operating_reset_at"))
        if reset_at is not None:
            use.reset_at = reset_at
        use.updated = self._wall_clock()
        use.blocked_until = None
        if operating / self.config.limit * 100 > self.config.heavy_percent:
            self.heavy_requests += 1

    def reset(self) -> None:
        """Forgets everything."""
        self._uses.clear()
        self.heavy_requests = 0

    def stats(self) -> dict[str, float]:
        """Execution time used by each method, seconds."""
        return {method: round(use.operating, 2) for method, use in self._uses.items()}


def _number(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    # Neither NaN nor infinity, which would make calls wait for ever.
    return float(value) if abs(value) < _LARGEST_NUMBER else None
