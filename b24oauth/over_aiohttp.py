"""httpx clients over aiohttp: one that hands over whole bodies in few steps, and httpx-aiohttp's own for proxies."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient
from multidict import CIMultiDict
from yarl import URL

__all__ = ["client", "proxied_client", "request"]

# As httpx does it: idle connections are closed before a server does, and headers may be long.
_KEPT_ALIVE: Final = 5.0
_LONGEST_HEADER: Final = 64 * 1024
_ADDRESS: Final = "b24oauth.address"
_STREAMED: Final = "b24oauth.streamed"
# Longer bodies are sent in parts of this size, bytes.
_PART: Final = 64 * 1024
_PLAIN_QUERY: Final = re.compile(r"[\w.~&=+*-]*(?:%[0-9A-F]{2}[\w.~&=+*-]*)*", re.ASCII)


def client(context: ssl.SSLContext, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """A client for what `request` makes, and for nothing else.

    Args:
        context: For servers that speak TLS.
        timeout: For connecting, and for each part of an answer.
    """
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=context, keepalive_timeout=_KEPT_ALIVE),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=_LONGEST_HEADER,
        max_field_size=_LONGEST_HEADER,
    )
    return httpx.AsyncClient(transport=_WholeBodies(session), timeout=timeout, follow_redirects=False)


def proxied_client(context: ssl.SSLContext, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """A client that sends through the proxies of the environment, which `client` passes by; it takes any request.

    Args:
        context: For servers that speak TLS.
        timeout: For connecting, and for each part of an answer.
    """
    limits = httpx.Limits(max_connections=None)
    return HttpxAiohttpClient(verify=context, limits=limits, timeout=timeout, follow_redirects=False)


def request(method: str, url: str, body: bytes | None, headers: httpx.Headers, timeout: httpx.Timeout) -> httpx.Request:
    """A request whose address is not taken apart again for each new query.

    Args:
        method: HTTP method.
        url: Address, with its query.
        body: What to send.
        headers: All of them but those that tell of the host and the body, which are aiohttp's to set.
        timeout: For this request.

    Raises:
        httpx.InvalidURL: There can be no such address.
    """
    known, address = _understood(url)
    stream = httpx.ByteStream(body or b"")
    extensions = {"timeout": timeout.as_dict(), _ADDRESS: address}
    return httpx.Request(method, known, headers=headers, stream=stream, extensions=extensions)


def _understood(url: str) -> tuple[httpx.URL, str]:
    """An address for httpx, which need not tell the query, and all of it as httpx would send it."""
    path, _, query = url.partition("?")
    known, as_sent = _parsed(path)
    if as_sent != path or not _PLAIN_QUERY.fullmatch(query):
        whole = httpx.URL(url)
        return whole, str(whole)
    return known, url


@lru_cache(maxsize=256)
def _parsed(path: str) -> tuple[httpx.URL, str]:
    known = httpx.URL(path)
    return known, str(known)


class _WholeBodies(httpx.AsyncBaseTransport):
    """Sends what `request` makes. Failures are left as aiohttp raises them, which tells more than any of httpx's."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._known_headers: tuple[list[tuple[bytes, bytes]], CIMultiDict[str]] = ([], CIMultiDict())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        if len(body) <= _PART:
            return await self._exchange(request, body or None, self._headers(request))
        # Read at once, aiohttp would neither notice that the other side takes no more, nor let others have a turn.
        headers = self._headers(request).copy()
        headers["Content-Length"] = str(len(body))
        sending = asyncio.timeout(None)
        try:
            async with sending:
                parts = _in_parts(body, sending, request.extensions["timeout"]["write"])
                return await self._exchange(request, parts, headers)
        except TimeoutError:
            if not sending.expired():
                raise
        raise httpx.WriteTimeout("The other side takes no more of the body")

    async def _exchange(
        self, request: httpx.Request, body: bytes | AsyncIterator[bytes] | None, headers: CIMultiDict[str]
    ) -> httpx.Response:
        timeout = request.extensions["timeout"]
        sending = self._session.request(
            request.method,
            URL(request.extensions[_ADDRESS], encoded=True),
            headers=headers,
            data=body,
            allow_redirects=False,
            auto_decompress=False,
            timeout=_time_limits(timeout["connect"], timeout["read"], timeout["pool"]),
        )
        if _STREAMED in request.extensions:
            begun = await sending
            return httpx.Response(begun.status, headers=begun.raw_headers, stream=_Parts(begun), request=request)
        async with sending as answer:
            content = await answer.read()
        return httpx.Response(answer.status, headers=answer.raw_headers, content=content, request=request)

    async def aclose(self) -> None:
        await self._session.close()

    def _headers(self, request: httpx.Request) -> CIMultiDict[str]:
        raw = request.headers.raw
        if raw != self._known_headers[0]:
            self._known_headers = (raw, CIMultiDict(request.headers.multi_items()))
        return self._known_headers[1]


class _Parts(httpx.AsyncByteStream):
    """The body of an answer as it comes."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._answer.content.iter_chunked(_PART):
            yield part

    async def aclose(self) -> None:
        self._answer.close()  # gives the connection back when the body was read to its end


async def _in_parts(body: bytes, sending: asyncio.Timeout, patience: float | None) -> AsyncIterator[bytes]:
    """The body in parts, each of which must be taken in time."""
    clock = asyncio.get_running_loop().time
    for start in range(0, len(body), _PART):
        sending.reschedule(None if patience is None else clock() + patience)
        yield body[start : start + _PART]
    sending.reschedule(None)  # how long to wait for an answer, aiohttp knows


@lru_cache(maxsize=16)
def _time_limits(connect: float | None, read: float | None, pool: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(sock_connect=connect, sock_read=read, connect=pool)
