"""Waits for the store's lease of a pair, and holds it for as long as the renewal takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

from b24oauth.observing import Log
from b24oauth.storing import Lease

__all__ = ["EXTEND_EVERY", "LEASE_SECONDS", "extended", "held_unless"]

# Lease duration: after a crash of the holder, another process can refresh after at most this many seconds.
LEASE_SECONDS: Final = 15.0
EXTEND_EVERY: Final = 5.0
# How often those who wait for a lease look whether its holder has saved a new pair, seconds.
_LOOK_EVERY: Final = 0.25
_CANCEL_EVERY: Final = 0.05


async def held_unless(
    is_needless: Callable[[], Awaitable[bool]],
    lease: AbstractAsyncContextManager[Lease],
    stack: AsyncExitStack,
    log: Log,
) -> Lease | None:
    """Waits for a lease until it is needless: the many who wait for one renewal need not get it one after another.

    Args:
        is_needless: Tells whether the wait may end; asked again and again.
        lease: What `TokenStore.lease` returned.
        stack: Gives the lease back.
        log: Gets a message when `is_needless` fails.

    Returns:
        The lease, or None if it became needless.
    """
    loop = asyncio.get_running_loop()

    async def look(wait: asyncio.Timeout) -> None:
        needless = False
        while not needless:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                needless = await is_needless()
            except Exception as error:  # noqa: BLE001 - who gets the lease reads the store again, and says what is wrong
                what = f"The token store could not be read while its lease was waited for: {type(error).__name__}"
                log.warning(what)
                return
        wait.reschedule(loop.time())

    wait = asyncio.timeout(None)
    try:
        async with wait:
            looking = loop.create_task(look(wait), name="b24oauth lease wait")
            try:
                return await stack.enter_async_context(lease)
            finally:
                # A lease that came at the last moment is in the stack already.
                await _ended(looking)
    except TimeoutError:
        if not wait.expired():
            raise
    return None


@asynccontextmanager
async def extended(lease: Lease, log: Log) -> AsyncGenerator[None]:
    """Extends a lease again and again while its block runs.

    A lost lease does no harm: a pair is saved only if the stored pair is still the one that was read.

    Args:
        lease: The lease.
        log: Gets a message when the lease could not be extended.
    """
    task = asyncio.get_running_loop().create_task(_extend(lease, log), name="b24oauth lease")
    try:
        yield
    finally:
        await _ended(task)


async def _ended(task: asyncio.Task[None]) -> None:
    """Ends a task. Drivers of databases swallow a cancellation now and then, so it is repeated."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_CANCEL_EVERY)


async def _extend(lease: Lease, log: Log) -> None:
    while True:
        await asyncio.sleep(EXTEND_EVERY)
        try:
            if not await lease.extend():
                log.warning("The lease of a token pair ended while the pair was renewed: the process was stopped")
                return
        except Exception as error:  # noqa: BLE001 - what the application's store raises must not end the renewal
            what = f"The lease of a token pair could not be extended: {type(error).__name__}"
            log.warning(what)
