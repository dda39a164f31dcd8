"""Selects the HTTP library: the one requested by the caller, or the best one installed."""

from __future__ import annotations

import importlib
from typing import Final, Literal

from b24oauth.errors import ConfigurationError

__all__ = ["Package", "TransportName", "chosen_transport", "is_installed", "library_of"]

Package = Literal["httpx", "httpx2", "aiohttp"]
TransportName = Literal["auto", "httpx", "httpx2", "aiohttp"]

_EXTRAS: Final = {"httpx2": "httpx2", "aiohttp": "speed"}
_CLIENTS: Final[dict[str, Package]] = {
    "httpx.AsyncClient": "httpx",
    "httpx2.AsyncClient": "httpx2",
    "aiohttp.ClientSession": "aiohttp",
}


def chosen_transport(name: TransportName) -> Package:
    """The library to send with.

    "auto" takes aiohttp where a fast JSON reader is installed too, since only both together are worth it; otherwise
    httpx2 where it is installed, otherwise httpx.

    Args:
        name: What the caller names.

    Raises:
        ConfigurationError: It is not installed, or there is none of this name.
    """
    if name == "auto":
        if (is_installed("msgspec") or is_installed("orjson")) and is_installed("aiohttp"):
            return "aiohttp"
        return "httpx2" if is_installed("httpx2") else "httpx"
    if name not in ("httpx", "httpx2", "aiohttp"):
        raise ConfigurationError('transport must be "auto", "httpx", "httpx2" or "aiohttp"')
    if not is_installed(name):
        extra = f"[{_EXTRAS[name]}]" if name in _EXTRAS else ""
        raise ConfigurationError(f'transport "{name}" is not installed: pip install "b24oauth{extra}"')
    return name


def library_of(client: object) -> Package | None:
    """The library whose client this is, None for anything else.

    Judged by the names of its classes, so that no library is imported to be asked.
    """
    for kind in type(client).__mro__:
        package = kind.__module__.partition(".")[0]
        known = _CLIENTS.get(f"{package}.{kind.__name__}")
        if known is not None:
            return known
    return None


def is_installed(name: str) -> bool:
    """Imports a package; returns False if it is not installed."""
    try:
        # Imported here and not at the first request, which would block the event loop.
        importlib.import_module(name)
    except ImportError:
        return False
    return True
