"""Binds a client to its event loop and tracks its state: open, draining, stopped, closed."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Generator
from contextlib import contextmanager

from b24oauth.errors import ClientStateError

__all__ = ["Lifetime", "closed_client", "unusable_client"]

_operation: contextvars.ContextVar[Lifetime | None] = contextvars.ContextVar("b24oauth_operation", default=None)


class Lifetime:
    """Binds a client to the first event loop it is used in, until it is closed.

    States: open; draining (no new calls, running calls continue); stopped (waiting calls fail, only a token refresh
    continues); closed.

    Args:
        parent: The lifetime of a wire that this client shares; None without one.

    Attributes:
        entered_at: Time of the first use by the loop's clock, seconds; None before it.
        is_open: False as soon as a close has begun.
        under_way: Calls, lists, batches and downloads that have begun and not ended.
        idle: Event that a drain waits for; None if no drain is running.
    """

    __slots__ = (
        "_closed", "_loop", "_parent", "_usable", "entered_at", "idle", "is_open", "under_way",
    )  # fmt: skip

    def __init__(self, parent: Lifetime | None = None) -> None:
        self.is_open = True
        self.under_way = 0
        self.idle: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # Fast path for every request: set only while the client is open.
        self._usable: asyncio.AbstractEventLoop | None = None
        self._parent = parent
        self._closed = False
        self.entered_at: float | None = None

    def enter(self) -> asyncio.AbstractEventLoop:
        """The running event loop, which is the only one this client may be used in.

        Raises:
            ClientStateError: The client is closed, or the running event loop is not the first one.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._usable:
            self._check(loop)
        return loop

    def check_beginning(self, *, within_renewal: bool) -> None:
        """Raises if a close has begun, except for calls needed by an operation that may still finish.

        Args:
            within_renewal: True for a call of a renewal's callback.

        Raises:
            ClientStateError: The client is closed or about to be.
        """
        is_part = self.idle is not None and _operation.get() is self
        if self._closed or not (self.is_open or is_part or within_renewal):
            raise closed_client()

    def check_waiting(self, *, within_renewal: bool) -> None:
        """Raises if waiting calls have already been cancelled by a close.

        Args:
            within_renewal: True for a call of a renewal's callback.

        Raises:
            ClientStateError: The client is closed or about to be.
        """
        if self._closed or not (self.is_open or self.idle is not None or within_renewal):
            raise closed_client()

    @contextmanager
    def operation(self) -> Generator[None]:
        """Something that takes several calls, which a drain lets go on."""
        token = _operation.set(self)
        self.under_way += 1
        try:
            yield
        finally:
            _operation.reset(token)
            self.leave()

    def leave(self) -> None:
        """A call or an operation has ended."""
        self.under_way -= 1
        if self.under_way == 0 and self.idle is not None and not self.idle.done():
            self.idle.set_result(None)

    async def drain(self, seconds: float) -> None:
        """Lets no call begin any more, and waits until those under way have ended.

        Args:
            seconds: How long to wait.
        """
        self.is_open = False
        if seconds > 0 and self.under_way and not self._closed:
            self.idle = self.idle or asyncio.get_running_loop().create_future()
            await asyncio.wait([self.idle], timeout=seconds)

    def stop(self) -> None:
        """Ends a drain: nothing is waited for any more but a renewal."""
        self.is_open = False
        if self.idle is not None and not self.idle.done():
            self.idle.set_result(None)
        self.idle = None

    def close(self) -> None:
        """Marks the client as closed; all further calls raise."""
        self.stop()
        self._closed, self._usable = True, None

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise closed_client()
        if self._parent is not None:
            self._parent.enter()
        if self._loop is None:
            self._loop, self.entered_at = loop, loop.time()
        elif self._loop is not loop:
            raise _other_loop()
        if self._parent is None:
            self._usable = loop

    def check_loop(self) -> None:
        """Refuses another event loop than the first one; an unused client accepts any loop.

        Raises:
            ClientStateError: The running event loop is not the first one.
        """
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise _other_loop()

    @property
    def is_in_use(self) -> bool:
        """True from the first use until the close, for a client with connections of its own."""
        return self._parent is None and self._loop is not None and not self._closed

    def loop_time(self) -> float | None:
        """The clock of the loop this client lives in, seconds; None before its first use."""
        return None if self._loop is None else self._loop.time()


def closed_client() -> ClientStateError:
    """The error for a client that is closed."""
    return ClientStateError("This client is closed: make a new one", code="B24OAUTH_CLIENT_CLOSED")


def _other_loop() -> ClientStateError:
    return ClientStateError(
        "This client belongs to another event loop, which it was first used in; nothing was done. Make one client for "
        "each loop and thread, and close it there. asyncio.run() makes a new loop each time; with pytest-asyncio give "
        "the fixture and its tests the same loop_scope; open Starlette's TestClient with `with`, so that all of its "
        "requests share one loop",
        code="B24OAUTH_OTHER_EVENT_LOOP",
    )


def unusable_client() -> ClientStateError:
    """The error for your own client if it is closed or was used in another event loop."""
    return ClientStateError(
        "The http_client is closed or belongs to another event loop; nothing was sent. Give an open one that is made "
        "in the loop it is used in",
        code="B24OAUTH_CLIENT_CLOSED",
    )
