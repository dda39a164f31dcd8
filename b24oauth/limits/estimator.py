"""Estimates the portal's bucket from its rejections. Pure computation; waiting is in `rate.py`.

When a call is rejected, the portal's bucket is full. Therefore: drain rate = accepted calls between two rejections /
time between them (± one call); burst size = accepted calls since the bucket was empty. A rejection with no accepted
call since the previous one gives no estimate: five of them within a minute lower the rate by a fifth.
"""

from __future__ import annotations

from enum import Enum, auto

import attrs

from b24oauth.limits.base import Admission
from b24oauth.limits.params import RateLimitConfig

__all__ = ["RateEstimator", "State"]

_ERRORS_TO_SLOW_DOWN = 5
_ERROR_MEMORY = 60.0
_SLOW_DOWN = 0.8
_LOWEST_DRAIN_RATE = 0.5
_LOWEST_MEASURED_RATE = 0.1
_LOWEST_BURST_LIMIT = 5.0

# If the first rejection comes before the configured burst was used up, reduce the rate by the same factor as the burst.
# Another client may have filled the bucket, so never guess below half of the slowest documented rate.
_LOWEST_GUESS = 1.0
_LARGEST_CUT_BY_GUESS = 0.1
# Until a rate is confirmed, assume the bucket is empty only if it would be empty even at this fraction of the rate.
_UNCONFIRMED_SHARE = 0.25

# With fewer calls between two refusals the error of one call is too large to call it a measurement.
_CALLS_TO_MEASURE = 10
_LARGEST_CUT = 0.5
_BELOW_REFUSED = 0.98
# A measurement that differs from what was in force by more than this says that the portal's rate has changed.
_AS_BEFORE = 0.8

# Each probe above the true rate causes a rejection, so every new measurement must be this many times more precise than
# the previous one.
_PATIENCE_GROWTH = 4
_MOST_PATIENCE = 320
_PATIENCE_IN_DOUBT = 80
_MOST_BURSTS_NEEDED = 64
_SUCCESSES_TO_RECOVER = 20
_FEWEST_SUCCESSES = 5
_FIRST_STEP = 0.1
_LARGEST_STEP = 1.0


class State(Enum):
    """Where the rate in force comes from.

    Attributes:
        CONFIGURED: The configured rate, possibly lowered after repeated rejections.
        GUESSED: From the burst that the portal took before its first refusal.
        MEASURED: From the calls that the portal took between two refusals.
        CLIMBING: Raised since the last refusal, to see whether the portal takes more.
    """

    CONFIGURED = auto()
    GUESSED = auto()
    MEASURED = auto()
    CLIMBING = auto()


@attrs.define(eq=False)
class RateEstimator:
    """The rate in force: as configured until the portal refuses calls, then as found from its refusals.

    Example: the portal allows bursts of 50 and 2 requests per second; the client is configured with 250 and 5. 58 calls
    are taken within four seconds, then one is refused: the burst is guessed to be 53, the rate to be 1.1 a second
    (GUESSED). Successes raise the rate step by step (CLIMBING) until the next refusal. Between the two refusals 90
    calls were taken in 45 seconds: the rate is 1.98 a second (MEASURED). The next raise is tried after 80 successes,
    later ones after up to 320.

    Attributes:
        config: The bucket as configured; nothing in force exceeds it.
        taken: Number of calls sent (including running ones) minus rejected calls.
        burst_limit: Calls that may be sent at once.
        drain_rate: Calls a second.
        version: Incremented whenever `burst_limit` or `drain_rate` changes.
        errors: Times of the refusals, seconds of the loop's clock, that count towards slowing down by a fifth.
        successes: Successes since the last refusal or change of the rate that count towards a raise.
    """

    config: RateLimitConfig
    taken: int = 0
    burst_limit: float = attrs.field(init=False)
    drain_rate: float = attrs.field(init=False)
    version: int = attrs.field(init=False, default=0)
    errors: tuple[float, ...] = attrs.field(init=False, default=())
    successes: int = attrs.field(init=False, default=0)
    # Admissions at which the portal's bucket was last assumed to be empty and full (time and number of accepted calls).
    _empty: Admission | None = attrs.field(init=False, default=None)
    _full: Admission | None = attrs.field(init=False, default=None)
    _stopped_at: float = attrs.field(init=False, default=float("-inf"))
    _refused_together: int = attrs.field(init=False, default=0)
    # The last call admitted, and how full the bucket was then at the slowest plausible rate.
    _last: Admission = attrs.field(init=False, default=Admission(float("-inf"), 0))
    _level: float = attrs.field(init=False, default=0.0)
    _waited: bool = attrs.field(init=False, default=False)
    # State before the current raises: CONFIGURED, GUESSED or MEASURED.
    _known: State = attrs.field(init=False, default=State.CONFIGURED)
    _patience: int = attrs.field(init=False, default=_SUCCESSES_TO_RECOVER)
    # Rate before the raises since the last rejection, the admission at which they began, and the size of the next
    # raise.
    _proven_rate: float = attrs.field(init=False)
    _climbs_from: Admission | None = attrs.field(init=False, default=None)
    _raised_at: float = attrs.field(init=False, default=float("-inf"))
    _step: float = attrs.field(init=False, default=_FIRST_STEP)
    _bursts_borne: int = attrs.field(init=False, default=0)
    # 0 until the burst was guessed.
    _bursts_needed: int = attrs.field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.burst_limit = self.config.burst_limit
        self.drain_rate = self._proven_rate = self.config.drain_rate

    @property
    def state(self) -> State:
        """Where the rate in force comes from."""
        return self._known if self._climbs_from is None else State.CLIMBING

    # --- calls ---------------------------------------------------------------------------------------------------

    def admitted(self, now: float, *, empty: bool, waited: bool) -> Admission:
        """Notes that a call is about to be sent.

        Args:
            now: Seconds of the loop's clock.
            empty: The bucket was empty before.
            waited: The bucket was full before.
        """
        drained = (now - self._last.at) * self.config.drain_rate * _UNCONFIRMED_SHARE
        self._level = max(0.0, self._level - drained)
        if empty:
            self._begin_burst(now)
        elif waited and self._full is None:
            # The whole burst has been accepted: from now on our bucket is full, and so is the portal's if our estimate
            # is correct.
            self._full = Admission(now, self.taken)
            self._bursts_borne += 1
        self._level += 1
        self._waited = waited
        self.taken += 1
        self._last = Admission(now, self.taken)
        return self._last

    def _begin_burst(self, now: float) -> None:
        self._full = None
        if self._known is not State.CONFIGURED or self._level == 0:
            self._empty = Admission(now, self.taken)
        if self._climbs_from is not None and self._known is not State.CONFIGURED:
            # Callers stopped waiting before the raised rate reached the portal's limit.
            self._change(self._proven_rate, self.burst_limit)

    def not_sent(self, admission: Admission) -> None:
        """Notes that a call did not reach the portal."""
        self.taken -= 1
        if self._full is not None and admission.at <= self._full.at:
            self._full = Admission(self._full.at, self._full.taken - 1)

    # --- refusals ------------------------------------------------------------------------------------------------

    def refused(self, admission: Admission | None, *, now: float) -> bool:
        """Notes a refusal, and lowers the rate by what it tells.

        Args:
            admission: Of the refused call; None when it had none of its own, as a command of a batch.
            now: Seconds of the loop's clock.

        Returns:
            False if the bucket was already known to be full at that time.
        """
        if admission is not None:
            self.taken -= 1
            if admission.at <= self._stopped_at:
                return self._refused_with_others(admission)
        before, self._stopped_at, self._refused_together = self._full, now, 1
        self.successes = 0
        learned = False
        if admission is not None:
            self._full = Admission(admission.at, admission.taken - 1)
            learned = self.config.adaptive_enabled and self._learn(before, self._full)
        if not learned:
            self._count_error(now)
        return True

    def _refused_with_others(self, admission: Admission) -> bool:
        """One of the calls that were under way when the first of them was refused: all of them are one event."""
        if self._full is None:
            return True
        taken = admission.taken - 1 - self._refused_together
        later = admission.at > self._full.at or taken >= self._full.taken
        self._refused_together += 1
        self._full = Admission(admission.at, taken) if later else Admission(self._full.at, self._full.taken - 1)
        return later

    def _learn(self, before: Admission | None, full: Admission) -> bool:
        if before is not None:
            calls, seconds = full.taken - before.taken, full.at - before.at
            if calls <= 0 or seconds <= 0:
                return False
            self._learn_drain_rate(calls, seconds, full)
            return True
        calls = 0 if self._empty is None else full.taken - self._empty.taken
        if self._empty is None or calls <= 0:
            return False
        self._learn_burst(calls, full.at - self._empty.at)
        return True

    def _learn_drain_rate(self, calls: int, seconds: float, full: Admission) -> None:
        # Lower bound: the true rate is higher by at most two calls in this interval, unless the bucket became empty
        # meanwhile.
        certain = (calls - 1) / seconds
        if self._climbs_from is not None and full.at > self._climbs_from.at:
            # Even if the bucket was empty when the raises began, it accepted at most one burst more than it drained.
            drained = full.taken - self._climbs_from.taken - self.burst_limit - 1
            certain = max(certain, drained / (full.at - self._climbs_from.at))
        if calls >= _CALLS_TO_MEASURE:
            self._known = State.MEASURED
        else:
            self._known = State.GUESSED if self._bursts_needed else State.CONFIGURED
        self._patience = self._patience_after(calls, certain / self._proven_rate)
        rate = min(certain, self.drain_rate * _BELOW_REFUSED)
        # With too few calls for a measurement, we only know that the rate is too high.
        if self._known is not State.MEASURED:
            rate = max(rate, self.drain_rate * _LARGEST_CUT)
        self._change(rate, self.burst_limit)

    def _patience_after(self, calls: int, change: float) -> int:
        if self._known is not State.MEASURED or change < _AS_BEFORE:
            return _SUCCESSES_TO_RECOVER
        # A result far above the previous rate may still be too low, because the bucket may have been empty meanwhile.
        return min(_MOST_PATIENCE if change < 1 / _AS_BEFORE else _PATIENCE_IN_DOUBT, calls * _PATIENCE_GROWTH)

    def _learn_burst(self, calls: int, seconds: float) -> None:
        # Account for the drain during the burst; the assumed rate is wrong by the same factor as the burst.
        burst = calls / (1 + self.drain_rate * seconds / self.burst_limit)
        guess = self.drain_rate * max(burst / self.burst_limit, _LARGEST_CUT_BY_GUESS)
        measured = self._known is State.MEASURED
        lowest = self.drain_rate * _AS_BEFORE if measured else min(_LOWEST_GUESS, self.drain_rate / 2)
        self._known = State.MEASURED if measured else State.GUESSED
        self._bursts_needed = min(_MOST_BURSTS_NEEDED, self._bursts_needed * _PATIENCE_GROWTH) or 1
        self._bursts_borne = 0
        self._change(min(self.drain_rate, max(lowest, guess)), min(self.burst_limit * _BELOW_REFUSED, burst - 1))

    def _count_error(self, now: float) -> None:
        self.errors += (now,)
        self._forget_old_errors(now)
        if self.config.adaptive_enabled and len(self.errors) >= _ERRORS_TO_SLOW_DOWN:
            self._change(round(self.drain_rate * _SLOW_DOWN, 2), round(self.burst_limit * _SLOW_DOWN, 2))

    # --- successes -----------------------------------------------------------------------------------------------

    def succeeded(self, admission: Admission | None, *, now: float) -> bool:
        """Notes a success; raises the rate after enough of them.

        Args:
            admission: Of the call.
            now: Seconds of the loop's clock.

        Returns:
            True when the rate was changed.
        """
        config = self.config
        lowered = self.drain_rate < config.drain_rate or (
            self.burst_limit < config.burst_limit and self._burst_may_grow()
        )
        if lowered and not self._tells(admission):
            return False
        self.successes = min(self.successes + 1, _MOST_PATIENCE)
        if not lowered or not config.adaptive_enabled or self.successes < self._successes_needed():
            return False
        self._forget_old_errors(now)
        if len(self.errors) * 2 >= _ERRORS_TO_SLOW_DOWN:
            return False
        self._raise()
        return True

    def _burst_may_grow(self) -> bool:
        return self.burst_limit < self.config.burst_limit and self._bursts_borne >= self._bursts_needed

    def _tells(self, admission: Admission | None) -> bool:
        """False for a success of a call sent at another rate, or at one that nobody has to wait for."""
        if admission is not None and admission.at <= max(self._stopped_at, self._raised_at):
            return False
        return self._waited or self._known is State.CONFIGURED

    def _successes_needed(self) -> float:
        if self.state is State.MEASURED:
            return self._patience
        # A rate far below the configured one is probably too low, so raise it sooner.
        share = min(1.0, 2 * self.drain_rate / self.config.drain_rate)
        return max(_FEWEST_SUCCESSES, _SUCCESSES_TO_RECOVER * share**2)

    def _raise(self) -> None:
        proven, step, start = self._proven_rate, self._step, self._climbs_from or self._last
        burst = self.burst_limit
        if self._burst_may_grow():
            burst, self._bursts_borne = round(burst * (1 + _FIRST_STEP), 2), 0
        self._change(round(self.drain_rate * (1 + step), 2), burst)
        # Each raise that the portal bears makes the next one larger.
        self._proven_rate, self._step, self._climbs_from = proven, min(_LARGEST_STEP, step * 2), start
        self._raised_at = self._last.at

    def _change(self, drain_rate: float, burst_limit: float) -> None:
        lowest = _LOWEST_MEASURED_RATE if self._known is State.MEASURED else _LOWEST_DRAIN_RATE
        self.drain_rate = self._proven_rate = min(self.config.drain_rate, max(lowest, drain_rate))
        self.burst_limit = min(self.config.burst_limit, max(_LOWEST_BURST_LIMIT, burst_limit))
        self._climbs_from, self._step = None, _FIRST_STEP
        self.version += 1
        self.errors = ()
        self.successes = 0

    def _forget_old_errors(self, now: float) -> None:
        self.errors = tuple(error for error in self.errors if error > now - _ERROR_MEMORY)
