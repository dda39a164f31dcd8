"""Which transport is used, and that a failure means the same over each of them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import attrs
import httpx
import pytest

from b24oauth import AmbiguousResultError, B24OAuth, ConfigurationError
from b24oauth.transports import chosen_transport, meant_by
from b24oauth.wire import Wire
from tests.support.clients import UNLIMITED, fake_portal
from tests.support.spies import server, whole_request

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}  # real sockets want a real clock


def test_aiohttp_is_used_where_it_is_installed(transport: str) -> None:
    assert chosen_transport("auto") == transport
    assert chosen_transport("httpx") == "httpx"


def test_without_the_extra_httpx_is_used_and_asking_for_aiohttp_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)
    assert chosen_transport("auto") == "httpx"
    with pytest.raises(ConfigurationError, match=r"pip install .b24oauth\[speed\]"):
        chosen_transport("aiohttp")


@pytest.mark.parametrize(
    "options",
    [
        {"transport": "curl"},
        {"transport": "httpx", "http_client": httpx.AsyncClient()},
        {"max_concurrency": 0},
        {"max_concurrency": True},
        {"max_concurrency": 2.5},
        {"http_client": "https://portal.example"},
    ],
    ids=["unknown", "transport and client", "zero", "true", "half", "no client"],
)
def test_what_does_not_fit_together_is_refused_at_once(options: dict[str, Any]) -> None:
    portal = fake_portal()
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        B24OAuth(portal.issue(), portal.secret, **options)


async def test_a_given_client_is_used_whatever_is_installed() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"result": 1})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), headers={"X-Mine": "yes"}) as client:
        wire = Wire(client, timeout=5)
        await wire.send("https://portal.example/rest/profile", b"{}", {})
        assert wire._clients._made == []
    assert asked[0].headers["x-mine"] == "yes"


async def test_a_client_made_here_sends_what_a_given_one_would_and_mixes_no_headers(transport: Any) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                heard.append(await whole_request(reader))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                await writer.drain()

    first, second = {"Content-Type": "text/a", "X-First": "1"}, {"Content-Type": "text/b", "X-Second": "2"}
    async with server(answer) as url, httpx.AsyncClient() as client:
        given, own = Wire(client, timeout=5), Wire(None, timeout=5, transport=transport)
        for wire in (given, own):
            for headers in (first, first, second, first):
                await wire.send(url + "?a=1", b'{"b":2}', headers)
            await wire.send(url, None, second)
        await own.aclose()
    requests = [_head_and_body(request) for request in heard]
    assert requests[5:] == requests[:5]
    assert [b"x-second: 2" in head for head, _ in requests[:5]] == [False, False, True, False, True]


def _head_and_body(request: bytes) -> tuple[frozenset[bytes], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    return frozenset(
        [line, *(name.lower() + b":" + value for name, _, value in (h.partition(b":") for h in headers))]
    ), body


@pytest.mark.parametrize("environment", [{}, {"HTTP_PROXY": "http://{}"}], ids=["direct", "proxy"])
async def test_the_proxies_of_the_environment_are_used_over_each_transport(
    environment: dict[str, str], transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with server(listen) as url:
        address = url.split("/")[2]
        for name, value in environment.items():
            monkeypatch.setenv(name, value.format(address))
        target = "http://portal.example/rest/profile" if environment else url
        wire = Wire(None, timeout=5, transport=transport)
        assert (await wire.send(target, b"{}", {})).status == 200
        await wire.aclose()
    first = heard[0].split(b"\r\n")[0]
    assert first == (
        b"POST http://portal.example/rest/profile HTTP/1.1" if environment else b"POST /rest/profile HTTP/1.1"
    )


async def test_a_server_that_closes_after_each_answer_is_asked_again_over_a_new_connection(transport: Any) -> None:
    asked = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await whole_request(reader)
        asked += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with server(answer) as url:
        wire = Wire(None, timeout=5, transport=transport)
        for _ in range(20):
            await wire.send(url, b"{}", {})
        await wire.aclose()
    assert asked == 20


async def test_long_headers_are_read_and_cookies_of_the_portal_are_not_taken(transport: Any) -> None:
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        head = b"HTTP/1.1 200 OK\r\nX-Policy: " + b"p" * 20_000 + b"\r\nSet-Cookie: session=1; Path=/\r\n"
        writer.write(head + b"Content-Length: 2\r\n\r\n{}")
        await writer.drain()

    async with server(answer) as url:
        wire = Wire(None, timeout=5, transport=transport)
        named = url.replace("127.0.0.1", "localhost")  # a host without a name gets no cookies anyway
        assert len((await wire.send(named, b"{}", {})).headers["x-policy"]) == 20_000
        await wire.send(named, b"{}", {})
        assert not any(client.cookies for client in wire._clients._made)
        await wire.aclose()
    assert b"cookie" not in heard[1].lower()


async def test_l5_a_write_cut_off_under_a_given_aiohttp_client_is_ambiguous_and_never_sent_twice() -> None:
    httpx_aiohttp = pytest.importorskip("httpx_aiohttp", reason="this run is without the extra")
    asked = 0

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await whole_request(reader)
        asked += 1
        writer.transport.abort()

    portal = fake_portal()
    async with server(cut) as url, httpx_aiohttp.HttpxAiohttpClient() as client:
        root = url.removesuffix("profile")
        pair = attrs.evolve(portal.issue(), client_endpoint=root, expires=4_000_000_000)
        hosts = {root.split("/")[2], *portal.trusted_oauth_hosts}
        options: dict[str, Any] = {"trusted_oauth_hosts": hosts, "restriction_params": UNLIMITED}
        async with B24OAuth(pair, portal.secret, http_client=client, **options) as b24:
            with pytest.raises(AmbiguousResultError):
                await b24.actions.v2.call.make("crm.deal.add", {"fields": {}})
    assert asked == 1


def aiohttp_error(*names: str) -> Exception:
    """An error of aiohttp's, by the names of its classes from the oldest ancestor on."""
    kind: type[Exception] = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": "aiohttp.client_exceptions"})
    return kind("https://portal.example/?token=S3CR3T")


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        (["ClientError", "ServerTimeoutError", "ConnectionTimeoutError"], httpx.ConnectTimeout),
        (["ClientError", "ServerTimeoutError", "SocketTimeoutError"], httpx.ReadTimeout),
        (["ClientError", "ClientConnectionError", "ClientOSError", "ClientConnectorError"], httpx.ConnectError),
        (["ClientError", "ClientConnectorError", "ClientConnectorDNSError"], httpx.ConnectError),
        (["ClientError", "ClientConnectorError", "ClientProxyConnectionError"], httpx.ProxyError),
        (["ClientError", "ClientConnectionError", "ClientOSError", "ClientConnectionResetError"], httpx.ReadError),
        (["ClientError", "ClientConnectionError", "ServerDisconnectedError"], httpx.RemoteProtocolError),
        (["ClientError", "ClientPayloadError"], httpx.RemoteProtocolError),
        (["ClientError", "ClientResponseError"], httpx.RemoteProtocolError),
        (["ClientError", "NonHttpUrlClientError"], httpx.UnsupportedProtocol),
        (["ClientError", "SomethingNew"], httpx.ReadError),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_failure_of_aiohttp_means_what_it_is_whatever_it_was_wrapped_in(
    names: list[str], meant: type[Exception], wrapped: bool
) -> None:
    error = aiohttp_error(*names)
    if wrapped:
        # As httpx-aiohttp says of every broken connection, which would be sent a second time.
        outer = httpx.ConnectTimeout("")
        outer.__cause__ = error
        error = outer
    assert meant_by(error) is meant


def test_what_is_no_failure_of_a_request_is_not_taken_for_one() -> None:
    assert meant_by(ValueError("a bug")) is None
    assert meant_by(httpx.ReadError("")) is httpx.ReadError
