"""Token pairs, installations and named values in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator

import attrs

from b24oauth.errors import StoreConflictError
from b24oauth.installations import Installation
from b24oauth.models import B24OAuthParams
from b24oauth.storing import Lease, StoredInstallation, StoredPair, StoredValue, TokenKey, ValueKey

__all__ = ["MemoryStore"]


@attrs.define(eq=False)
class _Lease:
    """A queue entry for one key; the first entry holds the lease.

    Attributes:
        seconds: How long it is held unless it is extended.
        line: Everybody who holds or waits, in the order they came.
        until: Loop time at which it ends, seconds; infinite while it waits.
        moved: Set when the line has moved.
    """

    seconds: float
    line: deque[_Lease]
    until: float = math.inf
    moved: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def extend(self) -> bool:
        now = asyncio.get_running_loop().time()
        holds = bool(self.line) and self.line[0] is self and now < self.until
        if holds:
            self.until = now + self.seconds
        return holds

    async def take(self) -> None:
        """Waits for the first place in the line; a holder that exceeds the lease loses it."""
        loop = asyncio.get_running_loop()
        while self.line[0] is not self:
            holder = self.line[0]
            self.moved.clear()
            # The next holder may have been woken but not run yet, so its `until` is still infinite; it wakes the others
            # when it takes the lease.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if math.isinf(holder.until) else holder.until):
                    await self.moved.wait()
            if loop.time() >= holder.until:
                holder.leave()
        self.until = loop.time() + self.seconds
        self.wake_others()

    def leave(self) -> None:
        if self in self.line:
            self.line.remove(self)
            self.wake_others()

    def wake_others(self) -> None:
        for other in self.line:
            other.moved.set()


class MemoryStore:
    """A store for tests and for clients of one event loop; it forgets everything at exit."""

    def __init__(self) -> None:
        self._pairs: dict[TokenKey, StoredPair] = {}
        self._installations: dict[tuple[str, str], StoredInstallation] = {}
        self._values: dict[ValueKey, StoredValue] = {}
        self._lines: defaultdict[TokenKey, deque[_Lease]] = defaultdict(deque)
        self._revisions = itertools.count(1)

    async def load(self, key: TokenKey) -> StoredPair | None:
        """The stored pair, or None."""
        return self._pairs.get(key)

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        """Stores a pair if nobody has stored another one meanwhile.

        Args:
            key: Whose pair it is.
            params: The pair.
            expected: Revision of the stored pair that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored pair has another revision, is there, or is gone.
        """
        stored = self._pairs.get(key)
        if (None if stored is None else stored.revision) != expected:
            raise StoreConflictError
        revision = str(next(self._revisions))
        self._pairs[key] = StoredPair(params, revision)
        return revision

    async def delete(self, key: TokenKey) -> bool:
        """Removes a pair; False when there was none."""
        return self._pairs.pop(key, None) is not None

    async def keys(self, client_id: str, member_id: str | None = None) -> AsyncIterator[TokenKey]:
        """The keys of all pairs of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.
        """
        for key in list(self._pairs):
            if key.client_id == client_id and member_id in (None, key.member_id):
                yield key

    @contextlib.asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        """Waits until nobody else holds the lease of a pair, and holds it.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.
        """
        line = self._lines[key]
        lease = _Lease(seconds, line)
        line.append(lease)
        try:
            await lease.take()
            yield lease
        finally:
            lease.leave()
            # Who has lost the lease may end when others have begun a new line.
            if not line and self._lines.get(key) is line:
                del self._lines[key]

    @contextlib.asynccontextmanager
    async def try_lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease | None]:
        """Holds the lease of a pair if nobody else holds it; does not wait.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.

        Returns:
            The lease, or None if somebody else holds it.
        """
        line = self._lines.get(key)
        if line and (len(line) > 1 or asyncio.get_running_loop().time() < line[0].until):
            yield None
            return
        async with self.lease(key, seconds=seconds) as lease:
            yield lease

    async def load_installation(self, client_id: str, member_id: str) -> StoredInstallation | None:
        """The stored installation of an application on a portal, or None."""
        return self._installations.get((client_id, member_id))

    async def save_installation(self, installation: Installation, *, expected: str | None) -> str:
        """Stores an installation if nobody has stored another one meanwhile.

        Args:
            installation: The installation.
            expected: Revision of the stored installation that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored installation has another revision, is there, or is gone.
        """
        key = installation.client_id, installation.member_id
        stored = self._installations.get(key)
        if (None if stored is None else stored.revision) != expected:
            raise StoreConflictError("The stored installation has changed meanwhile")
        revision = str(next(self._revisions))
        self._installations[key] = StoredInstallation(installation, revision)
        return revision

    async def delete_installation(self, client_id: str, member_id: str) -> bool:
        """Removes an installation; False when there was none."""
        return self._installations.pop((client_id, member_id), None) is not None

    async def installations(self, client_id: str) -> AsyncIterator[Installation]:
        """All installations of an application."""
        for key, stored in list(self._installations.items()):
            if key[0] == client_id:
                yield stored.installation

    async def load_value(self, key: ValueKey) -> StoredValue | None:
        """The stored value, or None."""
        return self._values.get(key)

    async def save_value(self, key: ValueKey, value: str, *, expected: str | None) -> str:
        """Stores a value if nobody has stored another one meanwhile.

        Args:
            key: Which value.
            value: The text.
            expected: Revision of the stored value that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored value has another revision, is there, or is gone.
        """
        stored = self._values.get(key)
        if (None if stored is None else stored.revision) != expected:
            raise StoreConflictError("The stored value has changed meanwhile")
        revision = str(next(self._revisions))
        self._values[key] = StoredValue(value, revision)
        return revision

    async def delete_value(self, key: ValueKey) -> bool:
        """Removes a value; False when there was none."""
        return self._values.pop(key, None) is not None

    async def values(self, client_id: str, member_id: str | None = None) -> AsyncIterator[ValueKey]:
        """The keys of all values of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.
        """
        for key in list(self._values):
            if key.client_id == client_id and member_id in (None, key.member_id):
                yield key
