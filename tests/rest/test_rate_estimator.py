"""A client whose limits are not the portal's: what it costs to find them, and what stays found."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import pytest

from b24oauth import B24OAuth, ParamsFactory, RateLimitConfig, RestrictionManager, RestrictionParams
from b24oauth.testing import FakePortal, faults
from b24oauth.testing.bucket import LeakyBucket
from b24oauth.testing.messages import Answer, RestError
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio

Delays = Literal["answers", "requests", "accepted"]


class Bucket:
    """The bucket in front of a portal; its drain may change, and others may use it."""

    def __init__(
        self, *, burst: float = 50, drain: float = 2, latency: float = 0, jitter: float = 0, delays: Delays = "answers"
    ) -> None:
        self.portal: FakePortal = fake_portal()
        self.leaky = LeakyBucket(burst=burst, drain=drain, now=self.portal.clock.now)
        self.refused = 0
        self._latency, self._jitter, self._delays = latency, jitter, delays
        self._random = random.Random(7)
        self.portal.inject(self.answer, times=None)

    def taken_by_another(self) -> bool:
        """True when somebody else got a place."""
        try:
            self.leaky.admit()
        except RestError:
            return False
        return True

    async def answer(self, process: Callable[[], Awaitable[Answer]]) -> Answer:
        """The fault that requests meet."""
        if self._delays == "requests":
            await self._delay()
        try:
            self.leaky.admit()
        except RestError:
            self.refused += 1
            answer = await faults.status(503, error="QUERY_LIMIT_EXCEEDED")(process)
        else:
            answer = await process()
        if self._delays == "answers" or (self._delays == "accepted" and answer.status == 200):
            await self._delay()
        return answer

    async def _delay(self) -> None:
        await asyncio.sleep(self._latency + self._jitter * self._random.random())


def rate(burst: float, drain: float) -> RestrictionParams:
    return RestrictionParams(rate_limit=RateLimitConfig(burst_limit=burst, drain_rate=drain))


async def storm(b24: B24OAuth, calls: int, *, mixed: bool = True) -> None:
    """So many calls at once, each of which must succeed."""
    versions = (b24.actions.v2, b24.actions.v3 if mixed else b24.actions.v2)
    results = await asyncio.gather(*(versions[n % 2].call.make("profile") for n in range(calls)))
    assert all(result.is_success for result in results)


async def run(bucket: Bucket, params: RestrictionParams, calls: int = 150, *, mixed: bool = True) -> float:
    """Seconds that so many calls took."""
    async with connected(bucket.portal, restriction_params=params) as b24:
        started = bucket.portal.clock.elapsed
        await storm(b24, calls, mixed=mixed)
        return bucket.portal.clock.elapsed - started


def ideal(bucket: Bucket, calls: int, latency: float) -> float:
    drain, burst = bucket.leaky.drain or math.inf, bucket.leaky.burst or math.inf
    return max((calls - burst) / drain + latency, math.ceil(calls / 10) * latency)


@pytest.mark.parametrize("delays", ["answers", "requests", "accepted"])
@pytest.mark.parametrize("latency", [0, 0.05, 1, 5])
@pytest.mark.parametrize("client", [(100, 4), (150, 6), (250, 5), (60, 2.4)])
async def test_l3_a_client_set_too_high_finds_the_rate_and_loses_no_call(
    client: tuple[float, float], latency: float, delays: Delays
) -> None:
    bucket = Bucket(latency=latency, delays=delays)
    took = await run(bucket, rate(*client))
    assert bucket.refused <= 12
    assert took <= ideal(bucket, 150, latency) + 7


@pytest.mark.parametrize("latency", [0, 0.05, 1, 5])
async def test_l3_the_same_with_calls_of_one_version_only(latency: float) -> None:
    bucket = Bucket(latency=latency)
    took = await run(bucket, rate(100, 4), mixed=False)
    assert bucket.refused <= 12
    assert took <= ideal(bucket, 150, latency) + 7


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("latency", [0, 0.05, 0.3, 1, 5])
async def test_l3_a_client_set_right_is_never_refused(latency: float, mixed: bool) -> None:
    bucket = Bucket(latency=latency)
    took = await run(bucket, rate(50, 2), mixed=mixed)
    assert bucket.refused == 0
    assert took <= ideal(bucket, 150, latency) + 0.1


async def test_l3_connections_that_take_time_to_open_cost_no_refusal() -> None:
    bucket = Bucket(drain=20)

    async def opening(process: Callable[[], Awaitable[Answer]]) -> Answer:
        await asyncio.sleep(0.2)
        return await bucket.answer(process)

    bucket.portal.clear_faults()
    bucket.portal.inject(opening, times=10)
    bucket.portal.inject(bucket.answer, times=None)
    took = await run(bucket, rate(50, 20))
    assert bucket.refused == 0
    assert took <= 5 + 0.4


async def test_the_enterprise_preset_against_an_ordinary_portal() -> None:
    bucket = Bucket(latency=0.05)
    took = await run(bucket, ParamsFactory.get_enterprise())
    assert bucket.refused <= 12
    assert took <= 55


async def test_ten_times_the_rate() -> None:
    bucket = Bucket(latency=0.05)
    took = await run(bucket, rate(500, 20))
    assert bucket.refused <= 14
    assert took <= 58


@pytest.mark.parametrize("latency", [0.05, 1])
async def test_l1_clients_that_share_the_limits_find_them_together(latency: float) -> None:
    bucket = Bucket(latency=latency)
    manager = RestrictionManager(rate(100, 4), clock=bucket.portal.clock.now)
    async with (
        connected(bucket.portal, restriction_manager=manager) as first,
        connected(bucket.portal, restriction_manager=manager) as second,
    ):
        await asyncio.gather(storm(first, 75), storm(second, 75))
        assert bucket.portal.clock.elapsed <= 60
    assert bucket.refused <= 22


@pytest.mark.parametrize("gap", [5, 20, 60, 600])
async def test_what_was_found_is_remembered_over_idle_time(gap: float) -> None:
    bucket = Bucket(latency=0.05)
    manager = RestrictionManager(rate(100, 4), clock=bucket.portal.clock.now)
    async with connected(bucket.portal, restriction_manager=manager) as b24:
        await storm(b24, 150)
        before = bucket.refused
        for _ in range(4):
            await asyncio.sleep(gap)
            await storm(b24, 150)
        assert bucket.refused - before <= 8
        stats = manager.get_stats()
        assert stats.original_burst_limit == 100
        assert stats.burst_limit < 60
        manager.reset()
        assert manager.get_stats().burst_limit == 100


@pytest.mark.parametrize("jitter", [0, 0.3])
@pytest.mark.parametrize("client", [(100, 4), (250, 5)])
async def test_in_the_long_run_one_call_in_fifty_is_refused_at_most(client: tuple[float, float], jitter: float) -> None:
    bucket = Bucket(latency=0.05, jitter=jitter)
    took = await run(bucket, rate(*client), 2000)
    assert bucket.refused <= 40
    assert took <= ideal(bucket, 2000, 1) / 0.98


async def test_a_rate_that_changes_is_found_again() -> None:
    bucket = Bucket(latency=0.05)
    manager = RestrictionManager(rate(100, 4), clock=bucket.portal.clock.now)
    async with connected(bucket.portal, restriction_manager=manager) as b24:
        running = asyncio.create_task(storm(b24, 1200))
        await asyncio.sleep(60)
        bucket.leaky.drain = 1
        await asyncio.sleep(60)
        assert 0.85 <= manager.rate.drain_rate <= 1.3
        await asyncio.sleep(200)
        bucket.leaky.drain = 2
        # It waits for at most 320 successes before it looks for more.
        await asyncio.sleep(400)
        assert manager.rate.drain_rate >= 1.6
        await running
    assert bucket.refused <= 30


@pytest.mark.parametrize("client", [(50, 2), (100, 4)])
async def test_a_portal_that_others_use_too(client: tuple[float, float]) -> None:
    bucket, others = Bucket(latency=0.05), random.Random(3)
    served = Counter[bool]()

    async def other() -> None:
        while True:
            await asyncio.sleep(others.expovariate(1))
            served[bucket.taken_by_another()] += 1

    busy = asyncio.create_task(other())
    await run(bucket, rate(*client), 300)
    busy.cancel()
    assert bucket.refused <= 30
    # Slowing down leaves the others most of what they ask for.
    assert served[True] >= 0.5 * served.total()


async def test_a_call_is_refused_twice_at_most_even_when_the_portal_is_full_at_the_start() -> None:
    bucket = Bucket(latency=0.05)
    while bucket.taken_by_another():
        pass
    refusals = Counter[Any]()
    async with connected(bucket.portal, restriction_params=rate(100, 4)) as b24:
        await storm(b24, 150)
        refusals.update(record.query["bx24_request_id"] for record in bucket.portal.requests if record.status == 503)
    assert max(refusals.values()) <= 2
    assert bucket.refused <= 16


@pytest.mark.parametrize("cancelled", [5, 50, 120])
async def test_l2_cancelled_calls_do_not_spoil_what_is_found(cancelled: int) -> None:
    bucket = Bucket(latency=1)
    async with connected(bucket.portal, restriction_params=rate(100, 4)) as b24:
        doomed = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(cancelled)]
        running = asyncio.create_task(storm(b24, 150))
        await asyncio.sleep(2.5)
        for task in doomed:
            task.cancel()
        await asyncio.gather(*doomed, return_exceptions=True)
        await running
    assert bucket.refused <= 12


async def test_calls_that_never_reach_the_portal_do_not_spoil_what_is_found() -> None:
    bucket = Bucket(latency=0.05)
    manager = RestrictionManager(rate(100, 4), clock=bucket.portal.clock.now)
    async with connected(bucket.portal, restriction_manager=manager) as b24:
        bucket.portal.clear_faults()
        bucket.portal.inject(faults.refuse(), times=40)
        bucket.portal.inject(bucket.answer, times=None)
        await asyncio.gather(*(b24.actions.v2.call.make("profile") for _ in range(150)), return_exceptions=True)
    assert manager.rate.burst_limit <= 60
    assert bucket.refused <= 12
