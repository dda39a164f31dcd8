"""Pauses before calls of a method that has used up much of its execution time."""

from __future__ import annotations

import math

from b24oauth.limits.operating import OperatingLimiter
from b24oauth.limits.params import AdaptiveConfig

__all__ = ["AdaptiveDelayer"]

_WITHOUT_RESET = 7.0


class AdaptiveDelayer:
    """Tells how long a call should pause, by what its method used before.

    Args:
        config: When and how long.
        operating: Knows what methods used.
    """

    __slots__ = ("_operating", "config", "delays", "total_delay")

    def __init__(self, config: AdaptiveConfig, operating: OperatingLimiter) -> None:
        self.config = config
        self.delays = 0
        self.total_delay = 0.0
        self._operating = operating

    @property
    def pauses_from(self) -> float:
        """Execution time from which calls of a method pause, seconds; infinite when they never do."""
        limit = self._operating.config.limit
        return limit * self.config.threshold_percent / 100 if self.config.enabled else math.inf

    def delay_for(self, method: str) -> float:
        """Seconds a call of this method should pause, 0 for none."""
        use = self._operating.use_of(method) if self.config.enabled else None
        if use is None or use.operating / self._operating.config.limit * 100 <= self.config.threshold_percent:
            return 0.0
        until_reset = self._operating.until_reset(use)
        delay = until_reset * self.config.coefficient if until_reset > 0 else _WITHOUT_RESET
        return min(delay, self.config.max_delay)

    def paused(self, seconds: float) -> None:
        """Notes a pause."""
        self.delays += 1
        self.total_delay += seconds

    def reset(self) -> None:
        """Forgets the pauses."""
        self.delays = 0
        self.total_delay = 0.0
