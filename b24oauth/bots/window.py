"""Which events of a queue are done, and up to where they may be acknowledged. Pure."""

from __future__ import annotations

__all__ = ["Window"]


class Window:
    """The events that were fetched and are not acknowledged yet.

    An offset acknowledges all events below it, so it may not pass one that is not done. Such an event and those behind
    it are delivered again, and recognized here.

    Args:
        offset: Events below it are acknowledged already; None if none are.
    """

    def __init__(self, offset: int | None = None) -> None:
        self._offset = offset
        self._reached = offset
        self._is_done: dict[int, bool] = {}

    def __len__(self) -> int:
        """How many events are not acknowledged yet."""
        return len(self._is_done)

    @property
    def running(self) -> int:
        """How many of them are not done yet."""
        return sum(not done for done in self._is_done.values())

    def add(self, event_id: int) -> bool:
        """Notes an event that was delivered.

        Returns:
            False if it was delivered before.
        """
        if event_id in self._is_done:
            return False
        self._is_done[event_id] = False
        return True

    def done(self, event_id: int) -> None:
        """Notes that an event is done."""
        self._is_done[event_id] = True

    def reached(self, next_offset: int | None) -> None:
        """Notes where the queue goes on behind the events that were delivered."""
        if next_offset is not None:
            self._reached = max(next_offset, self._reached or 0)

    def advance(self) -> int | None:
        """The offset that acknowledges what is done, None if nothing is; it never goes back.

        Call it before a request and not while one is under way: what it forgets could be in the response.
        """
        running = [event_id for event_id, done in self._is_done.items() if not done]
        offset = min(running, default=self._reached)
        if offset is not None:
            self._is_done = {
                event_id: done for event_id, done in self._is_done.items() if not done or event_id > offset
            }
            self._offset = max(offset, self._offset or 0)
        return self._offset
