"""The store in Redis over a bad network, and when tasks are cancelled."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import attrs
import pytest

from b24oauth.errors import StoreConflictError, StoreError
from b24oauth.stores import RedisStore, TokenKey
from tests.support.builders import params
from tests.support.examples import examples
from tests.support.network import network
from tests.support.servers import Valkey

pytestmark = pytest.mark.anyio

KEY = TokenKey("app.1", "member-1")
PAIR = params()


async def leases(store: RedisStore) -> list[bytes]:
    return [name async for name in store._records._client.scan_iter("*:lease:*")]


@pytest.mark.parametrize("busy", [False, True])
async def test_cancelled_acquires_and_releases_leave_no_lease_behind(busy: bool, valkey_server: Valkey) -> None:
    chance = random.Random(7)
    async with RedisStore(valkey_server.url, prefix=f"cancelled-{busy}") as store:

        async def hold() -> None:
            async with store.lease(KEY, seconds=60):
                await asyncio.sleep(chance.uniform(0, 0.002))

        for _ in range(examples(100, 1000)):
            tasks = [asyncio.create_task(hold()) for _ in range(3 if busy else 1)]
            await asyncio.sleep(chance.uniform(0, 0.004))
            for task in tasks:
                task.cancel()
                # The second one comes while the first is being dealt with, as often in a release.
                asyncio.get_running_loop().call_later(chance.uniform(0, 0.001), task.cancel)
            await asyncio.wait(tasks)
            assert await store._records._client.keys(f"cancelled-{busy}:*:lease:*") == []


@pytest.mark.parametrize("fault", ["cut", "half_close", "delay"])
async def test_a_bad_network_loses_and_doubles_nothing(
    fault: str, valkey_server: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("b24oauth.stores.redis._TIMEOUT", 0.2)
    async with network(valkey_server.port, fault) as bad, RedisStore(valkey_server.url, prefix=fault) as near:
        setattr(bad, fault, 0.15)
        async with RedisStore(f"redis://127.0.0.1:{bad.port}/0", prefix=fault) as far:
            revision: str | None = None
            failures = 0
            for number in range(examples(40, 400)):
                pair = attrs.evolve(PAIR, refresh_token=f"token-{number}")
                try:
                    revision = await far.save(KEY, pair, expected=revision)
                except StoreConflictError:
                    raise AssertionError("a save that was repeated took its own work for another one") from None
                except StoreError:
                    failures += 1
                found = await near.load(KEY)
                if found is None:
                    assert revision is None
                    continue
                # What was saved without an answer is there; nothing else is.
                assert found.revision == revision or found.params == pair
                revision = found.revision
            assert fault == "delay" or failures


@pytest.mark.parametrize("fault", ["cut", "delay"])
async def test_one_holder_at_a_time_over_a_bad_network(fault: str, valkey_server: Valkey) -> None:
    holders: list[int] = []
    async with network(valkey_server.port, fault) as bad:
        setattr(bad, fault, 0.1)
        async with RedisStore(f"redis://127.0.0.1:{bad.port}/0", prefix=f"holders-{fault}") as store:

            async def hold(number: int) -> None:
                for _ in range(examples(5, 30)):
                    try:
                        async with store.lease(KEY, seconds=2):
                            holders.append(number)
                            await asyncio.sleep(0.003)
                            assert holders.pop() == number
                    except StoreError:
                        pass

            await asyncio.gather(*(hold(number) for number in range(4)))
