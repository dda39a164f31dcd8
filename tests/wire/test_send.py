"""What is sent and what comes back: never sent, or sent without a response, the same over every transport."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import traceback

import pytest

from b24oauth.wire import USER_AGENT, NoResponse
from tests.support.spies import Talk, saying, server, whole_request
from tests.support.wires import BODY, FINE, MakeWire, failure, post, wire_of

pytestmark = pytest.mark.anyio


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    writer.transport.abort()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    await reader.read()  # until the client gives up


def listening(heard: list[bytes], response: bytes = FINE) -> Talk:
    """Writes requests down and answers each of them, over one connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                heard.append(await whole_request(reader))
                writer.write(response)
                await writer.drain()

    return talk


def head_of(request: bytes) -> dict[str, str]:
    lines = request.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def test_a_whole_response_is_given_as_it_came(make_wire: MakeWire) -> None:
    async with server(saying(FINE)) as url, make_wire() as wire:
        response = await post(wire, url)
    assert (response.status, response.body) == (200, BODY)
    assert response.headers["content-type"] == "application/json"


async def test_a_body_is_posted_and_a_get_has_none(make_wire: MakeWire) -> None:
    heard: list[bytes] = []
    async with server(listening(heard)) as url, make_wire() as wire:
        await wire.send("POST", f"{url}?a=1", b"x=1", {"X-Mine": "yes", "Content-Type": "text/a"})
        await wire.send("GET", f"{url}?a=1", None, {})
    posted, asked = heard
    assert posted.startswith(b"POST /rest/profile?a=1 HTTP/1.1\r\n")
    assert b"x-mine: yes\r\n" in posted.lower()
    assert posted.endswith(b"\r\n\r\nx=1")
    assert asked.startswith(b"GET /rest/profile?a=1 HTTP/1.1\r\n")
    assert asked.endswith(b"\r\n\r\n")


async def test_all_connections_of_our_own_send_the_same_headers(own: MakeWire) -> None:
    heard: list[bytes] = []
    first, second = {"Content-Type": "text/a", "X-First": "1"}, {"Content-Type": "text/b", "X-Second": "2"}
    async with server(listening(heard)) as url, own() as wire:
        for headers in (first, first, second, first):
            await wire.send("POST", url, b'{"b":2}', headers)
        await wire.send("GET", url, None, {"Accept": "text/c"})
        host = url.split("/")[2]
    common = {"host": host, "accept-encoding": "gzip, deflate", "connection": "keep-alive", "user-agent": USER_AGENT}
    posts = [
        common | {"accept": "*/*", "content-length": "7"} | {k.lower(): v for k, v in one.items()}
        for one in (first, second)
    ]
    assert [head_of(request) for request in heard] == [
        posts[0], posts[0], posts[1], posts[0], common | {"accept": "text/c"}
    ]  # fmt: skip


async def test_only_encodings_that_are_unpacked_in_steps_are_offered(make_wire: MakeWire) -> None:
    heard: list[bytes] = []
    async with server(listening(heard)) as url, make_wire() as wire:
        await post(wire, url)
    assert head_of(heard[0])["accept-encoding"] == "gzip, deflate"


async def test_more_requests_than_any_pool_holds_are_under_way_together(own: MakeWire) -> None:
    count = 120
    together = asyncio.Barrier(count)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        await together.wait()
        writer.write(FINE)
        await writer.drain()

    async with server(answer) as url, own() as wire, asyncio.timeout(20):
        responses = await asyncio.gather(*(post(wire, url) for _ in range(count)))
    assert [response.body for response in responses] == [BODY] * count


async def test_connections_are_used_again(make_wire: MakeWire) -> None:
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        await listening([])(reader, writer)

    async with server(talk) as url, make_wire() as wire:
        for _ in range(5):
            await post(wire, url)
        async with wire.stream(url, {}) as response:
            assert [part async for part in response] == [BODY]
        await post(wire, url)
    assert len(connections) == 1


async def test_a_server_that_closes_after_each_response_is_asked_over_new_connections(make_wire: MakeWire) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await whole_request(reader)
        asked += 1
        writer.write(FINE)
        await writer.drain()

    async with server(answer) as url, make_wire() as wire:
        for _ in range(20):
            await post(wire, url)
    assert asked == 20


async def test_long_headers_are_read_and_cookies_are_not_taken(own: MakeWire) -> None:
    heard: list[bytes] = []
    head = b"HTTP/1.1 200 OK\r\nX-Policy: " + b"p" * 20_000 + b"\r\nSet-Cookie: session=1; Path=/\r\n"
    async with server(listening(heard, head + b"Content-Length: 2\r\n\r\n{}")) as url, own() as wire:
        named = url.replace("127.0.0.1", "localhost")  # a host without a name gets no cookies anyway
        assert len((await post(wire, named)).headers["x-policy"]) == 20_000
        await post(wire, named)
    assert b"cookie" not in heard[1].lower()


async def test_redirects_are_responses(make_wire: MakeWire) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with server(saying(moved)) as url, make_wire() as wire:
        response = await post(wire, url)
    assert (response.status, response.headers["location"]) == (302, "http://127.0.0.1:1/")


@pytest.mark.parametrize("status", [204, 304, 400, 500])
async def test_a_response_of_any_status_may_have_no_body(make_wire: MakeWire, status: int) -> None:
    async with server(saying(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as url, make_wire() as wire:
        response = await post(wire, url)
    assert (response.status, response.body) == (status, b"")


# --- never sent, or sent without a response ---------------------------------------------------------------------------


async def test_a_refused_connection_was_never_sent(make_wire: MakeWire) -> None:
    async with server(silence) as url:
        pass  # the port is free again, and nobody listens
    async with make_wire() as wire:
        error = await failure(wire, url)
    place = url.split("/")[2]
    assert (error.sent, error.timed_out, error.retryable) == (False, False, True)
    assert error.reason == f"{place} refused the connection (Connection refused)"
    assert type(error.cause) is ConnectionRefusedError


async def test_a_connection_that_is_not_made_in_time_was_never_sent(make_wire: MakeWire) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as others:
        for _ in range(4):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        async with make_wire(connect_timeout=0.05) as wire, asyncio.timeout(5):
            error = await failure(wire, "http://{}:{}/rest/profile".format(*full.getsockname()))
    assert (error.sent, error.timed_out, error.retryable) == (False, True, True)
    assert "no connection to 127.0.0.1" in error.reason


@pytest.mark.parametrize(
    "talk",
    [
        reset,
        saying(b""),
        saying(FINE[:30]),
        saying(FINE[:-3]),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nab\r\n"),
        saying(b"\x16\x03\x01 this is not HTTP\r\n\r\n"),
        saying(b"HTTP/1.1 999999 Odd\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}"),
    ],
    ids=["reset", "closed", "cut head", "cut body", "cut chunk", "no chunk", "no HTTP", "odd status", "odd length"],
)
async def test_a_response_that_does_not_arrive_whole_was_sent(make_wire: MakeWire, talk: Talk) -> None:
    async with server(talk) as url, make_wire() as wire:
        error = await failure(wire, url)
    assert error.sent
    assert not error.timed_out
    assert error.retryable


async def test_a_reset_connection_names_the_systems_error(make_wire: MakeWire) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        linger = b"\x01\0\0\0\0\0\0\0"
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    async with server(cut) as url, make_wire() as wire:
        error = await failure(wire, url)
    assert "reset the connection" in error.reason
    assert type(error.cause) is ConnectionResetError
    assert error.sent


async def test_a_response_that_takes_too_long_was_sent(make_wire: MakeWire) -> None:
    async with server(silence) as url, make_wire(timeout=0.05) as wire:
        error = await failure(wire, url)
    place = url.split("/")[2]
    assert (error.sent, error.timed_out) == (True, True)
    assert error.reason == f"no response from {place} within 0.05 seconds"


async def test_the_timeout_of_one_request_comes_before_the_clients_own(make_wire: MakeWire) -> None:
    async with server(silence) as url, make_wire() as wire:
        assert (await failure(wire, url, timeout=0.05)).timed_out


async def test_without_a_timeout_a_response_is_waited_for(make_wire: MakeWire) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        await asyncio.sleep(0.05)
        writer.write(FINE)
        await writer.drain()

    async with server(slow) as url, make_wire(timeout=None, connect_timeout=None) as wire:
        assert (await post(wire, url)).body == BODY


async def test_a_body_that_trickles_ends_in_time(make_wire: MakeWire) -> None:
    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(b"1\r\n \r\n")
                await writer.drain()
                await asyncio.sleep(0.01)

    async with server(trickle) as url, make_wire(timeout=0.2) as wire, asyncio.timeout(5):
        error = await failure(wire, url)
    assert (error.sent, error.timed_out) == (True, True)


@pytest.mark.parametrize("line", [b"HTTP/1.1 100 Continue\r\n\r\n", b"X-More: 1\r\n"], ids=["100", "header"])
async def test_a_head_that_does_not_end_is_given_up(make_wire: MakeWire, line: bytes) -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" if line.startswith(b"X") else b"")
        with contextlib.suppress(ConnectionError):
            while not writer.is_closing():
                writer.write(line * 100)
                await writer.drain()
                await asyncio.sleep(0.001)

    async with server(endless) as url, make_wire(timeout=0.3) as wire, asyncio.timeout(10):
        assert (await failure(wire, url)).sent


@pytest.mark.parametrize("url", ["https://", "ftp://portal.example/", "https://portal.example:x/", "https://a\x00b/"])
async def test_what_is_no_address_was_never_sent(make_wire: MakeWire, url: str) -> None:
    async with make_wire() as wire:
        error = await failure(wire, url)
    assert (error.sent, error.retryable) == (False, False)


@pytest.mark.parametrize("value", ["ключ", "line\r\nbreak"])
async def test_a_header_that_cannot_be_sent_was_never_sent(make_wire: MakeWire, value: str) -> None:
    async with server(saying(FINE)) as url, make_wire() as wire:
        with pytest.raises(NoResponse) as caught:
            await post(wire, url, headers={"Authorization": f"Bearer {value}"})
    assert (caught.value.sent, caught.value.retryable) == (False, False)


async def test_a_failure_is_free_of_what_was_sent(make_wire: MakeWire) -> None:
    async with server(reset) as url, make_wire() as wire:
        error = await failure(wire, f"{url}?token=S3CR3T")
    assert error.__cause__ is error.__context__ is None
    # The last line is the error; those above it are source code.
    assert "S3CR3T" not in traceback.format_exception(error)[-1]
    assert "S3CR3T" not in "".join(traceback.format_exception(error.cause))


# --- connections that are used again ----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_connection_that_was_closed_while_idle_is_not_used_again(make_wire: MakeWire, method: str) -> None:
    closed: list[asyncio.Event] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(FINE)
        await writer.drain()
        closed.append(asyncio.Event())
        await asyncio.sleep(0.01)
        writer.close()
        closed[-1].set()

    body = b"{}" if method == "POST" else None
    async with server(once) as url, make_wire() as wire:
        for number in range(5):
            assert (await wire.send(method, url, body, {})).body == BODY
            await closed[number].wait()


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_request_that_a_closing_connection_took_was_sent_and_is_not_sent_again(
    own: MakeWire, method: str
) -> None:
    heard: list[bytes] = []

    async def close_at_the_second(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(FINE)
        await writer.drain()
        heard.append(await whole_request(reader))
        writer.transport.abort()

    body = b"{}" if method == "POST" else None
    async with server(close_at_the_second) as url, own() as wire:
        await wire.send(method, url, body, {})
        with pytest.raises(NoResponse) as caught:
            await wire.send(method, url, body, {})
    assert caught.value.sent
    assert len(heard) == 2


async def test_idle_connections_of_many_portals_are_bounded_and_the_oldest_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("b24oauth.wire.over_httpx._MOST_IDLE", 3)
    open_ones: set[int] = set()

    def portal(number: int) -> Talk:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            open_ones.add(number)
            await listening([])(reader, writer)
            open_ones.discard(number)

        return talk

    async with contextlib.AsyncExitStack() as stack:
        wire = await stack.enter_async_context(wire_of("httpx"))
        for number in range(6):
            url = await stack.enter_async_context(server(portal(number)))
            await post(wire, url)
        await asyncio.sleep(0.02)
        assert open_ones == {3, 4, 5}


# --- large bodies -----------------------------------------------------------------------------------------------------


async def test_a_large_body_arrives_whole_and_without_a_warning(make_wire: MakeWire) -> None:
    body = b"{" + b"x" * 3_000_000 + b"}"
    heard: list[bytes] = []
    async with server(listening(heard)) as url, make_wire() as wire:
        assert (await post(wire, url, body)).body == BODY
        assert (await post(wire, url, b"small")).body == BODY
    head, _, rest = heard[0].partition(b"\r\n\r\n")
    assert rest == body
    assert head_of(heard[0])["content-length"] == str(len(body))
    assert b"chunked" not in head.lower()
    assert b"application/json" in head


async def test_a_body_that_nobody_takes_was_sent_and_ends_in_time(make_wire: MakeWire) -> None:
    async def take_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await gone.wait()

    gone = asyncio.Event()
    async with server(take_nothing) as url, make_wire(timeout=0.1) as wire, asyncio.timeout(20):
        error = await failure(wire, url, b"x" * 30_000_000)
        gone.set()
    assert (error.sent, error.timed_out) == (True, True)
    assert "took no more of the request" in error.reason


async def test_a_slow_upload_that_goes_on_is_not_given_up(make_wire: MakeWire) -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(20):
            await reader.readexactly(1_000_000)
            await asyncio.sleep(0.05)
        writer.write(FINE)
        await writer.drain()

    # What the operating systems of both sides hold is read within the timeout, all of it is not.
    async with server(slow) as url, make_wire(timeout=0.8) as wire, asyncio.timeout(20):
        assert (await post(wire, url, b"x" * 20_000_000)).body == BODY


async def test_a_response_that_comes_before_a_large_body_is_read_is_taken(make_wire: MakeWire) -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early)
        await writer.drain()
        with contextlib.suppress(ConnectionError):
            while await reader.read(2**20):
                pass

    async with server(refuse) as url, make_wire(timeout=5) as wire, asyncio.timeout(20):
        for _ in range(3):
            assert (await post(wire, url, b"x" * 20_000_000)).status == 413


async def test_a_request_that_is_cancelled_leaves_no_connection_behind(make_wire: MakeWire) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(FINE[:-3])
        await writer.drain()
        begun.set()
        await reader.read()
        gone.set()

    async with server(hang) as url, make_wire() as wire, asyncio.timeout(5):
        sending = asyncio.create_task(post(wire, url))
        await begun.wait()
        sending.cancel()
        await asyncio.wait([sending])
        await gone.wait()
        assert sending.cancelled()
