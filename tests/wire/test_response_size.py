"""Responses of any size and packing: unpacked in bounded steps, and refused above the limit with little memory."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import tracemalloc
import zlib

import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.wire import MAX_RESPONSE_SIZE, NoResponse, ResponseTooLarge, Wire
from tests.support.spies import Talk, saying, server, whole_request
from tests.support.wires import MakeWire, failure, post, read

pytestmark = pytest.mark.anyio

LIMIT = 1_000_000


def packed(body: bytes, *encodings: str) -> bytes:
    for encoding in encodings:
        body = gzip.compress(body) if "gzip" in encoding else zlib.compress(body)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n"
    return head % (", ".join(encodings).encode(), len(body)) + body


def endless(part: bytes, head: bytes = b"Transfer-Encoding: chunked") -> Talk:
    """A body that does not end, in chunks or until the connection closes."""
    chunk = b"%x\r\n%s\r\n" % (len(part), part) if b"chunked" in head else part

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % head)
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)

    return talk


@pytest.mark.parametrize("encodings", [("gzip",), ("deflate",), ("x-gzip",), ("gzip", "gzip"), ("deflate", "gzip")])
async def test_a_packed_response_is_unpacked(make_wire: MakeWire, encodings: tuple[str, ...]) -> None:
    body = b'{"result": 1}' * 10_000
    async with server(saying(packed(body, *encodings))) as url, make_wire() as wire:
        assert (await post(wire, url)).body == body
        assert await read(wire, url) == body


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
@pytest.mark.parametrize("encodings", [(), ("gzip",), ("deflate", "gzip")], ids=["plain", "gzip", "twice"])
async def test_the_limit_counts_what_comes_out(make_wire: MakeWire, size: int, encodings: tuple[str, ...]) -> None:
    body = b" " * size
    raw = packed(body, *encodings) if encodings else b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + body
    async with server(saying(raw)) as url, make_wire(max_response_size=LIMIT) as wire:
        if size > LIMIT:
            error = await failure(wire, url)
            assert isinstance(error, ResponseTooLarge)
            assert (error.sent, error.retryable, error.limit) == (True, False, LIMIT)
            assert f"larger than {LIMIT} bytes" in error.reason
        else:
            assert (await post(wire, url)).body == body


async def test_a_bomb_is_refused_with_little_memory(make_wire: MakeWire) -> None:
    raw = packed(b"\0" * 60_000_000, "gzip")
    assert len(raw) < 100_000
    async with server(saying(raw)) as url, make_wire(max_response_size=LIMIT) as wire:
        tracemalloc.start()
        try:
            error = await failure(wire, url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert isinstance(error, ResponseTooLarge)
    assert peak < 6 * LIMIT


@pytest.mark.parametrize("layers", [2, 3])
async def test_a_bomb_within_a_bomb_is_refused(make_wire: MakeWire, layers: int) -> None:
    raw = packed(b"\0" * 60_000_000, *["gzip"] * layers)
    async with server(saying(raw)) as url, make_wire(max_response_size=LIMIT) as wire, asyncio.timeout(10):
        assert isinstance(await failure(wire, url), ResponseTooLarge)


@pytest.mark.parametrize("head", [b"Transfer-Encoding: chunked", b"Connection: close"], ids=["chunks", "until closed"])
@pytest.mark.parametrize("part", [b"x" * 50_000, b"x"], ids=["large", "small"])
async def test_a_body_that_does_not_end_is_refused(make_wire: MakeWire, head: bytes, part: bytes) -> None:
    limit = LIMIT if len(part) > 1 else 1000
    async with server(endless(part, head)) as url, make_wire(max_response_size=limit) as wire:
        async with asyncio.timeout(20):
            assert isinstance(await failure(wire, url), ResponseTooLarge)


@pytest.mark.parametrize("length", [LIMIT + 1, 10**12, 10**18 + 1])
async def test_a_response_that_announces_too_much_is_not_read(make_wire: MakeWire, length: int) -> None:
    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n{}" % length)
        await reader.read()

    async with server(announce) as url, make_wire(max_response_size=LIMIT) as wire, asyncio.timeout(5):
        assert isinstance(await failure(wire, url), ResponseTooLarge)


@pytest.mark.parametrize("encoding", ["br", "zstd", "compress", "gzip, br", "gzip, gzip, gzip, gzip", "S3CR3T"])
async def test_what_was_not_offered_is_not_unpacked(make_wire: MakeWire, encoding: str) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 2\r\n\r\n{}" % encoding.encode()
    async with server(saying(raw)) as url, make_wire() as wire:
        error = await failure(wire, url)
        with pytest.raises(NoResponse):
            await read(wire, url)
    assert (type(error), error.sent) == (NoResponse, True)
    assert "S3CR3T" not in error.reason


@pytest.mark.parametrize("body", [b"abcd", gzip.compress(b"x" * 1000)[:-1]], ids=["none", "cut"])
async def test_a_body_that_is_not_packed_as_announced_was_sent(make_wire: MakeWire, body: bytes) -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with server(saying(raw)) as url, make_wire() as wire:
        assert (await failure(wire, url)).sent
        with pytest.raises(NoResponse):
            await read(wire, url)


async def test_encodings_on_several_lines_count_all(make_wire: MakeWire) -> None:
    body = gzip.compress(gzip.compress(b"{}"))
    lines = b"Content-Encoding: gzip\r\n" * 2
    raw = b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (lines, len(body)) + body
    async with server(saying(raw)) as url, make_wire() as wire:
        assert (await post(wire, url)).body == b"{}"


async def test_others_have_turns_while_much_is_unpacked(make_wire: MakeWire) -> None:
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with server(saying(packed(b"\0" * 30_000_000, "gzip"))) as url, make_wire() as wire:
        counting = asyncio.create_task(count_turns())
        assert len((await post(wire, url)).body) == 30_000_000
        counting.cancel()
    assert turns > 25


def test_the_usual_limit_is_64_mib_and_must_be_a_size() -> None:
    assert MAX_RESPONSE_SIZE == 64 * 2**20
    for size in (0, -1, 1.5, "1", True, None):
        with pytest.raises(ConfigurationError, match="max_response_size"):
            Wire(max_response_size=size)  # type: ignore[arg-type]
