"""The store in memory; what it has in common with the others is in `test_every_store`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth.stores import MemoryStore, TokenKey, TokenStore
from b24oauth.testing import VirtualClockLoop

pytestmark = pytest.mark.anyio

KEY = TokenKey("app.1", "member-1")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualClockLoop}


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


async def test_t9_one_task_at_a_time_holds_a_lease_in_the_order_they_came(store: TokenStore) -> None:
    holders: list[int] = []
    order: list[int] = []

    async def hold(number: int) -> None:
        async with store.lease(KEY, seconds=15):
            holders.append(number)
            assert holders == [number]
            order.append(number)
            await asyncio.sleep(1)
            holders.remove(number)

    tasks = [asyncio.create_task(hold(number)) for number in range(5)]
    await asyncio.gather(*tasks)
    assert order == list(range(5))


async def test_t9_a_holder_that_lost_its_lease_and_ends_late_lets_nobody_in(store: TokenStore) -> None:
    late = asyncio.Event()

    async def overstay() -> None:
        async with store.lease(KEY, seconds=15):
            await late.wait()

    task = asyncio.create_task(overstay())
    await asyncio.sleep(20)
    await _acquired(store)
    async with store.lease(KEY, seconds=15):
        late.set()
        await task
        waiting = asyncio.create_task(_acquired(store))
        await asyncio.sleep(1)
        assert not waiting.done()
    await waiting


async def _acquired(store: TokenStore) -> None:
    async with store.lease(KEY, seconds=15):
        pass
