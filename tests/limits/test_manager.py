"""What one portal allows, seen from its clients: rate, execution time, sharing."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from b24oauth import (
    AjaxError,
    ApiVersion,
    B24OAuth,
    ParamsFactory,
    RateLimitConfig,
    RateLimitError,
    RestrictionManager,
    RestrictionParams,
)
from b24oauth.errors import OperatingLimitError
from b24oauth.limits import AdaptiveConfig
from b24oauth.testing import faults
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


def rate(burst: float, drain: float, **options: Any) -> RestrictionParams:
    return RestrictionParams(rate_limit=RateLimitConfig(burst_limit=burst, drain_rate=drain), **options)


async def calls(b24: B24OAuth, count: int, method: str = "profile") -> list[Any]:
    versions = (b24.actions.v2, b24.actions.v3)
    made = (versions[number % 2].call.make(method) for number in range(count))
    return await asyncio.gather(*made, return_exceptions=True)


def came_through(results: list[Any]) -> int:
    return sum(not isinstance(result, BaseException) and result.is_success for result in results)


@pytest.mark.parametrize("latency", [0.0, 0.3])
async def test_l3_five_hundred_calls_fit_the_portals_bucket(latency: float) -> None:
    portal = fake_portal(burst=50, drain=2, latency=latency)
    async with connected(portal, restriction_params=rate(50, 2)) as b24:
        assert came_through(await calls(b24, 500)) == 500
    assert portal.refused == 0
    assert portal.clock.elapsed <= (500 - 50) / 2 / 0.95 + latency


async def test_l3_calls_that_waited_for_a_renewal_are_not_sent_in_one_burst() -> None:
    portal = fake_portal(burst=10, drain=10, refresh_latency=3)
    async with connected(portal, portal.issue(expired=True), restriction_params=rate(10, 10)) as b24:
        assert came_through(await calls(b24, 100)) == 100
    assert portal.refused == 0


async def test_l3_a_client_set_to_twice_the_rate_adapts_and_loses_no_call() -> None:
    portal = fake_portal(burst=50, drain=2)
    async with connected(portal, restriction_params=rate(100, 4)) as b24:
        assert came_through(await calls(b24, 500)) == 500
        assert b24.get_http_client(ApiVersion.V2).get_stats().limits.drain_rate < 4


async def test_l1_v2_and_v3_share_one_bucket() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=rate(1, 1)) as b24:
        await calls(b24, 3)
    assert portal.clock.elapsed == pytest.approx(2)


async def test_l1_clients_of_one_portal_can_share_the_limits() -> None:
    portal = fake_portal(burst=4, drain=1)
    manager = RestrictionManager(rate(4, 1), clock=portal.clock.now)
    async with (
        connected(portal, restriction_manager=manager) as first,
        connected(portal, restriction_manager=manager) as second,
    ):
        results = await asyncio.gather(calls(first, 4), calls(second, 4))
    assert sum(map(came_through, results)) == 8
    assert portal.refused == 0


async def test_l2_a_cancelled_call_leaves_the_queue() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=rate(1, 1)) as b24:
        await b24.actions.v2.call.make("profile")
        waiting = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0.5)
        waiting.cancel()
        await b24.actions.v2.call.make("server.time")
    assert portal.clock.elapsed == pytest.approx(1)
    assert portal.calls["profile"] == 1


async def test_l4_only_the_method_that_used_up_its_time_waits() -> None:
    portal = fake_portal(operating={"crm.deal.list": 480.0})
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("crm.deal.list")
        heavy = asyncio.create_task(b24.actions.v2.call.make("crm.deal.list"))
        before = portal.clock.elapsed
        await b24.actions.v2.call.make("profile")
        assert portal.clock.elapsed == before
        assert (await heavy).is_success
    assert portal.clock.elapsed > 60
    assert not [request for request in portal.requests if request.status == 429]


async def test_l4_a_method_the_portal_refuses_waits_for_every_caller_and_is_then_called() -> None:
    portal = fake_portal()
    portal.inject(faults.status(429, error="OPERATION_TIME_LIMIT"), on="profile")
    async with connected(portal) as b24:
        refused = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        later = asyncio.create_task(b24.actions.v3.call.make("profile"))
        assert (await refused).is_success
        assert (await later).is_success
    assert portal.clock.elapsed == pytest.approx(10)


async def test_slow_methods_pause_before_the_limit() -> None:
    portal = fake_portal(operating={"profile": 400.0})
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("profile")
        await b24.actions.v2.call.make("profile")
        stats = b24.get_http_client(ApiVersion.V2).get_stats().limits
    assert stats.adaptive_delays == 1
    assert stats.heavy_request_count >= 1
    assert 0 < stats.total_adaptive_delay <= 7


@pytest.mark.parametrize(
    ("status", "code"), [(503, "QUERY_LIMIT_EXCEEDED"), (503, None), (200, "QUERY_LIMIT_EXCEEDED")]
)
async def test_l5_a_call_refused_for_its_rate_is_repeated_even_when_it_writes(status: int, code: str | None) -> None:
    portal = fake_portal()
    portal.inject(faults.status(status, error=code) if code else faults.html(status), on="crm.deal.add")
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make("crm.deal.add", {"fields": {"TITLE": "x"}})).is_success
    assert portal.executed["crm.deal.add"] == 1


async def test_what_is_refused_to_the_end_surfaces() -> None:
    portal = fake_portal()
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile", times=None)
    portal.inject(faults.status(429, error="OPERATION_TIME_LIMIT"), on="server.time", times=None)
    async with connected(portal) as b24:
        with pytest.raises(RateLimitError):
            await b24.actions.v2.call.make("profile")
        with pytest.raises(OperatingLimitError):
            await b24.actions.v2.call.make("server.time")


async def test_a_blocked_portal_is_asked_once() -> None:
    portal = fake_portal()
    portal.inject(faults.status(503, error="OVERLOAD_LIMIT"), on="profile", times=None)
    async with connected(portal) as b24:
        with pytest.raises(AjaxError, match="OVERLOAD_LIMIT"):
            await b24.actions.v2.call.make("profile")
    assert sum(request.method == "profile" for request in portal.requests) == 1


async def test_changing_the_params_of_a_running_client_leaves_the_given_ones_alone() -> None:
    portal = fake_portal()
    given = rate(1, 1)
    async with connected(portal, restriction_params=given) as b24:
        await calls(b24, 2)
        assert portal.clock.elapsed == pytest.approx(1)
        await b24.set_restriction_manager_params(attrs.evolve(given, max_retries=7))
        assert given.max_retries == 3
        await calls(b24, 1)
        assert portal.clock.elapsed == pytest.approx(2)
        await b24.set_restriction_manager_params(rate(100, 10, adaptive_config=AdaptiveConfig(enabled=False)))
        await calls(b24, 50)
        assert portal.clock.elapsed == pytest.approx(2, abs=0.2)
        assert b24.get_restriction_manager_params().rate_limit.burst_limit == 100


async def test_stats_count_and_reset_forgets() -> None:
    portal = fake_portal()
    portal.inject(faults.status(500, error="SOMETHING"), on="profile")
    async with connected(portal) as b24:
        http = b24.get_http_client(ApiVersion.V2)
        await b24.actions.v2.call.make("profile")
        with pytest.raises(AjaxError):
            await b24.actions.v2.call.make("no.such.method")
        stats = http.get_stats()
        assert (stats.total_requests, stats.successful_requests, stats.failed_requests) == (3, 1, 2)
        assert stats.by_method["profile"].count == 2
        assert stats.limits.error_counts == {"no.such.method": 1}
        assert stats.limits.retries == 1
        assert [method for method, _ in stats.last_errors] == ["profile", "no.such.method"]
        http.reset()
        assert http.get_stats().total_requests == 0
        assert http.get_stats().limits.retries == 0


async def test_max_retries_of_zero_sends_nothing() -> None:
    portal = fake_portal()
    params = attrs.evolve(ParamsFactory.get_default(), max_retries=0)
    async with connected(portal, restriction_params=params) as b24:
        with pytest.raises(AjaxError, match="nothing was sent"):
            await b24.actions.v2.call.make("profile")
    assert not portal.requests


async def test_l2_requests_beyond_those_that_keep_the_bucket_full_are_not_worth_beginning() -> None:
    manager = RestrictionManager(RestrictionParams(rate_limit=RateLimitConfig(burst_limit=5, drain_rate=2)))
    assert manager.max_new_requests(4, 0, 1.0) == 4
    assert manager.max_new_requests(9, 3, 1.0) == 5
    for _ in range(5):
        assert await manager.rate.acquire_at_once() is not None
    assert [manager.max_new_requests(9, under_way, 1.0) for under_way in range(5)] == [3, 2, 1, 0, 0]
    assert manager.max_new_requests(9, 0, 10.0) == 9
    assert manager.max_new_requests(9, 0, 0.01) == 2
