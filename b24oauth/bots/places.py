"""Values that a bot keeps in the store of its client: its place in the queue, and what was registered."""

from __future__ import annotations

from typing import Any, Final, cast

from b24oauth.client import B24OAuth
from b24oauth.errors import StoreConflictError, StoreRecordError
from b24oauth.stores.loops import completed
from b24oauth.storing import ValueKey, ValueStore

__all__ = ["Place", "put_value", "value_store"]

# How often a value that another process changes meanwhile is read again.
_CONFLICTS: Final = 5


def value_store(b24: B24OAuth) -> ValueStore | None:
    """The store of a client, if it keeps named values."""
    store: Any = b24.auth.token_store
    return cast("ValueStore", store) if hasattr(store, "save_value") else None


async def put_value(store: ValueStore, key: ValueKey, value: str) -> None:
    """Stores a value in place of the stored one.

    Raises:
        StoreError: The store cannot be read or written.
    """
    for attempt in range(_CONFLICTS):
        stored = await store.load_value(key)
        if stored is not None and stored.value == value:
            return
        try:
            await store.save_value(key, value, expected=None if stored is None else stored.revision)
        except StoreConflictError:
            if attempt == _CONFLICTS - 1:
                raise
        else:
            return


class Place:
    """How far a bot's events are done: the offset that acknowledges them. It only grows.

    Args:
        store: Keeps it; None to keep it in memory.
        key: Of the value.
    """

    def __init__(self, store: ValueStore | None, key: ValueKey) -> None:
        self._store, self._key = store, key
        self._offset: int | None = None
        self._revision: str | None = None

    async def load(self) -> int | None:
        """The stored offset; None if there is none.

        Raises:
            StoreError: The store cannot be read.
        """
        if self._store is None:
            return self._offset
        stored = await self._store.load_value(self._key)
        self._revision = None if stored is None else stored.revision
        if stored is None:
            self._offset = None
        elif stored.value.isascii() and stored.value.isdecimal():
            self._offset = int(stored.value)
        else:
            raise StoreRecordError(f"{self._store!r}: the value {self._key.name} is no number; remove it")
        return self._offset

    async def save(self, offset: int | None) -> None:
        """Stores an offset, unless a greater one is stored.

        Raises:
            StoreError: The store cannot be read or written.
        """
        # A cancelled save must not come into effect later, over what was read after it.
        await completed(self._save(offset))

    async def _save(self, offset: int | None) -> None:
        for attempt in range(_CONFLICTS):
            if offset is None or (self._offset is not None and offset <= self._offset):
                return
            if self._store is None:
                self._offset = offset
                return
            try:
                self._revision = await self._store.save_value(self._key, str(offset), expected=self._revision)
            except StoreConflictError:
                # Another process has fetched meanwhile, because this one was paused.
                if attempt == _CONFLICTS - 1:
                    raise
                await self.load()
            else:
                self._offset = offset
