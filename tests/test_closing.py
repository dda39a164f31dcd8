"""What `aclose` does with calls that wait, and with those it lets finish."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest

from b24oauth import (
    AmbiguousResultError,
    B24OAuth,
    ClientStateError,
    ConfigurationError,
    RateLimitConfig,
    RestrictionManager,
    RestrictionParams,
    TokenPersistenceError,
)
from b24oauth.models import RefreshedAuth
from b24oauth.testing import FakePortal, faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio

SLOW = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=0.01))


def now() -> float:
    return asyncio.get_running_loop().time()


def exhaust(b24: B24OAuth) -> None:
    b24._limits.operating.refused("profile")


# What calls wait for: the options of the client, and what happens before they are made.
WAITS: dict[str, tuple[dict[str, Any], Callable[[FakePortal, B24OAuth], Any]]] = {
    "bucket": ({"restriction_params": SLOW}, lambda *_: None),
    "gate": ({"max_concurrency": 1}, lambda portal, _: portal.inject(faults.hang(), times=None, on="profile")),
    "budget": ({}, lambda _, b24: exhaust(b24)),
    "back-off": (
        {"restriction_params": RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=1000, max_retries=9)},
        lambda portal, _: portal.inject(faults.status(500, error="INTERNAL"), times=None, on="profile"),
    ),
    "rate": (
        {"restriction_params": RestrictionParams(rate_limit=RateLimitConfig(burst_limit=9, drain_rate=0.01))},
        lambda portal, _: portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), times=None, on="profile"),
    ),
}


@pytest.mark.parametrize("what", WAITS)
@pytest.mark.parametrize("turns", [0, 1, 2, 5, 40])
async def test_a1_calls_that_wait_end_when_the_client_closes(what: str, turns: int) -> None:
    portal = fake_portal()
    options, arrange = WAITS[what]
    async with connected(portal, **options) as b24:
        arrange(portal, b24)
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(8)]
        for _ in range(turns):
            await asyncio.sleep(0)
        if turns == 40:
            await asyncio.sleep(3)
        started = now()
        await b24.aclose()
        _, pending = await asyncio.wait(calls, timeout=0.001)
        assert not pending
        assert now() - started < 1
        sent = len(portal.requests)
        errors = [call.exception() for call in calls if call.exception() is not None]
        assert errors
        assert {type(error) for error in errors} == {ClientStateError}
        assert {error.code for error in errors if isinstance(error, ClientStateError)} == {"B24OAUTH_CLIENT_CLOSED"}
        assert all(call.cancelling() == 0 for call in calls)
        await asyncio.sleep(5000)
        assert len(portal.requests) == sent


async def test_a1_a_client_that_closes_ends_its_own_waits_only() -> None:
    portal, manager = fake_portal(), RestrictionManager(SLOW)
    async with (
        connected(portal, restriction_manager=manager) as first,
        connected(portal, restriction_manager=manager) as second,
    ):
        await second.actions.v2.call.make("profile")
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for b24 in (first, second, first, second)]
        await asyncio.sleep(1)
        await first.aclose()
        _, pending = await asyncio.wait(calls, timeout=1)
        assert pending == {calls[1], calls[3]}
        started = now()
        await asyncio.gather(*pending)
        assert now() - started <= 201
    assert {type(calls[i].exception()) for i in (0, 2)} == {ClientStateError}


async def test_l2_a_wait_that_is_cancelled_while_the_client_closes_is_cancelled() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=SLOW) as b24:
        await b24.actions.v2.call.make("profile")
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(3)]
        await asyncio.sleep(1)
        closing = asyncio.create_task(b24.aclose())
        await asyncio.sleep(0)
        calls[0].cancel()
        await asyncio.wait({*calls, closing})
    assert calls[0].cancelled()
    assert isinstance(calls[1].exception(), ClientStateError)


async def test_l5_a_write_that_may_have_run_says_so_when_the_client_closes() -> None:
    portal = fake_portal(rows={"crm.deal": 1})
    params = RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=100, retry_on_network_error=True)
    async with connected(portal, restriction_params=params) as b24:
        portal.inject(faults.drop_after(), on="crm.deal.add")
        call = asyncio.create_task(b24.actions.v2.call.make("crm.deal.add", {"fields": {"TITLE": "x"}}))
        await asyncio.sleep(1)
        await b24.aclose()
        with pytest.raises(AmbiguousResultError) as caught:
            await call
    assert any("closed" in note for note in caught.value.__notes__)


async def test_a1_calls_of_a_callback_go_on_while_the_client_closes() -> None:
    portal = fake_portal()
    names: list[Any] = []
    async with connected(portal, portal.issue(expired=True)) as b24:

        async def callback(_: RefreshedAuth) -> None:
            await asyncio.sleep(2)
            names.append((await b24.actions.v2.call.make("profile")).result)

        b24.set_callback_refresh_auth(callback)
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        await b24.aclose()
        assert len(names) == 1
        with pytest.raises(ClientStateError):
            await call


# --- drain -----------------------------------------------------------------------------------------------------------


async def test_a1_a_drain_lets_what_is_under_way_finish_and_nothing_begin() -> None:
    portal = fake_portal(rows={"crm.deal": 500}, latency=1)
    params = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=2, drain_rate=1))
    async with connected(portal, restriction_params=params) as b24:
        api = b24.actions.v2
        calls: list[asyncio.Task[Any]] = [
            asyncio.create_task(api.call_list.make("crm.deal.list")),
            asyncio.create_task(api.batch_by_chunk.make([("profile",)] * 120)),
            *(asyncio.create_task(api.call.make("profile")) for _ in range(5)),
        ]
        await asyncio.sleep(0.1)
        started = now()
        closing = asyncio.create_task(b24.aclose(drain=100))
        await asyncio.sleep(0)
        for late in (api.call.make("profile"), api.batch.make([("profile",)]), api.call_list.make("crm.deal.list")):
            with pytest.raises(ClientStateError, match="closed"):
                await late
        await closing
        assert 2 < now() - started < 60
        assert all(call.done() for call in calls)
        assert len(calls[0].result().result) == 500
        assert len(calls[1].result().result) == 120


async def test_a1_a_drain_ends_with_its_time_and_ends_what_is_left() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=SLOW) as b24:
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(3)]
        await asyncio.sleep(1)
        started = now()
        await b24.aclose(drain=5)
        assert 5 <= now() - started < 6
        _, pending = await asyncio.wait(calls, timeout=0.001)
        assert not pending
    assert [type(call.exception()) for call in calls] == [type(None), ClientStateError, ClientStateError]


async def test_a1_a_drain_ends_at_once_when_idle_or_closed_again() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=SLOW) as b24:
        await b24.actions.v2.call.make("profile")
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0)
        started = now()
        closing = asyncio.create_task(b24.aclose(drain=50))
        await asyncio.sleep(1)
        await b24.aclose()
        await closing
        assert now() - started < 2
        await asyncio.wait({call})
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("profile")
        started = now()
        await b24.aclose(drain=50)
        assert now() == started


async def test_a1_a_drain_that_is_cancelled_closes_all_the_same() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=SLOW) as b24:
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(2)]
        await asyncio.sleep(1)
        closing = asyncio.create_task(b24.aclose(drain=50))
        await asyncio.sleep(1)
        closing.cancel()
        await asyncio.wait({closing, calls[1]}, timeout=1)
        assert closing.cancelled()
        assert isinstance(calls[1].exception(), ClientStateError)
        with pytest.raises(ClientStateError):
            await b24.actions.v2.call.make("profile")


async def test_a1_a_drain_lets_a_download_finish() -> None:
    portal = fake_portal(latency=1)
    file = portal.files.add("a.txt", b"content" * 1000)
    async with connected(portal) as b24:
        sink = io.BytesIO()
        download = asyncio.create_task(b24.download(file, sink))
        await asyncio.sleep(0.1)
        await b24.aclose(drain=30)
        assert download.done()
        assert (await download).size == 7000


async def test_a1_a_stream_ends_with_the_request_under_way() -> None:
    portal = fake_portal(rows={"crm.deal": 500}, latency=1)
    pages = 0

    async def read(b24: B24OAuth) -> None:
        nonlocal pages
        async for _ in b24.actions.v2.fetch_list.make("crm.deal.list", pages_per_request=1, concurrency=1):
            pages += 1
            if pages == 1:
                await b24.aclose(drain=30)

    async with connected(portal) as b24:
        with pytest.raises(ClientStateError):
            await read(b24)
    assert 0 < pages < 10


async def test_t10_a_drain_that_meets_a_save_that_hangs_still_tells_what_may_be_lost() -> None:
    portal = fake_portal()

    async def never(_: RefreshedAuth) -> None:
        await asyncio.Event().wait()

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(never)
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        started = now()
        with pytest.raises(TokenPersistenceError):
            await b24.aclose(drain=5)
        assert 14 < now() - started < 17
        with pytest.raises((ClientStateError, TokenPersistenceError)):
            await call
        b24.remove_callback_refresh_auth()
        await b24.aclose()


@pytest.mark.parametrize("drain", ["5", -1, float("nan"), float("inf"), True, None])
async def test_a_drain_that_is_no_time_span_is_refused_and_nothing_is_closed(drain: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match="drain"):
            await b24.aclose(drain=drain)
        assert (await b24.actions.v2.call.make("profile")).is_success


async def test_a1_another_loop_neither_drains_nor_closes() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        await b24.actions.v2.call.make("profile")

        def close_elsewhere() -> None:
            asyncio.run(b24.aclose(drain=1))

        with pytest.raises(ClientStateError, match="loop"):
            await asyncio.to_thread(close_elsewhere)
        assert (await b24.actions.v2.call.make("profile")).is_success
