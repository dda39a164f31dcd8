"""Timeouts that do not expire wrongly after the process was suspended.

After SIGSTOP, a laptop's lid or a paused virtual machine, timers are due before the loop has looked at its sockets,
and `epoll.poll(timeout)` may return nothing although data is there; the next `poll(0)` returns it. So a deadline that
is due lets the loop run some turns first, and ends the work only when none of them brings anything.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Final, Self

__all__ = ["TURNS", "Deadline"]

# Turns of the loop without progress before a deadline counts: a response over TLS takes about five of them from the
# socket to the caller.
TURNS: Final = 20


class Deadline:
    """Like `asyncio.timeout`, but the loop gets some turns before the work is cancelled.

    Args:
        seconds: Seconds from entering it; None for no limit.
    """

    __slots__ = ("_handle", "_scope", "_seconds", "_turns")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._scope = asyncio.timeout(None)
        self._handle: asyncio.Handle | None = None
        self._turns = TURNS

    async def __aenter__(self) -> Self:
        await self._scope.__aenter__()
        if self._seconds is not None:
            self._handle = asyncio.get_running_loop().call_later(self._seconds, self._turn)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        await self._scope.__aexit__(exc_type, exc, tb)

    def expired(self) -> bool:
        """True when it ended the work."""
        return self._scope.expired()

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if self._turns > 0:
            self._turns -= 1
            self._handle = loop.call_soon(self._turn)
        else:
            self._scope.reschedule(loop.time())
