"""Bodies that are read part by part."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from b24oauth.errors import ClientStateError
from b24oauth.wire import NoResponse, Wire
from tests.support.spies import Talk, saying, server, whole_request
from tests.support.wires import BODY, FINE, MakeWire, post, read
from tests.wire.test_send import reset, silence

pytestmark = pytest.mark.anyio


def in_parts(*parts: bytes, length: int, ended: asyncio.Event | None = None) -> Talk:
    """Sends parts of a body one after another, then waits until the client leaves."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        if ended is not None:
            ended.set()

    return talk


async def test_a_body_is_handed_over_as_it_comes(make_wire: MakeWire) -> None:
    talk = in_parts(b"one", b"two", length=6)
    async with server(talk) as url, make_wire() as wire, wire.stream(url, {}) as response:
        assert (response.status, response.headers["content-length"]) == (200, "6")
        assert [part async for part in response] == [b"one", b"two"]


async def test_a_stream_asks_with_get_and_follows_no_redirect(make_wire: MakeWire) -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with server(talk) as url, make_wire() as wire, wire.stream(f"{url}?a=1", {"X-Mine": "yes"}) as response:
        assert response.status == 302
    assert heard[0].startswith(b"GET /rest/profile?a=1 HTTP/1.1\r\n")
    assert b"x-mine: yes\r\n" in heard[0].lower()


@pytest.mark.parametrize(
    ("talk", "timeout"),
    [(reset, 5), (saying(FINE[:-3]), 5), (saying(b""), 5), (in_parts(b"one", length=6), 0.3)],
)
async def test_a_body_that_breaks_off_was_sent(make_wire: MakeWire, talk: Talk, timeout: float) -> None:
    async with server(talk) as url, make_wire(timeout=timeout) as wire:
        with pytest.raises(NoResponse) as caught:
            await read(wire, url)
    assert caught.value.sent
    assert caught.value.__context__ is None


async def test_a_stream_that_gets_no_response_ends_in_time(make_wire: MakeWire) -> None:
    async with server(silence) as url, make_wire(timeout=0.1, connect_timeout=0.1) as wire:
        with pytest.raises(NoResponse) as caught:
            await read(wire, url)
    assert (caught.value.sent, caught.value.timed_out) == (True, True)


async def test_each_part_has_a_timeout_of_its_own_and_the_reader_has_none(make_wire: MakeWire) -> None:
    talk = in_parts(*[b"x"] * 20, length=20)
    async with server(talk) as url, make_wire(timeout=0.15) as wire, wire.stream(url, {}) as response:
        assert await anext(response)
        await asyncio.sleep(0.3)  # the reader takes longer than the timeout
        assert sum([len(part) async for part in response]) > 0


async def test_a_stream_that_cannot_begin_was_never_sent(make_wire: MakeWire) -> None:
    async with server(silence) as url:
        pass
    async with make_wire() as wire:
        for headers in ({}, {"X": "a\nb"}):
            with pytest.raises(NoResponse) as caught:
                await read(wire, url, headers)
            assert not caught.value.sent


@pytest.mark.parametrize("how", ["break", "error", "cancel", "close"])
async def test_a_stream_that_is_left_early_closes_its_connection(make_wire: MakeWire, how: str) -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def leave(wire: Wire, url: str) -> None:
        async with wire.stream(url, {}) as response:
            async for _ in response:
                begun.set()
                if how == "break":
                    break
                if how == "error":
                    raise ValueError(how)

    async with server(in_parts(b"one", length=6, ended=ended)) as url, make_wire() as wire, asyncio.timeout(5):
        leaving = asyncio.create_task(leave(wire, url))
        await begun.wait()
        if how == "cancel":
            leaving.cancel()
        if how == "close":
            await wire.aclose()
        [outcome] = await asyncio.gather(leaving, return_exceptions=True)
        await ended.wait()
    expected = {"break": type(None), "error": ValueError, "cancel": asyncio.CancelledError, "close": NoResponse}
    assert type(outcome) is expected[how]
    assert leaving.cancelling() == (how == "cancel")


async def hasty(wire: Wire, url: str) -> None:
    async with wire.stream(url, {}) as response, asyncio.timeout(0.05):
        async for _ in response:
            pass


async def test_a_timeout_of_the_reader_is_not_taken_for_one_of_the_stream(make_wire: MakeWire) -> None:
    async with server(in_parts(b"one", length=6)) as url, make_wire() as wire:
        with pytest.raises(TimeoutError):
            await hasty(wire, url)


async def test_requests_of_a_task_that_reads_a_stream_do_not_hide_it_from_a_close(make_wire: MakeWire) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def read_and_send(wire: Wire, url: str, other: str) -> None:
        async with wire.stream(url, {}) as first, wire.stream(url, {}) as second:
            async for _ in first:
                await post(wire, other)
                await anext(second)
                begun.set()

    async with (
        server(in_parts(b"one", length=6, ended=ended)) as url,
        server(saying(FINE)) as other,
        make_wire() as wire,
        asyncio.timeout(5),
    ):
        reading = asyncio.create_task(read_and_send(wire, url, other))
        await begun.wait()
        await asyncio.sleep(0.05)
        await wire.aclose()
        with pytest.raises(NoResponse, match="the client was closed"):
            await reading
        assert reading.cancelling() == 0


async def test_a_wire_can_be_closed_while_its_own_stream_is_read(make_wire: MakeWire) -> None:
    async def read_and_close(wire: Wire, url: str) -> None:
        async with wire.stream(url, {}) as response:
            async for _ in response:
                await wire.aclose()

    async with server(in_parts(b"one", length=6)) as url, make_wire() as wire, asyncio.timeout(5):
        with pytest.raises(ClientStateError):
            await read_and_close(wire, url)


async def test_t12_addresses_of_streams_are_not_logged(make_wire: MakeWire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    moved = b"HTTP/1.1 302 Found\r\nLocation: https://x/?t=S3CR3T\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    async with server(saying(moved)) as url, make_wire() as wire:
        await read(wire, f"{url}?token=S3CR3T")
    assert "S3CR3T" not in caplog.text


async def test_an_unread_body_leaves_no_task_behind(make_wire: MakeWire) -> None:
    async with server(in_parts(b"x" * 100_000, length=10**6)) as url, make_wire() as wire:
        before = asyncio.all_tasks()
        async with wire.stream(url, {}) as response:
            await anext(response)
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert {task for task in asyncio.all_tasks() - before if "connected" not in repr(task)} == set()


async def test_a_short_stream_gives_its_body(make_wire: MakeWire) -> None:
    async with server(saying(FINE)) as url, make_wire() as wire:
        assert await read(wire, url) == BODY
