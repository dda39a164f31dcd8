"""What a backend of `RecordStore` implements: records of text by key, and leases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal, Protocol

import attrs

__all__ = ["Kind", "Record", "RecordKey", "Records"]

Kind = Literal["pair", "installation", "value"]


@attrs.frozen
class RecordKey:
    """Identifies a record.

    Attributes:
        kind: What the record holds.
        client_id: The application.
        member_id: The portal.
        user_id: The user whose pair it is, or the number of a named value; 0 for the default pair and installations.
    """

    kind: Kind
    client_id: str
    member_id: str
    user_id: int = 0

    def __str__(self) -> str:
        user = f", user {self.user_id}" if self.user_id and self.kind == "pair" else ""
        return f"the {self.kind} of portal {self.member_id}{user}, application {self.client_id}"


@attrs.frozen
class Record:
    """A record as it was read.

    Attributes:
        text: JSON, with secrets.
        revision: Changes with each write.
    """

    text: str = attrs.field(repr=False)
    revision: str


class Records(Protocol):
    """A backend: reads and writes records, and keeps leases. Every method raises `StoreError` if it cannot."""

    async def read(self, key: RecordKey) -> Record | None:
        """The record, or None."""
        ...

    async def write(self, key: RecordKey, text: str, *, expected: str | None, revision: str) -> bool:
        """Writes a record in place of the one of revision `expected`, atomically; None means that there is none.

        Returns:
            False if there is another one, or none; nothing was written then.
        """
        ...

    async def remove(self, key: RecordKey) -> bool:
        """Removes a record; False when there was none."""
        ...

    async def set_aside(self, key: RecordKey) -> bool:
        """Removes a record that cannot be read and keeps a copy of it; False when there was none."""
        ...

    def keys(self, kind: Kind, client_id: str, member_id: str | None) -> AsyncIterator[RecordKey]:
        """The keys of all records of a kind and an application; only those of one portal if `member_id` is given."""
        ...

    async def take(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Takes the lease of a record for an owner, if nobody else holds it."""
        ...

    async def extend(self, key: RecordKey, owner: str, seconds: float) -> bool:
        """Extends a lease, counted from now; False when the owner does not hold it any more."""
        ...

    async def give_back(self, key: RecordKey, owner: str) -> None:
        """Ends the lease of an owner, if he holds it."""
        ...

    async def aclose(self) -> None:
        """Closes connections and files."""
        ...
