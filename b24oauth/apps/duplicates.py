"""Recognises events that arrive a second time."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from b24oauth.apps.events import Event

__all__ = ["Duplicates"]

_MOST: Final = 100_000


class Duplicates:
    """Remembers events for a while. Bitrix24 numbers none: those that are equal in all fields count as the same.

    Args:
        seconds: How long one is remembered.
        clock: Loop time or the like, seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._seen: OrderedDict[bytes, float] = OrderedDict()

    def is_one(self, event: Event) -> bool:
        """True if the event came before; from now on it is remembered.

        Args:
            event: A verified event.
        """
        now, digest = self._clock(), _digest(event)
        while self._seen and now - next(iter(self._seen.values())) >= self._seconds:
            self._seen.popitem(last=False)
        if digest in self._seen:
            return True
        self._seen[digest] = now
        if len(self._seen) > _MOST:
            self._seen.popitem(last=False)
        return False

    def forget(self, event: Event) -> None:
        """The event was not handled: the next one that is equal is no duplicate.

        Args:
            event: A verified event.
        """
        self._seen.pop(_digest(event), None)


def _digest(event: Event) -> bytes:
    what = [event.auth.member_id, event.name, event.handler_id, event.sent_at, event.data]
    return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).digest()
