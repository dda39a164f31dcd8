"""The portal's leaky bucket: who may send next, and when. The only user of aiolimiter.

Two facts about `AsyncLimiter` shape this file: a newcomer may overtake those who wait, so a lock stands in front of it;
and its rate is fixed when it is built, so slowing down makes each call cost more instead.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from aiolimiter import AsyncLimiter

from b24oauth.limits.params import RateLimitConfig

__all__ = ["RateLimiter"]

_ERRORS_TO_SLOW_DOWN = 5
_SUCCESSES_TO_RECOVER = 20
_ERROR_MEMORY = 60.0
_LOWEST_DRAIN_RATE = 0.5
_LOWEST_BURST_LIMIT = 5.0
_MARGIN = 0.08


class RateLimiter:
    """Admits calls in the order of their arrival, at the portal's pace.

    Args:
        config: The bucket.
        wall_clock: Unix timestamp, seconds.
    """

    def __init__(self, config: RateLimitConfig, *, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._turn = asyncio.Lock()
        self._errors: deque[float] = deque()
        self._successes = 0
        self._waited = False
        self._use(config)

    async def set_config(self, config: RateLimitConfig) -> None:
        """Replaces the bucket by one as full as the old; those who wait go on with the new one."""
        level = _level_of(self._bucket)
        self._use(config)
        # Never waits: it is new and empty.
        await self._bucket.acquire(min(level, self._bucket.max_rate))

    def reset(self) -> None:
        """Back to the configured rate, with an empty bucket."""
        self._use(self._config)

    def _use(self, config: RateLimitConfig) -> None:
        self._config = config
        self.burst_limit = config.burst_limit
        self.drain_rate = config.drain_rate
        self._errors.clear()
        self._successes = 0
        self._cost = 1.0
        self._bucket = self._new_bucket()

    @property
    def config(self) -> RateLimitConfig:
        """The bucket as configured."""
        return self._config

    @property
    def recent_errors(self) -> int:
        """Refusals of the last minute since the rate was changed."""
        return len(self._errors)

    @property
    def recent_successes(self) -> int:
        """Successes since the last refusal or change of the rate."""
        return self._successes

    def must_wait(self) -> bool:
        """True when a call that came now would not be admitted at once."""
        return self._turn.locked() or not self._bucket.has_capacity(self._cost)

    async def acquire(self) -> None:
        """Waits for a place in the bucket. Who is cancelled while waiting takes none."""
        async with self._turn:
            while True:
                bucket = self._bucket
                waits = not bucket.has_capacity(self._cost)
                # Calls do not arrive as evenly as they are sent: the first to wait leaves the portal some room.
                room = _MARGIN if waits and not self._waited else 0.0
                await bucket.acquire(min(self._cost * (1 + room), bucket.max_rate))
                self._waited = waits
                # A refusal or a new configuration may have come while this call waited for the old bucket.
                if bucket is self._bucket:
                    return

    async def refused(self) -> float:
        """Notes that the portal refused a call: its bucket is full, so ours is; slows down when it happens often.

        Returns:
            Seconds after which another call may be tried.
        """
        now = self._wall_clock()
        self._errors.append(now)
        self._successes = 0
        self._forget_old_errors(now)
        if self._config.adaptive_enabled and len(self._errors) >= _ERRORS_TO_SLOW_DOWN:
            self._change_rate(
                max(min(_LOWEST_DRAIN_RATE, self._config.drain_rate), round(self.drain_rate * 0.8, 2)),
                max(min(_LOWEST_BURST_LIMIT, self._config.burst_limit), round(self.burst_limit * 0.8, 2)),
            )
        bucket = self._new_bucket()
        await bucket.acquire(bucket.max_rate)  # never waits: it is new and empty
        self._bucket = bucket
        return 1 / self.drain_rate + 1.0

    def succeeded(self) -> bool:
        """Notes a success; recovers a tenth of the rate after enough of them.

        Returns:
            True when the rate was changed.
        """
        self._successes = min(self._successes + 1, _SUCCESSES_TO_RECOVER)
        lowered = self.drain_rate < self._config.drain_rate or self.burst_limit < self._config.burst_limit
        if not lowered or not self._config.adaptive_enabled or self._successes < _SUCCESSES_TO_RECOVER:
            return False
        self._forget_old_errors(self._wall_clock())
        if len(self._errors) * 2 >= _ERRORS_TO_SLOW_DOWN:
            return False
        self._change_rate(
            min(self._config.drain_rate, round(self.drain_rate * 1.1, 2)),
            min(self._config.burst_limit, round(self.burst_limit * 1.1, 2)),
        )
        return True

    def _change_rate(self, drain_rate: float, burst_limit: float) -> None:
        self.drain_rate = drain_rate
        self.burst_limit = burst_limit
        self._cost = self._config.drain_rate / drain_rate
        self._errors.clear()
        self._successes = 0

    def _new_bucket(self) -> AsyncLimiter:
        # A call must fit into the bucket even when it costs more than the whole burst.
        size = max(self._config.burst_limit, self._cost)
        return AsyncLimiter(size, size / self._config.drain_rate)

    def _forget_old_errors(self, now: float) -> None:
        while self._errors and self._errors[0] <= now - _ERROR_MEMORY:
            self._errors.popleft()


def _level_of(bucket: AsyncLimiter) -> float:
    """How full a bucket is; aiolimiter only tells whether an amount fits."""
    fits, exceeds = 0.0, float(bucket.max_rate)
    for _ in range(20):
        middle = (fits + exceeds) / 2
        fits, exceeds = (middle, exceeds) if bucket.has_capacity(middle) else (fits, middle)
    return bucket.max_rate - fits
