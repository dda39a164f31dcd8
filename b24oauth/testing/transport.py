"""The in-process way to the fake portal: an httpx transport that hands requests straight to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import httpx

from b24oauth.testing.messages import Answer, DroppedConnectionError, RefusedConnectionError, Request

__all__ = ["PortalTransport"]


class PortalTransport(httpx.AsyncBaseTransport):
    """Answers the requests of an `httpx.AsyncClient` by calling the portal.

    A cut connection is an `httpx.ReadError`, a refused one an `httpx.ConnectError`, and an answer that takes longer
    than the client's read timeout an `httpx.ReadTimeout`, as they would be on a socket.

    Args:
        respond: Answers one request.
    """

    def __init__(self, respond: Callable[[Request], Awaitable[Answer]]) -> None:
        self._respond = respond

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request to the portal.

        Raises:
            httpx.ReadError: The portal cut the connection.
            httpx.ConnectError: The portal refused the connection.
            httpx.ReadTimeout: The portal did not answer in time.
        """
        body = await request.aread()
        try:
            async with asyncio.timeout(_read_timeout(request)):
                answer = await self._respond(_as_request(request, body))
        except TimeoutError:
            raise httpx.ReadTimeout("the fake portal did not answer in time", request=request) from None
        except DroppedConnectionError:
            raise httpx.ReadError("the fake portal cut the connection", request=request) from None
        except RefusedConnectionError:
            raise httpx.ConnectError("the fake portal refused the connection", request=request) from None
        if answer.breaks_after is None:
            return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)
        headers = [*answer.headers, ("content-length", str(len(answer.body)))]
        return httpx.Response(answer.status, headers=headers, stream=_Broken(answer, _read_timeout(request)))


class _Broken(httpx.AsyncByteStream):
    """A body that breaks off."""

    def __init__(self, answer: Answer, patience: float | None) -> None:
        self._answer = answer
        self._patience = patience

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._answer.breaks_after:
            yield self._answer.body[: self._answer.breaks_after]
        if self._answer.stalls:
            try:
                async with asyncio.timeout(self._patience):
                    await asyncio.get_running_loop().create_future()
            except TimeoutError:
                raise httpx.ReadTimeout("the fake portal sends nothing more") from None
        raise httpx.ReadError("the fake portal cut the connection")


def _as_request(request: httpx.Request, body: bytes) -> Request:
    return Request(
        http_method=request.method,
        path=request.url.path,
        query=request.url.query.decode("ascii"),
        headers=request.headers,
        body=body,
    )


def _read_timeout(request: httpx.Request) -> float | None:
    timeouts: Mapping[str, Any] = request.extensions.get("timeout") or {}
    return timeouts.get("read")
