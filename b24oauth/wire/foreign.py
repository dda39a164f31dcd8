"""Type alias for user-supplied HTTP clients; used only by type checkers, because the libraries are optional."""

from __future__ import annotations

from typing import TypeAlias

import aiohttp
import httpx
import httpx2

__all__ = ["ForeignClient"]

ForeignClient: TypeAlias = httpx.AsyncClient | httpx2.AsyncClient | aiohttp.ClientSession
