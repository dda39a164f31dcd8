"""Work that goes on after a request was answered: in tasks that the application owns, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["Tasks"]


class Tasks:
    """Runs work in tasks and waits for them at the end.

    Args:
        concurrency: How many run at the same time.
        waiting: How many may wait for their turn besides; more are refused.
        failed: Is called with what a piece of work raises.
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

    def start(self, work: Callable[[], Coroutine[Any, Any, object]]) -> bool:
        """Starts a piece of work; False if there are too many already, or after `drain`.

        Args:
            work: A coroutine function.
        """
        if self._is_closed or len(self._tasks) >= self._most:
            return False
        task = asyncio.get_running_loop().create_task(self._run(work), name="b24oauth event")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _run(self, work: Callable[[], Coroutine[Any, Any, object]]) -> None:
        async with self._turns:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - what a handler raises is told and must not end the application
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
