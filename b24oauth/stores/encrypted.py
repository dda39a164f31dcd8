"""Encrypts the secrets of another store."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, Self, cast

import attrs
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from b24oauth.errors import ConfigurationError, StoreConflictError, StoreRecordError
from b24oauth.installations import Installation
from b24oauth.models import B24OAuthParams
from b24oauth.sharing import SharedLimits
from b24oauth.stores.trying import try_lease
from b24oauth.storing import (
    InstallationStore,
    Lease,
    StoredInstallation,
    StoredPair,
    StoredValue,
    TokenKey,
    TokenStore,
    ValueKey,
    ValueStore,
)

__all__ = ["EncryptedStore"]

# How a field with an envelope begins: the kind of encryption and the version of the envelope.
_PREFIX: Final = "fernet:1:"
# What stands in the other secret fields, which must not be empty.
_ELSEWHERE: Final = "encrypted"
_SECRETS: Final = ("access_token", "refresh_token", "application_token")
# How often a pair that changes meanwhile is read again.
_CONFLICTS: Final = 5


class _Store(TokenStore, InstallationStore, Protocol):
    pass


class EncryptedStore:
    """Encrypts tokens before another store gets them, and decrypts what it returns.

    What identifies a pair stays readable: portal, user, endpoints, scope. A ciphertext names its portal and user, so
    it cannot be moved to others. Named values are encrypted too; their names are not.

    Args:
        store: Any store, also one of your own.
        keys: Fernet keys, as `EncryptedStore.new_key()` makes them. The first one encrypts, all of them decrypt. To
            replace a key, put the new one first, call `reencrypt` and then remove the old one.

    Raises:
        ConfigurationError: There is no key, or one is not a Fernet key.

    Source: https://cryptography.io/en/latest/fernet/
    """

    def __init__(self, store: _Store, keys: Iterable[str | bytes]) -> None:
        if isinstance(keys, str | bytes):
            raise ConfigurationError("keys must be a list of Fernet keys, not one key")
        try:
            fernets = [Fernet(key) for key in keys]
        except (ValueError, TypeError):
            fernets = []
        if not fernets:
            raise ConfigurationError("keys must be Fernet keys, at least one: EncryptedStore.new_key() makes one")
        self._store = store
        self._fernet = MultiFernet(fernets)

    def __repr__(self) -> str:
        return f"EncryptedStore({self._store!r})"

    @staticmethod
    def new_key() -> str:
        """A new random key."""
        return Fernet.generate_key().decode()

    async def load(self, key: TokenKey) -> StoredPair | None:
        """Reads a pair.

        Returns:
            The stored pair, or None.

        Raises:
            StoreRecordError: The pair was encrypted with another key, or is not encrypted.
            StoreError: The store cannot be read.
        """
        stored = await self._store.load(key)
        return None if stored is None else attrs.evolve(stored, params=self._decrypted(key, stored.params))

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
            StoreError: The store cannot be written.
        """
        return await self._store.save(key, self._encrypted(key, params), expected=expected)

    async def delete(self, key: TokenKey) -> bool:
        """Removes a pair; False when there was none."""
        return await self._store.delete(key)

    def keys(self, client_id: str, member_id: str | None = None) -> AsyncIterator[TokenKey]:
        """The keys of all pairs of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.
        """
        return self._store.keys(client_id, member_id)

    def lease(self, key: TokenKey, *, seconds: float) -> AbstractAsyncContextManager[Lease]:
        """Waits until nobody else holds the lease of a pair, and holds it.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.
        """
        return self._store.lease(key, seconds=seconds)

    def try_lease(self, key: TokenKey, *, seconds: float) -> AbstractAsyncContextManager[Lease | None]:
        """Holds the lease of a pair if nobody else holds it; None otherwise.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.
        """
        return try_lease(self._store, key, seconds=seconds)

    async def load_installation(self, client_id: str, member_id: str) -> StoredInstallation | None:
        """Reads an installation.

        Returns:
            The stored installation, or None.

        Raises:
            StoreRecordError: Its tokens were encrypted with another key, or are not encrypted.
            StoreError: The store cannot be read.
        """
        stored = await self._store.load_installation(client_id, member_id)
        if stored is None:
            return None
        return attrs.evolve(stored, installation=self._decrypted_installation(stored.installation))

    async def save_installation(self, installation: Installation, *, expected: str | None) -> str:
        """Stores an installation if nobody has stored another one meanwhile.

        Args:
            installation: The installation.
            expected: Revision of the stored installation that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored installation has another revision, is there, or is gone.
            StoreError: The store cannot be written.
        """
        return await self._store.save_installation(self._encrypted_installation(installation), expected=expected)

    async def delete_installation(self, client_id: str, member_id: str) -> bool:
        """Removes an installation; False when there was none."""
        return await self._store.delete_installation(client_id, member_id)

    async def installations(self, client_id: str) -> AsyncIterator[Installation]:
        """All installations of an application."""
        async for installation in self._store.installations(client_id):
            yield self._decrypted_installation(installation)

    async def load_value(self, key: ValueKey) -> StoredValue | None:
        """Reads a named value.

        Returns:
            The stored value, or None.

        Raises:
            StoreRecordError: It was encrypted with another key, or is not encrypted.
            StoreError: The store cannot be read.
        """
        stored = await self._values().load_value(key)
        if stored is None:
            return None
        return attrs.evolve(stored, value=self._opened(_of_value(key), stored.value)["value"])

    async def save_value(self, key: ValueKey, value: str, *, expected: str | None) -> str:
        """Stores a named value if nobody has stored another one meanwhile.

        Args:
            key: Which value.
            value: The text.
            expected: Revision of the stored value that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored value has another revision, is there, or is gone.
            StoreError: The store cannot be written.
        """
        return await self._values().save_value(key, self._sealed(_of_value(key), {"value": value}), expected=expected)

    async def delete_value(self, key: ValueKey) -> bool:
        """Removes a named value; False when there was none."""
        return await self._values().delete_value(key)

    def values(self, client_id: str, member_id: str | None = None) -> AsyncIterator[ValueKey]:
        """The keys of all named values of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.
        """
        return self._values().values(client_id, member_id)

    async def reencrypt(self, client_id: str) -> int:
        """Encrypts all records of an application with the first key, also those that are not encrypted yet.

        It may be repeated, and clients may go on meanwhile.

        Args:
            client_id: The application.

        Returns:
            How many records there were.

        Raises:
            StoreRecordError: None of the keys decrypts a record; those before it are done.
            StoreError: The store cannot be read or written.
        """
        number = 0
        async for key in self._store.keys(client_id):
            number += await self._reencrypt_pair(key)
        async for installation in self._store.installations(client_id):
            number += await self._reencrypt_installation(installation)
        # A store of the user's own may have been written before there were named values.
        if hasattr(self._store, "values"):
            async for value_key in self.values(client_id):
                number += await self._reencrypt_value(value_key)
        return number

    @property
    def shared_limits(self) -> Callable[[str], SharedLimits] | None:
        """Shared limits of the other store, if it has any."""
        limits: Callable[[str], SharedLimits] | None = getattr(self._store, "shared_limits", None)
        return limits

    async def aclose(self) -> None:
        """Closes the other store, if it can be closed."""
        close = getattr(self._store, "aclose", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _reencrypt_pair(self, key: TokenKey) -> bool:
        for attempt in range(_CONFLICTS):
            stored = await self._store.load(key)
            if stored is None:
                return False
            is_plain = not stored.params.access_token.startswith(_PREFIX)
            pair = stored.params if is_plain else self._decrypted(key, stored.params)
            try:
                await self.save(key, pair, expected=stored.revision)
            except StoreConflictError:
                if attempt == _CONFLICTS - 1:
                    raise
            else:
                return True
        return False

    async def _reencrypt_installation(self, found: Installation) -> bool:
        for attempt in range(_CONFLICTS):
            stored = await self._store.load_installation(found.client_id, found.member_id)
            if stored is None:
                return False
            tokens = stored.installation.application_tokens
            is_plain = not any(token.startswith(_PREFIX) for token in tokens)
            plain = stored.installation if is_plain else self._decrypted_installation(stored.installation)
            try:
                await self.save_installation(plain, expected=stored.revision)
            except StoreConflictError:
                if attempt == _CONFLICTS - 1:
                    raise
            else:
                return True
        return False

    def _values(self) -> ValueStore:
        if not hasattr(self._store, "save_value"):
            raise ConfigurationError(f"{self._store!r} keeps no named values: see b24oauth.stores.ValueStore")
        return cast("ValueStore", self._store)

    async def _reencrypt_value(self, key: ValueKey) -> bool:
        for attempt in range(_CONFLICTS):
            stored = await self._values().load_value(key)
            if stored is None:
                return False
            is_plain = not stored.value.startswith(_PREFIX)
            value = stored.value if is_plain else self._opened(_of_value(key), stored.value)["value"]
            try:
                await self.save_value(key, value, expected=stored.revision)
            except StoreConflictError:
                if attempt == _CONFLICTS - 1:
                    raise
            else:
                return True
        return False

    def _encrypted(self, key: TokenKey, pair: B24OAuthParams) -> B24OAuthParams:
        secrets = {name: getattr(pair, name) for name in _SECRETS}
        envelope = self._sealed(_whose(key), secrets)
        return attrs.evolve(pair, access_token=envelope, refresh_token=_ELSEWHERE, application_token="")

    def _decrypted(self, key: TokenKey, pair: B24OAuthParams) -> B24OAuthParams:
        return attrs.evolve(pair, **self._opened(_whose(key), pair.access_token))

    def _encrypted_installation(self, installation: Installation) -> Installation:
        if not installation.application_tokens:
            return installation
        tokens = {"application_tokens": installation.application_tokens}
        return attrs.evolve(installation, application_tokens=(self._sealed(_of(installation), tokens),))

    def _decrypted_installation(self, installation: Installation) -> Installation:
        if not installation.application_tokens:
            return installation
        opened = self._opened(_of(installation), installation.application_tokens[0])
        return attrs.evolve(installation, application_tokens=tuple(opened["application_tokens"]))

    def _sealed(self, whose: list[Any], secrets: dict[str, Any]) -> str:
        text = json.dumps({"of": whose, "secrets": secrets})
        return _PREFIX + self._fernet.encrypt(text.encode()).decode()

    def _opened(self, whose: list[Any], envelope: str) -> dict[str, Any]:
        name = f"portal {whose[1]}, application {whose[0]}"
        if not envelope.startswith(_PREFIX):
            raise StoreRecordError(
                f"{self!r}: a record of {name} is not encrypted: reencrypt() encrypts all records of the application"
            )
        content: Any
        try:
            content = json.loads(self._fernet.decrypt(envelope.removeprefix(_PREFIX)))
        except InvalidToken:
            content = {"of": None}
        if content["of"] != whose:
            raise StoreRecordError(
                f"{self!r}: a record of {name} was encrypted with another key, or for another portal or user: "
                "add the key that it was encrypted with to `keys`. The record stays as it is"
            )
        secrets: dict[str, Any] = content["secrets"]
        return secrets


def _whose(key: TokenKey) -> list[Any]:
    return [key.client_id, key.member_id, key.user_id or 0]


def _of(installation: Installation) -> list[Any]:
    return [installation.client_id, installation.member_id, "installation"]


def _of_value(key: ValueKey) -> list[Any]:
    return [key.client_id, key.member_id, "value", key.name]
