"""Proxies on loopback: HTTP with tunnels, and SOCKS 5."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from tests.support.spies import listening


@attrs.define
class RunningProxy:
    """A proxy and what it heard.

    Attributes:
        place: Its host and port.
        heads: The heads of the requests that were sent to it itself.
        targets: Where it was asked to connect to.
        response: What an HTTP proxy answers instead of connecting; None: it connects.
        credentials: "user:password" that a SOCKS proxy wants.
    """

    place: str = ""
    heads: list[bytes] = attrs.field(factory=list)
    targets: list[str] = attrs.field(factory=list)
    response: bytes | None = None
    credentials: str | None = None


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: tuple[asyncio.StreamReader, asyncio.StreamWriter]
) -> None:
    try:
        await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))
    finally:
        there[1].close()


@asynccontextmanager
async def http_proxy(
    *, response: bytes | None = None, tls: ssl.SSLContext | None = None, to: str | None = None
) -> AsyncIterator[RunningProxy]:
    """An HTTP proxy.

    Args:
        response: What it answers to everything, after which it closes; None: it does its work.
        tls: How it speaks TLS itself.
        to: Host and port that it connects to, whatever it is asked for.
    """
    proxy = RunningProxy(response=response)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            proxy.heads.append(head)
            method, target, _ = head.decode().split(" ", 2)
            proxy.targets.append(target)
            if proxy.response is not None:
                writer.write(proxy.response)
                await writer.drain()
                return
            is_tunnel = method == "CONNECT"
            authority = to or (target if is_tunnel else target.split("/")[2])
            host, _, port = authority.rpartition(":")
            there = await asyncio.open_connection(host, int(port))
            if is_tunnel:
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                there[1].write(head.replace(target.encode(), path.encode(), 1))
            await _join(reader, writer, there)

    async with listening(talk, tls) as port:
        proxy.place = f"127.0.0.1:{port}"
        yield proxy


@asynccontextmanager
async def socks_proxy(
    *, credentials: str | None = None, reply: int = 0, to: str | None = None
) -> AsyncIterator[RunningProxy]:
    """A SOCKS 5 proxy.

    Args:
        credentials: "user:password" that it wants.
        reply: The code of its reply; 0: it connects.
        to: Host and port that it connects to, whatever it is asked for.
    """
    proxy = RunningProxy(credentials=credentials)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            _, count = await reader.readexactly(2)
            proxy.heads.append(await reader.readexactly(count))
            writer.write(b"\x05\x02" if credentials else b"\x05\x00")
            if credentials:
                _, length = await reader.readexactly(2)
                user = await reader.readexactly(length)
                (length,) = await reader.readexactly(1)
                good = user + b":" + await reader.readexactly(length) == credentials.encode()
                writer.write(b"\x01\x00" if good else b"\x01\x01")
                if not good:
                    return
            _, _, _, kind = await reader.readexactly(4)
            if kind == 3:
                (length,) = await reader.readexactly(1)
                host = (await reader.readexactly(length)).decode()
            else:
                host = ".".join(map(str, await reader.readexactly(4)))
            port = int.from_bytes(await reader.readexactly(2))
            proxy.targets.append(f"{host}:{port}")
            writer.write(b"\x05" + bytes([reply]) + b"\x00\x01\x7f\x00\x00\x01\x00\x00")
            if reply:
                return
            there_host, _, there_port = (to or f"{host}:{port}").rpartition(":")
            await _join(reader, writer, await asyncio.open_connection(there_host, int(there_port)))

    async with listening(talk) as port:
        proxy.place = f"127.0.0.1:{port}"
        yield proxy
