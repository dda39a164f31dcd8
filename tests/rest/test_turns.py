"""Calls of clients that share a wire begin few at a time; waiting for it is part of the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from b24oauth import B24OAuth, ClientStateError
from b24oauth.errors import RequestTimeoutError
from b24oauth.testing import FakePortal
from b24oauth.wire import TransportName, Wire
from tests.support.clients import UNLIMITED

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("transport", ["httpx", "httpx2", "aiohttp"])]

CALLS = 30


@asynccontextmanager
async def sharing(transport: TransportName, count: int) -> AsyncIterator[tuple[FakePortal, list[B24OAuth]]]:
    """Clients of one portal over one wire."""
    portal = FakePortal(rows={"crm.deal": 50})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(portal.serve())
        wire = await stack.enter_async_context(Wire(transport=transport))
        options: dict[str, Any] = {"trusted_oauth_hosts": portal.trusted_oauth_hosts, "restriction_params": UNLIMITED}
        clients = [B24OAuth(portal.issue(), portal.secret, wire=wire, **options) for _ in range(count)]
        yield portal, [await stack.enter_async_context(client) for client in clients]


async def test_all_calls_of_many_clients_are_answered(transport: TransportName) -> None:
    async with sharing(transport, 10) as (_, clients):
        calls = [client.call("crm.deal.get", {"id": number + 1}) for client in clients for number in range(3)]
        assert [deal["ID"] for deal in await asyncio.gather(*calls)] == ["1", "2", "3"] * 10


async def test_a1_a_close_ends_those_who_wait_for_a_turn_and_no_others(transport: TransportName) -> None:
    async with sharing(transport, 2) as (portal, (closed, other)):
        # The other client's calls are first, so none of these can begin before the close.
        others = [asyncio.create_task(other.call("crm.deal.get", {"id": 1})) for _ in range(CALLS)]
        tasks = [asyncio.create_task(closed.call("crm.deal.get", {"id": 1})) for _ in range(CALLS)]
        await asyncio.sleep(0)
        await closed.aclose()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, ClientStateError) for result in results)
        assert [deal["ID"] for deal in await asyncio.gather(*others)] == ["1"] * CALLS
        assert len(portal.requests) == CALLS


async def test_a1_a_close_does_not_leave_a_call_waiting_for_a_turn_that_does_not_come(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("b24oauth.wire.turns.Turns.begins_at_once", lambda _: False)
    async with sharing(transport, 1) as (portal, (b24,)):
        task = asyncio.create_task(b24.call("crm.deal.get", {"id": 1}))
        await asyncio.sleep(0)
        await b24.aclose()
        for _ in range(5):
            await asyncio.sleep(0)
        assert task.done()
        assert isinstance(task.exception(), ClientStateError)
        assert not portal.requests


async def test_a_drain_lets_those_who_wait_for_a_turn_end(transport: TransportName) -> None:
    async with sharing(transport, 1) as (_, (b24,)):
        tasks = [asyncio.create_task(b24.call("crm.deal.get", {"id": 1})) for _ in range(CALLS)]
        await asyncio.sleep(0)
        await b24.aclose(drain=60)
        assert [deal["ID"] for deal in await asyncio.gather(*tasks)] == ["1"] * CALLS


async def test_a2_the_timeout_covers_the_wait_and_nothing_is_sent_after_it(
    transport: TransportName, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sharing(transport, 1) as (portal, (b24,)):
        monkeypatch.setattr("b24oauth.wire.turns.Turns.begins_at_once", lambda _: False)
        with pytest.raises(RequestTimeoutError, match=r"crm\.deal\.add was not done within 0\.01 seconds"):
            await b24.with_options(timeout=0.01).call("crm.deal.add", {"fields": {}})
        assert not portal.requests


async def test_l2_a_cancelled_call_holds_no_other_up(transport: TransportName) -> None:
    async with sharing(transport, 1) as (_, (b24,)):
        tasks = [asyncio.create_task(b24.call("crm.deal.get", {"id": 1})) for _ in range(CALLS)]
        await asyncio.sleep(0)
        for task in tasks[10:20]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [
            10 <= number < 20 for number in range(CALLS)
        ]
        assert b24.is_idle
