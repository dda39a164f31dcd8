"""Threads and connections of a store, which event loops cannot share, and steps that must not be left half done."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import anyio
import anyio.to_thread

__all__ = ["PerLoop", "Threads", "completed"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One object for each event loop, made when it is first asked for.

    Args:
        make: Makes the object.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, T] = weakref.WeakKeyDictionary()

    def get(self) -> T:
        """The object of the running loop."""
        loop = asyncio.get_running_loop()
        made = self._made.get(loop)
        if made is None:
            made = self._made[loop] = self._make()
        return made

    def pop(self) -> T | None:
        """The object of the running loop, which is forgotten; None when there is none."""
        return self._made.pop(asyncio.get_running_loop(), None)


class Threads:
    """Threads of the store's own: blocking functions of the application do not keep a token pair waiting.

    Args:
        most: How many functions run at the same time, in each event loop.
    """

    def __init__(self, most: int) -> None:
        self._limiters = PerLoop(lambda: anyio.CapacityLimiter(most))

    async def run(self, function: Callable[[], T]) -> T:
        """Runs a function in a thread. It runs to its end even if the caller is cancelled meanwhile."""
        return await anyio.to_thread.run_sync(function, limiter=self._limiters.get())


async def completed(step: Coroutine[Any, Any, T]) -> T:
    """Waits for a step to its end, also when the caller is cancelled meanwhile; the cancellation counts afterwards.

    Args:
        step: Must end by itself, soon.
    """
    task = asyncio.get_running_loop().create_task(step)
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError as error:
                # The scope holds back only what anyio cancels.
                cancelled = error
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen: the cancellation takes precedence
        raise cancelled
    return task.result()
