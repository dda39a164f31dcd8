"""Turns: how many consumers of a runner work at the same time, and how a consumer learns that its turn is over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final, Self

__all__ = ["Call", "Turn", "turn_is_over"]

# After this time a consumer should let others go on, if others wait, seconds.
_LONG_TURN: Final = 10.0

_call: ContextVar[Call | None] = ContextVar("b24oauth_consumer_call", default=None)


def turn_is_over() -> bool:
    """Tells a consumer to return after its present piece of work.

    It is True when the runner was asked to stop, and when this call of the consumer has lasted for 10 seconds while
    other portals wait for their turn. In the second case a consumer that returns None is called again as soon as the
    others had their turn. Outside of a runner it is False.
    """
    call = _call.get()
    return call is not None and call.is_over()


class Call:
    """One call of a consumer.

    Args:
        turns: What limits the number of consumers.
        is_stopping: Tells whether the runner was asked to stop.

    Attributes:
        was_cut: True if the consumer was told to let others go on.
    """

    def __init__(self, turns: asyncio.Semaphore, is_stopping: Callable[[], bool]) -> None:
        self._turns, self._is_stopping = turns, is_stopping
        self._loop = asyncio.get_running_loop()
        self._began_at = self._loop.time()
        self.was_cut = False

    def begin(self) -> None:
        """Makes it the call of the running task."""
        _call.set(self)

    def is_over(self) -> bool:
        """True when the consumer should return."""
        is_long = self._loop.time() - self._began_at >= _LONG_TURN and self._turns.locked()
        self.was_cut = self.was_cut or is_long
        return is_long or self._is_stopping()


class Turn:
    """One of a limited number of turns; it can be left and taken again within the block."""

    def __init__(self, turns: asyncio.Semaphore) -> None:
        self._turns = turns
        self._is_held = False

    async def __aenter__(self) -> Self:
        await self._turns.acquire()
        self._is_held = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Lets the next one have a turn."""
        if self._is_held:
            self._is_held = False
            self._turns.release()

    async def again(self) -> bool:
        """Takes a turn if there is one at once."""
        if self._turns.locked():
            return False
        await self._turns.acquire()
        self._is_held = True
        return True
