"""Selects proxy and certificates for each origin, and caches the result."""

from __future__ import annotations

import os
import ssl
from typing import Final

from b24oauth.errors import ConfigurationError
from b24oauth.observing import Log
from b24oauth.wire.addresses import Address, Origin, parse_address
from b24oauth.wire.certificates import Certificates, context_for
from b24oauth.wire.choosing import is_installed
from b24oauth.wire.environment import Proxy, ProxyRules, parse_proxy
from b24oauth.wire.exchanges import Exchange
from b24oauth.wire.failures import NoResponse
from b24oauth.wire.requests import Route

__all__ = ["Routes"]

# Bound the cache: download URLs may refer to an unlimited number of hosts.
_MOST_KNOWN: Final = 10_000


class Routes:
    """How addresses are reached by connections made here.

    Args:
        proxy: Address of a proxy; None for those of the environment.
        ssl_context: For TLS; None for certifi's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
        log: Gets a message about each entry of `NO_PROXY` that is skipped.

    Raises:
        ConfigurationError: `proxy` is not the address of a usable proxy.
    """

    __slots__ = ("_known", "_log", "_proxy", "_rules", "_ssl_context")

    def __init__(self, proxy: str | None, ssl_context: ssl.SSLContext | None, log: Log) -> None:
        self._proxy = None if proxy is None else parse_proxy(proxy, "proxy")
        self._ssl_context = ssl_context
        self._log = log
        self._rules: ProxyRules | None = None
        # Create lazily: an application may hold thousands of unused clients.
        self._known: dict[Origin, Route] | None = None

    async def find(self, url: str, exchange: Exchange) -> tuple[Address, Route]:
        """An address, taken apart, and how it is reached.

        Args:
            url: Where a request goes.
            exchange: Told where it goes.

        Raises:
            NoResponse: There can be no such address.
            ConfigurationError: The proxy or the certificates that it needs cannot be used; names where they are
                configured.
        """
        address = parse_address(url)
        if address is None:
            exchange.is_tracked = True
            raise NoResponse("the address is not valid", sent=False, retryable=False)
        route = None if self._known is None else self._known.get(address.origin)
        if route is None:
            route = await self._new_route(address.origin)
        exchange.place = route.place
        return address, route

    async def _new_route(self, origin: Origin) -> Route:
        proxy = self._proxy or self._proxy_of_environment(origin)
        if proxy is not None and proxy.is_socks and not is_installed("socksio"):
            raise ConfigurationError(
                f'{proxy.source} names a SOCKS proxy, which needs an extra: pip install "b24oauth[socks]"'
            )
        context = None
        if origin.scheme == "https" or (proxy is not None and proxy.scheme == "https"):
            context = self._ssl_context or await context_for(Certificates.of(os.environ))
        if self._known is None or len(self._known) >= _MOST_KNOWN:
            self._known = {}
        route = self._known[origin] = Route.to(origin, proxy, context)
        return route

    def _proxy_of_environment(self, origin: Origin) -> Proxy | None:
        if self._rules is None:
            self._rules = ProxyRules(os.environ)
        if self._rules.unreadable and self._rules.has_proxy(origin):
            positions = ", ".join(map(str, self._rules.unreadable))
            self._log.warning(f"NO_PROXY: skipped what cannot be read, entry {positions}", entries=positions)
            self._rules.unreadable = ()
        return self._rules.proxy_for(origin)
