"""What goes wrong with stores: a named error, and nothing is lost."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import attrs
import pytest

from b24oauth import ConfigurationError
from b24oauth.errors import StoreConflictError, StoreError, StoreRecordError
from b24oauth.stores import EncryptedStore, FileStore, MemoryStore, RedisStore, SQLAlchemyStore, SQLiteStore, TokenKey
from b24oauth.stores.records import RecordStore
from tests.support.builders import params
from tests.support.disks import full_disk, without_permission
from tests.support.servers import PostgreSQL, Valkey, valkey

pytestmark = pytest.mark.anyio

KEY = TokenKey("app.1", "member-1")
PAIR = params()
NEWER = attrs.evolve(PAIR, refresh_token="newer")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store")
    for parent in path.parents[:3]:
        parent.chmod(0o755)  # who is not root must reach it
    return path


@pytest.fixture(params=["file", "sqlite"])
def local(request: pytest.FixtureRequest, folder: Path) -> RecordStore:
    return FileStore(folder / "tokens") if request.param == "file" else SQLiteStore(folder / "tokens.db")


async def stored(store: Any, key: TokenKey = KEY) -> Any:
    found = await store.load(key)
    assert found is not None
    return found.params


async def test_a_full_disk_is_named_and_the_old_pair_stays(local: RecordStore) -> None:
    revision = await local.save(KEY, PAIR, expected=None)
    with full_disk(), pytest.raises(StoreError, match=r"tokens.*(File too large|disk)") as raised:
        await local.save(KEY, NEWER, expected=revision)
    assert "saved again before the next call" in str(raised.value)
    assert await stored(local) == PAIR
    await local.save(KEY, NEWER, expected=revision)
    assert await stored(local) == NEWER
    await local.aclose()


async def test_a_folder_that_may_not_be_written_is_named_and_pairs_can_still_be_read(
    local: RecordStore, folder: Path
) -> None:
    revision = await local.save(KEY, PAIR, expected=None)
    await local.aclose()
    with without_permission(folder, 0o555):
        with pytest.raises(StoreError, match=r"tokens.*(ermission|readonly|unable)"):
            await local.save(KEY, NEWER, expected=revision)
        await local.aclose()
    assert await stored(local) == PAIR
    await local.save(KEY, NEWER, expected=revision)
    await local.aclose()


async def test_a_folder_that_may_not_be_entered_is_named(local: RecordStore, folder: Path) -> None:
    await local.save(KEY, PAIR, expected=None)
    await local.aclose()
    with without_permission(folder, 0o000), pytest.raises(StoreError, match=r"tokens.*(ermission|unable)"):
        await local.load(KEY)
    assert await stored(local) == PAIR
    await local.aclose()


@pytest.mark.parametrize("path", ["missing/folder/tokens.db", "file/tokens.db"])
async def test_a_path_that_cannot_be_made_is_named(path: str, folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(StoreError, match=r"SQLiteStore\('.*tokens\.db'\): "):
        await SQLiteStore(folder / path).load(KEY)
    with pytest.raises(StoreError, match=r"FileStore\('.*'\): "):
        await FileStore(folder / "file").save(KEY, PAIR, expected=None)


def file_of(folder: Path) -> Path:
    (path,) = folder.rglob("*.json")
    return path


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.999])
async def test_a_torn_file_is_named_and_never_overwritten(share: float, folder: Path) -> None:
    store = FileStore(folder / "tokens")
    revision = await store.save(KEY, PAIR, expected=None)
    path = file_of(folder)
    torn = path.read_bytes()[: int(path.stat().st_size * share)]
    path.write_bytes(torn)
    for attempt in (store.load(KEY), store.save(KEY, NEWER, expected=revision), store.save(KEY, NEWER, expected=None)):
        with pytest.raises(StoreRecordError, match="member-1, application app.1 cannot be read.*damaged.*backup"):
            await attempt
    assert path.read_bytes() == torn
    assert [key async for key in store.keys("app.1")] == [KEY]
    assert await store.delete(KEY)
    (aside,) = folder.rglob("*.set-aside")
    assert aside.read_bytes() == torn
    assert aside.stat().st_mode & 0o777 == 0o600
    await store.save(KEY, NEWER, expected=None)
    assert await stored(store) == NEWER


@pytest.mark.parametrize(
    "content",
    [b"[]", b"null", b'{"records": []}', b'{"records": {"pair": 1}}', b"\xff\xfe\x00", b'{"records": {"pair": {}}}'],
)
async def test_a_file_of_another_program_is_not_taken_for_a_record(content: bytes, folder: Path) -> None:
    store = FileStore(folder / "tokens")
    await store.save(KEY, PAIR, expected=None)
    path = file_of(folder)
    path.write_bytes(content)
    with pytest.raises(StoreRecordError, match="cannot be read"):
        await store.load(KEY)
    with pytest.raises(StoreError):
        await store.save(KEY, NEWER, expected=None)
    assert path.read_bytes() == content


async def test_permissions_of_files_keep_others_out(local: RecordStore, folder: Path) -> None:
    await local.save(KEY, PAIR, expected=None)
    async with local.lease(KEY, seconds=10):
        paths = list(folder.rglob("*"))
        assert paths
        for path in paths:
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    await local.aclose()


async def test_a_file_that_a_killed_process_left_half_written_is_overwritten(folder: Path) -> None:
    store = FileStore(folder / "tokens")
    revision = await store.save(KEY, PAIR, expected=None)
    path = file_of(folder)
    path.with_name(path.name + ".new").write_text('{"records": {"pair"' + " " * 100_000)
    await store.save(KEY, NEWER, expected=revision)
    assert await stored(store) == NEWER
    assert not list(folder.rglob("*.new"))


async def test_a_damaged_database_is_named_and_not_overwritten(folder: Path) -> None:
    path = folder / "tokens.db"
    async with SQLiteStore(path) as store:
        for user in range(1, 200):
            await store.save(attrs.evolve(KEY, user_id=user), PAIR, expected=None)
    content = path.read_bytes()
    for damaged in (b"not a database, not at all " * 300, content[:4096] + b"\xaa" * (len(content) - 4096)):
        path.write_bytes(damaged)
        store = SQLiteStore(path)
        with pytest.raises(StoreError, match=r"tokens\.db.*(not a database|malformed).*backup"):
            await store.load(attrs.evolve(KEY, user_id=100))
        await store.aclose()
        assert path.read_bytes()[:8000] == damaged[:8000]


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ("{", "not a JSON object"),
        (b"\x00\xff", "not a JSON object"),
        ('{"schema": 1}', "lacks"),
        ('{"schema": 1, "pair": {"access_token": "S3CR3T"}}', "refresh_token is missing"),
        ('{"schema": 99, "pair": {}}', "schema version 99.*update b24oauth"),
    ],
)
async def test_a_damaged_record_is_named_and_kept_aside(record: str | bytes, problem: str, folder: Path) -> None:
    path = folder / "tokens.db"
    async with SQLiteStore(path) as store:
        await store.save(KEY, PAIR, expected=None)
        other = attrs.evolve(KEY, member_id="member-2")
        await store.save(other, NEWER, expected=None)
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE b24oauth_records SET record = ? WHERE member_id = 'member-1'", (record,))
        with pytest.raises(StoreRecordError, match=f"member-1.*{problem}") as raised:
            await store.load(KEY)
        assert "S3CR3T" not in str(raised.value)
        with pytest.raises(StoreConflictError):
            await store.save(KEY, PAIR, expected=None)
        assert await stored(store, other) == NEWER
        assert await store.delete(KEY)
        with contextlib.closing(sqlite3.connect(path)) as db:
            assert db.execute("SELECT record FROM b24oauth_set_aside").fetchall() == [(record,)]
        assert await store.load(KEY) is None


async def test_a_database_of_a_newer_version_is_not_touched(folder: Path) -> None:
    path = folder / "tokens.db"
    async with SQLiteStore(path) as store:
        await store.save(KEY, PAIR, expected=None)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="schema version 99, and this version of b24oauth knows 1: update b24oauth"):
        await SQLiteStore(path).load(KEY)


async def test_a_pair_that_was_encrypted_with_another_key_is_refused() -> None:
    inner = MemoryStore()
    ours = EncryptedStore(inner, [EncryptedStore.new_key()])
    revision = await ours.save(KEY, PAIR, expected=None)
    before = await inner.load(KEY)
    with pytest.raises(StoreRecordError, match="member-1.*encrypted with another key"):
        await EncryptedStore(inner, [EncryptedStore.new_key()]).load(KEY)
    assert await inner.load(KEY) == before
    found = await ours.load(KEY)
    assert found is not None
    assert (found.params, found.revision) == (PAIR, revision)


async def test_a_pair_that_was_moved_to_another_portal_or_user_is_refused() -> None:
    inner = MemoryStore()
    store = EncryptedStore(inner, [EncryptedStore.new_key()])
    await store.save(KEY, PAIR, expected=None)
    moved = await inner.load(KEY)
    assert moved is not None
    for other in (attrs.evolve(KEY, member_id="member-2"), attrs.evolve(KEY, user_id=7)):
        await inner.save(other, moved.params, expected=None)
        with pytest.raises(StoreRecordError, match="for another portal or user"):
            await store.load(other)


async def test_nothing_secret_reaches_the_store_below_an_encrypted_one(folder: Path) -> None:
    secret = attrs.evolve(PAIR, access_token="S3CR3T-a", refresh_token="S3CR3T-r", application_token="S3CR3T-t")
    async with SQLiteStore(folder / "tokens.db") as inner:
        store = EncryptedStore(inner, [EncryptedStore.new_key()])
        await store.save(KEY, secret, expected=None)
        assert await stored(store) == secret
    assert all(b"S3CR3T" not in path.read_bytes() for path in folder.rglob("*"))


async def test_keys_are_rotated_while_clients_go_on() -> None:
    inner, old, new = MemoryStore(), EncryptedStore.new_key(), EncryptedStore.new_key()
    plain = attrs.evolve(KEY, member_id="member-2")
    await EncryptedStore(inner, [old]).save(KEY, PAIR, expected=None)
    await inner.save(plain, NEWER, expected=None)
    with pytest.raises(StoreRecordError, match="is not encrypted: reencrypt"):
        await EncryptedStore(inner, [new, old]).load(plain)
    assert await EncryptedStore(inner, [new, old]).reencrypt("app.1") == 2
    only_new = EncryptedStore(inner, [new])
    assert (await stored(only_new), await stored(only_new, plain)) == (PAIR, NEWER)


@pytest.mark.parametrize("keys", [[], ["short"], "one key", [7]])
def test_keys_that_are_none_are_refused(keys: Any) -> None:
    with pytest.raises(ConfigurationError, match="keys must be"):
        EncryptedStore(MemoryStore(), keys)


async def test_redis_without_memory_is_named_and_the_old_pair_stays(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        async with RedisStore(server.url) as store:
            revision = await store.save(KEY, PAIR, expected=None)
            await store._records._client.config_set("maxmemory", "1")
            with pytest.raises(StoreError, match=r"RedisStore\('redis://127.*maxmemory.*saved again"):
                await store.save(KEY, NEWER, expected=revision)
            assert await stored(store) == PAIR
            await store._records._client.config_set("maxmemory", "0")
            await store.save(KEY, NEWER, expected=revision)
            assert await stored(store) == NEWER


async def test_redis_that_was_killed_is_named_and_has_everything_when_it_is_back(tmp_path: Path) -> None:
    with valkey(tmp_path) as server:
        async with RedisStore(server.url) as store:
            revision = await store.save(KEY, PAIR, expected=None)
            server.kill()
            for attempt in (store.load(KEY), store.save(KEY, NEWER, expected=revision)):
                with pytest.raises(StoreError, match=r"RedisStore\('redis://127.*reachable"):
                    await attempt
            server.start()
            assert await stored(store) == PAIR
            await store.save(KEY, NEWER, expected=revision)


async def test_a_key_of_another_program_in_redis_is_not_overwritten(valkey_server: Valkey) -> None:
    async with RedisStore(valkey_server.url, prefix="foreign") as store:
        await store.save(KEY, PAIR, expected=None)
        client = store._records._client
        (name,) = [name async for name in client.scan_iter("foreign:{app.1}:pair:*")]
        await client.set(name, "something else")
        for attempt in (store.load(KEY), store.save(KEY, NEWER, expected=None)):
            with pytest.raises(StoreRecordError, match="member-1.*another program"):
                await attempt
        assert await client.get(name) == b"something else"


async def test_a_client_of_the_application_may_decode_responses(valkey_server: Valkey) -> None:
    import redis.asyncio

    async with redis.asyncio.Redis.from_url(valkey_server.url, decode_responses=True) as client:
        store = RedisStore(client, prefix="decoded")
        await store.save(KEY, PAIR, expected=None)
        assert await stored(store) == PAIR
        assert [key async for key in store.keys("app.1")] == [KEY]
        await store.aclose()
        assert await client.ping()


def test_a_password_in_a_url_is_not_shown() -> None:
    for store in (
        RedisStore("redis://user:S3CR3T@host:1/0?password=S3CR3T"),
        SQLAlchemyStore("sqlite+aiosqlite://u:S3CR3T@/x"),
    ):
        assert "S3CR3T" not in repr(store)


@pytest.mark.parametrize("redis", [object(), None, 7])
def test_what_is_neither_a_url_nor_a_client_is_refused(redis: Any) -> None:
    with pytest.raises(ConfigurationError, match="redis must be a URL"):
        RedisStore(redis)
    with pytest.raises(ConfigurationError, match="database must be a URL"):
        SQLAlchemyStore(redis)


def test_a_database_that_is_not_supported_is_named() -> None:
    with pytest.raises(ConfigurationError, match="oracle is not supported; PostgreSQL"):
        SQLAlchemyStore("oracle://user@host/name")


async def test_postgresql_that_was_restarted_has_everything(postgresql_server: PostgreSQL) -> None:
    key = attrs.evolve(KEY, member_id="restarted")
    async with SQLAlchemyStore(postgresql_server.url()) as store:
        revision = await store.save(key, PAIR, expected=None)
        postgresql_server.restart()
        assert await stored(store, key) == PAIR
        await store.save(key, NEWER, expected=revision)
        assert await stored(store, key) == NEWER


async def test_postgresql_that_is_away_is_named_without_secrets() -> None:
    store = SQLAlchemyStore("postgresql+asyncpg://user:S3CR3T@127.0.0.1:9/name")
    with pytest.raises(
        StoreError, match=r"SQLAlchemyStore\('postgresql\+asyncpg://user:\*\*\*@127.*reachable"
    ) as raised:
        await store.save(KEY, attrs.evolve(PAIR, refresh_token="S3CR3T"), expected=None)
    assert "S3CR3T" not in str(raised.value)
    assert raised.value.__context__ is None
    await store.aclose()


async def test_tables_may_be_made_by_migrations_of_the_application(tmp_path: Path) -> None:
    from sqlalchemy import MetaData, create_engine

    from b24oauth.stores.sqlalchemy import add_tables

    metadata = MetaData()
    assert set(add_tables(metadata)) == {"b24oauth_records", "b24oauth_leases", "b24oauth_set_aside"}
    engine = create_engine(f"sqlite:///{tmp_path}/tokens.db")
    store = SQLAlchemyStore(f"sqlite+aiosqlite:///{tmp_path}/tokens.db", create_tables=False)
    with pytest.raises(StoreError, match="no such table"):
        await store.load(KEY)
    metadata.create_all(engine)
    engine.dispose()
    await store.save(KEY, PAIR, expected=None)
    assert await stored(store) == PAIR
    await store.aclose()


async def test_a_file_is_readable_json_with_its_portal(folder: Path) -> None:
    store = FileStore(folder / "tokens")
    await store.save(KEY, PAIR, expected=None)
    content = json.loads(file_of(folder).read_text())
    assert (content["client_id"], content["member_id"]) == ("app.1", "member-1")
