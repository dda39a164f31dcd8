"""Calls that begin together are spread over turns of the loop, in the order of their arrival."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from b24oauth.wire import Turns

pytestmark = pytest.mark.anyio

MOST = 8


class EndedError(Exception):
    """What a waiter gets when its owner closes."""


class Crowd:
    """Tasks that begin through one object, and the turn of the loop that each of them began in."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.turn = 0
        self.began: list[tuple[int, int]] = []

    def join(self, number: int, owner: object = None) -> asyncio.Task[None]:
        async def begin() -> None:
            await self.turns.begin(owner)
            self.began.append((number, self.turn))

        return asyncio.create_task(begin())

    async def pass_turns(self, count: int) -> None:
        for _ in range(count):
            self.turn += 1
            await asyncio.sleep(0)

    @property
    def order(self) -> list[int]:
        return [number for number, _ in self.began]


@pytest.mark.parametrize("count", [1, MOST, MOST + 1, 100])
async def test_few_begin_in_one_turn_and_all_in_their_order(count: int) -> None:
    crowd = Crowd()
    tasks = [crowd.join(number) for number in range(count)]
    await crowd.pass_turns(count + 3)
    assert crowd.order == list(range(count))
    assert max(Counter(turn for _, turn in crowd.began).values()) == min(count, MOST)
    await asyncio.gather(*tasks)


async def test_how_long_the_others_take_does_not_matter() -> None:
    turns, go, begun = Turns(), asyncio.Event(), 0

    async def long() -> None:
        nonlocal begun
        await turns.begin(None)
        begun += 1
        await go.wait()

    tasks = [asyncio.create_task(long()) for _ in range(50)]
    for _ in range(20):
        await asyncio.sleep(0)
    assert begun == 50
    go.set()
    await asyncio.gather(*tasks)


async def test_l2_a_newcomer_does_not_overtake() -> None:
    crowd = Crowd()
    tasks = [crowd.join(number) for number in range(3 * MOST)]
    await crowd.pass_turns(2)
    assert not crowd.turns.begins_at_once()
    tasks.append(crowd.join(3 * MOST))
    await crowd.pass_turns(10)
    assert crowd.order == list(range(3 * MOST + 1))
    assert crowd.turns.begins_at_once()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("passed", [1, 2, 3])
async def test_l2_cancelled_waiters_hold_nobody_up(passed: int) -> None:
    crowd = Crowd()
    tasks = [crowd.join(number) for number in range(6 * MOST)]
    await crowd.pass_turns(passed)
    cancelled = {number for number in range(6 * MOST) if number % 3 and number not in crowd.order}
    assert cancelled
    for number in cancelled:
        tasks[number].cancel()
    await crowd.pass_turns(20)
    assert crowd.order == [number for number in range(6 * MOST) if number not in cancelled]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [
        number in cancelled for number in range(6 * MOST)
    ]
    assert crowd.turns.begins_at_once()


async def test_the_waiting_of_one_owner_can_be_ended() -> None:
    crowd, mine, yours = Crowd(), object(), object()
    tasks = [crowd.join(number, mine if number % 2 else yours) for number in range(4 * MOST)]
    await crowd.pass_turns(1)
    crowd.turns.end(mine, EndedError)
    await crowd.pass_turns(10)
    results = await asyncio.gather(*tasks, return_exceptions=True)
    ended = {number for number, result in enumerate(results) if isinstance(result, EndedError)}
    assert ended
    assert all(number % 2 for number in ended)
    assert crowd.order == [number for number in range(4 * MOST) if number not in ended]
