"""An SQLite file: opening, migrations, errors, and statements in threads."""

from __future__ import annotations

import contextlib
import os
import random
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final, TypeVar

from b24oauth.errors import StoreError
from b24oauth.stores.loops import Threads

__all__ = ["SQLiteFile", "transaction"]

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
    CREATE TABLE b24oauth_limits (
        portal TEXT NOT NULL, source TEXT NOT NULL, state TEXT NOT NULL,
        PRIMARY KEY (portal, source)
    ) WITHOUT ROWID;
    """,
)
_SCHEMA: Final = len(_MIGRATIONS)
# How long a write waits for the write of another process, seconds. Writes take milliseconds; a process that is
# stopped within one blocks the others.
_BUSY: Final = 10.0

_KEPT: Final = "a renewed pair is kept in memory and saved again before the next call"

# How soon it is tried again, seconds.
_LOOK_AGAIN: Final = (0.0002, 0.002)

T = TypeVar("T")


class SQLiteFile:
    """A connection to a file in each process. Statements run in a thread, one at a time.

    Args:
        path: The file.
        durable: Whether what is written must survive a loss of power; False is faster.
    """

    def __init__(self, path: Path, *, durable: bool) -> None:
        self._path = path
        self._durable = durable
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._process = 0
        # A store that is dropped open closes the file too; nothing that was written depends on it.
        self._finalizer: weakref.finalize[..., SQLiteFile] | None = None
        self._threads = Threads(1)

    async def aclose(self) -> None:
        """Closes the file."""

        def close() -> None:
            with self._lock:
                if self._finalizer is not None:
                    self._finalizer()
                self._connection = self._finalizer = None

        await self._threads.run(close)

    async def run(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs a function with the connection, in a thread. A cancelled caller waits until it has ended.

        Args:
            function: Executes statements; each is a transaction of its own.

        Raises:
            StoreError: Names the file and what is wrong.
        """

        def locked() -> T:
            end = time.monotonic() + _BUSY
            with self._lock:
                while True:
                    try:
                        return function(self._opened())
                    except sqlite3.OperationalError as error:
                        # The low byte: a file that is being recovered after a crash has a code of its own.
                        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                            raise
                    # SQLite's own waits double, so that newcomers overtake those who have waited long.
                    time.sleep(random.uniform(*_LOOK_AGAIN))  # noqa: S311 - spreads out the waiters

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
            self._connection = _open(self._path, durable=self._durable)
            self._process = os.getpid()
            self._finalizer = weakref.finalize(self, _close, self._connection, self._process)
        return self._connection


def _close(connection: sqlite3.Connection, process: int) -> None:
    if os.getpid() == process:
        connection.close()


def _open(path: Path, *, durable: bool) -> sqlite3.Connection:
    if not path.exists():
        # SQLite gives the files beside it the same permissions.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _migrate(db: sqlite3.Connection) -> None:
    if _schema(db) == _SCHEMA:
        return
    with transaction(db):
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
def transaction(db: sqlite3.Connection) -> Generator[None]:
    """Makes one step of several statements, which other processes do not see in part.

    Args:
        db: The connection.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


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
