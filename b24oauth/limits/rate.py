"""The portal's leaky bucket: decides which call may be sent next, and when. The only user of aiolimiter.

Two facts about `AsyncLimiter` shape this file: (1) It is not FIFO, so waiting calls are kept in our own queue and only
the first one waits on the limiter. (2) Its rate cannot be changed, so a new rate requires a new limiter.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict

from aiolimiter import AsyncLimiter

from b24oauth.limits.base import Admission
from b24oauth.limits.estimator import RateEstimator
from b24oauth.limits.params import RateLimitConfig

__all__ = ["RateLimiter"]

# Calls held back after a burst as a safety margin, and the maximum late start (in seconds) taken into account.
_MARGIN = 0.08
# Network jitter of a few milliseconds: extra margin in seconds, relevant at high rates.
_JITTER = 0.02
_WITHOUT_JITTER = 2.0
_MOST_JITTER = 0.5
_LATEST_START = 0.8
# At high rates waking each waiter separately is too expensive, so waiters are admitted in groups at this interval.
_TOGETHER = 0.1


class RateLimiter:
    """Admits calls in the order of their arrival, at the portal's pace.

    Args:
        config: The bucket.
    """

    def __init__(self, config: RateLimitConfig) -> None:
        # Queue of waiters. A future resolves to an Admission, or to None if its waiter is now first and must wait on
        # the bucket itself.
        self._line: OrderedDict[asyncio.Future[Admission | None], None] = OrderedDict()
        # The portal asked to wait until then, seconds of the loop's clock; None when it did not.
        self._held_until: float | None = None
        self._use(config)

    def __repr__(self) -> str:
        """The bucket in force, how full it is, and how many calls wait."""
        level = self._bucket.max_rate - _room_in(self._bucket)
        rate = f"{self.burst_limit:g} at once, {self.drain_rate:g} a second"
        return f"<RateLimiter {rate}, level {level:.1f}, {len(self._line)} waiting>"

    async def set_config(self, config: RateLimitConfig) -> None:
        """Replaces the bucket, keeping its fill level; waiting calls continue with the new one."""
        level = self._bucket.max_rate - _room_in(self._bucket)
        self._use(config, self._estimator.taken)
        await _fill(self._bucket, level)

    async def fill(self) -> None:
        """Takes the portal's bucket for full; it drains from now on."""
        self._bucket = bucket = self._new_bucket()
        await _fill(bucket, bucket.max_rate)
        self._arrivals = _Arrivals()

    def reset(self) -> None:
        """Back to the configured rate, with an empty bucket; what was found of the portal is forgotten."""
        self._held_until = None
        self._use(self.config, self._estimator.taken)

    def _use(self, config: RateLimitConfig, taken: int = 0) -> None:
        self._estimator = RateEstimator(config, taken)
        self._arrivals = _Arrivals()
        self._bucket = self._new_bucket()
        self._given_back = 0

    @property
    def config(self) -> RateLimitConfig:
        """The bucket as configured."""
        return self._estimator.config

    @property
    def burst_limit(self) -> float:
        """Calls that may be sent at once, as found so far."""
        return self._estimator.burst_limit

    @property
    def drain_rate(self) -> float:
        """Calls a second, as found so far."""
        return self._estimator.drain_rate

    @property
    def recent_errors(self) -> int:
        """Refusals of the last minute since the rate was changed."""
        return len(self._estimator.errors)

    @property
    def recent_successes(self) -> int:
        """Successes since the last refusal or change of the rate."""
        return self._estimator.successes

    def must_wait(self) -> bool:
        """True when a call that came now would not be admitted at once."""
        return bool(self._line) or self._held_until is not None or not self._bucket.has_capacity()

    def room(self, calls: int) -> int:
        """How many of so many calls would be admitted at once."""
        if self._line or self._held_until is not None:
            return 0
        room = min(calls, int(self._bucket.max_rate))
        if room <= 0 or self._bucket.has_capacity(room):
            return room
        fits = 0
        while room - fits > 1:
            middle = (fits + room) // 2
            fits, room = (middle, room) if self._bucket.has_capacity(middle) else (fits, middle)
        return fits

    async def acquire_at_once(self) -> Admission | None:
        """An admission for a call that need not wait for it, else None. Never waits."""
        in_burst = self._estimator.version == self._built_for and self._arrivals.calls < self._bucket.max_rate
        if not in_burst or self.must_wait():
            return None
        return (await self._take_places())[0]

    async def acquire(self) -> Admission:
        """Waits for an admission. A cancelled waiter takes none.

        Returns:
            The admission to pass to `refused()` or `not_sent()`.
        """
        return await self.acquire_at_once() or await self.acquire_in_line()

    async def acquire_in_line(self) -> Admission:
        """Waits behind those who wait already; otherwise as `acquire`."""
        turn: asyncio.Future[Admission | None] = asyncio.get_running_loop().create_future()
        first = not self._line
        self._line[turn] = None
        try:
            given = None if first else await turn
        except BaseException:
            self._leave(turn)
            raise
        if given is not None:
            return given
        others = 0
        try:
            admission, others = await self._take_places()
        finally:
            del self._line[turn]
            self._let_in(others)
        return admission

    def _let_in(self, places: int) -> None:
        """Admits those who come next in the line; the one behind them is the first now."""
        while self._line:
            turn = next(iter(self._line))
            if turn.done():
                del self._line[turn]  # cancelled, and about to leave
            elif places:
                del self._line[turn]
                turn.set_result(self._estimator.admitted(_now(), empty=False, waited=True))
                places -= 1
            else:
                turn.set_result(None)
                return
        # Discard unused places: if kept, they would allow more calls than a burst.
        self._given_back = 0

    def _leave(self, turn: asyncio.Future[Admission | None]) -> None:
        """A waiter was cancelled before it got its admission, or just afterwards."""
        if turn.cancelled() or not turn.done():
            self._line.pop(turn, None)
        elif (admission := turn.result()) is None:
            del self._line[turn]
            self._let_in(0)
        else:
            self._estimator.not_sent(admission)
            self._given_back += bool(self._line)

    async def _take_places(self) -> tuple[Admission, int]:
        """Waits at the bucket, as the first of the line; an admission, and how many more were taken for others."""
        while not self._given_back:
            while self._held_until is not None:
                left = self._held_until - _now()
                if left <= 0:
                    self._held_until = None
                else:
                    await asyncio.sleep(left)
            if self._estimator.version != self._built_for:
                await self._rebuild_bucket()
            bucket = self._bucket
            empty, waits = bucket.has_capacity(bucket.max_rate), not bucket.has_capacity()
            if empty:
                self._arrivals = _Arrivals(_now())
            room = self._room_to_leave() if waits or self._arrivals.calls >= bucket.max_rate else 0.0
            places = self._places_together(bucket) if waits else 1
            amount = min(places + room, bucket.max_rate)
            await bucket.acquire(amount)
            # The bucket may have been replaced (rejection or new configuration) while this call waited.
            if bucket is self._bucket:
                self._arrivals.calls += places
                self._arrivals.room_left += amount - places
                return self._estimator.admitted(_now(), empty=empty, waited=waits), places - 1
        self._given_back -= 1
        return self._estimator.admitted(_now(), empty=False, waited=True), 0

    def _places_together(self, bucket: AsyncLimiter) -> int:
        return max(1, min(len(self._line), int(self.drain_rate * _TOGETHER), int(bucket.max_rate) - 1))

    async def refused(self, admission: Admission | None = None, *, retry_after: float = 0.0) -> float:
        """Notes that the portal refused a call: its bucket is full, so ours is, and nobody sends until it drains.

        Args:
            admission: Of the refused call; None when it had none of its own, as a command of a batch.
            retry_after: How long the portal asked to wait, seconds: nobody sends until then.

        Returns:
            Seconds after which another call may be tried.
        """
        if self._estimator.refused(admission, now=_now()):
            self._given_back = 0
            await self.fill()
        if retry_after > 0:
            self._held_until = max(self._held_until or 0.0, _now() + retry_after)
        return 1 / self.drain_rate + 1.0

    def not_sent(self, admission: Admission) -> None:
        """Notes that a call did not reach the portal."""
        self._estimator.not_sent(admission)

    def succeeded(self, admission: Admission | None = None, *, now: float | None = None) -> bool:
        """Notes a success; recovers some of the rate after enough of them.

        Args:
            admission: Of the call.
            now: Seconds of the loop's clock, if the caller has looked at it.

        Returns:
            True when the rate was changed.
        """
        now = _now() if now is None else now
        if admission is not None:
            self._arrivals.answered(admission.at, now, self._estimator.drain_rate)
        return self._estimator.succeeded(admission, now=now)

    def _room_to_leave(self) -> float:
        """Safety margin in calls that is still to be kept free after a burst."""
        # The first calls must open connections, so the portal's bucket starts draining later than ours.
        late = min(_LATEST_START, self._arrivals.late) if self.config.adaptive_enabled else 0.0
        jitter = min(_MOST_JITTER, _JITTER * max(0.0, self.drain_rate - _WITHOUT_JITTER))
        return max(0.0, _MARGIN + jitter + late * self.drain_rate - self._arrivals.room_left)

    async def _rebuild_bucket(self) -> None:
        """Switches to a bucket with the new rate and the same free capacity; an empty bucket stays empty."""
        before, self._bucket = self._bucket, self._new_bucket()
        if not before.has_capacity(before.max_rate):
            await _fill(self._bucket, self._bucket.max_rate - _room_in(before))

    def _new_bucket(self) -> AsyncLimiter:
        self._built_for = self._estimator.version
        return AsyncLimiter(self.burst_limit, self.burst_limit / self.drain_rate)


class _Arrivals:
    """Estimates from the response times how late the calls of a burst reached the portal.

    Args:
        started: When the first found the bucket empty, seconds of the loop's clock; infinite when it did not.

    Attributes:
        calls: How many were admitted.
        room_left: Calls that the portal was left room for.
    """

    __slots__ = ("_answers", "_fastest", "_latest", "_started", "calls", "room_left")

    def __init__(self, started: float = math.inf) -> None:
        self.calls = 0
        self.room_left = 0.0
        self._started = started
        self._answers = 0
        self._fastest = math.inf
        self._latest = 0.0

    @property
    def late(self) -> float:
        """How much later than ours the portal's bucket began to drain, seconds."""
        return max(0.0, self._latest - self._fastest)

    def answered(self, sent: float, now: float, drain_rate: float) -> None:
        """Notes a response to a call."""
        if sent < self._started:
            return
        self._fastest = min(self._fastest, now - sent)
        # The portal's bucket drains from the first arrival, but never more calls than have arrived.
        late = now - self._started - self._answers / drain_rate
        self._latest = max(self._latest, late)
        self._answers += 1


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _fill(bucket: AsyncLimiter, level: float) -> None:
    # Never waits: the bucket is new and empty.
    await bucket.acquire(max(0.0, min(level, bucket.max_rate)))


def _room_in(bucket: AsyncLimiter) -> float:
    """How many calls fit into a bucket; aiolimiter has only has_capacity(amount)."""
    fits, exceeds = 0.0, float(bucket.max_rate)
    for _ in range(20):
        middle = (fits + exceeds) / 2
        fits, exceeds = (middle, exceeds) if bucket.has_capacity(middle) else (fits, middle)
    return fits
