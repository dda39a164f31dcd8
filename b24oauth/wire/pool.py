"""The connections of one client, or of several that share a wire."""

from __future__ import annotations

import ssl

from b24oauth.errors import ConfigurationError
from b24oauth.observing import Log
from b24oauth.wire.choosing import Package, TransportName, chosen_transport, library_of
from b24oauth.wire.requests import Transport
from b24oauth.wire.routes import Routes

__all__ = ["Pool"]


class Pool:
    """The connections of one client, or of several that share a wire. Nothing is made before the first request.

    Args:
        client: Your own httpx or httpx2 `AsyncClient` or aiohttp `ClientSession`, which stays open;
            None to make connections here.
        transport: The library that connections made here use.
        proxy: As for `Routes`.
        ssl_context: As for `Routes`.
        log: As for `Routes`.

    Raises:
        ConfigurationError: The library is not installed, `client` is none of these, or the arguments exclude each
            other.
    """

    __slots__ = ("_client", "_made", "_package", "_routes")

    def __init__(
        self,
        client: object,
        transport: TransportName,
        *,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
        log: Log,
    ) -> None:
        self._package: Package
        if client is None:
            self._package = chosen_transport(transport)
        else:
            package = library_of(client)
            if package is None:
                raise ConfigurationError(
                    "http_client must be an aiohttp.ClientSession, an httpx2.AsyncClient or an httpx.AsyncClient, "
                    "or None for connections of the client's own"
                )
            if transport != "auto":
                raise ConfigurationError("http_client has a transport already: give one of http_client and transport")
            if proxy is not None or ssl_context is not None:
                raise ConfigurationError("http_client has a proxy and an ssl_context of its own: set them there")
            self._package = package
        self._client = client
        self._routes = Routes(proxy, ssl_context, log)
        self._made: Transport | None = None

    def transport(self) -> Transport:
        """What sends the requests, made at the first of them."""
        if self._made is None:
            self._made = self._new_transport()
        return self._made

    def _new_transport(self) -> Transport:
        if self._package == "aiohttp":
            from b24oauth.wire.over_aiohttp import GivenSession, OwnSession  # noqa: PLC0415 - an extra

            return OwnSession(self._routes) if self._client is None else GivenSession(self._client)
        from b24oauth.wire.over_httpx import GivenClient, OwnConnections  # noqa: PLC0415 - at the first request

        if self._client is None:
            return OwnConnections(self._package, self._routes)
        return GivenClient(self._package, self._client)

    async def aclose(self) -> None:
        """Closes the connections that were made here. May be called twice."""
        if self._made is not None:
            await self._made.aclose()
