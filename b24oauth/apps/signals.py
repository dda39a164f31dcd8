"""Wakes those who wait for something on a portal."""

from __future__ import annotations

import weakref
from typing import Protocol

from b24oauth.apps.events import OfflineSignal
from b24oauth.client import B24OAuth

__all__ = ["Signals", "Wakeable"]


class Wakeable(Protocol):
    """What waits for something on portals."""

    def wake(self, member_id: str) -> None:
        """Looks at once whether there is something on a portal."""
        ...


class Signals:
    """Passes the signals of portals on to those in this process who wait for them."""

    def __init__(self) -> None:
        # Nobody needs to take himself off the list.
        self._waiting: weakref.WeakSet[Wakeable] = weakref.WeakSet()

    def add(self, waiting: Wakeable) -> None:
        """Lets an object be woken from now on, for as long as somebody holds it."""
        self._waiting.add(waiting)

    def wake(self, member_id: str) -> None:
        """Wakes those who wait for something on a portal."""
        for waiting in list(self._waiting):
            waiting.wake(member_id)

    async def received(self, event: OfflineSignal, b24: B24OAuth) -> None:
        """The handler of `ONOFFLINEEVENT`."""
        del b24
        self.wake(event.auth.member_id)
