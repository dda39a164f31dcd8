"""How many requests of a client are under way at once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from b24oauth import B24OAuth, ClientStateError, NetworkError, RateLimitConfig, RestrictionManager, RestrictionParams
from b24oauth.testing import FakePortal
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio


class Crowd:
    """Counts the requests that a portal is working on, and lets them go when told."""

    def __init__(self, portal: FakePortal) -> None:
        self.now = self.most = 0
        self.order: list[Any] = []
        self.go = asyncio.Event()
        self.arrived = asyncio.Semaphore(0)
        portal.inject(self._fault, times=None)

    async def _fault(self, process: Any) -> Any:
        self.now += 1
        self.most = max(self.most, self.now)
        self.arrived.release()
        await self.go.wait()
        self.now -= 1
        return await process()


async def settled() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("options", "most"), [({}, 10), ({"max_concurrency": 3}, 3), ({"max_concurrency": 1}, 1)])
async def test_no_more_requests_than_allowed_are_under_way_v2_and_v3_together(
    options: dict[str, int], most: int
) -> None:
    portal = fake_portal(rows={"crm.deal": 50})
    async with connected(portal, **options) as b24:
        crowd = Crowd(portal)
        versions = (b24.actions.v2, b24.actions.v3)
        calls = [asyncio.create_task(versions[i % 2].call.make("crm.deal.get", {"id": 1})) for i in range(25)]
        await settled()
        assert crowd.now == most
        crowd.go.set()
        assert all(answer.is_success for answer in await asyncio.gather(*calls))
    assert crowd.most == most


@pytest.mark.parametrize(("drain", "most"), [(2, 10), (16, 16), (1e6, 20)])
async def test_own_connections_carry_as_many_requests_as_the_limits_admit(drain: float, most: int) -> None:
    portal = FakePortal(rows={"crm.deal": 50})
    async with portal.serve():
        crowd = Crowd(portal)
        b24 = B24OAuth(
            portal.issue(),
            portal.secret,
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            restriction_params=RestrictionParams(rate_limit=RateLimitConfig(burst_limit=100, drain_rate=drain)),
        )
        async with b24:
            calls = [asyncio.create_task(b24.actions.v2.call.make("crm.deal.get", {"id": 1})) for _ in range(50)]
            for _ in range(most):
                await crowd.arrived.acquire()
            crowd.go.set()
            assert all(answer.is_success for answer in await asyncio.gather(*calls))
    assert crowd.most == most


async def test_those_who_wait_are_sent_in_the_order_they_came() -> None:
    portal = fake_portal()
    sent: list[int] = []
    portal.method("my.get", lambda params: sent.append(params["i"]) or 1)
    async with connected(portal, max_concurrency=2) as b24:
        await asyncio.gather(*(b24.actions.v2.call.make("my.get", {"i": i}) for i in range(20)))
    assert sent == list(range(20))


async def test_who_is_cancelled_while_waiting_or_under_way_takes_no_place() -> None:
    portal = fake_portal(rows={"crm.deal": 50})
    async with connected(portal, max_concurrency=2) as b24:
        crowd = Crowd(portal)
        calls = [asyncio.create_task(b24.actions.v2.call.make("crm.deal.get", {"id": 1})) for _ in range(6)]
        await settled()
        for number in (0, 3):  # one under way, one waiting
            calls[number].cancel()
        await settled()
        crowd.go.set()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [i in (0, 3) for i in range(6)]
        again = [b24.actions.v2.call.make("crm.deal.get", {"id": 1}) for _ in range(4)]
        assert all(answer.is_success for answer in await asyncio.gather(*again))


async def test_a2_a_timeout_covers_the_waiting_for_a_place() -> None:
    portal = fake_portal(rows={"crm.deal": 50})
    async with connected(portal, max_concurrency=1) as b24:
        crowd = Crowd(portal)
        first = asyncio.create_task(b24.actions.v2.call.make("crm.deal.get", {"id": 1}))
        await settled()
        with pytest.raises(TimeoutError):
            await b24.actions.v2.call.make("crm.deal.get", {"id": 2}, timeout=5)
        crowd.go.set()
        assert (await first).is_success
    assert portal.calls["crm.deal.get"] == 1


async def test_t10_a_callback_that_calls_the_api_passes_those_who_wait_for_the_renewal() -> None:
    portal = fake_portal(rows={"crm.deal": 50}, latency=1.0)
    async with connected(portal, max_concurrency=2) as b24:

        async def save(_: object) -> None:
            assert (await b24.actions.v2.call.make("profile")).is_success

        b24.set_callback_refresh_auth(save)
        portal.expire_tokens()
        calls = (b24.actions.v2.call.make("crm.deal.get", {"id": 1}, timeout=60) for _ in range(10))
        assert all(answer.is_success for answer in await asyncio.gather(*calls))
    assert portal.calls["profile"] == 1


async def test_l3_calls_that_wait_for_a_place_hold_none_in_the_bucket() -> None:
    # Slow answers let calls pile up: were they admitted before, all would be sent in one burst as soon as answers come.
    portal = fake_portal(rows={"crm.deal": 50}, burst=5, drain=1, latency=4.0)
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=5, drain_rate=1))
    async with connected(portal, restriction_params=limits, max_concurrency=2) as b24:
        calls = [asyncio.create_task(b24.actions.v2.call.make("crm.deal.get", {"id": 1})) for _ in range(60)]
        await asyncio.sleep(40)
        portal.latency = 0.0
        assert all(answer.is_success for answer in await asyncio.gather(*calls))
    assert portal.refused == 0


@pytest.mark.parametrize("clients", [1, 2, 6])
async def test_l1_clients_that_share_their_limits_share_one_gate(clients: int) -> None:
    portal = fake_portal(rows={"crm.deal": 50})
    manager = RestrictionManager(UNLIMITED)
    async with AsyncExitStack() as stack:
        shared = [
            await stack.enter_async_context(connected(portal, restriction_manager=manager)) for _ in range(clients)
        ]
        crowd = Crowd(portal)
        calls = [asyncio.create_task(b24.call("crm.deal.get", {"id": 1})) for b24 in shared for _ in range(30)]
        await settled()
        crowd.go.set()
        await asyncio.gather(*calls)
    # One http_client each bounds a client to 10, the shared limits bound all of them to 20.
    assert crowd.most == min(20, 10 * clients)


def over(http: httpx.AsyncClient, portal: FakePortal) -> B24OAuth:
    now = portal.clock.now
    return B24OAuth(portal.issue(), portal.secret, http_client=http, restriction_params=UNLIMITED, clock=now)


async def test_clients_over_one_httpx_client_share_one_gate() -> None:
    portals = [fake_portal(rows={"crm.deal": 50}) for _ in range(3)]
    under_way = most = 0
    go = asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await go.wait()
        under_way -= 1
        return httpx.Response(200, json={"result": 1})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(over(http, portal)) for portal in portals]
        calls = [asyncio.create_task(b24.call("profile")) for b24 in clients for _ in range(10)]
        await settled()
        assert under_way == 10
        go.set()
        await asyncio.gather(*calls)
    assert most == 10


async def test_l2_a_closing_client_ends_its_own_waits_at_a_shared_gate() -> None:
    portal = fake_portal(rows={"crm.deal": 50})
    manager = RestrictionManager(UNLIMITED)
    async with (
        connected(portal, restriction_manager=manager) as first,
        connected(portal, restriction_manager=manager, max_concurrency=5) as second,
    ):
        crowd = Crowd(portal)
        ours = [asyncio.create_task(first.call("crm.deal.get", {"id": 1})) for _ in range(30)]
        theirs = [asyncio.create_task(second.call("crm.deal.get", {"id": 1})) for _ in range(30)]
        await settled()
        assert crowd.now == 15
        await first.aclose()
        await settled()
        assert all(call.done() for call in ours)
        ended = await asyncio.gather(*ours, return_exceptions=True)
        assert all(isinstance(error, (ClientStateError, NetworkError)) for error in ended)
        assert not any(call.done() for call in theirs)
        crowd.go.set()
        await asyncio.gather(*theirs)
    assert manager.gate.waiting == 0
    assert sum(manager.gate.enters_at_once() for _ in range(30)) == 20
