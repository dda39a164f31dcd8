"""Work that goes on after a request was answered: in tasks that the application owns, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Runs handlers in tasks, and waits for these at the end.

    Args:
        concurrency: Number of handlers that run at the same time.
        waiting: Number of handlers that may wait for their turn; more are refused.
        failed: Called with the error of a piece of work.
    """

    def __init__(self, concurrency: int, waiting: int, failed: Callable[[Exception], None]) -> None:
        self._turns = asyncio.Semaphore(concurrency)
        self._most = concurrency + waiting
        self._failed = failed
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def __len__(self) -> int:
        """How many run or wait."""
        return len(self._tasks)

    def start(self, works: Sequence[Callable[[], Coroutine[Any, Any, object]]]) -> bool:
        """Starts all pieces of work, or none and returns False: if too many wait already, or after `drain`.

        Args:
            works: Coroutine functions. When nothing else waits, any number of them is started.
        """
        if works and (self._is_closed or (self._tasks and len(self._tasks) + len(works) > self._most)):
            return False
        for work in works:
            task = asyncio.get_running_loop().create_task(self._run(work), name="b24oauth event")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async with self._turns:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - reported; it must not end the application
                self._failed(error)

    async def drain(self, seconds: float) -> int:
        """Waits for the work, and cancels what is left then. No more is started.

        Args:
            seconds: How long to wait.

        Returns:
            How many pieces were cancelled.
        """
        self._is_closed = True
        tasks = set(self._tasks)
        try:
            if tasks and seconds > 0:
                await asyncio.wait(tasks, timeout=seconds)
        finally:
            left = {task for task in tasks if not task.done()}
            for task in left:
                task.cancel()
        if left:
            await asyncio.wait(left)
        return len(left)
