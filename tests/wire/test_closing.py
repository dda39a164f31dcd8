"""Closing: what is under way ends and says truthfully whether it was sent, and nothing is left open."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from typing import Any

import httpx
import pytest

from b24oauth.errors import ClientStateError, ConfigurationError
from b24oauth.wire import NoResponse, Wire
from tests.support.spies import saying, server, whole_request
from tests.support.tls import tls_server, trusting
from tests.support.wires import BODY, FINE, GIVEN, OWN, MakeWire, given_client, post, wire_of

pytestmark = pytest.mark.anyio


async def hear_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(1000):
            pass


def under_way(wire: Wire) -> int:
    return 0 if wire._exchanges is None else len(wire._exchanges.under_way)


@pytest.mark.parametrize("turns", range(14))
async def test_a1_closing_ends_what_is_under_way_and_says_whether_it_was_sent(kind: str, turns: int) -> None:
    heard: list[bytes] = []
    connections: set[asyncio.StreamWriter] = set()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        with contextlib.suppress(ConnectionError):
            while some := await reader.read(1000):
                heard.append(some)
        connections.remove(writer)

    async with server(listen) as url, wire_of(kind, timeout=5) as wire:
        sending = asyncio.create_task(post(wire, url))
        for _ in range(turns):
            await asyncio.sleep(0)
        await wire.aclose()
        with pytest.raises((NoResponse, ClientStateError)) as caught:
            await sending
        for _ in range(20):  # what is on its way yet arrives
            await asyncio.sleep(0.001)
        before = len(heard)
        await asyncio.sleep(0.02)
        assert len(heard) == before
        if kind in OWN:
            assert not connections
        if isinstance(caught.value, NoResponse):
            assert caught.value.reason == "the client was closed"
            if heard:
                assert caught.value.sent
            elif kind in OWN and not caught.value.sent:
                assert heard == []
        else:
            assert heard == []
        assert sending.cancelling() == 0
        assert under_way(wire) == 0


async def test_a1_a_request_that_still_connects_was_not_sent_when_the_client_closes(own: MakeWire) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hear_all(reader, writer)

    async with server(hang) as url, own() as wire:
        sending = asyncio.create_task(post(wire, url.replace("http:", "https:")))
        await asyncio.sleep(0.1)
        await wire.aclose()
        with pytest.raises(NoResponse) as caught:
            await sending
    assert (caught.value.sent, caught.value.reason) == (False, "the client was closed")


async def test_a1_a_request_that_was_written_was_sent_when_the_client_closes(make_wire: MakeWire) -> None:
    async with server(hear_all) as url, make_wire() as wire:
        sending = asyncio.create_task(post(wire, url))
        await asyncio.sleep(0.05)
        await wire.aclose()
        with pytest.raises(NoResponse) as caught:
            await sending
    assert (caught.value.sent, caught.value.timed_out) == (True, False)


async def test_a1_a_caller_that_is_cancelled_while_the_client_closes_stays_cancelled(make_wire: MakeWire) -> None:
    async with server(hear_all) as url, make_wire() as wire:
        sending = asyncio.create_task(post(wire, url))
        await asyncio.sleep(0.02)
        assert under_way(wire) == 1
        closing = asyncio.create_task(wire.aclose())
        await asyncio.sleep(0)
        sending.cancel()
        await closing
        with pytest.raises(asyncio.CancelledError):
            await sending


async def test_a1_a_response_in_spite_of_the_close_leaves_its_caller_uncancelled() -> None:
    async def stubborn(request: httpx.Request) -> httpx.Response:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return httpx.Response(200, content=BODY)

    async with httpx.AsyncClient(transport=httpx.MockTransport(stubborn)) as client:
        wire = Wire(client)
        sending = asyncio.create_task(post(wire, "https://portal.example/rest/profile"))
        await asyncio.sleep(0.01)
        await wire.aclose()
        with contextlib.suppress(NoResponse):
            assert (await sending).body == BODY
        assert sending.cancelling() == 0


async def test_a1_a_close_that_is_cancelled_closes_all_the_same(own: MakeWire) -> None:
    gone = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hear_all(reader, writer)
        gone.set()

    async with server(listen) as url, own() as wire, asyncio.timeout(5):
        sending = asyncio.create_task(post(wire, url))
        await asyncio.sleep(0.02)
        closing = asyncio.create_task(wire.aclose())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(NoResponse):
            await sending
        await gone.wait()


async def test_a1_a_timeout_of_the_caller_stays_the_callers_while_the_client_closes(make_wire: MakeWire) -> None:
    async def within(seconds: float) -> None:
        async with asyncio.timeout(seconds):
            await post(wire, url)

    async with server(hear_all) as url, make_wire() as wire:
        late = asyncio.create_task(within(60))
        await asyncio.sleep(0.02)
        await wire.aclose()
        with pytest.raises(NoResponse):
            await late


async def test_a1_idle_connections_are_closed_over_tls_too(own: MakeWire) -> None:
    open_ones: set[asyncio.StreamWriter] = set()
    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await whole_request(reader)
                writer.write(FINE)
                await writer.drain()
        open_ones.remove(writer)
        if not open_ones:
            gone.set()

    async with tls_server(answer) as url, own(ssl_context=trusting()) as wire, asyncio.timeout(5):
        await asyncio.gather(*(post(wire, url) for _ in range(5)))
        assert len(open_ones) == 5
        await wire.aclose()
        await gone.wait()


async def test_a_closed_client_refuses_requests_and_opens_nothing(make_wire: MakeWire) -> None:
    connections: list[int] = []

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)

    async with server(count) as url, make_wire() as wire:
        await wire.aclose()
        await wire.aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await post(wire, url)
        with pytest.raises(ClientStateError, match="closed"):
            async with wire.stream(url, {}):
                pass
        await asyncio.sleep(0.01)
    assert connections == []


@pytest.mark.parametrize("kind", GIVEN)
async def test_a_client_that_was_given_stays_open(kind: str) -> None:
    async with server(saying(FINE)) as url, given_client(kind) as client:
        async with Wire(client) as wire:
            await post(wire, url)
        assert not (client.closed if hasattr(client, "closed") else client.is_closed)


@pytest.mark.parametrize("kind", GIVEN)
async def test_a_client_that_was_given_closed_is_the_callers_mistake(kind: str) -> None:
    async with server(saying(FINE)) as url, given_client(kind) as client:
        await (client.close() if hasattr(client, "close") else client.aclose())
        async with Wire(client) as wire:
            with pytest.raises(ClientStateError, match="http_client"):
                await post(wire, url)


# --- one loop ---------------------------------------------------------------------------------------------------------


def in_a_loop(main: Any) -> Any:
    return asyncio.run(main)


@pytest.mark.parametrize("kind", OWN)
def test_a_second_loop_is_refused_and_nothing_is_changed(kind: Any) -> None:
    wire = Wire(transport=kind)

    async def main() -> None:
        async with server(saying(FINE)) as url:
            await post(wire, url)
            other: list[BaseException] = []

            def elsewhere() -> None:
                for attempt in (lambda: post(wire, url), wire.aclose):
                    try:
                        asyncio.run(attempt())
                    except ClientStateError as error:
                        other.append(error)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            await asyncio.to_thread(thread.join)
            assert [type(error) for error in other] == [ClientStateError] * 2
            assert all("another event loop" in str(error) and "loop_scope" in str(error) for error in other)
            # It works as before.
            assert (await post(wire, url)).body == BODY
            await wire.aclose()

    asyncio.run(main())
    with pytest.raises(ClientStateError, match="another event loop"):
        asyncio.run(wire.aclose())


def test_a_client_that_was_never_used_is_closed_in_any_loop() -> None:
    wire = Wire()
    asyncio.run(wire.aclose())
    assert wire.loop_time() is None


def test_a_given_session_of_another_loop_is_the_callers_mistake() -> None:
    async def elsewhere(session: Any, url: str) -> None:
        async with Wire(session) as wire:
            with pytest.raises(ClientStateError, match=r"http_client .* another event loop"):
                await post(wire, url)

    async def main() -> None:
        async with server(saying(FINE)) as url, given_client("given aiohttp") as session:
            await asyncio.to_thread(lambda: asyncio.run(elsewhere(session, url)))
            async with Wire(session) as wire:
                await post(wire, url)

    asyncio.run(main())


@pytest.mark.parametrize("told", ["<Queue> is bound to a different event loop", "Event loop is closed"])
async def test_a_given_client_of_another_loop_is_the_callers_mistake(told: str) -> None:
    async def elsewhere(request: httpx.Request) -> httpx.Response:
        raise RuntimeError(told)

    async with httpx.AsyncClient(transport=httpx.MockTransport(elsewhere)) as client, Wire(client) as wire:
        with pytest.raises(ClientStateError, match=r"http_client .* another event loop") as caught:
            await post(wire, "https://portal.example/")
    assert caught.value.__context__ is None


async def test_a_mistake_in_a_given_client_is_shown_as_it_is() -> None:
    async def broken(request: httpx.Request) -> httpx.Response:
        raise RuntimeError("a mistake")

    async with httpx.AsyncClient(transport=httpx.MockTransport(broken)) as client, Wire(client) as wire:
        with pytest.raises(RuntimeError, match="a mistake"):
            await post(wire, "https://portal.example/")


# --- shared connections -----------------------------------------------------------------------------------------------


async def test_clients_share_the_connections_of_a_wire(own: MakeWire) -> None:
    connections: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await whole_request(reader)
                writer.write(FINE)
                await writer.drain()

    async with server(answer) as url, own() as wire:
        for _ in range(5):
            async with Wire(wire=wire) as one:
                assert (await post(one, url)).body == BODY
            with pytest.raises(ClientStateError, match="closed"):
                await post(one, url)
        assert (await post(wire, url)).body == BODY
    assert len(connections) == 1


async def test_closing_one_of_them_ends_only_its_own_requests(own: MakeWire) -> None:
    async with server(hear_all) as url, own() as wire:
        one, other = Wire(wire=wire), Wire(wire=wire, timeout=5)
        sending, staying = asyncio.create_task(post(one, url)), asyncio.create_task(post(other, url))
        await asyncio.sleep(0.02)
        await one.aclose()
        with pytest.raises(NoResponse, match="closed"):
            await sending
        assert not staying.done()
        await wire.aclose()
        with pytest.raises(NoResponse, match="closed"):
            await staying
        with pytest.raises(ClientStateError, match="closed"):
            await post(other, url)


@pytest.mark.parametrize("options", [{"transport": "httpx"}, {"proxy": "p:1"}, {"ssl_context": trusting()}])
def test_a_shared_wire_has_its_connections_already(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="wire has connections already"):
        Wire(wire=Wire(), **options)


async def test_a_client_that_was_never_used_holds_nothing() -> None:
    gc.collect()
    wire = Wire()
    assert wire._exchanges is None
    assert wire._pool._made is None
    await wire.aclose()
