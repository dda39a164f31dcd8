"""Servers that speak TLS, with certificates of a test authority."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.spies import Talk

CERTIFICATES: Final = Path(__file__).parents[1] / "data" / "certificates"
CLIENT: Final = CERTIFICATES / "ca.pem"
SERVER: Final = CERTIFICATES / "server.pem"


def trusting() -> ssl.SSLContext:
    """A context of a client that trusts the test authority."""
    return ssl.create_default_context(cafile=CLIENT)


def serving(certificate: Path) -> ssl.SSLContext:
    """A context of a server with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@asynccontextmanager
async def tls_server(talk: Talk, certificate: Path = SERVER, *, host: str = "localhost") -> AsyncIterator[str]:
    """A loopback server that speaks TLS and treats each connection so; its address."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        finally:
            writer.close()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=serving(certificate))
    async with listening:
        yield f"https://{host}:{listening.sockets[0].getsockname()[1]}/rest/profile"
