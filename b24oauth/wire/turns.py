"""Spreads calls that begin together over several turns of the event loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

__all__ = ["Turns"]

# The first call of a client, which opens a connection, takes up to a millisecond of the loop over httpx.
_IN_ONE_TURN: Final = 8


class Turns:
    """Lets only a few calls begin in one turn of the event loop; the others wait in the order of their arrival.

    It does not limit how many calls are under way: each turn lets the next ones begin, however long the others take.
    """

    __slots__ = ("_left", "_line")

    def __init__(self) -> None:
        # How many may still begin before the next turn is asked for.
        self._left = _IN_ONE_TURN
        # Waiters and their owners; empty while calls may begin.
        self._line: OrderedDict[asyncio.Future[None], object] = OrderedDict()

    def begins_at_once(self) -> bool:
        """True when a call may begin in this turn, which is counted; False when it must wait for another one."""
        if self._left == 0:
            return False
        self._left -= 1
        if self._left == 0:
            # Asked for only here, so that calls one after another do not pay for a callback each.
            asyncio.get_running_loop().call_soon(self._next)
        return True

    async def wait(self, owner: object) -> None:
        """Waits for a turn in which a call may begin.

        Args:
            owner: For whom, see `end`.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line[turn] = owner
        try:
            await turn
        finally:
            # A waiter that is cancelled after it was let in leaves its turn unused; the next turn comes anyway.
            self._line.pop(turn, None)

    async def begin(self, owner: object) -> None:
        """Waits if no call may begin in this turn.

        Args:
            owner: For whom, see `end`.
        """
        if not self.begins_at_once():
            await self.wait(owner)

    def end(self, owner: object, error: Callable[[], Exception]) -> None:
        """Ends the waiting of one owner; others keep their places in the line.

        Args:
            owner: As given to `wait`.
            error: Makes what each of them raises.
        """
        for turn in [turn for turn, waiting_for in self._line.items() if waiting_for is owner]:
            del self._line[turn]
            if not turn.done():
                turn.set_exception(error())

    def _next(self) -> None:
        """Lets the next ones begin. Newcomers wait behind them until the line is empty."""
        let_in = 0
        while self._line and let_in < _IN_ONE_TURN:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                let_in += 1
        if let_in:
            asyncio.get_running_loop().call_soon(self._next)
        else:
            self._left = _IN_ONE_TURN
