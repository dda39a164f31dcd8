"""Limits that the processes of one machine share through an SQLite file: one row for each portal and source address."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from typing import Final, TypeVar

from b24oauth.sharing import Reservation, Reserve, SharedState, refuse, reserve
from b24oauth.stores.sqlite_file import SQLiteFile, transaction

__all__ = ["SQLiteLimits"]

_READ: Final = "SELECT state FROM b24oauth_limits WHERE portal = ? AND source = ?"
_WRITE: Final = "INSERT INTO b24oauth_limits VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state"

T = TypeVar("T")


class SQLiteLimits:
    """The state of a portal in a row.

    Args:
        file: The file.
        portal: The portal's `member_id`.
        source: Name of the address that requests come from.
    """

    def __init__(self, file: SQLiteFile, portal: str, source: str) -> None:
        self._file = file
        self._row = portal, source

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Reserves an admission, in one step."""
        return await self._changed(lambda state: reserve(state, wanted, time.time()))

    async def epoch(self) -> int:
        """The current epoch."""
        return await self._file.run(lambda db: self._state(db).epoch)

    async def refuse(self, wanted: Reserve, *, level: float, sent_epoch: int, retry_after: float, adapts: bool) -> None:
        """Notes that the portal refused a request because of its rate."""
        await self._changed(
            lambda state: refuse(
                state,
                wanted,
                time.time(),
                level=level,
                sent_epoch=sent_epoch,
                retry_after=retry_after,
                adapts=adapts,
            )
        )

    async def aclose(self) -> None:
        """Nothing: the file belongs to the store."""

    async def _changed(self, change: Callable[[SharedState], T]) -> T:
        def changed(db: sqlite3.Connection) -> T:
            with transaction(db):
                state = self._state(db)
                result = change(state)
                db.execute(_WRITE, (*self._row, json.dumps(state.to_dict())))
                return result

        return await self._file.run(changed)

    def _state(self, db: sqlite3.Connection) -> SharedState:
        row = db.execute(_READ, self._row).fetchone()
        if row is None:
            return SharedState()
        try:
            return SharedState(**json.loads(row[0]))
        except (ValueError, TypeError):
            # A state that cannot be read is worth nothing: the bucket is as good as unknown.
            return SharedState()
