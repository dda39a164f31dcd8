"""Takes a lease without waiting for it, from any store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from b24oauth.storing import Lease, TokenKey, TokenStore

__all__ = ["try_lease"]

# How long a store without `try_lease` may take to grant a lease that is free, seconds.
_LONGEST_TRY: Final = 1.0


def try_lease(store: TokenStore, key: TokenKey, *, seconds: float) -> AbstractAsyncContextManager[Lease | None]:
    """Holds the lease of a pair if nobody else holds it; None otherwise.

    The stores of this library have a method for it. With others the lease is waited for, one second at most.

    Args:
        store: The store.
        key: Whose pair it is; there need not be one.
        seconds: How long it is held unless it is extended.
    """
    own: Any = getattr(store, "try_lease", None)
    granted: AbstractAsyncContextManager[Lease | None]
    granted = _waited_for(store, key, seconds) if own is None else own(key, seconds=seconds)
    return granted


@asynccontextmanager
async def _waited_for(store: TokenStore, key: TokenKey, seconds: float) -> AsyncGenerator[Lease | None]:
    async with AsyncExitStack() as stack:
        lease: Lease | None = None
        wait = asyncio.timeout(_LONGEST_TRY)
        try:
            async with wait:
                lease = await stack.enter_async_context(store.lease(key, seconds=seconds))
        except TimeoutError:
            if not wait.expired():
                raise
        yield lease
