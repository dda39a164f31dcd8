"""What one portal allows, for every client of it: v2, v3, tools and batches share one bucket and one set of budgets."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

import attrs

from b24oauth.checks import check_type
from b24oauth.limits.adaptive import AdaptiveDelayer
from b24oauth.limits.base import Admission, Bucket
from b24oauth.limits.gate import Gate
from b24oauth.limits.operating import OperatingLimiter
from b24oauth.limits.params import ParamsFactory, RestrictionParams
from b24oauth.limits.rate import RateLimiter

__all__ = ["RestrictionManager", "RestrictionManagerStats"]


@attrs.frozen(kw_only=True)
class RestrictionManagerStats:
    """What the limits did so far.

    Attributes:
        retries: Calls that were repeated.
        consecutive_errors: Errors since the last success.
        limit_hits: Times that a call waited.
        error_counts: Errors by method since its last success.
        burst_limit: Requests that may be sent at once, as it is now.
        drain_rate: Requests a second, as it is now.
        original_burst_limit: As configured.
        original_drain_rate: As configured.
        recent_errors: Refusals of the last minute that did not change the rate.
        recent_successes: Successes since the last refusal or change of the rate.
        adaptive_delays: Pauses after slow calls.
        total_adaptive_delay: Length of all these pauses, seconds.
        adaptive_delay_avg: Length of a pause on average, seconds.
        heavy_request_count: Responses of methods that had used up much of their budget.
        operating_stats: Execution time used by each method, seconds.
    """

    retries: int
    consecutive_errors: int
    limit_hits: int
    error_counts: Mapping[str, int]
    burst_limit: float
    drain_rate: float
    original_burst_limit: float
    original_drain_rate: float
    recent_errors: int
    recent_successes: int
    adaptive_delays: int
    total_adaptive_delay: float
    adaptive_delay_avg: float
    heavy_request_count: int
    operating_stats: Mapping[str, float]


class RestrictionManager:
    """Limits of one portal; give the same object to all clients of it in one event loop.

    Attributes:
        params: Limits and repeats in force; replaced by `set_params`.
        are_shared: Whether other processes have the same limits, from which this one learns with each admission.

    Args:
        params: Limits and repeats; None for the usual ones.
        clock: Returns the Unix time in seconds; needed because the portal reports the end of a block as a Unix
            timestamp.
        bucket: Gives the admissions, `RateLimiter` by default; one of your own keeps its own rate and burst.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    def __init__(
        self,
        params: RestrictionParams | None = None,
        *,
        clock: Callable[[], float] = time.time,
        bucket: Bucket | None = None,
    ) -> None:
        if params is not None:
            check_type(params, RestrictionParams, "params")
        self.params = ParamsFactory.get_default() if params is None else params
        self._gate: Gate | None = None
        self.are_shared = False
        self.rate: Bucket = RateLimiter(self.params.rate_limit.part(self.params.share)) if bucket is None else bucket
        self.operating = OperatingLimiter(self.params.operating_limit, wall_clock=clock)
        self.adaptive = AdaptiveDelayer(self.params.adaptive_config, self.operating)
        self._budget_floor = self._used_without_waiting()
        self._retries = self._consecutive_errors = self._limit_hits = 0
        self._error_counts: dict[str, int] = {}

    @property
    def gate(self) -> Gate:
        """Bounds the requests under way of all clients of the portal together."""
        if self._gate is None:
            self._gate = Gate(self.usual_concurrency())
        return self._gate

    def usual_concurrency(self) -> int:
        """How many requests may be under way at once: as many as the rate lets through in a second, from 10 to 20."""
        # If the portal's bucket is smaller than assumed, all requests in flight are rejected at once, so keep their
        # number small.
        return int(min(20, max(10, self.params.rate_limit.drain_rate)))

    def get_params(self) -> RestrictionParams:
        """Limits and repeats in force."""
        return self.params

    async def set_params(self, params: RestrictionParams) -> None:
        """Replaces limits and repeats; what is known of the portal stays.

        Args:
            params: The new ones; change single fields with `attrs.evolve(manager.get_params(), …)`.

        Raises:
            ConfigurationError: They are no `RestrictionParams`; the old ones stay.
        """
        check_type(params, RestrictionParams, "params")
        self.params = params
        rate_limit = params.rate_limit if self.are_shared else params.rate_limit.part(params.share)
        if rate_limit != self.rate.config:
            await self.rate.set_config(rate_limit)
        self.operating.config = params.operating_limit
        self.adaptive.config = params.adaptive_config
        self._budget_floor = self._used_without_waiting()

    def _used_without_waiting(self) -> float:
        """Execution time in seconds below which a call of the method need not wait; the fast path for most calls."""
        return min(self.operating.exhausted_from, self.adaptive.pauses_from)

    def budget_wait(self, methods: Collection[str]) -> float:
        """Seconds to wait before sending: until the methods have budget again, or an adaptive pause.

        Args:
            methods: The method, or the inner methods of a batch.
        """
        if self.operating.is_below(methods, self._budget_floor):
            return 0.0
        blocked = max(map(self.operating.time_to_free, methods), default=0.0)
        if blocked > 0:
            return blocked
        pause = max(map(self.adaptive.delay_for, methods), default=0.0)
        if pause > 0:
            self.adaptive.paused(pause)
        return pause

    def time_to_reset(self, methods: Collection[str]) -> float:
        """Seconds until exhausted methods have execution time again; 0 if unknown or not exhausted.

        Args:
            methods: The method, or the inner methods of a batch.
        """
        if self.operating.is_below(methods, self._budget_floor):
            return 0.0
        return max(self.operating.time_to_free(method, guess=0.0) for method in methods)

    def max_new_requests(self, requests: int, under_way: int, seconds: float) -> int:
        """Number of additional requests worth starting now; more would only queue ahead of other callers.

        Args:
            requests: How many requests the caller could begin.
            under_way: Number of requests that the caller has in flight.
            seconds: How long one of them takes.
        """
        room = self.rate.room(requests)
        # Allow one extra waiting request, so that it can start as soon as a place becomes free.
        to_keep_pace = math.ceil(self.rate.drain_rate * seconds) + 1 - under_way
        return room if room == requests else min(requests, max(room, to_keep_pace))

    async def wait(self, seconds: float) -> None:
        """Waits, and counts it."""
        self._limit_hits += 1
        await asyncio.sleep(seconds)

    async def admit_in_line(self) -> Admission:
        """Waits behind those who wait for an admission already, and counts it."""
        self._limit_hits += 1
        return await self.rate.acquire_in_line()

    def succeeded(
        self, method: str, times: Mapping[str, Mapping[str, Any] | None], admission: Admission | None = None
    ) -> None:
        """Notes a success and what it says about execution times.

        Args:
            method: REST method of the request.
            times: The response's `time` by method; for a batch, by inner method.
            admission: The call's admission.
        """
        now = asyncio.get_running_loop().time()
        sent_ago = 0.0 if admission is None else now - admission.at
        for inner, spent in times.items():
            self.operating.observe(inner, spent, sent_ago=sent_ago, now=now)
        self.rate.succeeded(admission, now=now)
        self._error_counts.pop(method, None)
        self._consecutive_errors = 0

    def not_sent(self, admission: Admission | None) -> None:
        """Notes that a request did not reach the portal.

        Args:
            admission: Of the request; None when it had none.
        """
        if admission is not None:
            self.rate.not_sent(admission)

    async def rate_refused(self, admission: Admission | None = None, *, retry_after: float = 0.0) -> float:
        """Notes that the portal refused a request because of its rate: the others must slow down too.

        Args:
            admission: Of the request; None when it had none of its own, as a command of a batch.
            retry_after: How long the portal asked to wait, seconds.

        Returns:
            Seconds after which the request may be tried again.
        """
        return await self.rate.refused(admission, retry_after=retry_after)

    def budget_refused(self, methods: Collection[str], *, retry_after: float = 0.0) -> float:
        """Notes that the portal refused methods because their execution time is used up.

        Args:
            methods: The method, or the inner methods of a batch.
            retry_after: How long the portal asked to wait, seconds.

        Returns:
            Seconds after which they may be tried again.
        """
        return max(self.operating.refused(method, retry_after=retry_after) for method in methods)

    def failed(self, method: str) -> None:
        """Records a failed call."""
        self._error_counts[method] = self._error_counts.get(method, 0) + 1
        self._consecutive_errors += 1

    def repeated(self) -> None:
        """Notes that a call is repeated."""
        self._retries += 1

    def get_stats(self) -> RestrictionManagerStats:
        """What the limits did so far."""
        delays, total = self.adaptive.delays, self.adaptive.total_delay
        return RestrictionManagerStats(
            retries=self._retries,
            consecutive_errors=self._consecutive_errors,
            limit_hits=self._limit_hits,
            error_counts=dict(self._error_counts),
            burst_limit=self.rate.burst_limit,
            drain_rate=self.rate.drain_rate,
            original_burst_limit=self.rate.config.burst_limit,
            original_drain_rate=self.rate.config.drain_rate,
            recent_errors=self.rate.recent_errors,
            recent_successes=self.rate.recent_successes,
            adaptive_delays=delays,
            total_adaptive_delay=total,
            adaptive_delay_avg=total / delays if delays else 0.0,
            heavy_request_count=self.operating.heavy_requests,
            operating_stats=self.operating.stats(),
        )

    def reset(self) -> None:
        """Forgets what is known of the portal and all counts; the bucket is empty again."""
        self.rate.reset()
        self.operating.reset()
        self.adaptive.reset()
        self._retries = self._consecutive_errors = self._limit_hits = 0
        self._error_counts.clear()
