"""The protocols of stores: token pairs, installations and named values. Implementations are in `b24oauth.stores`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import attrs

from b24oauth.installations import Installation
from b24oauth.models import B24OAuthParams

__all__ = [
    "InstallationStore",
    "Lease",
    "StoredInstallation",
    "StoredPair",
    "StoredValue",
    "TokenKey",
    "TokenStore",
    "ValueKey",
    "ValueStore",
]


@attrs.frozen
class TokenKey:
    """Identifies a token pair in a store; constant for the lifetime of a client.

    Attributes:
        client_id: The application.
        member_id: The portal.
        user_id: The user whose pair it is; None for the pair that the application works with.
    """

    client_id: str
    member_id: str
    user_id: int | None = None


@attrs.frozen
class StoredPair:
    """A token pair as it was read.

    Attributes:
        params: The pair.
        revision: Changes with each save; the store chooses what it looks like.
    """

    params: B24OAuthParams
    revision: str


class Lease(Protocol):
    """The right to renew one pair, for some seconds."""

    async def extend(self) -> bool:
        """Extends the lease to its full duration, counted from now.

        Returns:
            False when it has ended, and somebody else may hold it.
        """
        ...


class TokenStore(Protocol):
    """Keeps token pairs of any number of applications, portals and users."""

    async def load(self, key: TokenKey) -> StoredPair | None:
        """The stored pair, or None."""
        ...

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        """Stores a pair if nobody has stored another one meanwhile; comparison and write must be atomic.

        Args:
            key: Whose pair it is.
            params: The pair.
            expected: Revision of the stored pair that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored pair has another revision, is there, or is gone.
        """
        ...

    async def delete(self, key: TokenKey) -> bool:
        """Removes a pair.

        Returns:
            False when there was none.
        """
        ...

    def keys(self, client_id: str, member_id: str | None = None) -> AsyncIterator[TokenKey]:
        """The keys of all pairs of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.
        """
        ...

    def lease(self, key: TokenKey, *, seconds: float) -> AbstractAsyncContextManager[Lease]:
        """Waits until nobody else holds the lease of a pair, and holds it.

        It is held over read again, renew, save, so that processes that share a store renew once. The lease of a
        process that was killed or stopped ends by itself.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.
        """
        ...


@attrs.frozen
class StoredInstallation:
    """An installation as it was read.

    Attributes:
        installation: The installation.
        revision: Changes with each save; the store chooses what it looks like.
    """

    installation: Installation
    revision: str


class InstallationStore(Protocol):
    """Keeps the installations of any number of applications."""

    async def load_installation(self, client_id: str, member_id: str) -> StoredInstallation | None:
        """The stored installation of an application on a portal, or None."""
        ...

    async def save_installation(self, installation: Installation, *, expected: str | None) -> str:
        """Stores an installation if nobody has stored another one meanwhile; comparison and write must be atomic.

        Args:
            installation: The installation.
            expected: Revision of the stored installation that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored installation has another revision, is there, or is gone.
        """
        ...

    async def delete_installation(self, client_id: str, member_id: str) -> bool:
        """Removes an installation.

        Returns:
            False when there was none.
        """
        ...

    def installations(self, client_id: str) -> AsyncIterator[Installation]:
        """All installations of an application.

        Args:
            client_id: The application.
        """
        ...


@attrs.frozen
class ValueKey:
    """Identifies a named value of an application on a portal.

    Attributes:
        client_id: The application.
        member_id: The portal.
        name: Name of the value; begin it with the name of the feature, for example ``bot:456:offset``.
    """

    client_id: str
    member_id: str
    name: str


@attrs.frozen
class StoredValue:
    """A named value as it was read.

    Attributes:
        value: The text that was saved.
        revision: Changes with each save; the store chooses what it looks like.
    """

    value: str = attrs.field(repr=False)
    revision: str


class ValueStore(Protocol):
    """Keeps named values of portals: small texts that must survive the process, such as the place in a queue."""

    async def load_value(self, key: ValueKey) -> StoredValue | None:
        """The stored value, or None."""
        ...

    async def save_value(self, key: ValueKey, value: str, *, expected: str | None) -> str:
        """Stores a value if nobody has stored another one meanwhile; comparison and write must be atomic.

        Args:
            key: Which value.
            value: The text.
            expected: Revision of the stored value that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored value has another revision, is there, or is gone.
        """
        ...

    async def delete_value(self, key: ValueKey) -> bool:
        """Removes a value.

        Returns:
            False when there was none.
        """
        ...

    def values(self, client_id: str, member_id: str | None = None) -> AsyncIterator[ValueKey]:
        """The keys of all values of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.
        """
        ...
