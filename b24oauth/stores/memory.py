"""Token pairs in memory."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager

from b24oauth.models import B24OAuthParams

__all__ = ["MemoryStore"]


class MemoryStore:
    """A store for tests and for clients of one process; it forgets everything at exit."""

    def __init__(self) -> None:
        self._pairs: dict[str, B24OAuthParams] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    def lock(self, member_id: str) -> AbstractAsyncContextManager[object]:
        """Holds the portal's pair against every other task."""
        return self._locks.setdefault(member_id, asyncio.Lock())

    async def load(self, member_id: str) -> B24OAuthParams | None:
        """The stored pair, or None."""
        return self._pairs.get(member_id)

    async def save(self, params: B24OAuthParams) -> None:
        """Stores a pair instead of the portal's old one."""
        self._pairs[params.member_id] = params
