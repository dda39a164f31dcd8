"""Bytes that follow a response are never taken for the response of the next request."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from b24oauth.wire import NoResponse
from tests.support.spies import Talk, server, whole_request
from tests.support.tls import tls_server, trusting
from tests.support.wires import MakeWire, post, read

pytestmark = pytest.mark.anyio

FORGED = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"result": "no"}'
HUGE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 200_000 + b"x" * 200_000
# Just what httpcore reads at once: what follows is left behind in another buffer.
BLOCK = b"HTTP/1.1 200 OK\r\nContent-Length: 65494\r\n\r\n" + b"x" * 65494
assert len(BLOCK) == 64 * 1024


def response(number: int) -> bytes:
    body = b'{"result": %d}' % number
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def followed_by(extra: bytes, *, later: float | None = None, first: bytes | None = None) -> Talk:
    """Answers every request with its own number, and sends something behind the first response."""
    count = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await whole_request(reader)
                count += 1
                said = first if count == 1 and first is not None else response(count)
                if count == 1 and later is None:
                    if writer.get_extra_info("ssl_object") is None:
                        writer.write(said + extra)
                    else:
                        writer.writelines([said, extra])  # records of TLS of their own
                else:
                    writer.write(said)
                await writer.drain()
                if count == 1 and later is not None:
                    await asyncio.sleep(later)
                    writer.write(extra)
                    await writer.drain()

    return talk


EXTRAS = {
    "response": FORGED,
    "head": FORGED[:-16],
    "half a head": FORGED[:20],
    "newlines": b"\r\n\r\n",
    "garbage": b"\0\1\2",
}


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("later", [None, 0.01], ids=["at once", "later"])
async def test_what_follows_a_response_is_not_the_next_one(
    make_wire: MakeWire, extra: bytes, later: float | None
) -> None:
    async with server(followed_by(extra, later=later)) as url, make_wire(timeout=2) as wire:
        results = []
        for _ in range(4):
            # aiohttp gives the first response up when garbage comes with it, which costs a repeat and no wrong result.
            with contextlib.suppress(NoResponse):
                results.append((await post(wire, url)).body)
            await asyncio.sleep(0.03)
    assert len(results) >= 3
    assert results == sorted(set(results))
    assert b'{"result": "no"}' not in results
    assert results[-1] == b'{"result": 4}'


@pytest.mark.parametrize("extra", [FORGED, FORGED * 3000], ids=["one", "many"])
@pytest.mark.parametrize("first", [HUGE, BLOCK], ids=["huge", "block"])
async def test_what_follows_a_long_response_is_not_the_next_one(
    make_wire: MakeWire, first: bytes, extra: bytes
) -> None:
    async with server(followed_by(extra, first=first)) as url, make_wire(timeout=2) as wire:
        assert len((await post(wire, url)).body) == len(first.partition(b"\r\n\r\n")[2])
        assert (await post(wire, url)).body == b'{"result": 2}'


@pytest.mark.parametrize("first", [None, HUGE, BLOCK], ids=["short", "huge", "block"])
@pytest.mark.parametrize("later", [None, 0.01], ids=["at once", "later"])
async def test_nor_is_it_over_tls(own: MakeWire, first: bytes | None, later: float | None) -> None:
    talk = followed_by(FORGED, first=first, later=later)
    async with tls_server(talk) as url, own(timeout=2, ssl_context=trusting()) as wire:
        await post(wire, url)
        await asyncio.sleep(0.03)
        assert [(await post(wire, url)).body for _ in range(3)] == [b'{"result": %d}' % n for n in (2, 3, 4)]


async def test_requests_at_once_get_none_of_it_either(make_wire: MakeWire) -> None:
    async with server(followed_by(FORGED)) as url, make_wire(timeout=2) as wire:
        results = []
        for _ in range(5):
            results += [(await one).body for one in asyncio.as_completed([post(wire, url) for _ in range(8)])]
    assert sorted(results) == sorted(response(n).partition(b"\r\n\r\n")[2] for n in range(1, 41))


async def test_what_follows_a_streamed_body_is_not_the_next_response(make_wire: MakeWire) -> None:
    async with server(followed_by(FORGED)) as url, make_wire(timeout=2) as wire:
        assert await read(wire, url) == b'{"result": 1}'
        assert (await post(wire, url)).body == b'{"result": 2}'


async def test_connections_without_leftovers_are_kept_over_tls_too(own: MakeWire) -> None:
    connections = 0
    answer = followed_by(b"")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answer(reader, writer)

    async with tls_server(talk) as url, own(ssl_context=trusting()) as wire:
        for _ in range(5):
            await post(wire, url)
            await asyncio.sleep(0.005)
    assert connections == 1
