"""Wires over every transport: connections of their own, and clients that are given."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from b24oauth.wire import NoResponse, Wire

OWN = ("httpx", "httpx2", "aiohttp")
GIVEN = ("given httpx", "given httpx2", "given aiohttp")

BODY = b'{"result":true}'
FINE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + BODY

MakeWire = Callable[..., AbstractAsyncContextManager[Wire]]


@asynccontextmanager
async def given_client(kind: str, **options: Any) -> AsyncIterator[Any]:
    """A client of the library that a kind of wire is given."""
    # Imported here, since a run may be without one of them.
    package: Any = importlib.import_module(kind.removeprefix("given "))
    kind_of_client = package.ClientSession if package.__name__ == "aiohttp" else package.AsyncClient
    async with kind_of_client(**options) as client:
        yield client


@asynccontextmanager
async def wire_of(kind: str, **options: Any) -> AsyncIterator[Wire]:
    """A wire of one kind, closed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        if kind in GIVEN:
            wire = Wire(await stack.enter_async_context(given_client(kind)), **options)
        else:
            wire = Wire(transport=kind, **options)  # type: ignore[arg-type]
        await stack.enter_async_context(wire)
        yield wire


async def post(wire: Wire, url: str, body: bytes = b"{}", headers: dict[str, str] | None = None, **options: Any) -> Any:
    return await wire.send("POST", url, body, {"Content-Type": "application/json"} | (headers or {}), **options)


async def failure(wire: Wire, url: str, body: bytes = b"token=S3CR3T", **options: Any) -> NoResponse:
    with pytest.raises(NoResponse) as caught:
        await post(wire, url, body, {"X-Token": "S3CR3T"}, **options)
    return caught.value


async def read(wire: Wire, url: str, headers: dict[str, str] | None = None) -> bytes:
    body = b""
    async with wire.stream(url, headers or {}) as response:
        async for part in response:
            body += part
    return body
