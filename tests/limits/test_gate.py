"""How many requests may be under way at once, and who is next."""

from __future__ import annotations

import asyncio

import pytest

from b24oauth.limits.gate import Gate

pytestmark = pytest.mark.anyio


class EndedError(Exception):
    """What a waiter gets when its owner closes."""


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Line:
    """Tasks that enter one gate, and the order they came in."""

    def __init__(self, places: int) -> None:
        self.gate = Gate(places)
        self.entered: list[int] = []

    def join(self, number: int, owner: object = None) -> asyncio.Task[None]:
        async def enter() -> None:
            await self.gate.enter(owner)
            self.entered.append(number)

        return asyncio.create_task(enter())


async def test_l2_further_ones_wait_in_the_order_they_came() -> None:
    line = Line(2)
    tasks = [line.join(i) for i in range(5)]
    await turns()
    assert line.entered == [0, 1]
    assert line.gate.waiting == 3
    for place in range(2, 5):
        line.gate.leave()
        await turns()
        assert line.entered == list(range(place + 1))
    await asyncio.gather(*tasks)


async def test_l2_a_newcomer_does_not_overtake() -> None:
    line = Line(1)
    assert line.gate.enters_at_once()
    waiting = line.join(1)
    await turns()
    line.gate.leave()
    assert not line.gate.enters_at_once()
    await waiting
    assert line.entered == [1]


@pytest.mark.parametrize("when", ["waiting", "given", "given and cancelled first"])
async def test_l2_who_is_cancelled_gives_the_place_to_the_next(when: str) -> None:
    line = Line(1)
    assert line.gate.enters_at_once()
    first, second = line.join(1), line.join(2)
    await turns()
    if when == "given":
        line.gate.leave()
    first.cancel()
    if when == "given and cancelled first":
        line.gate.leave()
    await turns()
    if when == "waiting":
        line.gate.leave()
    await second
    assert first.cancelled()
    assert line.entered == [2]
    line.gate.leave()
    assert line.gate.enters_at_once()


async def test_a1_an_owner_ends_its_own_waits_and_those_of_nobody_else() -> None:
    line, ours, theirs = Line(1), object(), object()
    assert line.gate.enters_at_once()
    tasks = [line.join(i, owner) for i, owner in enumerate((ours, theirs, ours, theirs))]
    await turns()
    line.gate.end(ours, EndedError)
    await turns()
    assert [task.done() for task in tasks] == [True, False, True, False]
    errors = [tasks[0].exception(), tasks[2].exception()]
    assert all(isinstance(error, EndedError) for error in errors)
    assert errors[0] is not errors[1]
    for _ in range(3):
        line.gate.leave()
    await turns()
    assert line.entered == [1, 3]
    assert line.gate.enters_at_once()
    assert not line.gate.enters_at_once()


async def test_a1_a_wait_that_is_ended_and_cancelled_in_one_turn_keeps_no_place() -> None:
    line, owner = Line(1), object()
    assert line.gate.enters_at_once()
    task = line.join(1, owner)
    await turns()
    line.gate.end(owner, EndedError)
    task.cancel()
    await turns()
    assert task.cancelled()
    line.gate.leave()
    assert line.gate.enters_at_once()
    assert not line.gate.enters_at_once()
