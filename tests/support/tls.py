"""Servers that speak TLS, with certificates of a test authority."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.spies import Talk, listening

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
    async with listening(talk, serving(certificate)) as port:
        yield f"https://{host}:{port}/rest/profile"
