"""Holds the store's lease of a pair for as long as its renewal takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from b24oauth.observing import Log
from b24oauth.storing import Lease

__all__ = ["EXTEND_EVERY", "LEASE_SECONDS", "extended"]

# After a process was killed, the next one renews within this time.
LEASE_SECONDS: Final = 15.0
EXTEND_EVERY: Final = 5.0


@asynccontextmanager
async def extended(lease: Lease, log: Log) -> AsyncGenerator[None]:
    """Extends a lease again and again while its block runs.

    A lease that is lost all the same does no harm: a pair is saved only in place of the one that was read.

    Args:
        lease: The lease.
        log: Is told when it could not be extended.
    """
    task = asyncio.get_running_loop().create_task(_extend(lease, log), name="b24oauth lease")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


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
