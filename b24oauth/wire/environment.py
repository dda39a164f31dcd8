"""Reads proxy settings from environment variables with curl's rules. Pure; used by all transports."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

import attrs

from b24oauth.errors import ConfigurationError
from b24oauth.wire.addresses import Origin

__all__ = ["Proxy", "ProxyRules", "parse_proxy"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Some desktop environments use the scheme `socks`. Host names are always resolved by the proxy, so socks5 equals
# socks5h.
_SCHEMES: Final = {"http": 80, "https": 443, "socks": 1080, "socks5": 1080, "socks5h": 1080}
_LONGEST_HOST: Final = 253
_HAS_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NAME: Final = re.compile(r"(?:\*?\.)?([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?(?::([0-9]{1,5}))?", re.ASCII)
_BRACKETED: Final = re.compile(r"\[([^\[\]]*)\](/[0-9]{1,3})?(?::([0-9]{1,5}))?", re.ASCII)
_IPV4_WITH_PORT: Final = re.compile(r"([0-9.]+):([0-9]{1,5})", re.ASCII)


@attrs.frozen(kw_only=True)
class Proxy:
    """A proxy.

    Attributes:
        scheme: "http", "https" or "socks5".
        host: Its host, without brackets.
        port: Its port.
        username: Empty without credentials.
        password: Empty without credentials.
        source: Where it is configured: the name of a variable or argument.
    """

    scheme: str
    host: str
    port: int
    username: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)
    source: str

    @property
    def is_socks(self) -> bool:
        """True for a SOCKS proxy."""
        return self.scheme == "socks5"

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """Its address without the credentials."""
        return f"{self.scheme}://{self.place}"

    @property
    def authorization(self) -> str | None:
        """The value of `Proxy-Authorization`, None without credentials."""
        if not self.username and not self.password:
            return None
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode("ascii")


def parse_proxy(value: str, source: str) -> Proxy:
    """Reads the address of a proxy.

    Args:
        value: Such as ``http://user:password@host:port``; without a scheme it is http.
        source: Where it is configured: the name of a variable or argument.

    Raises:
        ConfigurationError: It is not the address of a proxy that can be used; names the source.
    """
    text = value.strip()
    scheme, host, username, password, port = "", "", "", "", None
    with contextlib.suppress(ValueError):
        parts = urlsplit(text if _HAS_SCHEME.match(text) else f"http://{text}")
        scheme, host, port = parts.scheme, parts.hostname or "", parts.port
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
    is_host = host.isascii() and host.isprintable() and not re.search(r"[\s%/\\]", host)
    if scheme not in _SCHEMES or not host or not is_host or port == 0 or len(host) > _LONGEST_HOST:
        # urllib's own exception would include the URL with the password, so raise ours instead.
        raise ConfigurationError(
            f"{source} is not the address of a usable proxy: write http://host:port, https://host:port or "
            "socks5://host:port, with user:password@ before the host if needed; or unset it"
        )
    return Proxy(
        scheme="socks5" if scheme.startswith("socks") else scheme,
        host=host,
        port=_SCHEMES[scheme] if port is None else port,
        username=username,
        password=password,
        source=source,
    )


class ProxyRules:
    """Selects the proxy for a URL from the environment variables.

    Args:
        environ: The variables of the environment.

    Attributes:
        unreadable: Positions, from 1, of the entries of `NO_PROXY` that cannot be read and are skipped.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._proxies = {
            "http": _first(environ, "http_proxy", *_upper_http_proxy(environ), "all_proxy", "ALL_PROXY"),
            "https": _first(environ, "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
        }
        self._parsed: dict[str, Proxy] = {}
        _, without = _first(environ, "no_proxy", "NO_PROXY")
        self._direct, self.unreadable = _parse_no_proxy(without)

    def has_proxy(self, origin: Origin) -> bool:
        """True when a proxy is configured for the scheme, whether or not `NO_PROXY` excludes the host."""
        return bool(self._proxies[origin.scheme][1])

    def proxy_for(self, origin: Origin) -> Proxy | None:
        """The proxy for an origin, None for a direct connection.

        Args:
            origin: Where the request goes.

        Raises:
            ConfigurationError: The proxy that it needs cannot be used; names the variable.
        """
        source, value = self._proxies[origin.scheme]
        if not value or any(entry.matches(origin) for entry in self._direct):
            return None
        if origin.scheme not in self._parsed:
            self._parsed[origin.scheme] = parse_proxy(value, source)
        return self._parsed[origin.scheme]


class _Entry(NamedTuple):
    """One entry of `NO_PROXY`: every host, a name with those below it, or a network; with a port only that one."""

    name: str = ""
    network: _Network | None = None
    port: int | None = None

    def matches(self, origin: Origin) -> bool:
        if self.port is not None and self.port != origin.port:
            return False
        if self.name == "*":
            return True
        host = origin.host.lower().removesuffix(".")
        if self.network is None:
            return host == self.name or host.endswith(f".{self.name}")
        address = _ip_address(host)
        return address is not None and address.version == self.network.version and address in self.network


def _first(environ: Mapping[str, str], *names: str) -> tuple[str, str]:
    for name in names:
        value = environ.get(name, "").strip()
        if value:
            return name, value
    return "", ""


def _upper_http_proxy(environ: Mapping[str, str]) -> tuple[str, ...]:
    # In a CGI process HTTP_PROXY contains the client's `Proxy` request header ("httpoxy", CVE-2016-5385).
    return () if "REQUEST_METHOD" in environ else ("HTTP_PROXY",)


def _parse_no_proxy(value: str) -> tuple[tuple[_Entry, ...], tuple[int, ...]]:
    entries: list[_Entry] = []
    unreadable: list[int] = []
    for position, text in enumerate(filter(None, re.split(r"[,\s]+", value)), start=1):
        entry = _parse_entry(text)
        if entry is None:
            unreadable.append(position)
        else:
            entries.append(entry)
    return tuple(entries), tuple(unreadable)


def _parse_entry(text: str) -> _Entry | None:
    if text == "*":
        return _Entry(name="*")
    bracketed = _BRACKETED.fullmatch(text)
    if bracketed is not None:
        inside, prefix, port = bracketed.groups()
        return _network_entry(inside + (prefix or ""), port)
    with_port = _IPV4_WITH_PORT.fullmatch(text)
    if with_port is not None:
        return _network_entry(*with_port.groups())
    if "/" in text or ":" in text.partition(":")[2] or re.fullmatch(r"[0-9.]+", text):
        return _network_entry(text, None)
    name = _NAME.fullmatch(text)
    return None if name is None else _Entry(name=name[1].lower(), port=_port(name[2]))


def _network_entry(text: str, port: str | None) -> _Entry | None:
    try:
        return _Entry(network=ipaddress.ip_network(text.partition("%")[0], strict=False), port=_port(port))
    except ValueError:
        return None


def _port(text: str | None) -> int | None:
    return None if text is None else int(text)


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
