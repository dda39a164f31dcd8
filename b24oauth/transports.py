"""Which httpx clients are made when none is given, and what the failures of each transport mean."""

from __future__ import annotations

import importlib
import logging
import ssl
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, Literal
from urllib.request import getproxies

import httpx

from b24oauth.errors import ConfigurationError

__all__ = ["Clients", "Transport", "TransportName", "chosen_transport", "meant_by", "unlogged"]

Transport = Literal["httpx", "aiohttp"]
TransportName = Literal["auto", "httpx", "aiohttp"]

# Known to `over_aiohttp` too, which reads whole bodies otherwise.
_STREAMED: Final = "b24oauth.streamed"
# httpx-aiohttp takes a cut connection for one that was never made, and lets other errors through as they are.
# Errors by the names of their classes, so that aiohttp is not imported to be asked; the first fitting row counts.
_OF_AIOHTTP: Final[tuple[tuple[str, type[Exception]], ...]] = (
    ("ConnectionTimeoutError", httpx.ConnectTimeout),
    ("ServerTimeoutError", httpx.ReadTimeout),
    ("ClientHttpProxyError", httpx.ProxyError),
    ("ClientProxyConnectionError", httpx.ProxyError),
    ("ClientConnectorError", httpx.ConnectError),
    ("InvalidURL", httpx.InvalidURL),
    ("NonHttpUrlClientError", httpx.UnsupportedProtocol),
    ("ClientPayloadError", httpx.RemoteProtocolError),
    ("ClientResponseError", httpx.RemoteProtocolError),
    ("ServerDisconnectedError", httpx.RemoteProtocolError),
    ("ClientError", httpx.ReadError),
)


# What names addresses, or headers with addresses in them, in its records.
_LOGGERS: Final = ("httpx", *(f"httpcore.{name}" for name in ("connection", "http11", "http2", "proxy", "socks")))
_silent: Final[ContextVar[bool]] = ContextVar("b24oauth_unlogged", default=False)


class _Unlogged(logging.Filter):
    """Drops the records of requests whose addresses hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not _silent.get()


_UNLOGGED: Final = _Unlogged()


@contextmanager
def unlogged() -> Generator[None]:
    """A context in which the HTTP libraries write no log records."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_UNLOGGED)  # once: the same filter is not added twice
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)


def chosen_transport(name: TransportName) -> Transport:
    """The transport to use: aiohttp where the extra `speed` is installed, unless another one is asked for.

    Args:
        name: What is asked for.

    Raises:
        ConfigurationError: It is not installed, or there is none of this name.
    """
    if name not in ("auto", "httpx", "aiohttp"):
        raise ConfigurationError('transport must be "auto", "httpx" or "aiohttp"')
    if name == "httpx":
        return "httpx"
    try:
        # Here and not at the first request, which runs in an event loop.
        importlib.import_module("httpx_aiohttp")
    except ImportError:
        if name == "auto":
            return "httpx"
    else:
        return "aiohttp"
    raise ConfigurationError('transport "aiohttp" needs an extra: pip install "b24oauth[speed]"')


class Clients:
    """The httpx clients that requests are sent with, made as they are needed unless one is given.

    Over httpx each request under way has one of its own: a pool looks at all of its connections for each request, and
    gives the same connection to several that begin at once. Over aiohttp one client serves all.

    Args:
        given: A client of the caller's, which stays his to close.
        transport: What clients made here send with.
        timeout: For connecting, and for each part of an answer.

    Raises:
        ConfigurationError: The transport is not installed.
    """

    def __init__(self, given: httpx.AsyncClient | None, transport: TransportName, *, timeout: httpx.Timeout) -> None:
        self._transport: Transport | None = None if given is not None else chosen_transport(transport)
        self._timeout = timeout
        self._context: ssl.SSLContext | None = None
        self._given = self._shared = given
        self._made: list[httpx.AsyncClient] = []
        self._idle: list[httpx.AsyncClient] = []
        self._build = _built
        self._known_headers: tuple[Mapping[str, str] | None, httpx.Headers] = (None, httpx.Headers())

    @property
    def learns_late(self) -> bool:
        """True when it takes a turn of the loop to learn that the other side has closed an idle connection."""
        return self._transport == "aiohttp"

    def take(self) -> httpx.AsyncClient:
        """A client for one request: the one used last, whose connection is the least likely to be closed."""
        if self._shared is not None:
            return self._shared
        return self._idle.pop() if self._idle else self._make()

    def request(
        self,
        client: httpx.AsyncClient,
        url: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout: httpx.Timeout,
    ) -> httpx.Request:
        """What is sent: as the caller's client would build it, with all that he set, or the same in fewer steps.

        Args:
            client: A client that was taken.
            url: Address, with its query.
            body: What to post; None asks with GET.
            headers: Headers of this request.
            timeout: For this request.
        """
        method = "GET" if body is None else "POST"
        if client is self._given:
            return client.build_request(method, url, content=body, headers=headers, timeout=timeout)
        if headers is not self._known_headers[0]:
            complete = httpx.Headers(client.headers)
            complete.update(headers)
            self._known_headers = (headers, complete)
        return self._build(method, url, body, self._known_headers[1], timeout)

    def streamed_request(
        self, client: httpx.AsyncClient, url: str, headers: Mapping[str, str], timeout: httpx.Timeout
    ) -> httpx.Request:
        """As `request`, asking with GET for a body that is read part by part."""
        request = self.request(client, url, None, headers, timeout)
        request.extensions = {**request.extensions, _STREAMED: True}
        return request

    def give_back(self, client: httpx.AsyncClient) -> None:
        """Keeps a client for the next request."""
        if self._shared is None:
            self._idle.append(client)

    def _make(self) -> httpx.AsyncClient:
        if self._context is None:
            self._context = httpx.create_ssl_context()
        if self._transport == "aiohttp":
            client = self._shared = self._make_over_aiohttp(self._context)
        else:
            client = httpx.AsyncClient(verify=self._context, timeout=self._timeout, follow_redirects=False)
        # Calls of one PHP session run one after another, so no cookie is sent: looking for one would cost for nothing.
        client.cookies.extract_cookies = _no_cookies  # type: ignore[assignment, method-assign]  # httpx has no switch
        self._made.append(client)
        return client

    def _make_over_aiohttp(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        from b24oauth import over_aiohttp  # noqa: PLC0415 - an extra

        if getproxies():
            return over_aiohttp.proxied_client(context, self._timeout)
        self._build = over_aiohttp.request
        return over_aiohttp.client(context, self._timeout)

    async def aclose(self) -> None:
        """Closes those that were made here. May be called twice."""
        while self._made:
            await self._made.pop().aclose()


def _no_cookies(_: httpx.Response) -> None:
    pass


def _built(method: str, url: str, body: bytes | None, headers: httpx.Headers, timeout: httpx.Timeout) -> httpx.Request:
    return httpx.Request(method, url, content=body, headers=headers, extensions={"timeout": timeout.as_dict()})


def meant_by(error: Exception) -> type[Exception] | None:
    """The class of httpx's errors that a failure belongs to, None when it is no failure of a request.

    Args:
        error: What a client raised, of whatever transport.
    """
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) else error
    ancestors = {kind.__name__ for kind in type(cause).__mro__ if kind.__module__.startswith("aiohttp.")}
    for name, meant in _OF_AIOHTTP:
        if name in ancestors:
            return meant
    return type(error) if isinstance(error, (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)) else None
