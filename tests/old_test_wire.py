"""The wire over real sockets: what was never sent, what was sent without an answer, and who closes what."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import attrs
import httpx
import pytest

from b24oauth import AmbiguousResultError, ApiVersion, B24OAuth, ClientStateError, NetworkError
from b24oauth.testing import FakePortal
from b24oauth.wire import NoResponse, Wire
from tests.support.clients import UNLIMITED, fake_portal
from tests.support.spies import Talk, saying, server, whole_request

pytestmark = pytest.mark.anyio

BODY = b'{"result":true}'
FINE = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + BODY


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}  # real sockets want a real clock


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    writer.transport.abort()


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await whole_request(reader)
    await reader.read()  # until the client gives up


@contextlib.asynccontextmanager
async def wire(client: httpx.AsyncClient | None = None, *, timeout: float = 30.0) -> AsyncIterator[Wire]:
    made = Wire(client, timeout=timeout)
    try:
        yield made
    finally:
        await made.aclose()


async def failure(made: Wire, url: str, body: bytes = b"token=S3CR3T", **options: Any) -> NoResponse:
    with pytest.raises(NoResponse) as caught:
        await made.send(url, body, {"X-Token": "S3CR3T"}, **options)
    return caught.value


# --- never sent, or sent without an answer ----------------------------------------------------------------------------


async def test_a_whole_answer_is_given_as_it_came() -> None:
    async with server(saying(FINE)) as url, wire() as made:
        answer = await made.send(url, b"{}", {})
    assert (answer.status, answer.body) == (200, BODY)
    assert answer.headers["content-type"] == "application/json"


async def test_a_body_is_posted_and_nothing_is_asked_for_with_get() -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(FINE)

    async with server(listen) as url, wire() as made:
        await made.send(f"{url}?a=1", b"x=1", {"X-Mine": "yes"})
        await made.send(f"{url}?a=1", None, {})
    posted, asked = heard
    assert posted.startswith(b"POST /rest/profile?a=1 HTTP/1.1\r\n")
    assert b"x-mine: yes\r\n" in posted.lower()
    assert posted.endswith(b"\r\n\r\nx=1")
    assert asked.startswith(b"GET /rest/profile?a=1 HTTP/1.1\r\n")


async def test_more_requests_than_any_pool_holds_are_under_way_together() -> None:
    count = 120
    together = asyncio.Barrier(count)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        await together.wait()
        writer.write(FINE)
        await writer.drain()

    async with server(answer) as url, wire() as made, asyncio.timeout(20):
        answers = await asyncio.gather(*(made.send(url, b"{}", {}) for _ in range(count)))
    assert [answer.body for answer in answers] == [BODY] * count


async def test_a_refused_connection_was_never_sent() -> None:
    async with server(silence) as url:
        pass  # the port is free again, and nobody listens
    async with wire() as made:
        error = await failure(made, url)
    assert (error.sent, error.timed_out, error.reason) == (False, False, "ConnectError")


async def test_a_connection_that_is_not_made_in_time_was_never_sent() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as others:
        for _ in range(4):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(full.getsockname())
        async with wire(timeout=0.05) as made, asyncio.timeout(5):
            error = await failure(made, "http://{}:{}/rest/profile".format(*full.getsockname()))
    assert (error.sent, error.timed_out, error.reason) == (False, True, "ConnectTimeout")


@pytest.mark.parametrize(
    "talk",
    [
        reset,
        saying(b""),
        saying(FINE[:30]),
        saying(FINE[:-3]),
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
        saying(b"\x16\x03\x01 this is not HTTP\r\n\r\n"),
        saying(b"HTTP/1.1 999999 Odd\r\n\r\n"),
        saying(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd"),
    ],
    ids=["reset", "closed", "cut head", "cut body", "cut chunk", "no HTTP", "odd status", "no gzip"],
)
async def test_an_answer_that_does_not_arrive_whole_was_sent(talk: Talk) -> None:
    async with server(talk) as url, wire() as made:
        error = await failure(made, url)
    assert error.sent
    assert not error.timed_out


async def test_an_answer_that_takes_too_long_was_sent() -> None:
    async with server(silence) as url, wire(timeout=0.05) as made:
        error = await failure(made, url)
    assert (error.sent, error.timed_out, error.reason) == (True, True, "ReadTimeout")


async def test_the_timeout_of_one_request_comes_before_the_clients_own() -> None:
    async with server(silence) as url, wire() as made:
        assert (await failure(made, url, timeout=0.05)).timed_out


def raising(error: Exception) -> httpx.AsyncClient:
    def answer(_: httpx.Request) -> httpx.Response:
        raise error

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


@pytest.mark.parametrize(
    ("error", "sent", "timed_out"),
    [
        (httpx.ConnectError, False, False),
        (httpx.ConnectTimeout, False, True),
        (httpx.PoolTimeout, False, True),
        (httpx.ProxyError, False, False),
        (httpx.UnsupportedProtocol, False, False),
        (httpx.LocalProtocolError, False, False),
        (httpx.InvalidURL, False, False),
        (httpx.ReadTimeout, True, True),
        (httpx.WriteTimeout, True, True),
        (httpx.ReadError, True, False),
        (httpx.WriteError, True, False),
        (httpx.CloseError, True, False),
        (httpx.RemoteProtocolError, True, False),
        (httpx.DecodingError, True, False),
        (httpx.TooManyRedirects, True, False),
    ],
)
async def test_every_failure_of_httpx_is_one_or_the_other(error: type[Exception], sent: bool, timed_out: bool) -> None:
    async with raising(error("token=S3CR3T")) as client, wire(client) as made:
        caught = await failure(made, "https://portal.example/rest/profile")
    assert (caught.sent, caught.timed_out, caught.reason) == (sent, timed_out, error.__name__)


@pytest.mark.parametrize("url", ["https://", "ftp://portal.example/", "https://portal.example:x/", "https://a\x00b/"])
async def test_what_is_no_address_was_never_sent(url: str) -> None:
    async with wire() as made:
        assert not (await failure(made, url)).sent


@pytest.mark.parametrize("value", ["ключ", "line\r\nbreak"])
async def test_a_header_that_cannot_be_sent_was_never_sent(value: str) -> None:
    async with server(saying(FINE)) as url, wire() as made:
        with pytest.raises(NoResponse) as caught:
            await made.send(url, b"", {"Authorization": f"Bearer {value}"})
    assert not caught.value.sent


async def test_a_failure_is_free_of_what_was_sent() -> None:
    async with raising(httpx.ReadError("token=S3CR3T")) as client, wire(client) as made:
        error = await failure(made, "https://portal.example/rest/profile?token=S3CR3T")
    assert error.__cause__ is error.__context__ is None
    # The last line is the error; those above it are source code.
    assert "S3CR3T" not in traceback.format_exception(error)[-1]


async def test_redirects_are_answers() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    async with server(saying(moved)) as url, httpx.AsyncClient(follow_redirects=True) as client:
        for given in (None, client):
            async with wire(given) as made:
                answer = await made.send(url, b"{}", {})
                assert (answer.status, answer.headers["location"]) == (302, "http://127.0.0.1:1/")


# --- who closes what, and where it may be used ------------------------------------------------------------------------


async def test_its_own_client_is_made_at_first_use_and_closed_at_close() -> None:
    made = Wire(None, timeout=5)
    assert made._clients._made == []
    async with server(saying(FINE)) as url:
        await made.send(url, b"{}", {})
        await made.send(url, b"{}", {})
        (own,) = made._clients._made
    await made.aclose()
    await made.aclose()
    assert own.is_closed


async def test_a_client_that_was_given_stays_open() -> None:
    async with httpx.AsyncClient() as client:
        async with server(saying(FINE)) as url, wire(client) as made:
            await made.send(url, b"{}", {})
        assert not client.is_closed


async def test_after_close_it_is_of_no_use() -> None:
    made = Wire(None, timeout=5)
    assert made.loop_time() is None
    assert made.enter_loop() is asyncio.get_running_loop()
    assert made.loop_time() is not None
    await made.aclose()
    with pytest.raises(ClientStateError, match="closed"):
        made.enter_loop()


async def test_what_is_sent_after_close_is_refused_and_opens_nothing() -> None:
    async with server(saying(FINE)) as url, httpx.AsyncClient() as client:
        for given in (None, client):
            made = Wire(given, timeout=5)
            await made.aclose()
            with pytest.raises(ClientStateError, match="closed"):
                await made.send(url, b"{}", {})
            assert made._clients._made == []


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("mine", [True, False])
async def test_a1_closing_ends_what_is_under_way_and_nothing_is_sent_afterwards(turns: int, mine: bool) -> None:
    heard: list[bytes] = []
    connections: set[asyncio.StreamWriter] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        while some := await reader.read(1000):
            heard.append(some)
        connections.remove(writer)

    async with server(listen) as url, httpx.AsyncClient() as client:
        made = Wire(None if mine else client, timeout=5)
        sending = asyncio.create_task(made.send(url, b"{}", {}))
        for _ in range(turns):
            await asyncio.sleep(0)
        await made.aclose()
        with pytest.raises((NoResponse, ClientStateError)) as caught:
            await sending
        for _ in range(20):  # what is on its way yet arrives
            await asyncio.sleep(0.001)
        before = len(heard)
        await asyncio.sleep(0.02)
        assert len(heard) == before
        if mine:
            assert not connections
        if isinstance(caught.value, NoResponse):
            assert caught.value.sent
        assert not sending.cancelled()
        assert sending.cancelling() == 0
        assert not made._under_way


async def hear_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(1000):
        pass


async def test_a1_a_caller_that_is_cancelled_while_the_client_closes_stays_cancelled() -> None:
    async with server(hear_all) as url:
        made = Wire(None, timeout=5)
        sending = asyncio.create_task(made.send(url, b"{}", {}))
        await asyncio.sleep(0.01)
        assert made._under_way
        closing = asyncio.create_task(made.aclose())
        await asyncio.sleep(0)
        sending.cancel()
        await closing
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_a1_a_request_that_is_answered_in_spite_of_the_close_leaves_its_caller_uncancelled() -> None:
    async def stubborn(request: httpx.Request) -> httpx.Response:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return httpx.Response(200, content=BODY)

    async with httpx.AsyncClient(transport=httpx.MockTransport(stubborn)) as client:
        made = Wire(client, timeout=5)
        sending = asyncio.create_task(made.send("https://portal.example/rest/profile", b"{}", {}))
        await asyncio.sleep(0.01)
        await made.aclose()
        assert (await sending).body == BODY
        assert sending.cancelling() == 0


async def test_an_answer_that_comes_before_a_large_body_is_read_is_taken() -> None:
    early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(early)
        await writer.drain()
        while await reader.read(2**20):
            pass

    async with server(refuse) as url, wire(timeout=5) as made, asyncio.timeout(20):
        for _ in range(3):
            assert (await made.send(url, b"x" * 20_000_000, {})).status == 413


async def test_a1_a_close_that_is_cancelled_closes_all_the_same() -> None:
    async with server(hear_all) as url:
        made = Wire(None, timeout=5)
        sending = asyncio.create_task(made.send(url, b"{}", {}))
        await asyncio.sleep(0.01)
        (own,) = made._clients._made
        closing = asyncio.create_task(made.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert own.is_closed
        with pytest.raises(NoResponse):
            await sending


async def test_a1_a_timeout_of_the_caller_is_his_also_while_the_client_closes() -> None:
    async with server(hear_all) as url:
        made = Wire(None, timeout=5)

        async def within(seconds: float) -> None:
            async with asyncio.timeout(seconds):
                await made.send(url, b"{}", {})

        late = asyncio.create_task(within(60))
        await asyncio.sleep(0.01)
        await made.aclose()
        with pytest.raises(NoResponse):
            await late


async def test_a_large_body_arrives_whole_and_without_a_warning() -> None:
    body = b"{" + b"x" * 3_000_000 + b"}"
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(FINE)
        await writer.drain()

    async with server(answer) as url, wire() as made:
        assert (await made.send(url, body, {"Content-Type": "application/json"})).body == BODY
    head, _, rest = heard[0].partition(b"\r\n\r\n")
    assert rest == body
    assert b"content-length: %d" % len(body) in head.lower()
    assert b"chunked" not in head.lower()
    assert b"application/json" in head


async def test_a_body_that_nobody_takes_was_sent_and_ends_in_time() -> None:
    async def take_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        await gone.wait()

    gone = asyncio.Event()
    async with server(take_nothing) as url, wire(timeout=0.1) as made, asyncio.timeout(20):
        error = await failure(made, url, b"x" * 30_000_000)
        gone.set()
    assert (error.sent, error.timed_out, error.reason) == (True, True, "WriteTimeout")


def test_a_second_event_loop_is_refused() -> None:
    made = Wire(None, timeout=5)

    async def enter() -> None:
        made.enter_loop()

    asyncio.run(enter())
    with pytest.raises(ClientStateError, match="another event loop"):
        asyncio.run(enter())


# --- the whole client over sockets ------------------------------------------------------------------------------------


def client_of(url: str, portal: FakePortal) -> B24OAuth:
    """A client that finds its portal at the address of a server and sends each call once."""
    root = url.removesuffix("profile")
    pair = attrs.evolve(portal.issue(), client_endpoint=root, expires=4_000_000_000)
    hosts = {root.split("/")[2], *portal.trusted_oauth_hosts}
    once = attrs.evolve(UNLIMITED, max_retries=1)
    return B24OAuth(pair, portal.secret, trusted_oauth_hosts=hosts, restriction_params=once)


async def test_a_client_closes_its_connections_and_is_of_no_use_afterwards() -> None:
    async with server(saying(FINE)) as url:
        async with client_of(url, fake_portal()) as b24:
            assert (await b24.actions.v2.call.make("profile")).result is True
            (own,) = b24._wire._clients._made
        assert own.is_closed
        with pytest.raises(ClientStateError, match="closed"):
            await b24.actions.v2.call.make("profile")
        with pytest.raises(ClientStateError, match="closed"):
            await b24.auth.refresh_auth()


async def test_a_write_that_was_cut_off_is_ambiguous_and_one_that_was_refused_is_not() -> None:
    add = ("crm.deal.add", {"fields": {"TITLE": "x"}})
    async with server(reset) as url, client_of(url, fake_portal()) as b24:
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.call.make(*add)
    async with client_of(url, fake_portal()) as b24:
        with pytest.raises(NetworkError) as caught:
            await b24.actions.v2.call.make(*add)
    assert not isinstance(caught.value, AmbiguousResultError)


def test_a_client_is_made_before_any_loop_runs_and_used_in_one() -> None:
    b24 = B24OAuth(fake_portal().issue(), fake_portal().secret)

    async def enter() -> None:
        b24.get_http_client(ApiVersion.V2).enter_loop()

    asyncio.run(enter())
    with pytest.raises(ClientStateError, match="another event loop"):
        asyncio.run(enter())


# --- bodies that are read part by part --------------------------------------------------------------------------------


async def read(made: Wire, url: str, headers: dict[str, str] | None = None) -> bytes:
    body = b""
    async with made.stream(url, headers or {}) as answer:
        async for part in answer:
            body += part
    return body


def in_parts(*parts: bytes, length: int, ended: asyncio.Event | None = None) -> Talk:
    """Sends parts of a body one after another, then waits until the client leaves."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.01)
        await reader.read()
        if ended is not None:
            ended.set()

    return talk


async def test_a_body_is_handed_over_as_it_comes() -> None:
    got = asyncio.Event()
    async with server(in_parts(b"one", b"two", length=6)) as url, wire() as made:
        async with made.stream(url, {}) as answer:
            assert (answer.status, answer.headers["content-length"]) == (200, "6")
            parts = [part async for part in answer]
        assert parts == [b"one", b"two"]
        got.set()


async def test_a_stream_asks_with_get_and_follows_no_redirect() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with server(talk) as url, wire() as made, made.stream(f"{url}?a=1", {"X-Mine": "yes"}) as answer:
        assert answer.status == 302
    assert heard[0].startswith(b"GET /rest/profile?a=1 HTTP/1.1\r\n")
    assert b"x-mine: yes\r\n" in heard[0].lower()


@pytest.mark.parametrize("talk", [reset, saying(FINE[:-3]), saying(b""), in_parts(b"one", length=6)])
async def test_a_body_that_breaks_off_was_sent(talk: Talk) -> None:
    async with server(talk) as url, wire(timeout=0.1) as made:
        with pytest.raises(NoResponse) as caught:
            await read(made, url)
    assert caught.value.sent
    assert caught.value.__context__ is None


async def test_a_stream_that_cannot_begin_was_never_sent() -> None:
    async with server(silence) as url:
        pass
    async with wire() as made:
        for headers in ({}, {"X": "a\nb"}):
            with pytest.raises(NoResponse) as caught:
                await read(made, url, headers)
            assert not caught.value.sent


@pytest.mark.parametrize("how", ["break", "error", "cancel", "close"])
async def test_a_stream_that_is_left_early_closes_its_connection(how: str) -> None:
    ended, begun = asyncio.Event(), asyncio.Event()

    async def leave(made: Wire, url: str) -> None:
        async with made.stream(url, {}) as answer:
            async for _ in answer:
                begun.set()
                if how == "break":
                    break
                if how == "error":
                    raise ValueError(how)

    async with server(in_parts(b"one", length=6, ended=ended)) as url, wire() as made, asyncio.timeout(5):
        leaving = asyncio.create_task(leave(made, url))
        await begun.wait()
        if how == "cancel":
            leaving.cancel()
        if how == "close":
            await made.aclose()
        [outcome] = await asyncio.gather(leaving, return_exceptions=True)
        await ended.wait()
    expected = {"break": type(None), "error": ValueError, "cancel": asyncio.CancelledError, "close": NoResponse}
    assert type(outcome) is expected[how]
    assert leaving.cancelling() == (how == "cancel")


async def test_requests_of_a_task_that_reads_a_stream_do_not_hide_the_stream_from_a_close() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def read_and_send(made: Wire, url: str, other: str) -> None:
        async with made.stream(url, {}) as answer, made.stream(url, {}) as second:
            async for _ in answer:
                await made.send(other, b"{}", {})
                await anext(second)
                begun.set()

    async with (
        server(in_parts(b"one", length=6, ended=ended)) as url,
        server(saying(FINE)) as other,
        wire() as made,
        asyncio.timeout(5),
    ):
        reading = asyncio.create_task(read_and_send(made, url, other))
        await begun.wait()
        await asyncio.sleep(0.05)
        await made.aclose()
        with pytest.raises(NoResponse, match="the client was closed"):
            await reading
        assert reading.cancelling() == 0


async def test_a_wire_can_be_closed_while_its_own_stream_is_read() -> None:
    async def read_and_close(made: Wire, url: str) -> None:
        async with made.stream(url, {}) as answer:
            async for _ in answer:
                await made.aclose()

    async with server(in_parts(b"one", length=6)) as url, wire() as made, asyncio.timeout(5):
        with pytest.raises(ClientStateError):
            await read_and_close(made, url)


async def test_a_connection_is_kept_when_a_stream_was_read_to_its_end() -> None:
    connections: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                await whole_request(reader)
                writer.write(FINE)
                await writer.drain()

    async with server(talk) as url, wire() as made:
        for _ in range(3):
            assert await read(made, url) == BODY
        await made.send(url, b"{}", {})
    assert len(connections) == 1
