"""Limits that clients of different processes share, seen from two managers in one process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from b24oauth import ConfigurationError, RateLimitConfig, RestrictionManager, RestrictionParams
from b24oauth.limits.redis import RedisRestrictionManager
from b24oauth.limits.shared import SharedRestrictionManager
from b24oauth.stores import EncryptedStore, SQLiteStore
from b24oauth.testing import FakePortal, faults
from tests.support.clients import connected
from tests.support.servers import Valkey, valkey
from tests.support.stores import key_of, put

pytestmark = pytest.mark.anyio

# Of the burst, 2 requests and a tenth of the rate are kept free.
PARAMS = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=10, drain_rate=10))
ROOM = 7


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture(params=["redis", "sqlite"])
async def managers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[SharedRestrictionManager]]:
    """Two managers of one portal, as two processes have them."""
    if request.param == "redis":
        url = request.getfixturevalue("server").url
        made = [RedisRestrictionManager(url, f"portal-{tmp_path.name}", PARAMS) for _ in range(2)]
        yield made
        for manager in made:
            await manager.aclose()
    else:
        stores = [SQLiteStore(tmp_path / "tokens.db") for _ in range(2)]
        yield [SharedRestrictionManager(store.shared_limits("portal"), PARAMS) for store in stores]
        for store in stores:
            await store.aclose()


def portal_of(tmp_path: Path, **options: Any) -> FakePortal:
    return FakePortal(clock=time.time, member_id=f"member-{tmp_path.name}", **options)


async def test_l1_managers_admit_one_burst_together(managers: list[Any]) -> None:
    first, second = managers
    began, admitted = time.monotonic(), 0
    while await (first, second)[admitted % 2].rate.acquire_at_once():
        admitted += 1
    # Meanwhile some more have drained.
    assert ROOM <= admitted <= ROOM + 1 + 10 * (time.monotonic() - began)
    assert await second.rate.acquire_at_once() is None or await first.rate.acquire_at_once() is None


async def test_l2_those_who_wait_are_admitted_in_the_order_they_came(managers: list[Any]) -> None:
    order, tasks = list[int](), list[asyncio.Task[None]]()

    async def wait(number: int) -> None:
        await managers[number % 2].rate.acquire_in_line()
        order.append(number)

    for number in range(ROOM + 6):
        # Each comes when the one before has its place, as over two processes.
        if await managers[number % 2].rate.acquire_at_once():
            order.append(number)
        else:
            tasks.append(asyncio.create_task(wait(number)))
            await asyncio.sleep(0)
    await asyncio.gather(*tasks)
    assert order == sorted(order)


async def test_l2_a_cancelled_waiter_gives_its_place_back(managers: list[Any]) -> None:
    first, second = managers
    while await first.rate.acquire_at_once():
        pass
    waiting = [asyncio.create_task(first.rate.acquire_in_line()) for _ in range(10)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await first.rate.acquire_in_line()
    began = time.monotonic()
    await second.rate.acquire_in_line()
    assert time.monotonic() - began < 0.8  # and not a second for those who are gone


async def test_a_refusal_that_one_sees_stops_the_other(managers: list[Any]) -> None:
    first, second = managers
    admission = await first.rate.acquire_at_once()
    await first.rate_refused(admission)
    began = time.monotonic()
    assert await second.rate.acquire_at_once() is None
    await second.rate.acquire_in_line()
    assert time.monotonic() - began > 0.09
    # What was learned is known to both.
    assert second.rate.drain_rate == first.rate.drain_rate or second.rate.burst_limit < 10


async def test_a_waiter_does_not_send_into_a_bucket_that_was_refused_meanwhile(managers: list[Any]) -> None:
    first, second = managers
    admission = await first.rate.acquire_at_once()
    while await second.rate.acquire_at_once():
        pass
    waiting = [asyncio.create_task(second.rate.acquire_in_line()) for _ in range(4)]
    await asyncio.sleep(0.05)
    refused = time.monotonic()
    await first.rate_refused(admission, retry_after=1.0)
    await asyncio.gather(*waiting)
    assert time.monotonic() - refused > 1.0


async def test_a_request_that_was_not_sent_gives_its_place_back(managers: list[Any]) -> None:
    first, second = managers
    admissions = [await first.rate.acquire_at_once() for _ in range(ROOM)]
    for admission in admissions:
        first.not_sent(admission)
    assert await first.rate.acquire_at_once()
    assert await second.rate.acquire_at_once()


async def test_l4_a_method_that_one_has_used_up_waits_for_the_other_too(managers: list[Any], tmp_path: Path) -> None:
    first, second = managers
    first.budget_refused(["crm.deal.list"], retry_after=30)
    assert await first.rate.acquire_at_once()  # tells it
    portal = portal_of(tmp_path, rows={"crm.deal": 1})
    async with connected(portal, restriction_manager=second) as b24:
        listing = asyncio.create_task(b24.actions.v2.call.make("crm.deal.list"))
        await b24.call("profile")  # other methods do not wait
        await asyncio.sleep(0.3)
        assert not listing.done()
        assert portal.executed["crm.deal.list"] == 0
        listing.cancel()
        await asyncio.wait({listing})
    assert second.time_to_reset(["crm.deal.list"]) > 25


async def test_a_reset_is_one_of_all(managers: list[Any]) -> None:
    first, second = managers
    while await first.rate.acquire_at_once():
        pass
    first.reset()
    assert await first.rate.acquire_in_line()
    assert await second.rate.acquire_at_once()


async def test_a_client_with_the_store_shares_its_limits_by_itself(tmp_path: Path) -> None:
    portal = portal_of(tmp_path)
    async with SQLiteStore(tmp_path / "tokens.db") as store:
        await put(store, portal.issue(), key=key_of(portal))
        encrypted = EncryptedStore(store, [EncryptedStore.new_key()])
        for used in (store, encrypted):
            async with connected(portal, token_store=used, restriction_params=PARAMS) as b24:
                assert isinstance(b24._limits, SharedRestrictionManager)
                await b24.call("profile")
        async with connected(portal, token_store=store, restriction_params=RestrictionParams(share=0.25)) as b24:
            assert not isinstance(b24._limits, SharedRestrictionManager)
            assert (b24._limits.rate.burst_limit, b24._limits.rate.drain_rate) == (12.5, 0.5)


async def test_the_share_of_a_process_is_a_part_of_the_bucket() -> None:
    manager = RestrictionManager(RestrictionParams(share=0.5))
    assert (manager.rate.burst_limit, manager.rate.drain_rate) == (25, 1)
    await manager.set_params(RestrictionParams(share=0.1, rate_limit=RateLimitConfig(burst_limit=5, drain_rate=5)))
    assert (manager.rate.burst_limit, manager.rate.drain_rate) == (1, 0.5)


@pytest.mark.parametrize("share", [0, -1, 1.5, True, "half"])
def test_a_share_that_is_no_part_is_refused(share: Any, server: Valkey) -> None:
    with pytest.raises(ConfigurationError, match="share"):
        RestrictionParams(share=share)
    with pytest.raises(ConfigurationError, match="share"):
        RedisRestrictionManager(server.url, "portal", share=share)


@pytest.mark.parametrize(("redis", "portal"), [(object(), "portal"), (None, "portal"), ("redis://127.0.0.1", "")])
def test_wrong_arguments_are_named(redis: Any, portal: str) -> None:
    with pytest.raises(ConfigurationError, match=r"redis must be|portal"):
        RedisRestrictionManager(redis, portal)


async def test_while_redis_is_away_a_process_sends_at_its_share_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    portal = portal_of(tmp_path)
    with valkey(tmp_path) as server:
        manager = RedisRestrictionManager(server.url, "portal", PARAMS, share=0.5)
        async with connected(portal, restriction_manager=manager) as b24:
            await b24.call("profile")
            server.kill()
            for _ in range(5):
                await b24.call("profile")
            assert caplog.text.count("Shared limits are away, this process sends at 0.5 of the rate") == 1
            server.start()
            await asyncio.sleep(0.6)
            for _ in range(3):
                await b24.call("profile")
            assert caplog.text.count("Shared limits are back") == 1
        await manager.aclose()
    assert portal.executed["profile"] == 9


async def test_redis_that_never_answered_is_away_from_the_beginning(tmp_path: Path) -> None:
    portal = portal_of(tmp_path)
    manager = RedisRestrictionManager("redis://127.0.0.1:9/0", "portal", PARAMS)
    async with connected(portal, restriction_manager=manager) as b24:
        await b24.call("profile")
    await manager.aclose()


async def test_scripts_that_a_server_has_forgotten_are_sent_again(server: Valkey) -> None:
    manager = RedisRestrictionManager(server.url, "forgotten", PARAMS)
    assert await manager.rate.acquire_at_once()
    await manager._shared._client.script_flush()  # type: ignore[attr-defined]
    assert await manager.rate.acquire_at_once()
    await manager.aclose()


async def test_a_server_whose_scripts_may_not_ask_for_the_time_gets_ours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with valkey(tmp_path) as server:
        slow = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=10, drain_rate=0.01))
        async with contextlib.aclosing(RedisRestrictionManager(server.url, "portal", slow)) as manager:
            await manager._shared._client.execute_command("ACL", "SETUSER", "default", "-time")  # type: ignore[attr-defined]
            admitted = [bool(await manager.rate.acquire_at_once()) for _ in range(9)]
            assert admitted == [True] * ROOM + [False] * 2
            assert caplog.text.count("the clocks of all machines must agree") == 1


async def test_a_refused_call_is_repeated_and_told_to_the_others(tmp_path: Path, server: Valkey) -> None:
    portal = portal_of(tmp_path)
    portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile")
    manager = RedisRestrictionManager(server.url, f"refused-{tmp_path.name}", PARAMS)
    async with connected(portal, restriction_manager=manager) as b24:
        assert await b24.call("profile")
    assert await manager._shared.epoch() == 1
    assert "shared" in repr(manager.rate)
    await manager.aclose()
