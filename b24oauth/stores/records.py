"""Stores that keep records of text: what SQLite, files, Redis and SQL databases have in common.

`RecordStore` turns token pairs, installations and named values into records and back. It also waits for leases,
because no backend can wake a waiter in another process. A backend implements `Records` of `b24oauth.stores.backend`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import random
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, Final, Self, TypeVar, cast

import attrs

from b24oauth.errors import InvalidDataError, StoreConflictError, StoreError, StoreRecordError
from b24oauth.installations import Installation
from b24oauth.models import B24OAuthParams
from b24oauth.stores.backend import Kind, Record, RecordKey, Records
from b24oauth.stores.loops import completed
from b24oauth.storing import Lease, StoredInstallation, StoredPair, StoredValue, TokenKey, ValueKey

__all__ = ["RECORD_SCHEMA", "Kind", "Record", "RecordKey", "RecordStore", "Records"]

# Version of the text of a record. A reader accepts this version and all versions before it.
RECORD_SCHEMA: Final = 1
# How often a waiter looks whether a lease has ended, seconds; each wait is up to half shorter or longer, by chance.
_LOOK_EVERY: Final = 0.05
# Time in which a lease must be given back, seconds. After that it ends by itself.
_GIVE_BACK: Final = 5.0

_T = TypeVar("_T")
_Build = Callable[[Mapping[str, object]], _T]

_log = logging.getLogger("b24oauth")


@attrs.frozen
class _Lease:
    records: Records
    key: RecordKey
    owner: str
    seconds: float

    async def extend(self) -> bool:
        return await self.records.extend(self.key, self.owner, self.seconds)


class RecordStore:
    """Token pairs, installations and named values over a backend.

    It may be used by several clients, event loops and processes. Close it with `aclose` or `async with`.

    Args:
        records: The backend.
        name: What error messages call the store; it must not contain a password.
    """

    def __init__(self, records: Records, name: str) -> None:
        self._records = records
        self._name = name

    def __repr__(self) -> str:
        return self._name

    async def load(self, key: TokenKey) -> StoredPair | None:
        """Reads a pair.

        Returns:
            The stored pair, or None.

        Raises:
            StoreRecordError: The record cannot be read; it stays as it is.
            StoreError: The store cannot be read.
        """
        record_key = _key_of_pair(key)
        record = await self._records.read(record_key)
        if record is None:
            return None
        return StoredPair(self._parsed(record, record_key, B24OAuthParams.from_dict), record.revision)

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        """Stores a pair if nobody has stored another one meanwhile.

        Args:
            key: Whose pair it is.
            params: The pair.
            expected: Revision of the stored pair that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored pair has another revision, is there, or is gone.
            StoreError: The store cannot be written.
        """
        return await self._write(_key_of_pair(key), params.to_dict(), expected)

    async def delete(self, key: TokenKey) -> bool:
        """Removes a pair. A copy is kept of a record that cannot be read.

        Returns:
            False when there was none.

        Raises:
            StoreError: The store cannot be written.
        """
        return await self._delete(_key_of_pair(key), B24OAuthParams.from_dict)

    async def keys(self, client_id: str, member_id: str | None = None) -> AsyncIterator[TokenKey]:
        """The keys of all pairs of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.

        Raises:
            StoreError: The store cannot be read.
        """
        async for key in self._records.keys("pair", client_id, member_id):
            yield TokenKey(key.client_id, key.member_id, key.user_id or None)

    @contextlib.asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        """Waits until nobody else holds the lease of a pair, and holds it.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.

        Raises:
            StoreError: The store cannot be read or written.
        """
        lease = self._lease(key, seconds)
        try:
            # Giving a lease back while it is being taken could come first at the server, and leave it held by nobody.
            while not await completed(self._records.take(lease.key, lease.owner, seconds)):  # noqa: ASYNC110
                await asyncio.sleep(_LOOK_EVERY * random.uniform(0.5, 1.5))  # noqa: S311 - spreads out the waiters
            yield lease
        finally:
            await completed(self._give_back(lease))

    @contextlib.asynccontextmanager
    async def try_lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease | None]:
        """Holds the lease of a pair if nobody else holds it; does not wait.

        Args:
            key: Whose pair it is; there need not be one.
            seconds: How long it is held unless it is extended.

        Returns:
            The lease, or None if somebody else holds it.

        Raises:
            StoreError: The store cannot be read or written.
        """
        lease = self._lease(key, seconds)
        # A request that is cancelled or has no response may have taken the lease.
        may_be_held = True
        try:
            may_be_held = await completed(self._records.take(lease.key, lease.owner, seconds))
            yield lease if may_be_held else None
        finally:
            if may_be_held:
                await completed(self._give_back(lease))

    async def load_installation(self, client_id: str, member_id: str) -> StoredInstallation | None:
        """Reads an installation.

        Returns:
            The stored installation, or None.

        Raises:
            StoreRecordError: The record cannot be read; it stays as it is.
            StoreError: The store cannot be read.
        """
        key = RecordKey("installation", client_id, member_id)
        record = await self._records.read(key)
        if record is None:
            return None
        return StoredInstallation(self._parsed(record, key, Installation.from_dict), record.revision)

    async def save_installation(self, installation: Installation, *, expected: str | None) -> str:
        """Stores an installation if nobody has stored another one meanwhile.

        Args:
            installation: The installation.
            expected: Revision of the stored installation that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored installation has another revision, is there, or is gone.
            StoreError: The store cannot be written.
        """
        key = RecordKey("installation", installation.client_id, installation.member_id)
        return await self._write(key, installation.to_dict(), expected)

    async def delete_installation(self, client_id: str, member_id: str) -> bool:
        """Removes an installation. A copy is kept of a record that cannot be read.

        Returns:
            False when there was none.

        Raises:
            StoreError: The store cannot be written.
        """
        return await self._delete(RecordKey("installation", client_id, member_id), Installation.from_dict)

    async def installations(self, client_id: str) -> AsyncIterator[Installation]:
        """All installations of an application.

        Args:
            client_id: The application.

        Raises:
            StoreRecordError: A record cannot be read.
            StoreError: The store cannot be read.
        """
        async for key in self._records.keys("installation", client_id, None):
            stored = await self.load_installation(client_id, key.member_id)
            if stored is not None:
                yield stored.installation

    async def load_value(self, key: ValueKey) -> StoredValue | None:
        """Reads a named value.

        Returns:
            The stored value, or None.

        Raises:
            StoreRecordError: The record cannot be read; it stays as it is.
            StoreError: The store cannot be read.
        """
        record_key = _key_of_value(key)
        record = await self._records.read(record_key)
        if record is None:
            return None
        named = self._parsed(record, record_key, _NamedValue.from_dict)
        if named.name != key.name:
            raise StoreRecordError(f"{self._name}: {record_key} has another name: use other names")
        return StoredValue(named.value, record.revision)

    async def save_value(self, key: ValueKey, value: str, *, expected: str | None) -> str:
        """Stores a named value if nobody has stored another one meanwhile.

        Args:
            key: Which value.
            value: The text.
            expected: Revision of the stored value that it replaces; None when there is none.

        Returns:
            The new revision.

        Raises:
            StoreConflictError: The stored value has another revision, is there, or is gone.
            StoreError: The store cannot be written.
        """
        return await self._write(_key_of_value(key), {"name": key.name, "value": value}, expected)

    async def delete_value(self, key: ValueKey) -> bool:
        """Removes a named value. A copy is kept of a record that cannot be read.

        Returns:
            False when there was none.

        Raises:
            StoreError: The store cannot be written.
        """
        return await self._delete(_key_of_value(key), _NamedValue.from_dict)

    async def values(self, client_id: str, member_id: str | None = None) -> AsyncIterator[ValueKey]:
        """The keys of all named values of an application.

        Args:
            client_id: The application.
            member_id: Only those of this portal.

        Raises:
            StoreRecordError: A record cannot be read.
            StoreError: The store cannot be read.
        """
        async for key in self._records.keys("value", client_id, member_id):
            record = await self._records.read(key)
            if record is not None:
                yield ValueKey(client_id, key.member_id, self._parsed(record, key, _NamedValue.from_dict).name)

    async def aclose(self) -> None:
        """Closes connections and files; a client that still uses the store opens them again."""
        await self._records.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _write(self, key: RecordKey, fields: Mapping[str, Any], expected: str | None) -> str:
        text = json.dumps({"schema": RECORD_SCHEMA, key.kind: fields}, ensure_ascii=False)
        # Chosen here and not counted, so that a record which was removed and made anew is another one.
        revision = secrets.token_hex(8)
        # A cancelled save must not come into effect later, over what was read after it.
        if not await completed(self._records.write(key, text, expected=expected, revision=revision)):
            raise StoreConflictError(f"{self._name}: {key} has changed meanwhile")
        return revision

    async def _delete(self, key: RecordKey, build: _Build[object]) -> bool:
        try:
            record = await self._records.read(key)
            if record is None:
                return False
            self._parsed(record, key, build)
        except StoreRecordError:
            return await self._records.set_aside(key)
        return await self._records.remove(key)

    def _parsed(self, record: Record, key: RecordKey, build: _Build[_T]) -> _T:
        try:
            return _parsed(record.text, key.kind, build)
        except InvalidDataError as error:
            problem = error.message
        raise StoreRecordError(
            f"{self._name}: {key} cannot be read: {problem}. The record stays as it is; "
            "restore it from a backup, or remove it with delete(), which keeps a copy"
        )

    def _lease(self, key: TokenKey, seconds: float) -> _Lease:
        # The owner is chosen before anything is sent: a request without a response may have taken the lease.
        return _Lease(self._records, _key_of_pair(key), secrets.token_hex(16), seconds)

    async def _give_back(self, lease: _Lease) -> None:
        # A cancelled waiter gives back too; who does not hold the lease takes nothing from its holder.
        try:
            async with asyncio.timeout(_GIVE_BACK):
                await self._records.give_back(lease.key, lease.owner)
        except (StoreError, TimeoutError) as error:
            # What the lease was for is done, or has failed with an error of its own.
            _log.warning("%s: a lease could not be given back, it ends by itself: %s", self._name, error)


@attrs.frozen
class _NamedValue:
    name: str
    value: str

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> Self:
        name, value = fields.get("name"), fields.get("value")
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidDataError("The record", ["lacks its name or its value"])
        return cls(name, value)


def _key_of_value(key: ValueKey) -> RecordKey:
    # The tables of existing stores have no column for a name. Its number is as good: 63 bits of a hash.
    number = int.from_bytes(hashlib.sha256(key.name.encode()).digest()[:8]) >> 1
    return RecordKey("value", key.client_id, key.member_id, number)


def _key_of_pair(key: TokenKey) -> RecordKey:
    return RecordKey("pair", key.client_id, key.member_id, key.user_id or 0)


def _parsed(text: str, kind: Kind, build: _Build[_T]) -> _T:
    """Reads the text of a record.

    Raises:
        InvalidDataError: Says what is wrong, never with a value.
    """
    try:
        data: object = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        raise InvalidDataError("The record", ["is not a JSON object"])
    fields = cast("dict[str, Any]", data)
    schema = fields.get("schema")
    if not isinstance(schema, int) or not isinstance(fields.get(kind), dict):
        raise InvalidDataError("The record", [f"lacks its schema version or its {kind}"])
    if schema > RECORD_SCHEMA:
        problem = f"has schema version {schema}, and this version of b24oauth reads {RECORD_SCHEMA}: update b24oauth"
        raise InvalidDataError("The record", [problem])
    return build(fields[kind])
