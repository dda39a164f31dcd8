"""L3: clients that share their limits are not refused, and use the rate."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from b24oauth import RateLimitConfig, RestrictionManager, RestrictionParams
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio

LIMITS = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=50, drain_rate=20))


@pytest.mark.parametrize("latency", [0.0, 0.3])
@pytest.mark.parametrize("clients", range(1, 7))
async def test_l3_clients_of_one_manager_are_not_refused_and_use_the_rate(clients: int, latency: float) -> None:
    portal = fake_portal(burst=50, drain=20, latency=latency)
    manager, loop = RestrictionManager(LIMITS), asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        opened = [connected(portal, restriction_manager=manager) for _ in range(clients)]
        made = [await stack.enter_async_context(b24) for b24 in opened]
        started = loop.time()
        await asyncio.gather(*(made[number % clients].call("profile") for number in range(200)))
        seconds = loop.time() - started
    assert portal.refused == 0
    assert (150 / 20) / (seconds - latency) >= 0.95
