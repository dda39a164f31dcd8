"""What every store of token pairs does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import attrs
import pytest

from b24oauth.stores import MemoryStore, StoreConflictError, TokenKey, TokenStore
from tests.support.builders import params

pytestmark = pytest.mark.anyio

KEY = TokenKey("app.1", "member-1")
OTHERS = [TokenKey("app.2", "member-1"), TokenKey("app.1", "member-2"), TokenKey("app.1", "member-1", 7)]
PAIR = params()
NEWER = attrs.evolve(PAIR, refresh_token="newer")


@pytest.fixture(params=[MemoryStore])
def store(request: pytest.FixtureRequest) -> TokenStore:
    make: Callable[[], TokenStore] = request.param
    return make()


async def test_a_saved_pair_is_loaded_whole(store: TokenStore) -> None:
    assert await store.load(KEY) is None
    revision = await store.save(KEY, PAIR, expected=None)
    stored = await store.load(KEY)
    assert stored is not None
    assert (stored.params, stored.revision) == (PAIR, revision)


@pytest.mark.parametrize("other", OTHERS)
async def test_pairs_of_applications_portals_and_users_are_apart(store: TokenStore, other: TokenKey) -> None:
    await store.save(KEY, PAIR, expected=None)
    assert await store.load(other) is None
    await store.save(other, NEWER, expected=None)
    stored = await store.load(KEY)
    assert stored is not None
    assert stored.params == PAIR


async def test_t9_a_pair_is_saved_only_in_place_of_the_one_that_was_read(store: TokenStore) -> None:
    first = await store.save(KEY, PAIR, expected=None)
    second = await store.save(KEY, NEWER, expected=first)
    for stale in (None, first, "never given"):
        with pytest.raises(StoreConflictError):
            await store.save(KEY, PAIR, expected=stale)
    stored = await store.load(KEY)
    assert stored is not None
    assert (stored.params, stored.revision) == (NEWER, second)


async def test_t9_a_removed_pair_is_not_what_was_read(store: TokenStore) -> None:
    first = await store.save(KEY, PAIR, expected=None)
    assert await store.delete(KEY)
    assert not await store.delete(KEY)
    assert await store.load(KEY) is None
    with pytest.raises(StoreConflictError):
        await store.save(KEY, NEWER, expected=first)
    assert await store.save(KEY, PAIR, expected=None) != first


async def test_keys_are_those_of_the_application_and_the_portal(store: TokenStore) -> None:
    for key in (KEY, *OTHERS):
        await store.save(key, PAIR, expected=None)
    assert {key async for key in store.keys("app.1")} == {KEY, *OTHERS[1:]}
    assert {key async for key in store.keys("app.1", "member-1")} == {KEY, OTHERS[2]}
    assert [key async for key in store.keys("app.3")] == []


async def test_pairs_may_be_removed_while_keys_are_read(store: TokenStore) -> None:
    for key in (KEY, *OTHERS):
        await store.save(key, PAIR, expected=None)
    async for key in store.keys("app.1"):
        await store.delete(key)
    assert [key async for key in store.keys("app.1")] == []


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


@pytest.mark.parametrize("other", OTHERS)
async def test_leases_of_other_pairs_do_not_wait(store: TokenStore, other: TokenKey) -> None:
    async with store.lease(KEY, seconds=15), store.lease(other, seconds=15):
        pass


async def test_t9_the_lease_of_a_holder_that_stopped_ends(store: TokenStore) -> None:
    loop = asyncio.get_running_loop()
    stopped, began = asyncio.Event(), loop.time()

    async def stop() -> bool:
        async with store.lease(KEY, seconds=15) as lease:
            await stopped.wait()
            return await lease.extend()

    task = asyncio.create_task(stop())
    await asyncio.sleep(0)
    async with store.lease(KEY, seconds=15) as lease:
        assert 15 <= loop.time() - began < 16
        stopped.set()
        assert not await task  # its lease is over, and it does not end the other one
        waiting = asyncio.create_task(_acquired(store))
        await asyncio.sleep(10)
        assert await lease.extend()
        await asyncio.sleep(10)
        assert not waiting.done()
    await waiting


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


async def test_an_extended_lease_is_held_longer_than_its_seconds(store: TokenStore) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with store.lease(KEY, seconds=15) as lease:
        waiting = [asyncio.create_task(_acquired(store)) for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(5)
            assert await lease.extend()
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert loop.time() - began < 51


async def test_t9_a_cancelled_waiter_leaves_no_lease_behind(store: TokenStore) -> None:
    loop = asyncio.get_running_loop()
    for turns in range(8):
        async with store.lease(KEY, seconds=15):
            waiting = asyncio.create_task(_acquired(store))
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait({waiting})
        began = loop.time()
        await _acquired(store)
        assert loop.time() - began < 1


async def test_t9_a_lease_ends_with_an_error_of_its_block(store: TokenStore) -> None:
    with pytest.raises(ZeroDivisionError):
        async with store.lease(KEY, seconds=15):
            raise ZeroDivisionError
    began = asyncio.get_running_loop().time()
    await _acquired(store)
    assert asyncio.get_running_loop().time() - began < 1


async def test_t12_a_store_shows_no_secret(store: TokenStore) -> None:
    await store.save(KEY, PAIR, expected=None)
    for shown in (repr(store), repr(vars(store)), repr(await store.load(KEY))):
        assert "S3CR3T" not in shown
