"""Work in threads whose end is awaited, also by a task that is cancelled: the files may be closed only then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.to_thread

__all__ = ["in_thread"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def in_thread(work: Callable[[*Ts], T], *args: *Ts) -> T:
    """Runs blocking work in a thread; a cancellation takes effect when the work has ended.

    Args:
        work: A function.
        args: Its arguments.
    """
    # A task of its own: a cancellation by asyncio would end the wait, but not the thread.
    task = asyncio.ensure_future(anyio.to_thread.run_sync(work, *args))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):
            while not task.done():
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError:
                    continue  # the first one is raised below
        if not task.cancelled():
            task.exception()  # seen, as far as asyncio is concerned
        raise
