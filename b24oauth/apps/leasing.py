"""Leases of work: for each portal one worker at a time, over all processes that share a store."""

from __future__ import annotations

import asyncio

from b24oauth.errors import SdkError
from b24oauth.storing import Lease, TokenKey

__all__ = ["LeaseLostError", "keep", "work_key"]


class LeaseLostError(SdkError):
    """The lease of a portal's work has ended, and another process may do this work now.

    It happens when the process was suspended, when its event loop was blocked, or when the store did not answer.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, code="B24OAUTH_LEASE_LOST")


def work_key(client_id: str, member_id: str, name: str) -> TokenKey:
    """The key of a lease of work.

    It can never be the key of a token pair, so it blocks no renewal: no application has an ID that contains ``#``.

    Args:
        client_id: The application.
        member_id: The portal.
        name: Names the work, the same in all processes that share it.
    """
    return TokenKey(f"{client_id}#{name}", member_id)


async def keep(lease: Lease, *, seconds: float) -> None:
    """Extends a lease again and again. Cancel it to stop.

    Args:
        lease: The lease, just taken.
        seconds: How long it lasts.

    Raises:
        LeaseLostError: The lease has ended.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    problem = "it was not extended in time"
    while loop.time() < ends_at:
        await asyncio.sleep(seconds / 3)
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(ends_at):
                is_held = await lease.extend()
        except Exception as error:  # noqa: BLE001 - whatever a store raises, it is asked again until the lease has ended
            problem = f"it could not be extended: {type(error).__name__}"
            continue
        if not is_held:
            raise LeaseLostError("The lease of a portal's work was lost: another process may have it")
        ends_at = asked_at + seconds
    raise LeaseLostError(f"The lease of a portal's work has ended: {problem}")
