"""Addresses are sent as httpx would send them, over every transport."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.wire import addresses
from b24oauth.wire.addresses import Origin, parse_address
from tests.support.spies import server, whole_request
from tests.support.wires import FINE, MakeWire, post

ADDRESSES = [
    "https://portal.example",
    "https://portal.example/rest/crm.deal.get",
    "https://portal.example/rest/crm.deal.get?a=1&b=%D0%B9+x~y",
    "https://portal.example/rest/crm.deal.get?a=%zz",
    "https://portal.example/rest/crm.deal.get?a=%d0%b9",
    "https://portal.example/rest/crm.deal.get?a=%2",
    "https://portal.example/rest/crm.deal.get?a= b\"<>'",
    "https://portal.example/rest/crm.deal.get?a=й",
    "https://portal.example/rest/crm.deal.get?a=1#part",
    "https://portal.example/rest/crm.deal.get#part?b=2",
    "https://portal.example/rest/crm.deal.get?a=1?b=2",
    "https://portal.example/rest/a b%?c=1",
    "https://portal.example/й/`{}|^",
    "https://portal.example:443/rest/../x?c=1",
    "https://portal.example/a/./b/..",
    "https://PORTAL.example/A",
    "https://a_b.example:8443/x",
    "https://портал.рф/rest/crm.deal.get?a=1",
    "https://xn--80aswg.xn--p1ai/rest/",
    "http://127.0.0.1:8000/rest/profile?a=1",
    "http://[::1]:8000/rest/profile?a=1",
    "http://[::1]/",
]
NONE = [
    "",
    "https://",
    "portal.example/rest",
    "ftp://portal.example/",
    "https://[::1/rest",
    "https://999.1.1.1/",
    "https://portal.example:x/",
    "https://portal.example:99999/",
    "https://portal.example/a\nb",
    "https://portal.example/?a\r\nb: c",
    "https://a\x00b/",
    "https://a b/",
    "https://user:word@portal.example/",
    "https://portal.example/?" + "a" * 70_000,
]


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_is_what_httpx_makes_of_it(url: str) -> None:
    for _ in range(2):  # the second time it is known
        address = parse_address(url)
        assert address is not None
        known = httpx.URL(url)
        port = known.port or {"https": 443, "http": 80}[known.scheme]
        assert address.origin == Origin(known.scheme, known.raw_host.decode(), port)
        assert address.path + (f"?{address.query}" if address.query else "") == known.raw_path.decode()


@given(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f#", exclude_categories=["Cs"]), min_size=1))
def test_a_query_is_what_httpx_makes_of_it(query: str) -> None:
    url = f"https://portal.example/rest/profile?{query}"
    address = parse_address(url)
    assert address is not None
    assert address.text == str(httpx.URL(url))


@pytest.mark.parametrize("url", NONE)
def test_what_is_no_address_is_refused(url: str) -> None:
    assert parse_address(url) is None


def test_an_address_is_taken_apart_once_for_all_queries() -> None:
    addresses._without_query.cache_clear()
    for number in range(10):
        address = parse_address(f"https://once.example/rest/profile?n={number}")
        assert address is not None
        assert address.query == f"n={number}"
    assert addresses._without_query.cache_info().misses == 1


@pytest.mark.anyio
async def test_the_query_of_each_request_is_its_own(make_wire: MakeWire) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await whole_request(reader)).split(b"\r\n")[0])
        writer.write(FINE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        await writer.drain()

    async with server(answer) as url, make_wire() as wire:
        for query in ("?a=%2F1", "?a=%2F2", "?a=%2f3", "?a=й&b= c", ""):
            await post(wire, url + query)
    assert heard == [
        b"POST /rest/profile?a=%2F1 HTTP/1.1",
        b"POST /rest/profile?a=%2F2 HTTP/1.1",
        b"POST /rest/profile?a=%2f3 HTTP/1.1",
        b"POST /rest/profile?a=%D0%B9&b=%20c HTTP/1.1",
        b"POST /rest/profile HTTP/1.1",
    ]
