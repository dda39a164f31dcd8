"""Named values: what the checks of every store cannot see."""

from __future__ import annotations

from pathlib import Path

import pytest

from b24oauth.errors import ConfigurationError, StoreRecordError
from b24oauth.stores import EncryptedStore, MemoryStore, SQLiteStore, ValueKey
from b24oauth.stores.records import RecordKey

pytestmark = pytest.mark.anyio

KEY = ValueKey("app.1", "member-1", "bot:456:offset")


async def test_a_value_that_cannot_be_read_is_named_and_stays(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "tokens.db") as store:
        revision = await store.save_value(KEY, "S3CR3T", expected=None)
        (found,) = [key async for key in store._records.keys("value", KEY.client_id, None)]
        await store._records.write(found, '{"schema": 1, "value": {"name": 5}}', expected=revision, revision="2")
        with pytest.raises(StoreRecordError, match="portal member-1.*lacks its name or its value"):
            await store.load_value(KEY)
        assert await store.delete_value(KEY)
        assert await store.load_value(KEY) is None


async def test_a_value_of_another_name_is_not_taken_for_the_one_that_was_asked_for(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "tokens.db") as store:
        await store.save_value(KEY, "S3CR3T", expected=None)
        (found,) = [key async for key in store._records.keys("value", KEY.client_id, None)]
        record = await store._records.read(found)
        assert isinstance(found, RecordKey)
        assert record is not None
        text = record.text.replace("bot:456", "bot:457")
        await store._records.write(found, text, expected=record.revision, revision="2")
        with pytest.raises(StoreRecordError, match="has another name"):
            await store.load_value(KEY)


async def test_values_are_encrypted_and_get_the_first_key() -> None:
    inner, old, new = MemoryStore(), EncryptedStore.new_key(), EncryptedStore.new_key()
    await inner.save_value(KEY, "plain", expected=None)
    await EncryptedStore(inner, [old]).save_value(ValueKey("app.1", "member-1", "other"), "S3CR3T", expected=None)
    with pytest.raises(StoreRecordError, match="not encrypted"):
        await EncryptedStore(inner, [old]).load_value(KEY)
    assert await EncryptedStore(inner, [new, old]).reencrypt("app.1") == 2
    store = EncryptedStore(inner, [new])
    found = {key.name: await store.load_value(key) async for key in store.values("app.1")}
    assert {name: stored and stored.value for name, stored in found.items()} == {
        "bot:456:offset": "plain",
        "other": "S3CR3T",
    }
    assert "S3CR3T" not in "".join([stored.value for stored in inner._values.values()])


async def test_a_value_cannot_be_moved_to_another_name() -> None:
    inner, key = MemoryStore(), EncryptedStore.new_key()
    store = EncryptedStore(inner, [key])
    await store.save_value(KEY, "S3CR3T", expected=None)
    stored = await inner.load_value(KEY)
    assert stored is not None
    other = ValueKey("app.1", "member-1", "other")
    await inner.save_value(other, stored.value, expected=None)
    with pytest.raises(StoreRecordError, match="for another portal or user"):
        await store.load_value(other)


async def test_a_store_without_values_is_named() -> None:
    class OldStore:
        def __repr__(self) -> str:
            return "OldStore()"

    with pytest.raises(ConfigurationError, match=r"OldStore\(\) keeps no named values"):
        await EncryptedStore(OldStore(), [EncryptedStore.new_key()]).load_value(KEY)  # type: ignore[arg-type]
