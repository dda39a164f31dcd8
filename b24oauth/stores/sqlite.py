"""Token pairs, installations and named values in an SQLite file: the store to start with, for one machine."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from b24oauth.sharing import SharedLimits
from b24oauth.stores.records import Kind, Record, RecordKey, RecordStore
from b24oauth.stores.sqlite_file import SQLiteFile, transaction
from b24oauth.stores.sqlite_limits import SQLiteLimits

__all__ = ["SQLiteStore"]

_WHERE: Final = "WHERE kind = ? AND client_id = ? AND member_id = ? AND user_id = ?"


class SQLiteStore(RecordStore):
    """A store in an SQLite file, for any number of processes of one machine.

    The file is created with access for its owner only. Do not put it on a network drive: locks do not work there.

    Args:
        path: The file; its folder must exist.

    Source: https://sqlite.org/wal.html
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(SQLiteRecords(Path(path)), f"SQLiteStore({os.fspath(path)!r})")
        # Nothing is lost with the state of a bucket.
        self._limits_file = SQLiteFile(Path(path), durable=False)

    def shared_limits(self, portal: str, source: str = "") -> SharedLimits:
        """The limits of a portal that all processes with this file share; a client with this store uses them by itself.

        Args:
            portal: The portal's `member_id`.
            source: Name of the address that requests come from: Bitrix24 counts the requests of each address by itself.
        """
        return SQLiteLimits(self._limits_file, portal, source)

    async def aclose(self) -> None:
        """Closes the file; a client that still uses the store opens it again."""
        await super().aclose()
        await self._limits_file.aclose()


class SQLiteRecords:
    """Records in an SQLite file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        # The pair must survive a loss of power: its predecessor is used up.
        self._file = SQLiteFile(path, durable=True)

    async def read(self, key: RecordKey) -> Record | None:
        """The record, or None."""

        def read(db: sqlite3.Connection) -> Record | None:
            row = db.execute(f"SELECT record, revision FROM b24oauth_records {_WHERE}", _values(key)).fetchone()
            return None if row is None else Record(_text(row[0]), row[1])

        return await self._file.run(read)

    async def write(self, key: RecordKey, text: str, *, expected: str | None, revision: str) -> bool:
        """Writes a record in place of the one of revision `expected`; False if there is another one."""

        def write(db: sqlite3.Connection) -> bool:
            new = (text, revision, time.time())
            if expected is None:
                done = db.execute(
                    "INSERT INTO b24oauth_records VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
                    (*_values(key), *new),
                )
            else:
                done = db.execute(
                    f"UPDATE b24oauth_records SET record = ?, revision = ?, updated_at = ? {_WHERE} AND revision = ?",
                    (*new, *_values(key), expected),
                )
            return done.rowcount == 1

        return await self._file.run(write)

    async def remove(self, key: RecordKey) -> bool:
        """Removes a record; False when there was none."""
        return await self._file.run(lambda db: _delete(db, key))

    async def set_aside(self, key: RecordKey) -> bool:
        """Moves a record into the table `b24oauth_set_aside`; False when there was none."""

        def move(db: sqlite3.Connection) -> bool:
            with transaction(db):
                db.execute(
                    "INSERT INTO b24oauth_set_aside SELECT kind, client_id, member_id, user_id, record, ? "
                    f"FROM b24oauth_records {_WHERE}",
                    (time.time(), *_values(key)),
                )
                return _delete(db, key)

        return await self._file.run(move)

    async def keys(self, kind: Kind, client_id: str, member_id: str | None) -> AsyncIterator[RecordKey]:
        """The keys of all records of a kind and an application."""
        portal = "" if member_id is None else " AND member_id = ?"
        values = (kind, client_id) if member_id is None else (kind, client_id, member_id)

        def read(db: sqlite3.Connection) -> list[tuple[str, int]]:
            where = f"WHERE kind = ? AND client_id = ?{portal}"
            return db.execute(f"SELECT member_id, user_id FROM b24oauth_records {where}", values).fetchall()

        for member, user in await self._file.run(read):
            yield RecordKey(kind, client_id, member, user)

    async def take(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Takes the lease of a record, if nobody else holds it."""

        def take(db: sqlite3.Connection) -> bool:
            now = time.time()
            lease = f"SELECT owner, seconds, ends_at FROM b24oauth_leases {_WHERE}"
            held = db.execute(lease, _values(key)).fetchone()
            # Reading alone takes no lock, so those who wait do not slow down those who write.
            if held is not None and _is_held(held, owner, now):
                return False
            before = ("", 0.0) if held is None else (held[0], held[2])
            done = db.execute(
                "INSERT INTO b24oauth_leases VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "owner = excluded.owner, seconds = excluded.seconds, ends_at = excluded.ends_at "
                "WHERE owner = ? AND ends_at = ?",
                (*_values(key), owner, seconds, now + seconds, *before),
            )
            return done.rowcount == 1

        return await self._file.run(take)

    async def extend(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Extends a lease, counted from now; False when it has ended."""

        def extend(db: sqlite3.Connection) -> bool:
            now = time.time()
            statement = f"UPDATE b24oauth_leases SET seconds = ?, ends_at = ? {_WHERE} AND owner = ? AND ends_at > ?"
            return db.execute(statement, (seconds, now + seconds, *_values(key), owner, now)).rowcount == 1

        return await self._file.run(extend)

    async def give_back(self, key: RecordKey, owner: str) -> None:
        """Ends the lease of an owner, if he holds it."""
        await self._file.run(
            lambda db: db.execute(f"DELETE FROM b24oauth_leases {_WHERE} AND owner = ?", (*_values(key), owner))
        )

    async def aclose(self) -> None:
        """Closes the file."""
        await self._file.aclose()


def _values(key: RecordKey) -> tuple[str, str, str, int]:
    return key.kind, key.client_id, key.member_id, key.user_id


def _delete(db: sqlite3.Connection, key: RecordKey) -> bool:
    return db.execute(f"DELETE FROM b24oauth_records {_WHERE}", _values(key)).rowcount == 1


def _is_held(lease: tuple[str, float, float], owner: str, now: float) -> bool:
    holder, seconds, ends_at = lease
    # A lease that ends later than if it began now was taken before the clock was set back.
    return holder != owner and now < ends_at <= now + seconds


def _text(value: object) -> str:
    # What is not text is no record; reading it says so.
    return value if isinstance(value, str) else ""
