"""`run_portals` ends at a signal."""

from __future__ import annotations

import asyncio
import os
import signal
import threading

import pytest

from b24oauth import B24OAuth, B24Portals
from b24oauth.apps import run_portals
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, VirtualClock
from tests.support.stores import put

pytestmark = pytest.mark.anyio


async def portals_of_one() -> B24Portals:
    portal, store = FakePortal(clock=VirtualClock()), MemoryStore()
    await put(store, portal.issue())
    return B24Portals(portal.secret, store, trusted_oauth_hosts=portal.trusted_oauth_hosts)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_consumers_end_and_restores_the_handlers(number: signal.Signals) -> None:
    ended: list[str] = []

    async def consume(b24: B24OAuth) -> None:
        os.kill(os.getpid(), number)
        await asyncio.sleep(5)
        ended.append("done")

    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with await portals_of_one() as portals:
        await run_portals(portals, consume, name="work", drain=10)
    assert ended == ["done"]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


async def test_a_second_signal_cancels_consumers_at_once() -> None:
    ended: list[float] = []

    async def consume(b24: B24OAuth) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(5)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    async with await portals_of_one() as portals:
        with pytest.raises(asyncio.CancelledError):
            await run_portals(portals, consume, name="work", drain=500)
    assert ended == pytest.approx([5], abs=0.1)


async def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []
    began = asyncio.Event()

    async def consume(b24: B24OAuth) -> None:
        seen.append(signal.getsignal(signal.SIGTERM))
        began.set()
        await asyncio.Event().wait()

    async def main() -> None:
        async with await portals_of_one() as portals:
            running = asyncio.create_task(run_portals(portals, consume, name="work"))
            await began.wait()
            running.cancel()
            await asyncio.wait({running})

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join()
    assert seen == [before]
