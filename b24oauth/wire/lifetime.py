"""Which event loop a client lives in, and whether it is closed."""

from __future__ import annotations

import asyncio

from b24oauth.errors import ClientStateError

__all__ = ["Lifetime", "unusable_client"]


class Lifetime:
    """Binds a client to the first event loop it is used in, until it is closed.

    Args:
        parent: The lifetime of a wire that this client shares; None without one.

    Attributes:
        entered_at: Time of the first use by the loop's clock, seconds; None before it.
    """

    __slots__ = ("_closed", "_loop", "_parent", "_usable", "entered_at")

    def __init__(self, parent: Lifetime | None = None) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        # The loop while nothing else must be looked at: asked for with every request.
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

    def close(self) -> None:
        """Lets nothing in any more."""
        self._closed, self._usable = True, None

    def _check(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._closed:
            raise ClientStateError("This client is closed: make a new one", code="B24OAUTH_CLIENT_CLOSED")
        if self._parent is not None:
            self._parent.enter()
        if self._loop is None:
            self._loop, self.entered_at = loop, loop.time()
        elif self._loop is not loop:
            raise _other_loop()
        if self._parent is None:
            self._usable = loop

    def check_loop(self) -> None:
        """Refuses another event loop than the first one; a client that was not used yet fits any.

        Raises:
            ClientStateError: The running event loop is not the first one.
        """
        if self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise _other_loop()

    def loop_time(self) -> float | None:
        """The clock of the loop this client lives in, seconds; None before its first use."""
        return None if self._loop is None else self._loop.time()


def _other_loop() -> ClientStateError:
    return ClientStateError(
        "This client belongs to another event loop, which it was first used in; nothing was done. Make one client for "
        "each loop and thread, and close it there. asyncio.run() makes a new loop each time; with pytest-asyncio give "
        "the fixture and its tests the same loop_scope; open Starlette's TestClient with `with`, so that all of its "
        "requests share one loop",
        code="B24OAUTH_OTHER_EVENT_LOOP",
    )


def unusable_client() -> ClientStateError:
    """The error for a client of the caller's that is closed, or was used in another event loop."""
    return ClientStateError(
        "The http_client is closed or belongs to another event loop; nothing was sent. Give an open one that is made "
        "in the loop it is used in",
        code="B24OAUTH_CLIENT_CLOSED",
    )
