"""What a store of token pairs must do; the stores themselves are in `b24oauth.stores`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from b24oauth.models import B24OAuthParams

__all__ = ["TokenStore"]


class TokenStore(Protocol):
    """Keeps one token pair for each portal.

    Pairs are found by `member_id`, which never changes. The lock is held over read again, renew, save,
    so that processes that share a store renew once.
    """

    def lock(self, member_id: str) -> AbstractAsyncContextManager[object]:
        """Holds the portal's pair against every other process and task that uses this store."""
        ...

    async def load(self, member_id: str) -> B24OAuthParams | None:
        """The stored pair, or None."""
        ...

    async def save(self, params: B24OAuthParams) -> None:
        """Stores a pair instead of the portal's old one."""
        ...
