"""Suppresses log records of the HTTP libraries for requests whose URL contains a token."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

__all__ = ["unlogged"]

# Loggers of the HTTP libraries whose records contain URLs or headers with URLs.
_LOGGERS: Final = (
    "httpx",
    "httpx2",
    "aiohttp.client",
    *(
        f"{package}.{module}"
        for package in ("httpcore", "httpcore2")
        for module in ("connection", "http11", "http2", "proxy", "socks")
    ),
)
_silent: Final[ContextVar[bool]] = ContextVar("b24oauth_unlogged", default=False)


class _Unlogged(logging.Filter):
    """Drops the records of requests whose addresses hold a token."""

    def filter(self, record: logging.LogRecord) -> bool:
        del record
        return not _silent.get()


_UNLOGGED: Final = _Unlogged()


@contextmanager
def unlogged() -> Generator[None]:
    """Context manager that suppresses the log records of the HTTP libraries."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_UNLOGGED)  # once: the same filter is not added twice
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)
