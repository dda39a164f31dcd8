"""Sends requests over httpx and httpx2; the same code serves both, only the package name differs."""

from __future__ import annotations

import asyncio
import importlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache, partial
from math import inf
from typing import Any, Final, NamedTuple

import anyio

from b24oauth.wire.choosing import Package
from b24oauth.wire.exchanges import Exchange, Limits
from b24oauth.wire.failures import NoResponse
from b24oauth.wire.lifetime import unusable_client
from b24oauth.wire.requests import DEFAULT_HEADERS, PART, Opened, Route, checked_headers, refuse_if_proxy
from b24oauth.wire.routes import Routes

__all__ = ["GivenClient", "OwnConnections"]

# As httpx does it: idle connections are closed before a server does.
_KEPT_ALIVE: Final = 5.0
# Idle connections that are kept, over all portals: a process may talk to thousands of them.
_MOST_IDLE: Final = 100


class OwnConnections:
    """Connections made here.

    Each running request uses its own httpx transport with one connection, because httpx's pool scans all its
    connections on every request.

    Args:
        package: "httpx" or "httpx2".
        routes: Which proxy and certificates an address needs.
    """

    def __init__(self, package: Package, routes: Routes) -> None:
        self._httpx: Any = importlib.import_module(package)
        self._routes = routes
        self._new_body = _body_class(package)
        self._limits = self._httpx.Limits(max_connections=1, keepalive_expiry=None)
        # Idle transports by origin, most recently used last: it is the least likely to have been closed by the server.
        self._idle: dict[str, list[_Idle]] = {}
        self._idle_count = 0
        self._is_closed = False
        self._no_tls: ssl.SSLContext | None = None
        self._known_headers: tuple[Mapping[str, str] | None, str, Any] = (None, "", None)

    async def open(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], exchange: Exchange
    ) -> Opened:
        """Sends a request; see `Transport.open`."""
        address, route = await self._routes.find(url, exchange)
        exchange.connecting()
        request = self._httpx.Request(
            method,
            address.text,
            headers=self._headers(headers, address.origin.netloc),
            stream=self._new_body(body or b"", exchange),
        )
        if body is not None:
            request.headers["Content-Length"] = str(len(body))
        transport = await self._take(address.base)
        if transport is None:
            transport = self._new_transport(route)
            request.extensions["trace"] = partial(_follow, exchange)
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            await _close(transport)
            await _close(exchange.connection)
            raise
        opened = _OwnResponse(response, transport, address.base, self)
        await refuse_if_proxy(opened, address, route)
        return opened

    def _headers(self, headers: Mapping[str, str], host: str) -> Any:
        known, known_host, complete = self._known_headers
        if headers is not known or host != known_host:
            complete = self._httpx.Headers({"Host": host, **DEFAULT_HEADERS})
            complete.update(checked_headers(headers))
            self._known_headers = (headers, host, complete)
        return complete

    async def _take(self, base: str) -> Any:
        """A transport whose connection can be used again, None without one."""
        while base in self._idle:
            transport, stream, since = self._pop(base, -1)
            # An idle connection that is readable was closed by the server or received unexpected bytes; do not reuse
            # it.
            if _now() - since <= _KEPT_ALIVE and not stream.get_extra_info("is_readable"):
                return transport
            await _close(transport)
        return None

    def _new_transport(self, route: Route) -> Any:
        proxy = None
        if route.proxy is not None:
            known = route.proxy
            auth = (known.username, known.password) if known.authorization is not None else None
            own_context = route.context if known.scheme == "https" else None
            proxy = self._httpx.Proxy(known.url, auth=auth, ssl_context=own_context)
        context = route.context
        if context is None:
            # Without TLS, pass an empty SSL context so that httpx does not load certificates.
            context = self._no_tls = self._no_tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return self._httpx.AsyncHTTPTransport(verify=context, limits=self._limits, proxy=proxy)

    async def give_back(self, transport: Any, stream: Any, base: str) -> None:
        """Keeps a transport whose connection is idle with nothing left on it."""
        if self._is_closed:
            await _close(transport)
            return
        self._idle.setdefault(base, []).append(_Idle(transport, stream, _now()))
        self._idle_count += 1
        if self._idle_count > _MOST_IDLE:
            await _close(self._pop(next(iter(self._idle)), 0).transport)

    def _pop(self, base: str, position: int) -> _Idle:
        idle = self._idle[base]
        popped = idle.pop(position)
        self._idle_count -= 1
        if not idle:
            del self._idle[base]
        return popped

    async def aclose(self) -> None:
        """Closes what is idle; what is in use is closed when it is given back. May be called twice."""
        self._is_closed = True
        while self._idle:
            await _close(self._pop(next(iter(self._idle)), 0).transport)


class GivenClient:
    """Your own client; used as it is and never closed by us.

    Args:
        package: "httpx" or "httpx2".
        client: An `AsyncClient` of that package.
    """

    def __init__(self, package: Package, client: Any) -> None:
        self._httpx: Any = importlib.import_module(package)
        self._new_body = _body_class(package)
        self._client = client
        self._given_headers: Mapping[str, str] | None = None
        self._headers: Mapping[str, str] = {}
        self._limits: Limits | None = None
        self._timeout: Any = None

    async def open(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], exchange: Exchange
    ) -> Opened:
        """Sends a request; see `Transport.open`."""
        client = self._client
        if headers is not self._given_headers:
            self._headers = {"Accept-Encoding": DEFAULT_HEADERS["Accept-Encoding"], **checked_headers(headers)}
            self._given_headers = headers
        if exchange.limits is not self._limits:
            self._limits = exchange.limits
            connect, pool = map(_without_infinity, exchange.limits[:2])
            self._timeout = self._httpx.Timeout(connect=connect, read=None, write=None, pool=pool)
        request = client.build_request(
            method,
            url,
            content=body,
            headers=self._headers,
            timeout=self._timeout,
            extensions={"trace": partial(_follow, exchange)},
        )
        if body is not None and len(body) > PART:
            request.stream = self._new_body(body, exchange)
        # A redirect would carry the token to the host that it names; `auth=None` keeps .netrc out.
        try:
            response = await client.send(request, auth=None, follow_redirects=False, stream=True)
        except BaseException as error:
            if not exchange.sent:
                await _close(exchange.connection)
            if not (isinstance(error, RuntimeError) and (client.is_closed or "loop" in str(error))):
                raise
        else:
            if response.is_stream_consumed:
                return _WholeResponse(response.status_code, response.headers, response.content)
            return _GivenResponse(response)
        if exchange.sent:
            raise NoResponse("the http_client belongs to another event loop", sent=True, retryable=False)
        raise unusable_client()

    async def aclose(self) -> None:
        """Does nothing: the client is the caller's to close."""


class _Idle(NamedTuple):
    """A transport that waits for its next request.

    Attributes:
        transport: The transport.
        stream: httpcore's stream of its connection.
        since: Since when, by the loop's clock.
    """

    transport: Any
    stream: Any
    since: float


async def _follow(exchange: Exchange, event: str, info: Mapping[str, Any]) -> None:
    """Tells an exchange what httpcore does with its request."""
    exchange.is_tracked = True  # a network transport of httpx's own
    if event.endswith(("connect_tcp.complete", "start_tls.complete")):
        # httpcore does not close the stream if the next step is cancelled or a SOCKS proxy refuses.
        exchange.connection = info["return_value"]
        return
    if event.endswith("send_request_headers.started"):
        # Ignore the CONNECT request to a proxy; it is not the API request.
        if info["request"].method != b"CONNECT":
            exchange.sending()
    elif event.endswith("send_request_body.complete") and exchange.sent:
        exchange.uploaded = True
        exchange.progress()


class _OwnResponse:
    """A response over a connection made here."""

    content = None

    def __init__(self, response: Any, transport: Any, base: str, owner: OwnConnections) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.encoding: str = response.headers.get("content-encoding", "")
        self._response = response
        self._parts: AsyncIterator[bytes] = response.stream.__aiter__()
        self._transport = transport
        self._base = base
        self._owner = owner
        self._is_complete = False

    async def read(self) -> bytes:
        """The next bytes of the body."""
        async for part in self._parts:
            return part
        self._is_complete = True
        return b""

    async def close(self) -> None:
        """Keeps the connection if the response was read and nothing follows it."""
        if not self._is_complete or _has_leftovers(self._response, self._response.stream) is not False:
            await _close(self._parts, self._transport)
            return
        try:
            await self._response.stream.aclose()
        except BaseException:
            await _close(self._transport)
            raise
        await self._owner.give_back(self._transport, self._response.extensions["network_stream"], self._base)


class _GivenResponse:
    """A response of your own client."""

    content = None

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.encoding: str = response.headers.get("content-encoding", "")
        self._response = response
        self._parts: AsyncIterator[bytes] = response.stream.__aiter__()
        self._is_complete = False

    async def read(self) -> bytes:
        """The next bytes of the body."""
        async for part in self._parts:
            return part
        self._is_complete = True
        return b""

    async def close(self) -> None:
        """Gives the connection back to the client, closed if bytes follow the response."""
        with anyio.CancelScope(shield=True):
            if self._is_complete and _has_leftovers(self._response, getattr(self._response.stream, "_stream", None)):
                # Check before releasing: a released connection can be reused immediately.
                await self._response.extensions["network_stream"].aclose()
            await _close(self._parts, self._response)


class _WholeResponse(NamedTuple):
    """A response whose body is there: of a transport without a network, or read by one of your event hooks."""

    status: int
    headers: Mapping[str, str]
    content: bytes
    encoding: str = ""

    async def read(self) -> bytes:
        """Nothing is left."""
        return b""

    async def close(self) -> None:
        """Nothing is open."""


def _has_leftovers(response: Any, stream: Any) -> bool | None:
    """Whether bytes behind a response were read with it, which httpcore would take for the next response.

    httpcore itself looks at the socket before it uses a connection again, but not at what was read from it already.
    There is no public way to learn of either buffer.

    Args:
        response: The response, read to its end.
        stream: httpx's stream of an `AsyncHTTPTransport`.

    Returns:
        None when the connection cannot be judged: it is HTTP/2, no network, or of an unknown version of httpcore.
    """
    try:
        state = stream._httpcore_stream._stream._connection._h11_state  # noqa: SLF001 - see above
        received = response.extensions["network_stream"]._stream  # noqa: SLF001 - see above
        if state.trailing_data[0]:
            return True
        while (encrypted := getattr(received, "_read_bio", None)) is not None:
            if encrypted.pending or received._ssl_object.pending():  # noqa: SLF001 - see above
                return True
            received = received.transport_stream
        return bool(received._protocol.read_queue)  # noqa: SLF001 - see above
    except (AttributeError, KeyError):
        return None


def _without_infinity(seconds: float) -> float | None:
    return None if seconds == inf else seconds


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _close(*opened: Any) -> None:
    """Closes transports and streams (None is ignored), even if the caller is cancelled.

    An iterator of a body that was not read to its end is one of them: otherwise the garbage collector closes it, maybe
    while the loop is shut down.
    """
    with anyio.CancelScope(shield=True):
        for one in opened:
            close = getattr(one, "aclose", None)
            if close is not None:
                await close()


@cache
def _body_class(package: Package) -> Callable[[bytes, Exchange], Any]:
    """The class of bodies that tell an exchange how much of them was written."""
    base: Any = importlib.import_module(package).AsyncByteStream

    class Body(base):  # type: ignore[misc]  # httpx takes only streams of its own base class
        def __init__(self, body: bytes, exchange: Exchange) -> None:
            self._body = body
            self._exchange = exchange

        async def __aiter__(self) -> AsyncIterator[bytes]:
            # httpx iterates the body after the headers were written; headers alone do not make the server execute the
            # request.
            exchange, body = self._exchange, self._body
            exchange.sending()
            for start in range(0, len(body), PART):
                yield body[start : start + PART]
                exchange.progress()
            exchange.uploaded = True

    return Body
