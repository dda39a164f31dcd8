"""`b24oauth reencrypt` as an operator runs it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from b24oauth.cli import main
from b24oauth.cli.stores import KEYS, opened
from b24oauth.errors import ConfigurationError
from b24oauth.stores import EncryptedStore, FileStore, RedisStore, SQLAlchemyStore, SQLiteStore, TokenKey
from tests.support.builders import params

KEY = TokenKey("app.1", "member-1")


def test_records_get_the_first_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = EncryptedStore.new_key(), EncryptedStore.new_key()
    path = tmp_path / "tokens.db"

    async def put() -> None:
        async with EncryptedStore(SQLiteStore(path), [old]) as store:
            await store.save(KEY, params(), expected=None)

    async def found() -> object:
        async with EncryptedStore(SQLiteStore(path), [new]) as store:
            stored = await store.load(KEY)
            return None if stored is None else stored.params

    asyncio.run(put())
    monkeypatch.setenv(KEYS, f"{new}, {old}")
    assert main(["reencrypt", str(path), "--client-id", "app.1"]) == 0
    assert capsys.readouterr().out == "1 records are encrypted with the first key\n"
    assert asyncio.run(found()) == params()


def test_what_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["reencrypt", str(tmp_path / "tokens.db"), "--client-id", "app.1"]
    monkeypatch.delenv(KEYS, raising=False)
    assert main(arguments) == 2
    assert "B24OAUTH_KEYS must hold the keys" in capsys.readouterr().err
    monkeypatch.setenv(KEYS, EncryptedStore.new_key())
    assert main(arguments) == 1
    assert "is no file of a SQLiteStore" in capsys.readouterr().err
    (tmp_path / "tokens.db").touch()
    monkeypatch.setenv(KEYS, "short")
    assert main(arguments) == 1
    assert "keys must be Fernet keys" in capsys.readouterr().err
    monkeypatch.delitem(sys.modules, "b24oauth.stores.encrypted", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setitem(sys.modules, "cryptography.fernet", None)
    assert main(arguments) == 2
    assert 'EncryptedStore needs cryptography: pip install "b24oauth[crypto]"' in capsys.readouterr().err


def test_a_store_is_told_by_its_path_or_url(tmp_path: Path) -> None:
    (tmp_path / "file.db").touch()
    assert isinstance(opened(str(tmp_path)), FileStore)
    assert isinstance(opened(str(tmp_path / "file.db")), SQLiteStore)
    assert isinstance(opened("redis://127.0.0.1:6379/0"), RedisStore)
    assert isinstance(opened("sqlite+aiosqlite:///x.db"), SQLAlchemyStore)
    with pytest.raises(ConfigurationError):
        opened(str(tmp_path / "missing"))
