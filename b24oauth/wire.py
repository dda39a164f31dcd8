"""One HTTP request and its answer. Tells "never sent" from "sent, no answer"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, Self

import anyio
import httpx

from b24oauth.errors import ClientStateError
from b24oauth.protocol.decoding import RawAnswer
from b24oauth.transports import Clients, TransportName, meant_by, unlogged

__all__ = ["NoAnswer", "StreamedAnswer", "Wire"]

_NEVER_SENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.LocalProtocolError,
    httpx.InvalidURL,
)


class NoAnswer(Exception):  # noqa: N818 - not an error by itself: whoever sent decides what it means
    """A request that brought no answer.

    Attributes:
        sent: False when the other side cannot have seen the request.
        timed_out: True when the waiting ended it.
        reason: The kind of failure, free of addresses and values.
    """

    def __init__(self, *, sent: bool, timed_out: bool, reason: str) -> None:
        super().__init__(reason)
        self.sent = sent
        self.timed_out = timed_out
        self.reason = reason


class StreamedAnswer:
    """An answer whose body is read part by part: iterate over it.

    Args:
        response: What a client answered, its body unread.
        check: Raises when no more may be read.

    Attributes:
        status: HTTP status.
        headers: Headers, names in any case.
    """

    def __init__(self, response: httpx.Response, check: Callable[[], object]) -> None:
        self._check = check
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._parts = response.aiter_bytes()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next part.

        Raises:
            NoAnswer: The body broke off.
            ClientStateError: The wire is closed.
        """
        self._check()
        try:
            with unlogged():
                return await anext(self._parts)
        except Exception as error:
            meant = meant_by(error)
            if meant is None:
                raise
        # Raised outside of the except block: httpx's errors hold the request with its secrets.
        raise _no_answer(meant)


class Wire:
    """Sends requests over httpx clients, made as they are needed unless one is given.

    Args:
        client: A client of the caller's, which stays his to close.
        timeout: How long to wait for a connection, and for each part of an answer, seconds.
        transport: What clients made here send with.

    Raises:
        ConfigurationError: The transport is not installed.
    """

    def __init__(self, client: httpx.AsyncClient | None, *, timeout: float, transport: TransportName = "auto") -> None:
        self._timeout = httpx.Timeout(timeout)
        self._clients = Clients(client, transport, timeout=self._timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.entered_at: float | None = None
        self._closed = False
        # An application may hold thousands of clients: an empty map and a shared set are the smallest.
        self._under_way: dict[asyncio.Task[Any] | None, None] = {}
        # Apart, because a task that reads a stream may send requests meanwhile.
        self._streaming: tuple[asyncio.Task[Any] | None, ...] = ()
        self._ended: frozenset[asyncio.Task[Any] | None] = frozenset()
        self._one_ended: asyncio.Future[None] | None = None

    def enter_loop(self) -> asyncio.AbstractEventLoop:
        """The running event loop, which is the only one this client may be used in.

        Raises:
            ClientStateError: When closed, or in another event loop than before.
        """
        if self._closed:
            raise ClientStateError("This client is closed: make a new one", code="B24OAUTH_CLIENT_CLOSED")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop, self.entered_at = loop, loop.time()
        elif self._loop is not loop:
            raise ClientStateError(
                "This client belongs to another event loop: make one for each loop, or use asyncio.run() only once",
                code="B24OAUTH_OTHER_EVENT_LOOP",
            )
        return loop

    @property
    def response_timeout(self) -> float | None:
        """How long a request waits for a response, seconds; None: without a limit."""
        return self._timeout.read

    def loop_time(self) -> float | None:
        """The clock of the loop this client lives in, seconds; None before its first use."""
        return None if self._loop is None else self._loop.time()

    async def send(
        self, url: str, body: bytes | None, headers: Mapping[str, str], *, timeout: float | None = None
    ) -> RawAnswer:
        """Posts a body, or asks with GET when there is none; follows no redirect and adds no authentication.

        Args:
            url: Address, with its query.
            body: What to post.
            headers: Headers of this request.
            timeout: Instead of the client's own, seconds.

        Raises:
            NoAnswer: When no whole answer came.
            ClientStateError: When closed, or in another event loop than before.
        """
        if self._clients.learns_late:
            await asyncio.sleep(0)
        # Whoever waited while the client was closed must not open a connection that nobody closes.
        self.enter_loop()
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            # Transports differ in what they make of it: an error, or bytes that nobody meant.
            raise NoAnswer(sent=False, timed_out=False, reason=httpx.LocalProtocolError.__name__)
        try:
            return await self._exchange(
                url, body, headers, self._timeout if timeout is None else httpx.Timeout(timeout)
            )
        except Exception as error:
            meant = meant_by(error)
            if meant is None:
                raise
        # Raised outside of the except block: httpx's errors hold the request with its secrets.
        raise _no_answer(meant)

    @asynccontextmanager
    async def stream(self, url: str, headers: Mapping[str, str]) -> AsyncGenerator[StreamedAnswer]:
        """Asks with GET for a body of any size; follows no redirect, adds no authentication, and logs no address.

        Closing the wire cancels what runs inside the context, and `NoAnswer` is raised.

        Args:
            url: Address, with its query.
            headers: Headers of this request.

        Raises:
            NoAnswer: No answer came, or the wire was closed meanwhile.
            ClientStateError: When closed, or in another event loop than before.
        """
        if self._clients.learns_late:
            await asyncio.sleep(0)
        self.enter_loop()
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise NoAnswer(sent=False, timed_out=False, reason=httpx.LocalProtocolError.__name__)
        client, task = self._clients.take(), asyncio.current_task()
        self._streaming += (task,)
        response: httpx.Response | None = None
        try:
            response = await self._opened(client, url, headers)
            yield StreamedAnswer(response, self.enter_loop)
        except asyncio.CancelledError:
            if task is None or task not in self._ended or task.cancelling() > 1:
                raise  # by the caller
        else:
            return
        finally:
            if response is not None:
                with anyio.CancelScope(shield=True):
                    await response.aclose()
            self._clients.give_back(client)
            others = list(self._streaming)
            others.remove(task)
            self._streaming = tuple(others)
            self._no_longer_under_way(task)
        raise NoAnswer(sent=True, timed_out=False, reason="the client was closed")

    async def _opened(self, client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> httpx.Response:
        try:
            request = self._clients.streamed_request(client, url, headers, self._timeout)
            with unlogged():
                return await client.send(request, auth=None, follow_redirects=False, stream=True)
        except Exception as error:
            meant = meant_by(error)
            if meant is None:
                raise
        raise _no_answer(meant)

    async def _exchange(
        self, url: str, body: bytes | None, headers: Mapping[str, str], timeout: httpx.Timeout
    ) -> RawAnswer:
        client, task = self._clients.take(), asyncio.current_task()
        self._under_way[task] = None
        try:
            request = self._clients.request(client, url, body, headers, timeout)
            # A redirect would carry the token to whoever it names; `auth=None` keeps .netrc out.
            answer = await client.send(request, auth=None, follow_redirects=False)
            return RawAnswer(answer.status_code, answer.headers, answer.content)
        except asyncio.CancelledError:
            if task is None or task not in self._ended or task.cancelling() > 1:
                raise  # by the caller
        finally:
            self._clients.give_back(client)
            self._no_longer_under_way(task)
        raise NoAnswer(sent=True, timed_out=False, reason="the client was closed")

    def _no_longer_under_way(self, task: asyncio.Task[Any] | None) -> None:
        self._under_way.pop(task, None)
        if task is not None and task in self._ended:
            # However it ended: what was asked of it by the close alone must not be left to the caller.
            task.uncancel()
        if self._one_ended is not None and not self._one_ended.done():
            self._one_ended.set_result(None)

    async def aclose(self) -> None:
        """Ends what is under way and closes the clients that were made here. May be called twice.

        A client that was given stays open.
        """
        self._closed = True
        cancelled = await self._end_all()
        await self._clients.aclose()
        if cancelled is not None:
            raise cancelled

    async def _end_all(self) -> asyncio.CancelledError | None:
        """Ends what is under way. A cancellation is given back, since connections must be closed before it counts."""
        loop, here, cancelled = asyncio.get_running_loop(), asyncio.current_task(), None
        if loop is not self._loop:
            return None
        # A task that closes the client while it reads a stream must not wait for itself.
        while left := [task for task in (*self._under_way, *self._streaming) if task is not here]:
            # Some transports would go on with a connection that is just being made, and send the request.
            ending = {task for task in left if task is not None and task not in self._ended}
            self._ended = self._ended.union(ending)
            for task in ending:
                task.cancel()
            if self._one_ended is None or self._one_ended.done():
                self._one_ended = loop.create_future()
            try:
                await asyncio.wait([self._one_ended])
            except asyncio.CancelledError as error:
                cancelled = error
        return cancelled


def _no_answer(meant: type[Exception]) -> NoAnswer:
    return NoAnswer(
        sent=not issubclass(meant, _NEVER_SENT),
        timed_out=issubclass(meant, httpx.TimeoutException),
        reason=meant.__name__,
    )
