"""Where the command keeps token pairs: a file of the user, or what `B24OAUTH_STORE` names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from b24oauth import stores
from b24oauth.errors import ConfigurationError
from b24oauth.stores.records import RecordStore

if TYPE_CHECKING:
    from b24oauth.stores import EncryptedStore

__all__ = ["KEYS", "STORE", "default_path", "encryption_keys", "location", "opened", "opened_by_command"]

# A key on the command line could be seen by every user of the machine.
KEYS: Final = "B24OAUTH_KEYS"
STORE: Final = "B24OAUTH_STORE"
_REDIS: Final = ("redis://", "rediss://", "unix://")


def default_path() -> Path:
    """The file that is used without `B24OAUTH_STORE`, in the user's data directory."""
    named = os.environ.get("XDG_DATA_HOME", "")
    if Path(named).is_absolute():
        folder = Path(named)
    elif sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = Path.home() / "Library" / "Application Support"
    else:
        folder = Path.home() / ".local" / "share"
    return folder / "b24oauth" / "tokens.db"


def location() -> str:
    """Path or URL of the store; a URL may have a password."""
    return os.environ.get(STORE, "").strip() or str(default_path())


def encryption_keys() -> list[str]:
    """The keys of the environment, the encrypting key first; empty if records are not encrypted."""
    return [key.strip() for key in os.environ.get(KEYS, "").split(",") if key.strip()]


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


def opened_by_command(*, creates: bool) -> RecordStore | EncryptedStore:
    """The command's own store, encrypted if there are keys.

    Args:
        creates: Whether a missing file is created, with access for its owner only.

    Raises:
        ConfigurationError: There is no such store, or a key is not a Fernet key.
        OSError: The folder cannot be created.
        ModuleNotFoundError: An extra is not installed; the message says which.
    """
    place = location()
    if creates and "://" not in place and not Path(place).exists():
        Path(place).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        store: RecordStore = stores.SQLiteStore(place)
    else:
        store = opened(place)
    keys = encryption_keys()
    return stores.EncryptedStore(store, keys) if keys else store
