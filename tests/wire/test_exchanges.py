"""Deadlines: one timer for all exchanges, turns of the loop before one is given up, and how they are moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from b24oauth.testing import VirtualClockLoop
from b24oauth.wire.deadlines import TURNS, Deadline
from b24oauth.wire.exchanges import Exchange, Exchanges, Limits

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualClockLoop}


def now() -> float:
    return asyncio.get_running_loop().time()


async def hang() -> None:
    await asyncio.get_running_loop().create_future()


async def run(exchanges: Exchanges, limits: Limits, steps: Callable[[Exchange], Any]) -> Exchange:
    """An exchange that takes these steps; the one that ended."""
    exchange = Exchange(exchanges, limits)
    try:
        async with exchange.scope:
            try:
                await steps(exchange)
            finally:
                exchanges.remove(exchange)
    except TimeoutError:
        assert exchange.scope.expired()
    return exchange


# --- deadlines --------------------------------------------------------------------------------------------------------


async def test_a_deadline_ends_the_work_in_time() -> None:
    deadline = Deadline(3)
    with pytest.raises(TimeoutError):
        async with deadline:
            await hang()
    assert deadline.expired()
    assert now() == pytest.approx(3)


async def test_what_is_done_in_time_is_not_ended() -> None:
    async with Deadline(3) as deadline:
        await asyncio.sleep(2)
    await asyncio.sleep(5)
    assert not deadline.expired()


async def test_without_seconds_there_is_no_deadline() -> None:
    async with Deadline(None) as deadline:
        await asyncio.sleep(10_000)
    assert not deadline.expired()


async def test_the_loop_gets_turns_before_the_work_is_ended() -> None:
    deadline = Deadline(1)
    async with deadline:
        asyncio.get_running_loop().advance(5)  # as after a pause: the timer is due, and the response is there
        for _ in range(TURNS - 2):
            await asyncio.sleep(0)
    assert not deadline.expired()


async def test_a_cancellation_from_outside_stays_one() -> None:
    async def work() -> None:
        async with Deadline(5):
            await hang()

    task = asyncio.create_task(work())
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- exchanges --------------------------------------------------------------------------------------------------------


async def test_an_exchange_that_is_not_tracked_has_the_time_of_both() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())
    exchange = await run(exchanges, Limits.of(10, 65), lambda _: hang())
    assert exchange.may_be_sent
    assert now() == pytest.approx(75)


async def test_a_connection_is_waited_for_and_then_the_response() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def connect(exchange: Exchange) -> None:
        exchange.connecting()
        await hang()

    async def respond(exchange: Exchange) -> None:
        exchange.connecting()
        await asyncio.sleep(9)
        exchange.sending()
        await hang()

    assert not (await run(exchanges, Limits.of(10, 65), connect)).may_be_sent
    assert now() == pytest.approx(10)
    exchange = await run(exchanges, Limits.of(10, 65), respond)
    assert exchange.sent
    assert now() == pytest.approx(10 + 9 + 65)


async def test_a_short_timeout_comes_before_the_timer_that_is_set() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def respond(exchange: Exchange) -> None:
        exchange.connecting()
        exchange.sending()
        await hang()

    long = asyncio.create_task(run(exchanges, Limits.of(10, 65), respond))
    await asyncio.sleep(0)
    await run(exchanges, Limits.of(10, 2), respond)
    assert now() == pytest.approx(2)
    await long
    assert now() == pytest.approx(65)


async def test_progress_begins_the_wait_anew_and_a_trickle_does_not() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def receive(exchange: Exchange, size: int) -> None:
        exchange.sending()
        for _ in range(10):
            await asyncio.sleep(4)
            exchange.received(size)
        await hang()

    await run(exchanges, Limits.of(10, 5), lambda exchange: receive(exchange, 65536))
    assert now() == pytest.approx(40 + 5)
    before = now()
    await run(exchanges, Limits.of(10, 5), lambda exchange: receive(exchange, 1000))
    assert now() - before == pytest.approx(5)


async def test_a_pause_stops_the_time() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def read(exchange: Exchange) -> None:
        exchange.sending()
        exchange.pause()
        await asyncio.sleep(1000)
        exchange.progress()
        await hang()

    await run(exchanges, Limits.of(10, 5), read)
    assert now() == pytest.approx(1005)


async def test_what_is_due_gets_turns_and_ends_if_nothing_comes() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def late(exchange: Exchange) -> None:
        exchange.sending()
        asyncio.get_running_loop().advance(100)
        for _ in range(TURNS - 2):
            await asyncio.sleep(0)

    async def later(exchange: Exchange) -> None:
        exchange.sending()
        asyncio.get_running_loop().advance(100)
        for _ in range(TURNS + 5):
            await asyncio.sleep(0)

    assert not (await run(exchanges, Limits.of(10, 5), late)).scope.expired()
    assert (await run(exchanges, Limits.of(10, 5), later)).scope.expired()


async def test_what_comes_in_these_turns_saves_it() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def receive(exchange: Exchange) -> None:
        exchange.sending()
        asyncio.get_running_loop().advance(100)
        for _ in range(10):
            for _ in range(TURNS // 2):
                await asyncio.sleep(0)
            exchange.received(1000)

    assert not (await run(exchanges, Limits.of(10, 5), receive)).scope.expired()


async def test_without_limits_nothing_is_given_up_and_no_timer_is_set() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())

    async def wait(exchange: Exchange) -> None:
        exchange.connecting()
        exchange.sending()
        await asyncio.sleep(10**6)

    assert not (await run(exchanges, Limits.of(None, None), wait)).scope.expired()
    assert exchanges._timer is None


async def test_one_timer_serves_all_and_none_is_left_behind() -> None:
    loop, timers = asyncio.get_running_loop(), 0
    exchanges = Exchanges(loop)
    call_at = loop.call_at

    def counted(*args: Any, **options: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(*args, **options)

    async def soon(exchange: Exchange) -> None:
        exchange.connecting()
        exchange.sending()
        await asyncio.sleep(0)
        exchange.progress()

    loop.call_at = counted  # type: ignore[method-assign]
    try:
        for _ in range(100):
            await run(exchanges, Limits.of(10, 65), soon)
    finally:
        loop.call_at = call_at  # type: ignore[method-assign]
    assert timers <= 2  # for all, and an earlier one for a connection
    await asyncio.sleep(0)
    assert exchanges._timer is None


async def test_a_close_ends_all_and_says_so() -> None:
    exchanges = Exchanges(asyncio.get_running_loop())
    running = [asyncio.create_task(run(exchanges, Limits.of(10, 65), lambda _: hang())) for _ in range(3)]
    await asyncio.sleep(1)
    assert await exchanges.end_all() is None
    assert [(await task).closing for task in running] == [True] * 3
    assert exchanges.under_way == {}
    assert now() == pytest.approx(1)
