"""The httpx client over aiohttp: what it sends is what httpx would send, with less work for each request."""

from __future__ import annotations

import asyncio
import gzip
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.wire import Wire
from tests.support.spies import saying, server, whole_request

pytest.importorskip("httpx_aiohttp", reason="this run is without the extra")

import httpx

from b24oauth import over_aiohttp

pytestmark = pytest.mark.anyio

NO_TIMEOUT = httpx.Timeout(None)


@pytest.fixture(autouse=True)
def with_the_extra(transport: str) -> None:
    if transport != "aiohttp":
        pytest.skip("this run is without the extra")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}  # real sockets want a real clock


def address_of(url: str) -> str:
    """All of the address that a request for this one is sent to."""
    request = over_aiohttp.request("POST", url, b"", httpx.Headers(), NO_TIMEOUT)
    return str(request.extensions["b24oauth.address"])


@pytest.mark.parametrize(
    "url",
    [
        "https://portal.example/rest/crm.deal.get",
        "https://portal.example/rest/crm.deal.get?a=1&b=%D0%B9+x~y",
        "https://portal.example/rest/crm.deal.get?a=%zz",
        "https://portal.example/rest/crm.deal.get?a=%d0%b9",
        "https://portal.example/rest/crm.deal.get?a=%2",
        "https://portal.example/rest/crm.deal.get?a= b\"<>'",
        "https://portal.example/rest/crm.deal.get?a=й",
        "https://portal.example/rest/crm.deal.get?a=1#part",
        "https://portal.example/rest/crm.deal.get?a=1?b=2",
        "https://portal.example/rest/a b?c=1",
        "https://portal.example:443/rest/../x?c=1",
        "https://портал.рф/rest/crm.deal.get?a=1",
        "http://[::1]:8000/rest/profile?a=1",
    ],
)
def test_an_address_is_what_httpx_makes_of_it(url: str) -> None:
    assert address_of(url) == address_of(url) == str(httpx.URL(url))


@given(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"])))
def test_whatever_the_query_is_it_is_sent_as_httpx_would(query: str) -> None:
    url = f"https://portal.example/rest/profile?{query}"
    assert address_of(url) == str(httpx.URL(url))


@pytest.mark.parametrize(
    "url", ["https://[::1/rest", "https://portal.example/a\nb", "https://portal.example/?a\r\nb: c"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(httpx.InvalidURL):
        address_of(url)


def test_an_address_is_taken_apart_once_for_all_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    address_of("https://once.example/rest/profile?n=0")
    parsed: list[str] = []
    parse = httpx.URL.__init__

    def counted(self: httpx.URL, url: str | httpx.URL = "", **parts: Any) -> None:
        if isinstance(url, str):
            parsed.append(url)
        parse(self, url, **parts)

    monkeypatch.setattr(httpx.URL, "__init__", counted)
    for number in range(1, 10):
        assert address_of(f"https://once.example/rest/profile?n={number}").endswith(f"?n={number}")
    assert parsed == []


async def test_the_query_of_each_request_is_its_own() -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await whole_request(reader)).split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()

    async with server(answer) as url:
        wire = Wire(None, timeout=5, transport="aiohttp")
        for query in ("?a=%2F1", "?a=%2F2", "?a=%2f3", ""):
            await wire.send(url + query, b"{}", {})
        await wire.aclose()
    assert heard == [
        b"POST /rest/profile?a=%2F1 HTTP/1.1",
        b"POST /rest/profile?a=%2F2 HTTP/1.1",
        b"POST /rest/profile?a=%2f3 HTTP/1.1",
        b"POST /rest/profile HTTP/1.1",
    ]


async def test_a_packed_answer_is_unpacked() -> None:
    packed = gzip.compress(b'{"result": 1}' * 100)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with server(saying(head + packed)) as url:
        wire = Wire(None, timeout=5, transport="aiohttp")
        assert (await wire.send(url, b"{}", {})).body == b'{"result": 1}' * 100
        await wire.aclose()


async def test_a_request_that_is_cancelled_leaves_no_connection_behind() -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{")
        await writer.drain()
        begun.set()
        await reader.read()
        gone.set()

    async with server(hang) as url:
        wire = Wire(None, timeout=5, transport="aiohttp")
        sending = asyncio.ensure_future(wire.send(url, b"{}", {}))
        await begun.wait()
        sending.cancel()
        await asyncio.wait([sending])
        async with asyncio.timeout(5):
            await gone.wait()
        assert sending.cancelled()
        await wire.aclose()
