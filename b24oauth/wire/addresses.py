"""URL parsing and normalization, identical for all HTTP libraries. Pure."""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import urlsplit

__all__ = ["Address", "Origin", "parse_address"]

_PORTS: Final = {"https": 443, "http": 80}
# What needs no change: a lower-case ASCII host, and a path without dot segments. Everything else is handled by the slow
# path.
_PLAIN: Final = re.compile(
    r"(https?)://([a-z0-9_-]+(?:\.[a-z0-9_-]+)*)(?::([0-9]{1,5}))?((?:/(?!\.)[\w.~!$&'()*+,;=:@-]*)*)", re.ASCII
)
_PLAIN_QUERY: Final = re.compile(r"[\w.~&=+*-]*(?:%[0-9A-Fa-f]{2}[\w.~&=+*-]*)*", re.ASCII)
# Characters that are percent-encoded, as httpx does it (the WHATWG sets of paths and queries).
_UNSAFE_PATH: Final = re.compile(r"[^\x21\x24-\x3b\x3d\x40-\x5f\x61-\x7a\x7c\x7e]")
_UNSAFE_QUERY: Final = re.compile(r"[^\x21\x24-\x3b\x3d\x3f-\x7e]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_IPV4: Final = re.compile(r"[0-9]+(\.[0-9]+){3}", re.ASCII)
_LONGEST: Final = 64 * 1024


class Origin(NamedTuple):
    """Scheme, host and port of a URL.

    Attributes:
        scheme: "https" or "http".
        host: The host in ASCII, without brackets.
        port: The port, never None.
    """

    scheme: str
    host: str
    port: int

    @property
    def netloc(self) -> str:
        """The host as a `Host` header names it: an IPv6 address in brackets, the port unless it is the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


class Address(NamedTuple):
    """The address of one request.

    Attributes:
        origin: Where it goes.
        path: The encoded path, beginning with a slash.
        query: The encoded query, without its question mark; empty without one.
        base: Scheme, host and port as text, without the path.
    """

    origin: Origin
    path: str
    query: str
    base: str

    @property
    def text(self) -> str:
        """The whole address."""
        return f"{self.base}{self.path}?{self.query}" if self.query else self.base + self.path


def parse_address(url: str) -> Address | None:
    """Parses a URL; returns None if it is invalid.

    Args:
        url: An absolute http or https address; a fragment is dropped.
    """
    path, _, query = url.partition("#")[0].partition("?")
    known = _without_query(path)
    if known is None or len(url) > _LONGEST:
        return None
    if query and not _PLAIN_QUERY.fullmatch(query):
        if _CONTROL.search(query):
            return None
        query = _encode(query, _UNSAFE_QUERY)
    return known._replace(query=query) if query else known


@lru_cache(maxsize=256)
def _without_query(url: str) -> Address | None:
    plain = _PLAIN.fullmatch(url)
    if plain is not None:
        scheme, host, port, path = plain.groups()
        origin = _origin(scheme, host, port)
    else:
        origin, path = _parse_unusual(url)
    return None if origin is None else Address(origin, path or "/", "", f"{origin.scheme}://{origin.netloc}")


def _parse_unusual(url: str) -> tuple[Origin | None, str]:
    if _CONTROL.search(url):
        return None, ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None, ""
    if parts.scheme not in _PORTS or "@" in parts.netloc:
        return None, ""
    origin = _origin(parts.scheme, _ascii_host(host), None if port is None else str(port))
    return origin, _without_dots(_encode(parts.path, _UNSAFE_PATH))


def _origin(scheme: str, host: str | None, port: str | None) -> Origin | None:
    number = int(port) if port else _PORTS[scheme]
    if not host or number > 65535 or (_IPV4.fullmatch(host) and not _is_ip_address(host)):
        return None
    return Origin(scheme, host, number)


def _ascii_host(host: str) -> str | None:
    if ":" in host:
        return host if _is_ip_address(host) else None
    if host.isascii():
        return host if re.fullmatch(r"[a-z0-9._-]+", host) else None
    import idna  # noqa: PLC0415 - it comes with httpx, and few names need it

    try:
        return idna.encode(host).decode("ascii")
    except (ValueError, IndexError):
        return None


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _without_dots(path: str) -> str:
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept and kept != [""]:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    return "/".join(kept)


def _encode(text: str, unsafe: re.Pattern[str]) -> str:
    return unsafe.sub(lambda found: "".join(f"%{byte:02X}" for byte in found[0].encode()), text)
