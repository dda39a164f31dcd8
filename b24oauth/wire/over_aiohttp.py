"""Requests over a `ClientSession` of aiohttp. The only import of aiohttp."""

from __future__ import annotations

import asyncio
import select
import sys
import weakref
from collections.abc import Mapping
from functools import lru_cache
from math import inf
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict
from yarl import URL

from b24oauth.wire.addresses import Address, Origin, parse_address
from b24oauth.wire.choosing import is_installed
from b24oauth.wire.exchanges import Exchange
from b24oauth.wire.failures import NoResponse
from b24oauth.wire.lifetime import unusable_client
from b24oauth.wire.over_httpx import OwnConnections
from b24oauth.wire.requests import DEFAULT_HEADERS, PART, Opened, checked_headers, refuse_if_proxy
from b24oauth.wire.routes import Routes

__all__ = ["GivenSession", "OwnSession"]

# As httpx does it: idle connections are closed before a server does, and headers may be long.
_KEPT_ALIVE: Final = 5.0
_LONGEST_HEADER: Final = 64 * 1024


class OwnSession:
    """A session made here, at the first request.

    Args:
        routes: Which proxy and certificates an address needs.
    """

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._session: aiohttp.ClientSession | None = None
        self._over_socks: OwnConnections | None = None
        self._given_headers: Mapping[str, str] | None = None
        self._headers = CIMultiDict[str]()

    async def open(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], exchange: Exchange
    ) -> Opened:
        """Sends a request; see `Transport.open`."""
        address, route = await self._routes.find(url, exchange)
        if route.proxy is not None and route.proxy.is_socks:
            # aiohttp speaks no SOCKS, httpx does.
            if self._over_socks is None:
                self._over_socks = OwnConnections("httpx2" if is_installed("httpx2") else "httpx", self._routes)
            return await self._over_socks.open(method, url, body, headers, exchange)
        if body is None:
            timeout = _timeout(exchange.limits.connect, inf)
        else:
            # aiohttp takes the body when the connection is made, so that the exchange can keep the time.
            exchange.connecting()
            timeout = _timeout(inf, inf)
        if headers is not self._given_headers:
            complete = CIMultiDict(DEFAULT_HEADERS)
            complete.update(checked_headers(headers))
            self._given_headers, self._headers = headers, complete
        session = self._session or self._new_session()
        all_headers = self._headers
        ssl = True if route.context is None else route.context
        if route.proxy is None:
            return await _open(session, method, address, body, exchange, headers=all_headers, timeout=timeout, ssl=ssl)
        proxy_headers: dict[str, str] = {}
        if route.proxy.authorization is not None:
            proxy_headers["Proxy-Authorization"] = route.proxy.authorization
        if address.origin.scheme == "http":
            # Plain http through a proxy uses no CONNECT tunnel; the proxy itself processes the request.
            all_headers = all_headers.copy()
            all_headers.update(proxy_headers)
        opened = await _open(
            session,
            method,
            address,
            body,
            exchange,
            headers=all_headers,
            timeout=timeout,
            ssl=ssl,
            proxy=URL(route.proxy.url),
            proxy_headers=proxy_headers,
        )
        await refuse_if_proxy(opened, address, route)
        return opened

    def _new_session(self) -> aiohttp.ClientSession:
        # Names are resolved as httpx does it, whether or not aiodns is installed.
        connector = _Connector(limit=0, keepalive_timeout=_KEPT_ALIVE, resolver=aiohttp.ThreadedResolver())
        session = self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=_LONGEST_HEADER,
            max_field_size=_LONGEST_HEADER,
        )
        # aiohttp sends a GET again by itself when its connection breaks; the caller decides about that, and counts it.
        session._retry_connection = False  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - there is no public switch
        return session

    async def aclose(self) -> None:
        """Closes the session. May be called twice."""
        if self._session is not None:
            await self._session.close()
        if self._over_socks is not None:
            await self._over_socks.aclose()


class GivenSession:
    """Your own session; used as it is and never closed by us.

    Args:
        session: The session.
    """

    def __init__(self, session: Any) -> None:
        self._session: aiohttp.ClientSession = session

    async def open(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], exchange: Exchange
    ) -> Opened:
        """Sends a request; see `Transport.open`."""
        session, address = self._session, parse_address(url)
        # Its own property `loop` is deprecated.
        if session.closed or getattr(session, "_loop", None) is not asyncio.get_running_loop():
            raise unusable_client()
        if address is None:
            raise NoResponse("the address is not valid", sent=False, retryable=False)
        _drop_unclean(session, address.origin)
        all_headers = CIMultiDict({"Accept-Encoding": DEFAULT_HEADERS["Accept-Encoding"]})
        all_headers.update(checked_headers(headers))
        # Allow waiting for a pooled connection as long as for a response.
        timeout = _timeout(exchange.limits.response, exchange.limits.connect)
        return await _open(session, method, address, body, exchange, headers=all_headers, timeout=timeout)

    async def aclose(self) -> None:
        """Does nothing: the session is the caller's to close."""


async def _open(
    session: aiohttp.ClientSession,
    method: str,
    address: Address,
    body: bytes | None,
    exchange: Exchange,
    **options: Any,
) -> _Response:
    origin = address.origin
    response = await session.request(
        method,
        URL.build(
            scheme=origin.scheme, authority=origin.netloc, path=address.path, query_string=address.query, encoded=True
        ),
        data=None if body is None else _Body(body, exchange),
        allow_redirects=False,
        auto_decompress=False,
        raise_for_status=False,
        **options,
    )
    return _Response(response, exchange, has_body=body is not None)


class _Response:
    """A response whose body is still to be read."""

    content = None

    def __init__(self, response: aiohttp.ClientResponse, exchange: Exchange, *, has_body: bool) -> None:
        self.status = response.status
        self.headers = response.headers
        self.encoding = ", ".join(response.headers.getall("Content-Encoding", ()))
        self._response = response
        self._exchange = exchange
        self._has_body = has_body

    async def read(self) -> bytes:
        """The next bytes of the body."""
        return await self._response.content.read(PART)

    async def close(self) -> None:
        """Keeps the connection if the response was read; aiohttp closes it by itself when bytes follow."""
        response = self._response
        # If the response arrives before the whole request was written, the rest is not sent, so the connection cannot
        # be reused.
        if not response.content.at_eof() or (self._has_body and not self._exchange.uploaded):
            response.close()
        elif not response.closed:
            response.release()


class _Body(aiohttp.payload.Payload):
    """A body that tells an exchange how much of it was written."""

    _value: bytes

    def __init__(self, body: bytes, exchange: Exchange) -> None:
        super().__init__(body)
        self._size = len(body)
        self._exchange = exchange

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return self._value.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        body, exchange = self._value, self._exchange
        transport: asyncio.WriteTransport | None = getattr(writer, "transport", None)
        if transport is not None and not transport.is_closing():
            exchange.sending()  # otherwise the first write fails, and the other side has seen nothing
        if len(body) <= PART:
            await writer.write(body)
        else:
            for start in range(0, len(body), PART):
                await writer.write(body[start : start + PART])
                exchange.progress()
        exchange.uploaded = True


class _Connector(aiohttp.TCPConnector):
    """Does not reuse a connection on which unexpected bytes arrived; they would be read as the next response."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)  # pyright: ignore[reportUnknownMemberType] - an option of aiohttp's has an open type
        self._used = weakref.WeakSet[Any]()

    async def connect(self, req: Any, traces: Any, timeout: aiohttp.ClientTimeout) -> Any:
        while True:
            connection = await super().connect(req, traces, timeout)
            protocol = connection.protocol
            # On a new connection, readable bytes are part of the TLS handshake (session tickets).
            if protocol not in self._used:
                self._used.add(protocol)
                return connection
            if not _is_unclean(protocol):
                return connection
            connection.close()


def _drop_unclean(session: aiohttp.ClientSession, origin: Origin) -> None:
    """Closes the idle connections of a given session on which something came unasked.

    aiohttp has no public API for this; if `_conns` does not exist, nothing is closed.
    """
    for key, idle in list(getattr(session.connector, "_conns", {}).items()):
        if (key.host, key.port) == (origin.host, origin.port):
            for protocol, _ in list(idle):
                if _is_unclean(protocol):
                    protocol.close()


def _is_unclean(protocol: Any) -> bool:
    """True when bytes were received behind the last response, or wait in the socket, or the other side has closed."""
    transport = protocol.transport
    return protocol.should_close or transport is None or _is_readable(transport.get_extra_info("socket"))


def _is_readable(sock: Any) -> bool:
    number = -1 if sock is None else sock.fileno()
    if number < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))


@lru_cache(maxsize=16)
def _timeout(connect: float, sock_connect: float) -> aiohttp.ClientTimeout:
    """Timeouts for connecting only; response timeouts are handled by `Exchange`."""
    return aiohttp.ClientTimeout(
        total=None,
        connect=None if connect == inf else connect,
        sock_connect=None if sock_connect == inf else sock_connect,
    )
