"""One HTTP request and its response. Distinguishes the failures "never sent" and "sent, no response"."""

from __future__ import annotations

import asyncio
import ssl
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from math import inf
from typing import Final, Self, TypeVar, TypeVarTuple

from b24oauth.errors import ConfigurationError
from b24oauth.observing import Log
from b24oauth.protocol.decoding import RawResponse
from b24oauth.wire.addresses import parse_address
from b24oauth.wire.bodies import BadEncodingError, TooLargeError, Unpacker
from b24oauth.wire.choosing import TransportName
from b24oauth.wire.exchanges import Exchange, Exchanges, Limits, Wait
from b24oauth.wire.failures import (
    NoResponse,
    Place,
    ResponseTooLarge,
    badly_packed,
    is_failure,
    never_sent,
    no_response,
)
from b24oauth.wire.lifetime import Lifetime, closed_client
from b24oauth.wire.pool import Pool
from b24oauth.wire.requests import Opened
from b24oauth.wire.silence import unlogged
from b24oauth.wire.streams import StreamedResponse
from b24oauth.wire.turns import Turns

__all__ = ["CONNECT_TIMEOUT", "MAX_DOWNLOAD_SIZE", "MAX_RESPONSE_SIZE", "RESPONSE_TIMEOUT", "Wire"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

CONNECT_TIMEOUT: Final = 10.0
# A portal ends a request after 60 seconds, and its response needs some time too.
RESPONSE_TIMEOUT: Final = 65.0
MAX_RESPONSE_SIZE: Final = 64 * 1024 * 1024
MAX_DOWNLOAD_SIZE: Final = 1024 * 1024 * 1024
# Number of decompressed bytes after which control returns to the event loop.
_UNPACKED_AT_ONCE: Final = 1024 * 1024
# Digits of a Content-Length that is worth reading.
_LONGEST_NUMBER: Final = 18


class Wire:
    """Sends requests and waits for their responses, for one client or several.

    Args:
        http_client: An httpx or httpx2 `AsyncClient` or an aiohttp `ClientSession` of yours, used as it is and never
            closed here; None to make connections as they are needed.
        transport: The library that connections made here use: "httpx", "httpx2", "aiohttp"; "auto" takes aiohttp where
            the extra `speed` is installed, else httpx2 where it is installed, else httpx.
        timeout: Seconds to wait for the head of a response, for each 64 KiB of its body, and for each part of a
            request's body to be taken; None for no limit.
        connect_timeout: Seconds for making a connection, proxy and TLS included; None for no limit.
        max_response_size: Most bytes of an unpacked response; downloads have a limit of their own.
        proxy: Address of a proxy, such as "http://user:password@host:port" or "socks5://host:port"; None for those of
            the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY` …).
        ssl_context: For TLS; None for certifi's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
        wire: Another `Wire` whose connection pool is shared; it is not closed with this one.
        log: Gets a message about each entry of `NO_PROXY` that is skipped.

    Attributes:
        lifetime: Which event loop it lives in, and whether it is closed.
        enter_loop: As `Lifetime.enter`.
        loop_time: As `Lifetime.loop_time`.
        turns: Spreads calls of clients that share connections over turns of the loop; None for a wire of one client.

    Raises:
        ConfigurationError: The library is not installed, or arguments do not fit together.
    """

    lifetime: Lifetime

    __slots__ = (
        "__weakref__", "_exchanges", "_is_view", "_limits", "_max_response_size", "_pool", "_shared_by", "_transport",
        "enter_loop", "lifetime", "loop_time", "turns",
    )  # fmt: skip

    def __init__(
        self,
        http_client: object = None,
        *,
        transport: TransportName = "auto",
        timeout: float | None = RESPONSE_TIMEOUT,
        connect_timeout: float | None = CONNECT_TIMEOUT,
        max_response_size: int = MAX_RESPONSE_SIZE,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        wire: Wire | None = None,
        log: Log | None = None,
    ) -> None:
        _check_limits(timeout, connect_timeout, max_response_size)
        if wire is None:
            self._pool = Pool(http_client, transport, proxy=proxy, ssl_context=ssl_context, log=log or Log())
            self.turns: Turns | None = None
        else:
            if (http_client, transport, proxy, ssl_context) != (None, "auto", None, None):
                raise ConfigurationError(
                    "wire has connections already: set http_client, transport, proxy and ssl_context there"
                )
            self._pool = wire._share_with(self)  # noqa: SLF001 - an object of the same class
            self.turns = wire.shared_turns()
        self.lifetime = Lifetime(None if wire is None else wire.lifetime)
        self.enter_loop = self.lifetime.enter
        self.loop_time = self.lifetime.loop_time
        self._is_view = wire is not None
        self._shared_by: weakref.WeakSet[Wire] | None = None
        self._limits = Limits.of(connect_timeout, timeout)
        self._max_response_size = max_response_size
        self._exchanges: Exchanges | None = None

    def _share_with(self, other: Wire) -> Pool:
        if self._shared_by is None:
            self._shared_by = weakref.WeakSet()
        self._shared_by.add(other)
        return self._pool

    def shared_turns(self) -> Turns:
        """The turns of all wires that share these connections."""
        if self.turns is None:
            self.turns = Turns()
        return self.turns

    async def __aenter__(self) -> Self:
        self.lifetime.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def response_timeout(self) -> float | None:
        """How long a request waits for a response, seconds; None: without a limit."""
        return None if self._limits.response == inf else self._limits.response

    async def send(
        self,
        method: str,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        *,
        timeout: float | None = None,
    ) -> RawResponse:
        """Sends a request and reads the response; follows no redirect and adds no authentication.

        Args:
            method: "GET" or "POST".
            url: Address, with its query.
            body: What to send; None for nothing.
            headers: Headers of this request.
            timeout: Response timeout in seconds for this request; overrides the client's timeout.

        Raises:
            NoResponse: No complete response was received.
            ConfigurationError: The proxy or the certificates for this address cannot be used; nothing was sent.
            ClientStateError: The client is closed, or used in another event loop than before.
        """
        exchanges = self._exchanges or self._begin()
        self.enter_loop()
        limits = (
            self._limits if timeout is None else Limits(self._limits.connect, timeout, self._limits.connect + timeout)
        )
        exchange = Exchange(exchanges, limits)
        try:
            async with exchange.scope:
                try:
                    opened = await self._transport.open(method, url, body, headers, exchange)
                    try:
                        content = opened.content
                        if content is None:
                            content = await self._read(opened, exchange)
                        elif len(content) > self._max_response_size:
                            raise TooLargeError
                    finally:
                        await opened.close()
                finally:
                    exchanges.remove(exchange)
            return RawResponse(opened.status, opened.headers, content)
        except NoResponse:
            raise
        except Exception as error:
            failure = self._failure(error, exchange, url)
            if failure is None:
                raise
        # Raised outside of the except block: the libraries' errors hold the request with its secrets.
        raise failure

    async def send_silently(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> RawResponse:
        """Like `send`, but suppresses the HTTP libraries' logging, because the URL is secret."""
        with unlogged():
            return await self.send(method, url, body, headers)

    async def _read(self, opened: Opened, exchange: Exchange) -> bytes:
        """All of the body, unpacked."""
        limit = self._max_response_size
        exchange.progress()
        declared = opened.headers.get("content-length", "")
        if declared.isdecimal() and (len(declared) > _LONGEST_NUMBER or int(declared) > limit):
            raise TooLargeError
        parts: list[bytes] = []
        unpacker = Unpacker(opened.encoding, limit=limit) if opened.encoding else None
        received = unpacked = 0
        while data := await opened.read():
            exchange.received(len(data))
            received += len(data)
            if received > limit:
                raise TooLargeError
            if unpacker is None:
                parts.append(data)
                continue
            for part in unpacker.feed(data):
                parts.append(part)
                unpacked += len(part)
                if unpacked >= _UNPACKED_AT_ONCE:
                    unpacked = 0
                    await asyncio.sleep(0)
        if unpacker is not None:
            unpacker.finish()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    @asynccontextmanager
    async def stream(self, url: str, headers: Mapping[str, str]) -> AsyncGenerator[StreamedResponse]:
        """Requests a body of any size with GET; follows no redirect, adds no authentication, and logs no address.

        Closing the client cancels the `async with` block at whatever it is awaiting.

        Args:
            url: Address, with its query.
            headers: Headers of this request.

        Raises:
            NoResponse: No response came, or the client was closed meanwhile.
            ConfigurationError: The proxy or the certificates for this address cannot be used; nothing was sent.
            ClientStateError: The client is closed, or used in another event loop than before.
        """
        exchanges = self._exchanges or self._begin()
        self.enter_loop()
        exchange = Exchange(exchanges, self._limits)
        try:
            async with exchange.scope:
                try:
                    opened = await self._open_silently(url, headers, exchange)
                    try:
                        exchange.pause()  # each part has a deadline of its own
                        yield self._streamed(opened, exchange.place or _place_of(url))
                    finally:
                        await opened.close()
                finally:
                    exchanges.remove(exchange)
        except TimeoutError:
            if not exchange.scope.expired():
                raise  # a timeout of the reader's own
        else:
            return
        raise _given_up(exchange, exchange.place or _place_of(url))

    def _streamed(self, opened: Opened, place: Place) -> StreamedResponse:
        try:
            return StreamedResponse(opened, place, self._limits.response, self.lifetime)
        except BadEncodingError:
            failure = badly_packed(place)
        raise failure

    async def _open_silently(self, url: str, headers: Mapping[str, str], exchange: Exchange) -> Opened:
        try:
            with unlogged():
                return await self._transport.open("GET", url, None, headers, exchange)
        except NoResponse:
            raise
        except Exception as error:
            failure = self._failure(error, exchange, url)
            if failure is None:
                raise
        raise failure

    def _begin(self) -> Exchanges:
        """What is made at the first request."""
        self._exchanges = Exchanges(self.lifetime.enter())
        self._transport = self._pool.transport()
        return self._exchanges

    def _failure(self, error: Exception, exchange: Exchange, url: str) -> NoResponse | None:
        """Converts an exception to `NoResponse`; None if it is not a request failure."""
        place = exchange.place or _place_of(url)
        if isinstance(error, TooLargeError):
            return ResponseTooLarge(self._max_response_size, place)
        if isinstance(error, BadEncodingError):
            return badly_packed(place)
        if exchange.scope.expired():
            return _given_up(exchange, place)
        sent = exchange.may_be_sent and not never_sent(error)
        # httpcore raises AssertionError for an unexpected reply of a SOCKS proxy.
        if not is_failure(error) and (sent or not place.is_socks_proxy):
            return None
        return no_response(error, place, sent=sent)

    async def wait(self, waited: Callable[[*Ts], Awaitable[T]], *args: *Ts, within_renewal: bool = False) -> T:
        """Waits for something before a request; a close ends it.

        Args:
            waited: What is called and awaited.
            args: What it is called with.
            within_renewal: True for a call of a renewal's callback, which goes on until the renewal has ended.

        Raises:
            ClientStateError: The client is closed, is closed meanwhile, or is used in another event loop than before.
        """
        exchanges = self._exchanges or self._begin()
        self.enter_loop()
        self.lifetime.check_waiting(within_renewal=within_renewal)
        wait = Wait(exchanges, within_renewal=within_renewal)
        try:
            return await waited(*args)
        except asyncio.CancelledError:
            if not wait.was_ended():
                raise
        finally:
            exchanges.remove_wait(wait)
        raise closed_client()

    def end_waits(self) -> None:
        """Ends what calls wait for, and lets no more of it begin; those of a renewal's callbacks go on."""
        self.lifetime.stop()
        if self._exchanges is not None:
            self._exchanges.end_waits()

    async def aclose(self) -> None:
        """Ends the requests under way and closes the connections that were made here. May be called twice.

        A client that was given stays open, and so do the connections of a wire that is shared.

        Raises:
            ClientStateError: Called in another event loop than the client was used in; nothing is closed.
        """
        self.lifetime.check_loop()
        wires = (self, *(self._shared_by or ()))
        for wire in wires:
            wire.lifetime.close()
        cancelled: asyncio.CancelledError | None = None
        for wire in wires:
            cancelled = await wire._end_all() or cancelled  # noqa: SLF001 - an object of the same class
        if not self._is_view:
            await self._pool.aclose()
        if cancelled is not None:
            raise cancelled

    async def _end_all(self) -> asyncio.CancelledError | None:
        return None if self._exchanges is None else await self._exchanges.end_all()


def _given_up(exchange: Exchange, place: Place) -> NoResponse:
    """Creates the failure for an exchange that we aborted: client closed, or timeout."""
    if exchange.closing:
        return NoResponse("the client was closed", sent=exchange.may_be_sent)
    if not exchange.may_be_sent:
        reason = f"no connection to {place.reached} within {exchange.limits.connect:g} seconds"
        return NoResponse(reason, sent=False, timed_out=True)
    is_taken = exchange.uploaded or not exchange.sent
    what = f"no response from {place.host}" if is_taken else f"{place.host} took no more of the request"
    return NoResponse(f"{what} within {exchange.limits.response:g} seconds", sent=True, timed_out=True)


def _place_of(url: str) -> Place:
    """The place of an address for messages, where the connections are the caller's."""
    address = parse_address(url)
    return Place("the address" if address is None else address.origin.netloc)


def _check_limits(timeout: object, connect_timeout: object, max_response_size: object) -> None:
    for name, value in (("timeout", timeout), ("connect_timeout", connect_timeout)):
        if value is not None and not (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0):
            raise ConfigurationError(f"{name} must be a positive number of seconds, or None for no limit")
    is_size = isinstance(max_response_size, int) and not isinstance(max_response_size, bool) and max_response_size > 0
    if not is_size:
        raise ConfigurationError("max_response_size must be a positive whole number of bytes")
