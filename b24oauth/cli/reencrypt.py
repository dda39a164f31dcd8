"""`b24oauth reencrypt`: encrypts the records of a store with a new key."""

from __future__ import annotations

import asyncio

from b24oauth import stores
from b24oauth.cli.problems import UsageError
from b24oauth.cli.stores import KEYS, encryption_keys, opened

__all__ = ["encrypted_records", "reencrypt"]


def reencrypt(store: str, /, *, client_id: str) -> None:
    """Encrypt the records of a store with the first of the keys in B24OAUTH_KEYS.

    All keys decrypt. Records that are not encrypted yet are encrypted too.

    Args:
        store: Path of an SQLite file or a folder, or the URL of a Redis server or a database.
        client_id: The application.
    """
    number = asyncio.run(encrypted_records(store, client_id))
    print(f"{number} records are encrypted with the first key")


async def encrypted_records(store: str, client_id: str) -> int:
    """Encrypts all records of an application with the first key of the environment.

    Args:
        store: Path of a file or a folder, or a URL.
        client_id: The application.

    Returns:
        How many records there were.

    Raises:
        UsageError: There is no key in the environment.
        ConfigurationError: There is no such store.
        StoreError: The store cannot be read or written, or a record has another key.
        ModuleNotFoundError: An extra is not installed; the message says which.
    """
    keys = encryption_keys()
    if not keys:
        raise UsageError(f"{KEYS} must hold the keys, separated by commas, the new one first")
    async with stores.EncryptedStore(opened(store), keys) as encrypted:
        return await encrypted.reencrypt(client_id)
