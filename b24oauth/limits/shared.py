"""Admissions from limits that several processes share, and from a bucket of this process while those are away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

import attrs

from b24oauth.checks import check_seconds
from b24oauth.errors import ConfigurationError, StoreError
from b24oauth.limits.base import Admission
from b24oauth.limits.manager import RestrictionManager
from b24oauth.limits.operating import OperatingLimiter
from b24oauth.limits.params import RateLimitConfig, RestrictionParams
from b24oauth.limits.rate import RateLimiter
from b24oauth.sharing import Reservation, Reserve, SharedLimits

__all__ = ["SharedBucket", "SharedRestrictionManager"]

# Requests reach the portal later than they are admitted, by different times: places that are kept free, and seconds of
# the rate that are kept free besides.
_MARGIN: Final = 2.0
_JITTER: Final = 0.1
# A reservation that was waited for longer may be void meanwhile, seconds.
_CHECK_AFTER: Final = 0.25
# A reservation that nobody took for so long is given back, seconds.
_STALE: Final = 1.0
# How long shared limits may take to answer, and how long they are left alone when they do not, seconds.
_TIMEOUT: Final = 2.0
_LEFT_ALONE: Final = 0.5
# A refusal of a request that had no reservation of its own counts as one of the latest, with the bucket full.
_FULL: Final = 1e9
_NO_EPOCH: Final = 1 << 50

_log = logging.getLogger("b24oauth")

T = TypeVar("T")


@attrs.frozen
class SharedAdmission(Admission):
    """An admission from shared limits.

    Attributes:
        level: How full the bucket was.
        epoch: Of its reservation.
    """

    level: float
    epoch: int


class SharedBucket:
    """A `Bucket` over shared limits. Reservations are made in the order of the calls and answered with the wait.

    Args:
        limits: The shared limits.
        config: The portal's bucket.
        share: This process's part of the bucket while the shared limits are away.
        operating: Learns of execution times from the other processes, and is asked for what they should know.
    """

    def __init__(
        self, limits: SharedLimits, config: RateLimitConfig, *, share: float, operating: OperatingLimiter
    ) -> None:
        self._limits = limits
        self._config = config
        self._share = share
        self._operating = operating
        self._local = RateLimiter(config.part(share))
        self._away_until: float | None = None
        # Reservations that must be waited for and that nobody has taken yet, each with when it was made.
        self._reserved: deque[tuple[Reservation, float]] = deque()
        self._given_back = 0
        self._resets = False
        self._known_budgets = 0
        self._last: tuple[Reservation, float] | None = None
        self._errors = self._successes = 0

    def __repr__(self) -> str:
        state = "away" if self._away_until is not None else "shared"
        return f"<SharedBucket {self.burst_limit:g} at once, {self.drain_rate:g} a second, {state}>"

    @property
    def config(self) -> RateLimitConfig:
        """The bucket as configured."""
        return self._config

    @property
    def burst_limit(self) -> float:
        """Requests that may be sent at once, as it is now."""
        return self._config.burst_limit if self._last is None else self._last[0].burst

    @property
    def drain_rate(self) -> float:
        """Requests a second, as it is now."""
        return self._config.drain_rate if self._last is None else self._last[0].rate

    @property
    def recent_errors(self) -> int:
        """Refusals that this process has seen since the last reset."""
        return self._errors

    @property
    def recent_successes(self) -> int:
        """Successes of this process since its last refusal."""
        return self._successes

    async def set_config(self, config: RateLimitConfig) -> None:
        """Replaces the configured bucket; what is known of the portal stays."""
        self._config = config
        await self._local.set_config(config.part(self._share))

    def reset(self) -> None:
        """Back to the configured rate, for all processes, with the next admission."""
        self._resets = True
        self._reserved.clear()
        self._given_back = 0
        self._errors = self._successes = 0
        self._last = None
        self._local.reset()

    def room(self, calls: int) -> int:
        """How many of so many requests would be admitted at once, as far as this process knows."""
        if self._away_until is not None:
            return self._local.room(calls)
        if self._last is None:
            return min(calls, int(self._config.burst_limit - self._margin))
        last, at = self._last
        level = last.level + last.wait * last.rate - (_now() - at) * last.rate
        return max(0, min(calls, int(last.burst - self._margin - max(0.0, level))))

    async def acquire_at_once(self) -> Admission | None:
        """An admission that need not be waited for, else None; the reservation is then for `acquire_in_line`."""
        if self._reserved:
            return None  # who comes later waits behind them
        reservation = await self._reserve()
        if reservation is None:
            return await self._local.acquire_at_once()
        if reservation.wait <= 0:
            return _admission(reservation)
        self._reserved.append((reservation, _now()))
        return None

    async def acquire_in_line(self) -> Admission:
        """Waits for an admission. A cancelled waiter gives its reservation back."""
        while (reserved := await self._next()) is not None:
            reservation, since = reserved
            try:
                await asyncio.sleep(since + reservation.wait - _now())
                is_good = reservation.wait <= _CHECK_AFTER or await self._is_good(reservation)
            except BaseException:
                self._given_back += 1
                raise
            if is_good:
                return _admission(reservation)
        return await self._local.acquire_in_line()

    async def _next(self) -> tuple[Reservation, float] | None:
        """The reservation that was made first and nobody has taken, with its time; None while the limits are away."""
        while self._reserved:
            reserved = self._reserved.popleft()
            if _now() - reserved[1] - reserved[0].wait < _STALE:
                return reserved
            self._given_back += 1
        reservation = await self._reserve()
        return None if reservation is None else (reservation, _now())

    async def _is_good(self, reservation: Reservation) -> bool:
        # While the limits are away, their reservations are void too: together with the shares of all processes they
        # would exceed the rate.
        return await self._asked(self._limits.epoch) == reservation.epoch

    def not_sent(self, admission: Admission) -> None:
        """Notes that an admitted request did not reach the portal: the next reservation gives its place back."""
        if isinstance(admission, SharedAdmission):
            self._given_back += 1
        else:
            self._local.not_sent(admission)

    async def refused(self, admission: Admission | None = None, *, retry_after: float = 0.0) -> float:
        """Notes that the portal refused a request because of its rate: no process sends until the bucket has drained.

        Args:
            admission: Of the refused request; None when it had none of its own, as a command of a batch.
            retry_after: How long the portal asked to wait, seconds.

        Returns:
            Seconds after which another request may be tried.
        """
        self._errors += 1
        self._successes = 0
        pause = await self._local.refused(
            None if isinstance(admission, SharedAdmission) else admission, retry_after=retry_after
        )
        level, epoch = _FULL, _NO_EPOCH
        if isinstance(admission, SharedAdmission):
            level, epoch = admission.level, admission.epoch
        tell = partial(
            self._limits.refuse,
            self._wanted(),
            level=level,
            sent_epoch=epoch,
            retry_after=retry_after,
            adapts=self._config.adaptive_enabled,
        )
        return 1 / self.drain_rate + 1.0 if await self._told(tell) else pause

    def succeeded(self, admission: Admission | None = None, *, now: float | None = None) -> bool:
        """Notes that the portal took a request; the rate is raised with the reservations."""
        self._successes += 1
        if admission is not None and not isinstance(admission, SharedAdmission):
            return self._local.succeeded(admission, now=now)
        return False

    @property
    def _margin(self) -> float:
        return min(self._config.burst_limit / 4, _MARGIN + _JITTER * self._config.drain_rate)

    def _wanted(self) -> Reserve:
        return Reserve(burst=self._config.burst_limit, rate=self._config.drain_rate, margin=self._margin)

    async def _reserve(self) -> Reservation | None:
        """A reservation; None while the shared limits are away."""
        if self._away_until is not None and not await self._are_back():
            return None
        given_back, self._given_back = self._given_back, 0
        resets, self._resets = self._resets, False
        news = self._operating.take_news()
        wanted = Reserve(
            burst=self._config.burst_limit,
            rate=self._config.drain_rate,
            margin=self._margin,
            given_back=given_back,
            resets=resets,
            budgets=news,
            known_budgets=self._known_budgets,
        )
        try:
            reservation = await self._asked(lambda: self._limits.reserve(wanted))
        except BaseException:
            # The reservation may have been made, but nobody uses it. Its news are sent with the next one.
            self._given_back += given_back + 1
            self._put_back(resets, wanted)
            raise
        if reservation is None:
            self._given_back += given_back
            self._put_back(resets, wanted)
            return None
        self._last = reservation, _now()
        if reservation.budgets is not None:
            self._known_budgets = reservation.budgets_version
            for method, budget in reservation.budgets.items():
                self._operating.hear(method, budget)
        return reservation

    async def _are_back(self) -> bool:
        """True if the shared limits, which were away, answer again. One call at a time asks them."""
        if self._away_until is not None and _now() < self._away_until:
            return False
        self._away_until = _now() + _LEFT_ALONE
        # What was sent meanwhile is in the portal's bucket and not in the shared one. Nobody uses that one until the
        # other processes have noticed too: until then they send at their own share of the rate.
        fill = partial(self._limits.refuse, level=_FULL, sent_epoch=_NO_EPOCH, retry_after=_LEFT_ALONE, adapts=False)
        return await self._told(partial(fill, self._wanted()))

    async def _told(self, tell: Callable[[], Awaitable[None]]) -> bool:
        """True if the shared limits were told."""

        async def told() -> bool:
            await tell()
            return True

        return await self._asked(told) is not None

    def _put_back(self, resets: bool, wanted: Reserve) -> None:
        self._resets = self._resets or resets
        self._operating.put_back_news(wanted.budgets)

    async def _asked(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Asks the shared limits; None if they do not answer: they are away then, which is logged once."""
        try:
            async with asyncio.timeout(_TIMEOUT):
                answer = await ask()
        except (StoreError, TimeoutError) as error:
            if self._away_until is None:
                # What was admitted by the shared limits is in the portal's bucket.
                await self._local.fill()
                _log.warning(
                    "Shared limits are away, this process sends at %g of the rate until they are back: %s",
                    self._share,
                    error if isinstance(error, StoreError) else f"no answer within {_TIMEOUT:g} s",
                )
            self._away_until = _now() + _LEFT_ALONE
            return None
        if self._away_until is not None:
            self._away_until = None
            _log.warning("Shared limits are back")
        return answer


class SharedRestrictionManager(RestrictionManager):
    """Limits of one portal that several processes share; give one object to all clients of it in an event loop.

    Args:
        limits: The shared limits, such as those of a store.
        params: Limits and repeats; None for the usual ones. All processes should have the same.
        share: This process's part of the portal's bucket while the shared limits are away: 1/N for N processes.
        clock: Unix timestamp, seconds: the portal names the end of a method's block by it.
    """

    def __init__(
        self,
        limits: SharedLimits,
        params: RestrictionParams | None = None,
        *,
        share: float = 0.25,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_seconds(share, "share")
        if share > 1:
            raise ConfigurationError("share must be a part of the bucket, at most 1")
        super().__init__(params, clock=clock)
        self._shared = limits
        self.are_shared = self.operating.shares = True
        self.rate = SharedBucket(limits, self.params.rate_limit, share=share, operating=self.operating)

    async def aclose(self) -> None:
        """Closes connections to the shared limits."""
        await self._shared.aclose()


def _admission(reservation: Reservation) -> SharedAdmission:
    return SharedAdmission(_now(), 0, reservation.level, reservation.epoch)


def _now() -> float:
    return asyncio.get_running_loop().time()
