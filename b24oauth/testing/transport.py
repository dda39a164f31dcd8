"""The in-process way to the fake portal: a transport of httpx or httpx2 that hands requests straight to it."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from typing import Any, Self

from b24oauth.testing.messages import Answer, DroppedConnectionError, RefusedConnectionError, Request

__all__ = ["PortalTransport"]


class PortalTransport:
    """Answers the requests of an `AsyncClient` of httpx or httpx2 by calling the portal, with the client's own classes.

    A cut connection is a `ReadError`, a refused one a `ConnectError`, and an answer that takes longer than the client's
    read timeout a `ReadTimeout`, as they would be on a socket.

    Args:
        respond: Answers one request.
    """

    def __init__(self, respond: Callable[[Request], Awaitable[Answer]]) -> None:
        self._respond = respond

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def handle_async_request(self, request: Any) -> Any:
        """Sends one request to the portal.

        Raises:
            httpx.ReadError: The portal cut the connection.
            httpx.ConnectError: The portal refused the connection.
            httpx.ReadTimeout: The portal did not answer in time.
        """
        httpx = sys.modules[type(request).__module__.partition(".")[0]]
        body: bytes = await request.aread()
        await _tell(request)
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
        stream = _broken_body(httpx.__name__)(answer, _read_timeout(request))
        return httpx.Response(answer.status, headers=headers, stream=stream)

    async def aclose(self) -> None:
        """Does nothing: there is no connection."""


async def _tell(request: Any) -> None:
    """Reports to the request's trace that it was written, as a transport over sockets does."""
    trace = request.extensions.get("trace")
    if trace is not None:
        for event in ("send_request_headers.started", "send_request_body.complete"):
            await trace(f"http11.{event}", {"request": request})


@cache
def _broken_body(package: str) -> Callable[[Answer, float | None], Any]:
    """The class of bodies that break off."""
    httpx: Any = importlib.import_module(package)

    class Broken(httpx.AsyncByteStream):  # type: ignore[misc]  # the package is known when a request comes
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

    return Broken


def _as_request(request: Any, body: bytes) -> Request:
    return Request(
        http_method=request.method,
        path=request.url.path,
        query=request.url.query.decode("ascii"),
        headers=request.headers,
        body=body,
    )


def _read_timeout(request: Any) -> float | None:
    timeouts: Mapping[str, Any] = request.extensions.get("timeout") or {}
    return timeouts.get("read")
