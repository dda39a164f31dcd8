"""What every store does: the checks that users run against their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from b24oauth.stores import EncryptedStore, FileStore, MemoryStore, RedisStore, SQLAlchemyStore, SQLiteStore
from b24oauth.stores.trying import try_lease
from b24oauth.storing import TokenKey
from b24oauth.testing.stores import INSTALLATION_STORE_CHECKS, TOKEN_STORE_CHECKS, VALUE_STORE_CHECKS

pytestmark = pytest.mark.anyio

CHECKS = (*TOKEN_STORE_CHECKS, *INSTALLATION_STORE_CHECKS, *VALUE_STORE_CHECKS)
STORES = ("memory", "file", "sqlite", "redis", "postgresql", "sqlalchemy-sqlite", "encrypted")


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    match request.param:
        case "memory":
            return MemoryStore()
        case "file":
            return FileStore(tmp_path / "tokens")
        case "sqlite":
            return SQLiteStore(tmp_path / "tokens.db")
        case "redis":
            return RedisStore(request.getfixturevalue("valkey_server").url)
        case "postgresql":
            return SQLAlchemyStore(request.getfixturevalue("postgresql_server").url())
        case "sqlalchemy-sqlite":
            return SQLAlchemyStore(f"sqlite+aiosqlite:///{tmp_path}/tokens.db")
        case _:
            return EncryptedStore(SQLiteStore(tmp_path / "tokens.db"), [EncryptedStore.new_key()])


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_every_store(check: Callable[[Any], Awaitable[None]], store: Any) -> None:
    try:
        await check(store)
    finally:
        if hasattr(store, "aclose"):
            await store.aclose()


async def test_a_lease_is_tried_without_waiting(store: Any) -> None:
    key = TokenKey("app", "portal")
    try:
        async with try_lease(store, key, seconds=60) as first:
            assert first is not None
            assert await first.extend()
            async with try_lease(store, key, seconds=60) as second:
                assert second is None
            # Giving up takes nothing from the holder.
            assert await first.extend()
            async with try_lease(store, TokenKey("app#work", "portal"), seconds=60) as other:
                assert other is not None
        async with asyncio.timeout(30), store.lease(key, seconds=0.2), try_lease(store, key, seconds=60) as second:
            assert second is None
            await asyncio.sleep(0.5)
            async with try_lease(store, key, seconds=60) as third:
                assert third is not None
    finally:
        if hasattr(store, "aclose"):
            await store.aclose()
