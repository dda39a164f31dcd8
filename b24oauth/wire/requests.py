"""The interface between requests and transports: `Route`, `Opened` and `Transport`."""

from __future__ import annotations

import platform
import ssl
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from b24oauth._version import __version__
from b24oauth.wire.addresses import Address, Origin
from b24oauth.wire.bodies import ACCEPTED
from b24oauth.wire.environment import Proxy
from b24oauth.wire.exchanges import Exchange
from b24oauth.wire.failures import NoResponse, Place, proxy_refusal

__all__ = [
    "DEFAULT_HEADERS",
    "PART",
    "USER_AGENT",
    "Opened",
    "Route",
    "Transport",
    "checked_headers",
    "refuse_if_proxy",
]

USER_AGENT: Final = f"b24-python-oauth/{__version__} (Python {platform.python_version()})"
# Default headers. Accept-Encoding lists only encodings that `bodies` can decompress.
DEFAULT_HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {"Accept": "*/*", "Accept-Encoding": ACCEPTED, "Connection": "keep-alive", "User-Agent": USER_AGENT}
)
# Chunk size in bytes for large request bodies; each chunk must be sent within the timeout.
PART: Final = 64 * 1024


class Route(NamedTuple):
    """How an origin is reached.

    Attributes:
        proxy: The proxy; None for a direct connection.
        context: For TLS; None for a transport without TLS.
        place: For messages.
    """

    proxy: Proxy | None
    context: ssl.SSLContext | None
    place: Place

    @classmethod
    def to(cls, origin: Origin, proxy: Proxy | None, context: ssl.SSLContext | None) -> Route:
        """The route to an origin."""
        if proxy is None:
            return cls(None, context, Place(origin.netloc))
        is_tls_proxy = proxy.scheme == "https"
        return cls(proxy, context, Place(origin.netloc, proxy.place, is_tls_proxy, proxy.is_socks))


class Opened(Protocol):
    """A response whose body is still to be read.

    Attributes:
        status: HTTP status.
        headers: Headers, names in any case.
        encoding: The header `Content-Encoding`, all of its lines; empty without one.
        content: All of the body, unpacked, where a transport gives it at once; None otherwise.
    """

    @property
    def status(self) -> int: ...  # noqa: D102 - described above

    @property
    def headers(self) -> Mapping[str, str]: ...  # noqa: D102 - described above

    @property
    def encoding(self) -> str: ...  # noqa: D102 - described above

    @property
    def content(self) -> bytes | None: ...  # noqa: D102 - described above

    async def read(self) -> bytes:
        """The next bytes of the body as they came, empty at its end."""
        ...

    async def close(self) -> None:
        """Keeps the connection for another request if nothing is left on it, and closes it otherwise."""
        ...


class Transport(Protocol):
    """Sends requests with one of the libraries."""

    async def open(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], exchange: Exchange
    ) -> Opened:
        """Sends a request and waits for the head of the response; follows no redirect and keeps no cookie.

        Args:
            method: "GET" or "POST".
            url: Where it goes.
            body: None for a request without one.
            headers: Its headers besides the default ones.
            exchange: Receives progress notifications.

        Raises:
            NoResponse: The address is not valid, or the proxy refuses it.
            ConfigurationError: The proxy or the certificates for this address cannot be used.
            ClientStateError: The caller's own client is closed.
            Exception: Any error of the library; `failures` knows what it means.
        """
        ...

    async def aclose(self) -> None:
        """Closes the connections that were made here. May be called twice."""
        ...


def checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """The headers, if they can be sent.

    Raises:
        NoResponse: A header contains characters other than printable ASCII; the HTTP libraries treat these differently.
    """
    if not all(value.isascii() and value.isprintable() for value in headers.values()):
        raise NoResponse("a header holds other characters than printable ASCII", sent=False, retryable=False)
    return headers


async def refuse_if_proxy(opened: Opened, address: Address, route: Route) -> None:
    """Refuses a response of the proxy itself, which has forwarded nothing.

    Raises:
        NoResponse: The proxy wants other credentials.
    """
    if opened.status == 407 and route.proxy is not None and address.origin.scheme == "http":
        await opened.close()
        raise proxy_refusal(407, route.place)
