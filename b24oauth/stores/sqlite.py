"""Token pairs and installations in an SQLite file: the store to start with, for all processes of one machine."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Final, TypeVar

from b24oauth.errors import StoreError
from b24oauth.stores.loops import Threads
from b24oauth.stores.records import Kind, Record, RecordKey, RecordStore

__all__ = ["SQLiteStore"]

# Each script leads from the version before to the next one; `PRAGMA user_version` says which the file has.
_MIGRATIONS: Final = (
    """
    CREATE TABLE b24oauth_records (
        kind TEXT NOT NULL, client_id TEXT NOT NULL, member_id TEXT NOT NULL, user_id INTEGER NOT NULL,
        record TEXT NOT NULL, revision TEXT NOT NULL, updated_at REAL NOT NULL,
        PRIMARY KEY (kind, client_id, member_id, user_id)
    ) WITHOUT ROWID;
    CREATE TABLE b24oauth_leases (
        kind TEXT NOT NULL, client_id TEXT NOT NULL, member_id TEXT NOT NULL, user_id INTEGER NOT NULL,
        owner TEXT NOT NULL, seconds REAL NOT NULL, ends_at REAL NOT NULL,
        PRIMARY KEY (kind, client_id, member_id, user_id)
    ) WITHOUT ROWID;
    CREATE TABLE b24oauth_set_aside (
        kind TEXT NOT NULL, client_id TEXT NOT NULL, member_id TEXT NOT NULL, user_id INTEGER NOT NULL,
        record TEXT NOT NULL, set_aside_at REAL NOT NULL
    );
    """,
)
_SCHEMA: Final = len(_MIGRATIONS)
_WHERE: Final = "WHERE kind = ? AND client_id = ? AND member_id = ? AND user_id = ?"
# How long a write waits for the write of another process, seconds. Writes take milliseconds; a process that is
# stopped within one blocks the others.
_BUSY: Final = 10.0

_KEPT: Final = "a renewed pair is kept in memory and saved again before the next call"

T = TypeVar("T")


class SQLiteStore(RecordStore):
    """A store in an SQLite file, for any number of processes of one machine.

    The file is created with access for its owner only. Do not put it on a network drive: locks do not work there.

    Args:
        path: The file; its folder must exist.

    Source: https://sqlite.org/wal.html
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(SQLiteRecords(Path(path)), f"SQLiteStore({os.fspath(path)!r})")


class SQLiteRecords:
    """Records in an SQLite file. Statements run in a thread, one at a time, over one connection a process.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        self._threads = Threads(1)

    async def read(self, key: RecordKey) -> Record | None:
        """The record, or None."""

        def read(db: sqlite3.Connection) -> Record | None:
            row = db.execute(f"SELECT record, revision FROM b24oauth_records {_WHERE}", _values(key)).fetchone()
            return None if row is None else Record(_text(row[0]), row[1])

        return await self.run(read)

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

        return await self.run(write)

    async def remove(self, key: RecordKey) -> bool:
        """Removes a record; False when there was none."""
        return await self.run(lambda db: _delete(db, key))

    async def set_aside(self, key: RecordKey) -> bool:
        """Moves a record into the table `b24oauth_set_aside`; False when there was none."""

        def move(db: sqlite3.Connection) -> bool:
            with _transaction(db):
                db.execute(
                    "INSERT INTO b24oauth_set_aside SELECT kind, client_id, member_id, user_id, record, ? "
                    f"FROM b24oauth_records {_WHERE}",
                    (time.time(), *_values(key)),
                )
                return _delete(db, key)

        return await self.run(move)

    async def keys(self, kind: Kind, client_id: str, member_id: str | None) -> AsyncIterator[RecordKey]:
        """The keys of all records of a kind and an application."""
        portal = "" if member_id is None else " AND member_id = ?"
        values = (kind, client_id) if member_id is None else (kind, client_id, member_id)

        def read(db: sqlite3.Connection) -> list[tuple[str, int]]:
            where = f"WHERE kind = ? AND client_id = ?{portal}"
            return db.execute(f"SELECT member_id, user_id FROM b24oauth_records {where}", values).fetchall()

        for member, user in await self.run(read):
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

        return await self.run(take)

    async def extend(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Extends a lease, counted from now; False when it has ended."""

        def extend(db: sqlite3.Connection) -> bool:
            now = time.time()
            statement = f"UPDATE b24oauth_leases SET seconds = ?, ends_at = ? {_WHERE} AND owner = ? AND ends_at > ?"
            return db.execute(statement, (seconds, now + seconds, *_values(key), owner, now)).rowcount == 1

        return await self.run(extend)

    async def give_back(self, key: RecordKey, owner: str) -> None:
        """Ends the lease of an owner, if he holds it."""
        await self.run(
            lambda db: db.execute(f"DELETE FROM b24oauth_leases {_WHERE} AND owner = ?", (*_values(key), owner))
        )

    async def aclose(self) -> None:
        """Closes the file."""

        def close() -> None:
            with self._lock:
                if self._connection is not None and self._process == os.getpid():
                    self._connection.close()
                self._connection = None

        await self._threads.run(close)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a function with the connection, in a thread. A cancelled caller waits until it has ended.

        Args:
            function: Executes statements; each is a transaction of its own.

        Raises:
            StoreError: Names the file and what is wrong.
        """

        def locked() -> T:
            with self._lock:
                return function(self._opened())

        try:
            return await self._threads.run(locked)
        except sqlite3.Error as error:
            problem = _problem(error)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        raise StoreError(f"SQLiteStore({os.fspath(self._path)!r}): {problem}")

    def _opened(self) -> sqlite3.Connection:
        # A connection must not be used by a child process. It is left alone there: closing it would end the locks of
        # the parent.
        if self._connection is None or self._process != os.getpid():
            self._connection = _open(self._path)
            self._process = os.getpid()
        return self._connection


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        # SQLite gives the files beside it the same permissions.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        # The pair must survive a loss of power: its predecessor is used up.
        db.execute("PRAGMA synchronous = FULL")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    if _schema(db) == _SCHEMA:
        return
    with _transaction(db):
        found = _schema(db)  # another process may have migrated the file meanwhile
        if found > _SCHEMA:
            raise sqlite3.DatabaseError(
                f"the file has schema version {found}, and this version of b24oauth knows {_SCHEMA}: update b24oauth"
            )
        for script in _MIGRATIONS[found:]:
            for statement in filter(None, map(str.strip, script.split(";"))):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {_SCHEMA}")


def _schema(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


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


def _problem(error: sqlite3.Error) -> str:
    text = str(error)
    remedies = {
        "SQLITE_NOTADB": "restore the file from a backup, or move it away",
        "SQLITE_CORRUPT": "restore the file from a backup, or move it away",
        "SQLITE_FULL": f"free some space; {_KEPT}",
        "SQLITE_READONLY": "the process needs write access to the file and its folder",
        "SQLITE_CANTOPEN": "the folder must exist and be accessible",
        "SQLITE_BUSY": f"another process has kept the file locked for {_BUSY:g} s",
        "SQLITE_IOERR": f"check the disk; {_KEPT}",
    }
    name = getattr(error, "sqlite_errorname", "") or ""
    remedy = next((hint for code, hint in remedies.items() if name.startswith(code)), "")
    return f"{text}: {remedy}" if remedy else text
