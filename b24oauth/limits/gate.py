"""Limits the number of concurrent requests; excess requests wait in FIFO order."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["Gate", "Gates", "gate_of"]

_ATTRIBUTE: Final = "_b24oauth_gate"


class Gate:
    """Lets so many requests be under way at once.

    Args:
        places: How many.
    """

    __slots__ = ("_free", "_line")

    def __init__(self, places: int) -> None:
        self._free = places
        # Waiters and their owners; empty while a place is free.
        self._line: OrderedDict[asyncio.Future[None], object] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return len(self._line)

    def enters_at_once(self) -> bool:
        """Takes a place if one is free, which `leave` gives back; False when one must be waited for."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    async def enter(self, owner: object) -> None:
        """Waits for a place, which `leave` gives back. A cancelled waiter takes none.

        Args:
            owner: For whom, see `end`.
        """
        if self.enters_at_once():
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line[turn] = owner
        try:
            await turn
        except BaseException:
            if turn in self._line:
                del self._line[turn]
            elif not turn.cancelled() and turn.exception() is None:
                self.leave()  # the place was granted in the same loop iteration in which the task was cancelled
            raise

    def leave(self) -> None:
        """Gives a place back, to the one who waits longest."""
        while self._line:
            turn, _ = self._line.popitem(last=False)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def end(self, owner: object, error: Callable[[], Exception]) -> None:
        """Ends the waiting of one owner; others keep their places in the line.

        Args:
            owner: As given to `enter`.
            error: Makes what each of them raises.
        """
        for turn in [turn for turn, waiting_for in self._line.items() if waiting_for is owner]:
            del self._line[turn]
            if not turn.done():
                turn.set_exception(error())


class Gates:
    """Several gates as one: a request takes a place at each, always in the same order.

    Args:
        gates: The gates.
    """

    __slots__ = ("_gates",)

    def __init__(self, gates: Sequence[Gate]) -> None:
        self._gates = tuple(gates)

    def enters_at_once(self) -> bool:
        """As `Gate.enters_at_once`: all places are taken, or none."""
        for number, gate in enumerate(self._gates):
            if not gate.enters_at_once():
                self._leave(number)
                return False
        return True

    async def enter(self, owner: object) -> None:
        """As `Gate.enter`."""
        for number, gate in enumerate(self._gates):
            try:
                await gate.enter(owner)
            except BaseException:
                self._leave(number)
                raise

    def leave(self) -> None:
        """As `Gate.leave`."""
        self._leave(len(self._gates))

    def end(self, owner: object, error: Callable[[], Exception]) -> None:
        """As `Gate.end`."""
        for gate in self._gates:
            gate.end(owner, error)

    def _leave(self, count: int) -> None:
        for gate in self._gates[:count]:
            gate.leave()


def gate_of(holder: object, places: int) -> Gate:
    """The gate that belongs to your own object, such as an `httpx.AsyncClient`, which keeps it.

    Args:
        holder: The object.
        places: How many requests may be under way over it, if it has no gate yet.
    """
    gate = getattr(holder, _ATTRIBUTE, None)
    if not isinstance(gate, Gate):
        gate = Gate(places)
        setattr(holder, _ATTRIBUTE, gate)
    return gate
