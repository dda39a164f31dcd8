"""`run_portals`: the main part of a worker process."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Unpack

from b24oauth.apps.runner import Consume, HasPortals, Runner, RunnerOptions
from b24oauth.portals import B24Portals

__all__ = ["run_portals", "stopped_by_signals"]


async def run_portals(
    app: HasPortals | B24Portals, consume: Consume, *, name: str, **options: Unpack[RunnerOptions]
) -> None:
    """Runs a consumer for each portal until the process gets SIGTERM or SIGINT: the main part of a worker process.

    At the signal no consumer begins any more, and running ones get `drain` seconds to end; a second signal cancels them
    at once. Signals are handled in the main thread only.

    Args:
        app: A `B24App` or `B24Portals`.
        consume: ``async def consume(b24)`` does what there is to do on one portal; see `Runner`.
        name: Names the work: processes with the same name and store share it.
        options: See `RunnerOptions`.

    Raises:
        ConfigurationError: An argument is invalid.
        asyncio.CancelledError: A second signal came.
    """
    runner = Runner(app, consume, name=name, **options)
    with stopped_by_signals(runner):
        await runner.run()


@contextmanager
def stopped_by_signals(runner: Runner) -> Generator[None]:
    """Stops a runner at SIGTERM and SIGINT; a second signal cancels the task. In other threads it does nothing.

    Args:
        runner: The runner.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def ask() -> None:
        if runner.is_stopping and task is not None:
            task.cancel()
        runner.stop()

    def handle(_: int, __: FrameType | None) -> None:
        # It may interrupt any line; the loop is woken to run `ask` between two of them.
        loop.call_soon_threadsafe(ask)

    before: dict[int, Any] = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
