"""Which httpx client is made when none is given, and what the failures of each transport mean."""

from __future__ import annotations

import importlib
from typing import Any, Final, Literal
from urllib.request import getproxies

import httpx

from b24oauth.errors import ConfigurationError

__all__ = ["Transport", "TransportName", "chosen_transport", "make_client", "meant_by"]

Transport = Literal["httpx", "aiohttp"]
TransportName = Literal["auto", "httpx", "aiohttp"]

# As httpx does it: idle connections are closed before a server does, and headers may be long.
_KEPT_ALIVE: Final = 5.0
_LONGEST_HEADER: Final = 64 * 1024
# Renewals pass by the gate, and so does what a callback sends.
_SPARE_CONNECTIONS: Final = 4
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


def make_client(
    transport: Literal["httpx", "aiohttp"], *, timeout: httpx.Timeout, connections: int
) -> httpx.AsyncClient:
    """A client that follows no redirects and keeps a connection for each request under way.

    Args:
        transport: What it sends with.
        timeout: For connecting, and for each part of an answer.
        connections: Requests under way at most.
    """
    # httpx closes idle connections as soon as there are more connections than it keeps alive.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections + _SPARE_CONNECTIONS)
    options: dict[str, Any] = {"timeout": timeout, "limits": limits, "follow_redirects": False}
    if transport == "httpx":
        return httpx.AsyncClient(**options)
    from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient  # noqa: PLC0415 - an extra

    if getproxies():
        return HttpxAiohttpClient(**options)  # a transport of one's own passes by the proxies of the environment
    return httpx.AsyncClient(transport=AiohttpTransport(client=_session), **options)


def _session() -> Any:
    import aiohttp  # noqa: PLC0415 - an extra

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=httpx.create_ssl_context(), keepalive_timeout=_KEPT_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),  # httpx has one
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )


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
