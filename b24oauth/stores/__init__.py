"""Where token pairs, installations and named values outlive a client: what the option `token_store` takes.

| store | for | extra |
|---|---|---|
| `MemoryStore` | tests, and clients of one event loop | |
| `SQLiteStore` | all processes of one machine | |
| `FileStore` | the same, as JSON files | `file` |
| `RedisStore` | processes on several machines | `redis` |
| `SQLAlchemyStore` | the same, in a database that you have already | `sqlalchemy` |
| `EncryptedStore` | encrypts what another store keeps | `crypto` |
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

from b24oauth.errors import StoreConflictError, StoreError, StoreRecordError
from b24oauth.installations import Installation, InstallationState
from b24oauth.stores.memory import MemoryStore
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

if TYPE_CHECKING:
    from b24oauth.stores.encrypted import EncryptedStore
    from b24oauth.stores.file import FileStore
    from b24oauth.stores.redis import RedisStore
    from b24oauth.stores.sqlalchemy import SQLAlchemyStore
    from b24oauth.stores.sqlite import SQLiteStore

__all__ = [
    "EncryptedStore",
    "FileStore",
    "Installation",
    "InstallationState",
    "InstallationStore",
    "Lease",
    "MemoryStore",
    "MemoryTokenStore",
    "RedisStore",
    "SQLAlchemyStore",
    "SQLiteStore",
    "StoreConflictError",
    "StoreError",
    "StoreRecordError",
    "StoredInstallation",
    "StoredPair",
    "StoredValue",
    "TokenKey",
    "TokenStore",
    "ValueKey",
    "ValueStore",
]

MemoryTokenStore = MemoryStore
"""Deprecated alias of `MemoryStore` from version 0.1.0."""

# Stores that are loaded when they are first used: the module, what it imports, and the extra that installs it.
_LOADED_LATER: Final = {
    "EncryptedStore": ("encrypted", "cryptography", "crypto"),
    "FileStore": ("file", "filelock", "file"),
    "RedisStore": ("redis", "redis", "redis"),
    "SQLAlchemyStore": ("sqlalchemy", "sqlalchemy", "sqlalchemy"),
    "SQLiteStore": ("sqlite", "sqlite3", ""),
}


def __getattr__(name: str) -> Any:
    if name not in _LOADED_LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, needed, extra = _LOADED_LATER[name]
    try:
        return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != needed or not extra:
            raise
        missing = needed
    raise ModuleNotFoundError(f'{name} needs {missing}: pip install "b24oauth[{extra}]"', name=missing)


def __dir__() -> list[str]:
    return __all__
