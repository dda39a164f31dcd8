"""Work in lanes: one after another in each lane, lanes at the same time, a bounded number of them."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Awaitable, Callable

__all__ = ["Lanes"]


class Lanes:
    """Keeps the order within each dialog, and lets dialogs proceed independently.

    Args:
        concurrency: How many pieces of work run at the same time.
    """

    def __init__(self, concurrency: int) -> None:
        self._turns = asyncio.Semaphore(concurrency)
        # A lane exists as long as somebody works or waits in it.
        self._lanes: weakref.WeakValueDictionary[tuple[object, str], asyncio.Lock] = weakref.WeakValueDictionary()

    async def run(self, portal: object, dialog_id: str, work: Callable[[], Awaitable[None]]) -> None:
        """Waits for the work before it in the lane, and for a turn; then does the work.

        Args:
            portal: Identifies the portal.
            dialog_id: The dialog; work of the same one is done in the order of the calls.
            work: A coroutine function.
        """
        lane = self._lanes.get((portal, dialog_id))
        if lane is None:
            lane = self._lanes[portal, dialog_id] = asyncio.Lock()
        # Both hand over in the order in which they were asked.
        async with lane, self._turns:
            await work()
