"""Token pairs, installations and named values in a database of SQLAlchemy: PostgreSQL, MySQL, MariaDB or SQLite."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    MetaData,
    String,
    Table,
    Text,
    and_,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.mysql import LONGTEXT, VARCHAR
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from b24oauth.errors import ConfigurationError, StoreError
from b24oauth.stores.loops import PerLoop
from b24oauth.stores.records import Kind, Record, RecordKey, RecordStore

__all__ = ["METADATA", "SQLAlchemyStore", "add_tables"]

T = TypeVar("T")

_NAMES: Final = ("b24oauth_records", "b24oauth_leases", "b24oauth_set_aside")


# MySQL compares without regard to case by default, and its TEXT ends at 64 KiB.
_LONG_TEXT: Final = Text().with_variant(LONGTEXT(), "mysql", "mariadb")


def _exact(length: int) -> Any:
    return String(length).with_variant(VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


def _key_columns(*, is_primary: bool) -> list[Column[Any]]:
    return [
        Column("kind", String(16), primary_key=is_primary, nullable=False),
        Column("client_id", _exact(128), primary_key=is_primary, nullable=False),
        Column("member_id", _exact(255), primary_key=is_primary, nullable=False),
        Column("user_id", BigInteger(), primary_key=is_primary, nullable=False, autoincrement=False),
    ]


def add_tables(metadata: MetaData) -> dict[str, Table]:
    """Adds the tables of the store to your own metadata, for migrations of your own.

    Args:
        metadata: The metadata that your migrations compare with the database.

    Returns:
        The tables by name.
    """
    tables = [
        Table(
            "b24oauth_records",
            metadata,
            *_key_columns(is_primary=True),
            Column("record", _LONG_TEXT, nullable=False),
            Column("revision", String(32), nullable=False),
            Column("updated_at", Float(53), nullable=False),
        ),
        Table(
            "b24oauth_leases",
            metadata,
            *_key_columns(is_primary=True),
            Column("owner", String(64), nullable=False),
            Column("ends_at", Float(53), nullable=False),
        ),
        Table(
            "b24oauth_set_aside",
            metadata,
            Column("id", BigInteger(), primary_key=True, autoincrement=False),
            *_key_columns(is_primary=False),
            Column("record", _LONG_TEXT, nullable=False),
            Column("set_aside_at", Float(53), nullable=False),
        ),
    ]
    return {table.name: table for table in tables}


METADATA: Final = MetaData()
"""The tables of the store, as `create_tables` makes them."""

_TABLES: Final = add_tables(METADATA)
_RECORDS, _LEASES, _SET_ASIDE = (_TABLES[name] for name in _NAMES)


class _ServerTime(FunctionElement[float]):
    """The database's clock, as a Unix timestamp in seconds; that of the moment, not of the transaction's begin."""

    inherit_cache = True
    type = Float(53)


@compiles(_ServerTime, "postgresql")
def _of_postgresql(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


@compiles(_ServerTime, "mysql")
@compiles(_ServerTime, "mariadb")
def _of_mysql(*_: Any, **__: Any) -> str:
    return "(unix_timestamp(now(6)) + 0e0)"


@compiles(_ServerTime, "sqlite")
def _of_sqlite(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


class SQLAlchemyStore(RecordStore):
    """A store in an SQL database.

    Every operation is a short transaction; none lasts over a request to Bitrix24.

    Args:
        database: The URL of the database with an asynchronous driver, such as
            ``postgresql+asyncpg://user:password@host/name``, or an `AsyncEngine` of your own, which is not closed by
            the store.
        create_tables: False if your own migrations make the tables; see `add_tables`.

    Raises:
        ConfigurationError: `database` is neither a URL nor an `AsyncEngine`, or the database is not supported.

    Source: https://docs.sqlalchemy.org/en/20/orm/extensions/asyncio.html
    """

    def __init__(self, database: str | AsyncEngine, *, create_tables: bool = True) -> None:
        records = SQLAlchemyRecords(database, create_tables=create_tables)
        super().__init__(records, records.name)


class SQLAlchemyRecords:
    """Records in a table.

    Args:
        database: The URL of the database, or an engine.
        create_tables: Whether tables that are missing are made.
    """

    def __init__(self, database: object, *, create_tables: bool) -> None:
        if isinstance(database, str):
            try:
                url = make_url(database)
            except ArgumentError:
                url = None
        else:
            url = database.url if isinstance(database, AsyncEngine) else None
        if url is None:
            raise ConfigurationError("database must be a URL as SQLAlchemy takes it, or an AsyncEngine")
        if url.get_backend_name() not in ("postgresql", "mysql", "mariadb", "sqlite"):
            raise ConfigurationError(
                f"database: {url.get_backend_name()} is not supported; PostgreSQL, MySQL, MariaDB and SQLite are"
            )
        self.name = f"SQLAlchemyStore({url.render_as_string(hide_password=True)!r})"
        self._given = database if isinstance(database, AsyncEngine) else None
        # `hide_parameters`: what SQLAlchemy logs and raises must not contain tokens.
        self._engines = PerLoop(lambda: create_async_engine(url, hide_parameters=True, pool_pre_ping=True))
        self._creates_tables = create_tables

    async def read(self, key: RecordKey) -> Record | None:
        """The record, or None."""
        found = await self._rows(select(_RECORDS.c.record, _RECORDS.c.revision).where(_is(_RECORDS, key)))
        return Record(found[0][0] or "", found[0][1]) if found else None

    async def write(self, key: RecordKey, text: str, *, expected: str | None, revision: str) -> bool:
        """Writes a record in place of the one of revision `expected`; False if there is another one."""
        new = {"record": text, "revision": revision, "updated_at": time.time()}
        if expected is None:
            return await self._inserted(_RECORDS, {**_values(key), **new})
        of_it = and_(_is(_RECORDS, key), _RECORDS.c.revision == expected)
        return await self._changed(update(_RECORDS).where(of_it).values(**new)) == 1

    async def remove(self, key: RecordKey) -> bool:
        """Removes a record; False when there was none."""
        return await self._changed(delete(_RECORDS).where(_is(_RECORDS, key))) == 1

    async def set_aside(self, key: RecordKey) -> bool:
        """Moves a record into the table `b24oauth_set_aside`; False when there was none."""

        async def move(connection: AsyncConnection) -> bool:
            found = (await connection.execute(select(_RECORDS.c.record).where(_is(_RECORDS, key)))).first()
            if found is None:
                return False
            copy = {**_values(key), "record": found[0] or "", "set_aside_at": time.time()}
            await connection.execute(insert(_SET_ASIDE).values(id=time.time_ns(), **copy))
            await connection.execute(delete(_RECORDS).where(_is(_RECORDS, key)))
            return True

        return await self._run(move)

    async def keys(self, kind: Kind, client_id: str, member_id: str | None) -> AsyncIterator[RecordKey]:
        """The keys of all records of a kind and an application."""
        wanted = [_RECORDS.c.kind == kind, _RECORDS.c.client_id == client_id]
        if member_id is not None:
            wanted.append(_RECORDS.c.member_id == member_id)
        for portal, user in await self._rows(select(_RECORDS.c.member_id, _RECORDS.c.user_id).where(and_(*wanted))):
            yield RecordKey(kind, client_id, portal, user)

    async def take(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Takes the lease of a record, if nobody else holds it."""
        free = or_(_LEASES.c.owner == owner, _LEASES.c.ends_at <= _ServerTime())
        # Reading first: those who wait do not write.
        if await self._rows(select(_LEASES.c.owner).where(and_(_is(_LEASES, key), ~free))):
            return False
        lease = {"owner": owner, "ends_at": _ServerTime() + seconds}
        if await self._changed(update(_LEASES).where(and_(_is(_LEASES, key), free)).values(**lease)):
            return True
        return await self._inserted(_LEASES, {**_values(key), **lease})

    async def extend(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Extends a lease, counted from now; False when it has ended."""
        held = and_(_is(_LEASES, key), _LEASES.c.owner == owner, _LEASES.c.ends_at > _ServerTime())
        return await self._changed(update(_LEASES).where(held).values(ends_at=_ServerTime() + seconds)) == 1

    async def give_back(self, key: RecordKey, owner: str) -> None:
        """Ends the lease of an owner, if he holds it."""
        await self._changed(delete(_LEASES).where(and_(_is(_LEASES, key), _LEASES.c.owner == owner)))

    async def aclose(self) -> None:
        """Closes the connections of this event loop."""
        engine = self._engines.pop()
        if engine is not None:
            await engine.dispose()

    async def _rows(self, statement: Any) -> list[Any]:
        async def read(connection: AsyncConnection) -> list[Any]:
            return list((await connection.execute(statement)).all())

        return await self._run(read)

    async def _changed(self, statement: Any) -> int:
        """How many rows a statement has changed."""

        async def change(connection: AsyncConnection) -> int:
            return int((await connection.execute(statement)).rowcount)

        return await self._run(change)

    async def _inserted(self, table: Table, values: dict[str, Any]) -> bool:
        """Inserts a row; False when there is one with this key."""

        async def add(connection: AsyncConnection) -> bool:
            await connection.execute(insert(table).values(**values))
            return True

        try:
            return await self._run(add)
        except IntegrityError:
            return False

    async def _run(self, function: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Runs a function in a transaction.

        Raises:
            StoreError: Says what is wrong, never with the values of a statement.
            IntegrityError: There is a row with this key.
        """
        try:
            engine = self._given or self._engines.get()
            if self._creates_tables:
                await self._create_tables(engine)
            async with engine.begin() as connection:
                return await function(connection)
        except IntegrityError:
            raise
        except (SQLAlchemyError, OSError) as error:
            problem = _problem(error)
        raise StoreError(
            f"{self.name}: {problem}. Check that the database is reachable and the user may write; "
            "a renewed pair is kept in memory and saved again before the next call"
        )

    async def _create_tables(self, engine: AsyncEngine) -> None:
        for is_last in (False, True):
            try:
                async with engine.begin() as connection:
                    await connection.run_sync(METADATA.create_all)
            except DBAPIError:
                # Another process has made a table between the look for it and its creation.
                if is_last:
                    raise
            else:
                break
        self._creates_tables = False


def _values(key: RecordKey) -> dict[str, Any]:
    return {"kind": key.kind, "client_id": key.client_id, "member_id": key.member_id, "user_id": key.user_id}


def _is(table: Table, key: RecordKey) -> ColumnElement[bool]:
    return and_(*(table.c[name] == value for name, value in _values(key).items()))


def _problem(error: Exception) -> str:
    """What happened. Only errors of the connection are quoted: others may repeat the values of a statement."""
    name = type(error).__name__
    if isinstance(error, DBAPIError):
        driver = type(error.orig).__name__
        is_of_connection = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
        return f"{name} ({driver}): {error.orig}" if is_of_connection else f"{name} ({driver})"
    return f"{name}: {error.strerror or error}" if isinstance(error, OSError) else name
