"""Token pairs, installations and named values in JSON files, one for each portal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable, Generator
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import filelock

from b24oauth.errors import StoreError, StoreRecordError
from b24oauth.stores.loops import Threads
from b24oauth.stores.records import Kind, Record, RecordKey, RecordStore

__all__ = ["FileStore"]

# How long an operation waits for that of another process, seconds. Operations take milliseconds.
_BUSY: Final = 10.0
# Operations on the files of different portals run at the same time.
_THREADS: Final = 8
# File systems allow names of 255 bytes.
_LONGEST_NAME: Final = 200
# All other letters are encoded. Upper case too: some file systems take it for the same name.
_PLAIN: Final = re.compile(rb"[a-z0-9_-]")

T = TypeVar("T")


class FileStore(RecordStore):
    """A store of JSON files, one for each portal, for any number of processes of one machine.

    The folder is created with access for its owner only (0700), files likewise (0600). A file is replaced as a whole,
    so nobody sees it half written. Do not put the folder on a network drive: locks may not work there.

    Args:
        folder: The folder; it is created when the first record is saved.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__(FileRecords(Path(folder)), f"FileStore({os.fspath(folder)!r})")


class FileRecords:
    """Records in files. Operations run in threads, changes with the portal's file locked.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._threads = Threads(_THREADS)

    async def read(self, key: RecordKey) -> Record | None:
        """The record, or None."""

        def read() -> Record | None:
            # Files are replaced as a whole, so reading needs no lock.
            entry = self._records(self._path(key), key).get(_name(key))
            return None if entry is None else Record(json.dumps(entry.get("record")), _revision(entry))

        return await self._run(read)

    async def write(self, key: RecordKey, text: str, *, expected: str | None, revision: str) -> bool:
        """Writes a record in place of the one of revision `expected`; False if there is another one."""

        def write(records: dict[str, Any]) -> bool:
            entry = records.get(_name(key))
            if (None if entry is None else _revision(entry)) != expected:
                return False
            records[_name(key)] = {"revision": revision, "updated_at": time.time(), "record": json.loads(text)}
            return True

        return await self._change(key, write)

    async def remove(self, key: RecordKey) -> bool:
        """Removes a record; False when there was none."""
        return await self._change(key, lambda records: records.pop(_name(key), None) is not None)

    async def set_aside(self, key: RecordKey) -> bool:
        """Copies the file under a name that ends with ``.set-aside`` and removes the record, or the damaged file."""

        def set_aside() -> bool:
            path = self._path(key)
            with _locked(path):
                if not path.exists():
                    return False
                _replace(path.with_name(f"{path.name}.{secrets.token_hex(4)}.set-aside"), path.read_bytes())
                try:
                    records = self._records(path, key)
                except StoreRecordError:
                    path.unlink()
                else:
                    records.pop(_name(key), None)
                    _replace(path, _content(key, records))
                return True

        return await self._run(set_aside)

    async def keys(self, kind: Kind, client_id: str, member_id: str | None) -> AsyncIterator[RecordKey]:
        """The keys of all records of a kind and an application."""

        def read() -> list[RecordKey]:
            folder = self._folder / _encoded("app_", client_id)
            names = sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208 - names only
            return [key for name in names if name.endswith(".json") for key in self._keys_in(folder / name, kind)]

        for key in await self._run(read):
            if key.client_id == client_id and member_id in (None, key.member_id):
                yield key

    async def take(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Takes the lease of a record, if nobody else holds it."""

        def take(leases: dict[str, Any], now: float) -> bool:
            held = leases.get(_name(key))
            if held is not None and held["owner"] != owner and _lasts(held, now):
                return False
            leases[_name(key)] = {"owner": owner, "seconds": seconds, "ends_at": now + seconds}
            return True

        return await self._change_leases(key, take)

    async def extend(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Extends a lease, counted from now; False when it has ended."""

        def extend(leases: dict[str, Any], now: float) -> bool:
            held = leases.get(_name(key))
            if held is None or held["owner"] != owner or not _lasts(held, now):
                return False
            held.update(seconds=seconds, ends_at=now + seconds)
            return True

        return await self._change_leases(key, extend)

    async def give_back(self, key: RecordKey, owner: str) -> None:
        """Ends the lease of an owner, if he holds it."""

        def give_back(leases: dict[str, Any], _: float) -> bool:
            held = leases.get(_name(key))
            if held is None or held["owner"] != owner:
                return False
            del leases[_name(key)]
            return True

        await self._change_leases(key, give_back)

    async def aclose(self) -> None:
        """Nothing is open between operations."""

    def _path(self, key: RecordKey) -> Path:
        return self._folder / _encoded("app_", key.client_id) / f"{_encoded('portal_', key.member_id)}.json"

    async def _change(self, key: RecordKey, change: Callable[[dict[str, Any]], bool]) -> bool:
        """Changes the records of a portal; `change` says whether there is something to write."""

        def locked() -> bool:
            path = self._path(key)
            _make(path.parent)
            with _locked(path):
                records = self._records(path, key)
                done = change(records)
                if done:
                    _replace(path, _content(key, records))
                return done

        return await self._run(locked)

    async def _change_leases(self, key: RecordKey, change: Callable[[dict[str, Any], float], bool]) -> bool:
        """Changes the leases of a portal, which are in a file beside that of its records."""

        def locked() -> bool:
            path = self._path(key).with_suffix(".leases")
            _make(path.parent)
            with _locked(path):
                leases = _leases(path)
                done = change(leases, time.time())
                if done:
                    # A lease need not survive a loss of power: its holder does not either.
                    _replace(path, json.dumps(leases).encode(), durable=False)
                return done

        return await self._run(locked)

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await self._threads.run(function)
        except filelock.Timeout as error:
            problem = f"{error.lock_file} was locked by another process for {_BUSY:g} s"
        except OSError as error:
            problem = f"{error.strerror or type(error).__name__}: {error.filename or self._folder}"
        raise StoreError(
            f"{self._store}: {problem}. Check permissions and free space; "
            "a renewed pair is kept in memory and saved again before the next call"
        )

    @property
    def _store(self) -> str:
        return f"FileStore({os.fspath(self._folder)!r})"

    def _records(self, path: Path, key: RecordKey | None) -> dict[str, Any]:
        """The records of a file by name; none when there is no file."""
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return {}
        records = _records_in(content)
        if records is None:
            whose = path if key is None else key
            raise StoreRecordError(
                f"{self._store}: {whose} cannot be read: {path.name} is damaged. The file stays as it is; restore it "
                "from a backup, or remove the record with delete(), which keeps a copy"
            )
        return records

    def _keys_in(self, path: Path, kind: Kind) -> list[RecordKey]:
        client_id, member_id = _decoded(path.parent.name), _decoded(path.stem)
        try:
            records = self._records(path, None)
            if records and (client_id is None or member_id is None):
                content = json.loads(path.read_bytes())
                client_id, member_id = str(content["client_id"]), str(content["member_id"])
        except (StoreRecordError, KeyError, ValueError):
            if client_id is None or member_id is None:
                raise
            # A damaged file is not left out: loading its pair tells what is wrong.
            records = dict[str, Any]({kind: {}})
        if client_id is None or member_id is None:
            return []
        kinds = (name.split(":") for name in records)
        return [RecordKey(kind, client_id, member_id, int(user[0]) if user else 0) for of, *user in kinds if of == kind]


def _name(key: RecordKey) -> str:
    return f"{key.kind}:{key.user_id}" if key.user_id else key.kind


def _revision(entry: dict[str, Any]) -> str:
    return str(entry.get("revision", ""))


def _records_in(content: bytes) -> dict[str, Any] | None:
    """The records of a file by name; None if it is damaged."""
    try:
        records: Any = _mapping(json.loads(content)).get("records")
    except ValueError:
        return None
    if not isinstance(records, dict):
        return None
    by_name = cast("dict[str, object]", records)
    return by_name if all(isinstance(entry, dict) for entry in by_name.values()) else None


def _content(key: RecordKey, records: dict[str, Any]) -> bytes:
    content = {"client_id": key.client_id, "member_id": key.member_id, "records": records}
    return json.dumps(content, ensure_ascii=False, indent=1).encode()


def _encoded(prefix: str, name: str) -> str:
    """A file name for any text; one that would be too long is a hash."""
    letters = (chr(byte) if _PLAIN.match(bytes([byte])) else f"%{byte:02x}" for byte in name.encode())
    encoded = prefix + "".join(letters)
    return encoded if len(encoded) <= _LONGEST_NAME else f"{prefix}%{hashlib.sha256(name.encode()).hexdigest()}.long"


def _decoded(file_name: str) -> str | None:
    """The text that a file name stands for; None for a hash."""
    encoded = file_name.partition("_")[2]
    if encoded.endswith(".long"):
        return None
    return re.sub(rb"%([0-9a-f]{2})", lambda code: bytes([int(code[1], 16)]), encoded.encode()).decode()


def _lasts(lease: dict[str, Any], now: float) -> bool:
    # A lease that ends later than if it began now was taken before the clock was set back.
    return bool(now < lease["ends_at"] <= now + lease["seconds"])


def _leases(path: Path) -> dict[str, Any]:
    try:
        leases = _mapping(json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return {}
    return leases if all({"owner", "seconds", "ends_at"} <= set(_mapping(lease)) for lease in leases.values()) else {}


def _mapping(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _make(folder: Path) -> None:
    for part in (folder.parent, folder):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def _locked(path: Path) -> Generator[None]:
    # A lock file that is merely there would outlive a killed process; the operating system's lock does not.
    with filelock.FileLock(path.with_name(f"{path.name}.lock"), timeout=_BUSY, mode=0o600, fallback_to_soft=False):
        yield


def _replace(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replaces a file as a whole; `durable` writes it to the disk before."""
    # Only who holds the lock writes. What a killed process has left of its file is overwritten.
    new = path.with_name(f"{path.name}.new")
    descriptor = os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - by descriptor, for its permissions
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    if durable and os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
