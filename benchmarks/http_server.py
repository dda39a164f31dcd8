"""A small HTTP/1.1 server for `FakePortal`: a general one would cost more than the clients that are measured.

Keep-alive and bodies with `Content-Length`, one request at a time on a connection; nothing else is needed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import unquote

from b24oauth.testing import FakePortal
from b24oauth.testing.messages import Answer, Request

__all__ = ["PortalProtocol", "Portals"]

_REASONS = {status.value: status.phrase for status in HTTPStatus}


class Portals:
    """Which portal answers at present, how many requests came, and who is connected.

    Attributes:
        portal: The portal.
        served: Requests so far.
        connections: Connections so far.
        tasks: Answers that are waited for.
    """

    def __init__(self, portal: FakePortal) -> None:
        self.served = self.connections = 0
        self.tasks: set[asyncio.Task[None]] = set()
        self.use(portal)

    def use(self, portal: FakePortal) -> None:
        """Lets another portal answer from now on."""
        self.portal = portal
        self.waits = any((portal.latency, portal.refresh_latency, portal.command_latency, portal.count_latency))


class PortalProtocol(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, portals: Portals) -> None:
        self._portals = portals
        self._buffer = bytearray()
        self._busy = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._portals.connections += 1

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        request_line, headers = _parsed(bytes(self._buffer[:head_end]))
        if "transfer-encoding" in headers:
            self._write(Answer(status=501, body=b"bodies with Content-Length only"), closes=True)
            return
        end = head_end + 4 + int(headers.get("content-length", 0))
        if len(self._buffer) < end:
            return
        body = bytes(self._buffer[head_end + 4 : end])
        del self._buffer[:end]
        self._respond(_as_request(request_line, headers, body))

    def _respond(self, request: Request) -> None:
        self._portals.served += 1
        responding = self._portals.portal.respond(request)
        closes = request.headers.get("connection", "").lower() == "close"
        if not self._portals.waits:
            self._write(_at_once(responding), closes=closes)
            return
        self._busy = True
        task = asyncio.get_running_loop().create_task(self._respond_later(responding, closes=closes))
        self._portals.tasks.add(task)
        task.add_done_callback(self._portals.tasks.discard)

    async def _respond_later(self, responding: Coroutine[Any, Any, Answer], *, closes: bool) -> None:
        self._write(await responding, closes=closes)
        self._busy = False
        self._next()

    def _write(self, answer: Answer, *, closes: bool) -> None:
        if self._transport is None:
            return
        lines = [f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}", f"content-length: {len(answer.body)}"]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        self._transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        if closes:
            self._transport.close()


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    request_line, *lines = head.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return request_line, headers


def _as_request(request_line: str, headers: dict[str, str], body: bytes) -> Request:
    http_method, target, _ = request_line.split(" ", 2)
    path, _, query = target.partition("?")
    return Request(http_method=http_method, path=unquote(path), query=query, headers=headers, body=body)


def _at_once(responding: Coroutine[Any, Any, Answer]) -> Answer:
    # A portal without latency never waits, so its answer needs no task.
    try:
        responding.send(None)
    except StopIteration as done:
        answer: Answer = done.value
        return answer
    responding.close()
    raise RuntimeError("a portal without latency waited")
