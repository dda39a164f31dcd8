"""The bucket: order, cancellation, slowing down and recovering."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth import RateLimitConfig
from b24oauth.limits import RateLimiter

pytestmark = pytest.mark.anyio


def limiter(burst: float = 2, drain: float = 2, *, adaptive: bool = True) -> RateLimiter:
    config = RateLimitConfig(burst_limit=burst, drain_rate=drain, adaptive_enabled=adaptive)
    return RateLimiter(config)


def near(times: list[float]) -> Any:
    """These times, give or take the room that the first to wait leaves to the portal."""
    return pytest.approx(times, abs=0.1)


def now() -> float:
    return asyncio.get_running_loop().time()


async def admitted(rate: RateLimiter, calls: int) -> list[float]:
    """When each of these calls was admitted, seconds from now."""
    start, times = now(), list[float]()

    async def call() -> None:
        await rate.acquire()
        times.append(round(now() - start, 3))

    await asyncio.gather(*(call() for _ in range(calls)))
    return times


async def test_a_burst_goes_at_once_and_each_further_call_waits_its_turn() -> None:
    assert await admitted(limiter(2, 2), 5) == near([0, 0, 0.5, 1.0, 1.5])


async def test_l2_calls_are_admitted_in_the_order_of_their_arrival() -> None:
    rate, order = limiter(1, 2), list[int]()

    async def call(number: int, delay: float) -> None:
        await asyncio.sleep(delay)
        await rate.acquire()
        order.append(number)

    # Each newcomer arrives in the very moment in which a place becomes free.
    await asyncio.gather(*(call(number, number * 0.5 if number > 5 else 0) for number in range(12)))
    assert order == list(range(12))


async def test_l2_a_cancelled_waiter_gives_its_place_back() -> None:
    rate = limiter(1, 1)
    await rate.acquire()
    waiting = asyncio.create_task(rate.acquire())
    behind = asyncio.create_task(admitted(rate, 1))
    await asyncio.sleep(0.4)
    waiting.cancel()
    assert await behind == near([1.0])


async def test_l2_a_cancelled_waiter_in_the_queue_leaves_it() -> None:
    rate = limiter(1, 1)
    await rate.acquire()
    tasks = [asyncio.create_task(rate.acquire()) for _ in range(4)]
    await asyncio.sleep(0.1)
    tasks[1].cancel()
    tasks[2].cancel()
    start = now()
    await tasks[3]
    assert now() - start == pytest.approx(1.9, abs=0.1)


@pytest.mark.parametrize(
    ("burst", "drain", "cancelled", "times"),
    [
        pytest.param(1, 1, 1, {0: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}, id="told-that-it-is-the-first-now"),
        # After the first they come two at a time; a place that was given back goes to the next.
        pytest.param(10, 20, 2, {0: 0.05, 1: 0.15, 3: 0.15, 4: 0.2}, id="told-its-place"),
    ],
)
async def test_l2_a_waiter_cancelled_at_its_turn_takes_no_place_and_blocks_nobody(
    burst: float, drain: float, cancelled: int, times: dict[int, float]
) -> None:
    rate = limiter(burst, drain)
    await admitted(rate, int(burst))
    taken, start, admitted_at = rate._estimator.taken, now(), dict[int, float]()

    async def call(number: int) -> None:
        await rate.acquire()
        admitted_at[number] = now() - start
        if number == cancelled - 1:
            tasks[cancelled].cancel()

    tasks = [asyncio.create_task(call(number)) for number in range(5)]
    await asyncio.wait(tasks)
    assert tasks[cancelled].cancelled()
    assert admitted_at == pytest.approx(times, abs=0.01 + 0.5 / drain)
    assert rate._estimator.taken == taken + 4


async def test_l2_a_place_given_back_when_nobody_waits_does_not_come_on_top_of_a_burst() -> None:
    rate = limiter(10, 20)
    await admitted(rate, 10)

    async def call(number: int) -> None:
        await rate.acquire()
        if number == 1:
            tasks[2].cancel()

    tasks = [asyncio.create_task(call(number)) for number in range(3)]
    await asyncio.wait(tasks)
    assert tasks[2].cancelled()
    await asyncio.sleep(1)
    assert (await admitted(rate, 12)).count(0) == 10


async def test_l2_nobody_waits_for_company_that_was_cancelled() -> None:
    rate = limiter(50, 200)
    await admitted(rate, 50)
    waiting = [asyncio.create_task(admitted(rate, 1)) for _ in range(20)]
    await asyncio.sleep(0.002)
    for task in waiting[2:]:
        task.cancel()
    assert await waiting[0] + await waiting[1] == pytest.approx([0.005, 0.01], abs=0.003)


async def test_l2_who_is_thrown_away_while_waiting_leaves_the_line() -> None:
    rate, start = limiter(1, 1), now()
    await rate.acquire()
    first = asyncio.create_task(rate.acquire())
    await asyncio.sleep(0)
    thrown_away = rate.acquire()
    thrown_away.send(None)
    last = asyncio.create_task(rate.acquire())
    await asyncio.sleep(0)
    thrown_away.close()
    await first
    await last
    assert now() - start == pytest.approx(2.0, abs=0.1)


async def test_after_a_refusal_the_bucket_is_full_for_everybody() -> None:
    rate = limiter(10, 2)
    assert await rate.refused() == 1.5
    assert (await admitted(rate, 2)) == near([0.5, 1.0])


async def test_those_who_wait_for_an_old_bucket_wait_for_the_new_one_after_a_refusal() -> None:
    rate = limiter(1, 1)
    await rate.acquire()
    waiting = asyncio.create_task(admitted(rate, 1))
    await asyncio.sleep(0.9)
    await rate.refused()
    assert await waiting == near([1.9])


async def test_five_refusals_in_a_minute_slow_down_and_twenty_successes_speed_up() -> None:
    rate = limiter(50, 2)
    for _ in range(5):
        await rate.refused()
    assert (rate.drain_rate, rate.burst_limit, rate.recent_errors) == (1.6, 40, 0)
    assert (await admitted(rate, 2)) == near([0.625, 1.25])
    changed = [rate.succeeded() for _ in range(20)]
    assert changed == [False] * 19 + [True]
    assert (rate.drain_rate, rate.burst_limit) == (1.76, 44)


async def test_refusals_spread_over_more_than_a_minute_do_not_lower_the_rate() -> None:
    rate = limiter(50, 2)
    for _ in range(8):
        await rate.refused()
        await asyncio.sleep(16)
    assert rate.drain_rate == 2


async def test_the_rate_stays_between_half_a_call_a_second_and_the_configured_rate() -> None:
    rate = limiter(50, 2)
    for _ in range(100):
        await rate.refused()
    assert rate.drain_rate == 0.5
    for _ in range(2000):
        rate.succeeded()
    assert (rate.drain_rate, rate.burst_limit) == (2, 50)


async def test_a_bucket_of_one_can_be_slowed_down_too() -> None:
    rate = limiter(1, 2)
    for _ in range(10):
        await rate.refused()
    assert rate.drain_rate < 2
    times = await admitted(rate, 3)
    assert times[1] - times[0] == pytest.approx(1 / rate.drain_rate, rel=0.1)


async def test_without_adapting_refusals_leave_the_rate_alone() -> None:
    rate = limiter(50, 2, adaptive=False)
    for _ in range(20):
        await rate.refused()
    assert (rate.drain_rate, rate.burst_limit) == (2, 50)


async def test_a_new_configuration_keeps_the_level() -> None:
    rate = limiter(10, 1)
    await admitted(rate, 10)
    await rate.set_config(RateLimitConfig(burst_limit=12, drain_rate=1))
    assert await admitted(rate, 3) == near([0, 0, 1.0])


async def test_reset_empties_the_bucket_and_restores_the_rate() -> None:
    rate = limiter(2, 2)
    for _ in range(5):
        await rate.refused()
    rate.reset()
    assert await admitted(rate, 3) == near([0, 0, 0.5])


async def test_at_a_high_rate_waiters_are_admitted_in_groups_and_none_too_early() -> None:
    rate = limiter(50, 200)
    times = await admitted(rate, 450)
    assert len(set(times)) < 100
    assert all(at >= (n - 49) / 200 - 0.002 for n, at in enumerate(times))
    assert times[-1] == pytest.approx(2.0, abs=0.1)


async def test_a_single_call_does_not_wait_for_company() -> None:
    rate = limiter(50, 200)
    await admitted(rate, 50)
    assert await admitted(rate, 1) == pytest.approx([0.005], abs=0.004)


async def test_places_given_together_end_with_a_refusal() -> None:
    rate = limiter(50, 200)
    await admitted(rate, 50)
    waiting = [asyncio.create_task(rate.acquire()) for _ in range(10)]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    done = [task for task in waiting if task.done()]
    await rate.refused(await done[0])
    assert len(done) < len(waiting)
    stopped, times = now(), list[float]()
    for task in waiting:
        if task not in done:
            await task
            times.append(now() - stopped)
    assert min(times) >= 1 / rate.drain_rate - 0.001


@pytest.mark.parametrize("moment", [0.001, 0.06, 0.1])
async def test_l2_waiters_cancelled_together_leave_the_bucket_as_it_is(moment: float) -> None:
    rate = limiter(50, 200)
    await admitted(rate, 50)
    waiting = [asyncio.create_task(rate.acquire()) for _ in range(100)]
    await asyncio.sleep(moment)
    for task in waiting:
        task.cancel()
    await asyncio.sleep(1)
    times = await admitted(rate, 60)
    assert times.count(0) == 50


async def test_a_refusal_after_a_burst_lowers_rate_and_burst_for_those_who_wait() -> None:
    rate = limiter(100, 4)
    places = [await rate.acquire() for _ in range(51)]
    assert await rate.refused(places[-1]) == 1.5
    assert (rate.drain_rate, rate.burst_limit) == (2, 49)
    assert await admitted(rate, 3) == near([0.5, 1.0, 1.5])


async def test_later_refusals_of_calls_that_were_under_way_change_nothing_more() -> None:
    rate = limiter(100, 4)
    places = [await rate.acquire() for _ in range(60)]
    for place in places[50:]:
        await rate.refused(place)
    assert (rate.drain_rate, rate.burst_limit) == (2, 49)


async def test_what_was_found_is_forgotten_with_a_new_configuration_and_with_a_reset() -> None:
    rate = limiter(100, 4)
    places = [await rate.acquire() for _ in range(51)]
    await rate.refused(places[-1])
    await rate.set_config(RateLimitConfig(burst_limit=80, drain_rate=3))
    assert (rate.drain_rate, rate.burst_limit) == (3, 80)
    # Its number comes from before.
    await rate.refused(places[0])
    rate.reset()
    assert (rate.drain_rate, rate.burst_limit) == (3, 80)


async def test_a_late_start_leaves_the_portal_room_after_the_burst() -> None:
    rate = limiter(10, 10)
    places = [await rate.acquire() for _ in range(9)]
    await asyncio.sleep(0.2)
    rate.succeeded(places[0])
    tenth = await rate.acquire()
    await asyncio.sleep(0.02)
    rate.succeeded(tenth)
    # 2.2 calls have drained here, but only 0.4 of them where the first call arrived 0.18 s late.
    assert await admitted(rate, 1) == near([0.07])
    assert await admitted(rate, 1) == near([0.1])


async def test_slow_methods_do_not_pass_for_a_late_start() -> None:
    rate = limiter(10, 10)
    places = [await rate.acquire() for _ in range(10)]
    await asyncio.sleep(0.02)
    for place in places[:8]:
        rate.succeeded(place)
    await asyncio.sleep(0.3)
    rate.succeeded(places[8])
    assert await admitted(rate, 3) == near([0, 0, 0])


async def test_a_limiter_shows_its_rate_its_level_and_who_waits() -> None:
    rate = limiter(burst=2, drain=1)
    await admitted(rate, 2)
    waiting = asyncio.create_task(rate.acquire())
    await asyncio.sleep(0)
    assert repr(rate) == "<RateLimiter 2 at once, 1 a second, level 2.0, 1 waiting>"
    waiting.cancel()
