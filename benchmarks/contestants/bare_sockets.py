"""The same request written to sockets as ready bytes: what the portal, and nothing else, can take."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from urllib.parse import urlsplit

from benchmarks.contestants.base import METHOD, Page, Target

__all__ = ["opened"]


class _Client:
    def __init__(self, target: Target) -> None:
        self._target = target

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        parts = urlsplit(self._target.endpoint)
        address = (parts.hostname or "", parts.port or 80)
        request = _request(self._target, parts.netloc)
        with ExitStack() as stack:
            connections = [stack.enter_context(socket.create_connection(address)) for _ in range(in_flight)]
            for done in range(0, count, in_flight):
                now = connections[: count - done]
                for connection in now:
                    connection.sendall(request)
                for connection in now:
                    _read(connection)
        return []

    def export(self) -> AsyncIterator[Page]:
        raise NotImplementedError


def _request(target: Target, host: str) -> bytes:
    body = json.dumps({"id": 1, "auth": target.token}).encode()
    path = urlsplit(target.endpoint).path + METHOD
    head = f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _read(connection: socket.socket) -> None:
    # The portal writes head and body at once, and a deal fits into one segment of loopback.
    answer = connection.recv(65536)
    if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"}"):
        raise ConnectionError(f"not a whole answer: {answer[:60]!r}")


@asynccontextmanager
async def opened(target: Target, _: str) -> AsyncGenerator[_Client]:
    """Sockets, opened for each series of calls."""
    yield _Client(target)
