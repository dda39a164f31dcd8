"""Offline events as objects, and batches of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Protocol, Self

import attrs

from b24oauth.apps.events import object_id
from b24oauth.apps.fields import Fields, shown_masked
from b24oauth.errors import ConfigurationError, InvalidDataError
from b24oauth.shapes import as_mapping, is_mapping, is_sequence

__all__ = ["OfflineBatch", "OfflineEvent", "Settling", "read_events"]


@attrs.frozen(kw_only=True)
class OfflineEvent:
    """An event of the queue: an object has changed, maybe several times. Read the object to see its present state.

    Attributes:
        id: Number of the event in the queue.
        name: Name in upper case, for example ``ONCRMDEALUPDATE``.
        data: What happened, for example ``{"FIELDS": {"ID": "1"}}``; None without data.
        user_id: The user who caused the last change; 0 if none did.
        changed_at: Time of the last change; None if Bitrix24 sends none that can be read.
        message_id: Identifies event and data: the same change of the same object has the same.
    """

    id: int
    name: str
    data: Any = attrs.field(default=None, repr=shown_masked)
    user_id: int = 0
    changed_at: datetime | None = None
    message_id: str = ""

    @property
    def object_id(self) -> str:
        """ID of the object that the event is about; empty if it names none."""
        return object_id(self.data)

    @classmethod
    def read(cls, row: Fields) -> Self:
        """The event in a row of the queue.

        Raises:
            InvalidDataError: Naming the field that is missing or of a wrong type.
        """
        row_id = row.number("ID")
        if row_id <= 0:
            raise InvalidDataError("The response of event.offline.get", ["events[ID] must be a number"])
        return cls(
            id=row_id,
            name=row.needed("EVENT_NAME").upper(),
            data=row.values.get("EVENT_DATA") or None,
            user_id=_user(row.values.get("EVENT_ADDITIONAL")),
            changed_at=_time(row.values.get("TIMESTAMP_X")),
            message_id=row.text("MESSAGE_ID"),
        )


def read_events(rows: object) -> tuple[OfflineEvent, ...]:
    """The events in the rows of the queue.

    Raises:
        InvalidDataError: Naming the field that is missing or of a wrong type.
    """
    if not is_sequence(rows) or not all(is_mapping(row) for row in rows):
        raise InvalidDataError("The response of event.offline.get", ["events must be a list of mappings"])
    return tuple(OfflineEvent.read(Fields(row, "events")) for row in rows)


class Settling(Protocol):
    """Tells the portal what became of the events of a reservation."""

    async def clear(self, process_id: str, events: Sequence[OfflineEvent]) -> None:
        """Removes events that were processed."""
        ...

    async def mark(self, process_id: str, events: Sequence[OfflineEvent]) -> None:
        """Marks events that could not be processed."""
        ...


class OfflineBatch:
    """Events that are reserved for one reader, in the order of their last change. Iterate over it.

    It is confirmed when the body of the loop over the batches has ended without an exception. Events that are neither
    confirmed nor marked as failed when the loop is left come again, with the next start.

    Attributes:
        events: The events.
        process_id: The reservation; empty for events that are not reserved.
        is_repeated: True if the events were reserved earlier, so that they may have been processed.
    """

    def __init__(
        self, events: tuple[OfflineEvent, ...], process_id: str, settling: Settling, *, is_repeated: bool = False
    ) -> None:
        self.events = events
        self.process_id = process_id
        self.is_repeated = is_repeated
        self._settling = settling
        self._open = {event.id: event for event in events}

    def __iter__(self) -> Iterator[OfflineEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"OfflineBatch({len(self.events)} events, process_id={self.process_id!r})"

    @property
    def unsettled(self) -> tuple[OfflineEvent, ...]:
        """The events that are neither confirmed nor marked as failed."""
        return tuple(self._open.values())

    async def confirm(self, events: Iterable[OfflineEvent] | None = None) -> None:
        """Removes events from the queue: they were processed. Repeated if the response is lost, which does no harm.

        Args:
            events: Events of this batch; None for all that are neither confirmed nor marked as failed.

        Raises:
            LeaseLostError: Another process may read the events now.
            AjaxError: The call failed; the events come again.
        """
        chosen = self._chosen(events)
        if chosen:
            await self._settling.clear(self.process_id, chosen)
            self._settled(chosen)

    async def fail(self, events: Iterable[OfflineEvent] | None = None) -> None:
        """Marks events that could not be processed. They come again only to a reader with `failed=True`.

        Until they have been confirmed there, later changes of the same objects go the same way.

        Args:
            events: Events of this batch; None for all that are neither confirmed nor marked as failed.

        Raises:
            ConfigurationError: The events are read with `at_most_once`: they are no longer in the queue.
            LeaseLostError: Another process may read the events now.
            AjaxError: The call failed; the events come again.
        """
        chosen = self._chosen(events)
        if chosen:
            await self._settling.mark(self.process_id, chosen)
            self._settled(chosen)

    def _chosen(self, events: Iterable[OfflineEvent] | None) -> list[OfflineEvent]:
        if events is None:
            return list(self._open.values())
        chosen = list(events)
        known = {event.id for event in self.events}
        if not all(event.id in known for event in chosen):
            raise ConfigurationError("events must be events of this batch")
        return [event for event in chosen if event.id in self._open]

    def _settled(self, events: Iterable[OfflineEvent]) -> None:
        for event in events:
            self._open.pop(event.id, None)


def _user(additional: object) -> int:
    return Fields(as_mapping(additional), "EVENT_ADDITIONAL").number("user_id")


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
