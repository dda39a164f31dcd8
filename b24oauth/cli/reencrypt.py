"""`b24oauth reencrypt`: encrypts the records of a store with a new key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from b24oauth import stores
from b24oauth.errors import ConfigurationError
from b24oauth.stores.records import RecordStore

__all__ = ["KEYS", "opened", "reencrypt"]

# A key on the command line could be seen by every user of the machine.
KEYS: Final = "B24OAUTH_KEYS"
_REDIS: Final = ("redis://", "rediss://", "unix://")


async def reencrypt(store: str, client_id: str) -> int:
    """Encrypts all records of an application with the first key of the environment.

    Args:
        store: Path of a file or a folder, or a URL.
        client_id: The application.

    Returns:
        How many records there were.

    Raises:
        ConfigurationError: There is no such store, or no key in the environment.
        StoreError: The store cannot be read or written, or a record has another key.
        ModuleNotFoundError: An extra is not installed; the message says which.
    """
    keys = [key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip()]
    if not keys:
        raise ConfigurationError(f"{KEYS} must hold the keys, separated by commas, the new one first")
    async with stores.EncryptedStore(opened(store), keys) as encrypted:
        return await encrypted.reencrypt(client_id)


def opened(store: str) -> RecordStore:
    """The store at a path or a URL.

    Args:
        store: Path of a file (SQLite) or a folder, or the URL of a Redis server or of a database.

    Raises:
        ConfigurationError: There is no such file or folder.
    """
    if store.startswith(_REDIS):
        return stores.RedisStore(store)
    if "://" in store:
        return stores.SQLAlchemyStore(store)
    path = Path(store)
    if path.is_dir():
        return stores.FileStore(path)
    if not path.is_file():
        raise ConfigurationError(f"{store} is no file of a SQLiteStore, folder of a FileStore, or URL")
    return stores.SQLiteStore(path)
