"""The type of HTTP clients that are not made here; for type checkers only, since none of them need be installed."""

from __future__ import annotations

from typing import TypeAlias

import aiohttp
import httpx
import httpx2

__all__ = ["ForeignClient"]

ForeignClient: TypeAlias = httpx.AsyncClient | httpx2.AsyncClient | aiohttp.ClientSession
