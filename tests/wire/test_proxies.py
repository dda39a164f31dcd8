"""Proxies, of the environment and as an argument: the same over every transport."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import sys
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.wire import Wire
from tests.support.proxies import RunningProxy, http_proxy, socks_proxy
from tests.support.spies import saying, server
from tests.support.tls import SERVER, serving, tls_server, trusting
from tests.support.wires import BODY, FINE, MakeWire, failure, post

pytestmark = pytest.mark.anyio

PORTAL = "http://portal.example/rest/profile"
TLS_PORTAL = "https://localhost/rest/profile"


def place_of(url: str) -> str:
    return url.split("/")[2]


async def post_once(opening: AbstractAsyncContextManager[Wire], url: str) -> bytes:
    async with opening as wire:
        body: bytes = (await post(wire, url)).body
        return body


# --- which proxy is used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""], ids=["url", "host and port"])
async def test_the_proxy_of_the_environment_is_used(
    own: MakeWire, variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(saying(FINE)) as url, http_proxy(to=place_of(url)) as proxy:
        monkeypatch.setenv(variable, scheme + proxy.place)
        async with own() as wire:
            assert (await post(wire, PORTAL)).body == BODY
    assert proxy.heads[0].startswith(b"POST http://portal.example/rest/profile HTTP/1.1\r\n")


async def test_a_tunnel_is_used_for_https(own: MakeWire, monkeypatch: pytest.MonkeyPatch) -> None:
    async with tls_server(saying(FINE)) as url, http_proxy(to=place_of(url)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:p%40ss@{proxy.place}")
        async with own(ssl_context=trusting()) as wire:
            assert (await post(wire, TLS_PORTAL, headers={"Authorization": "Bearer S3CR3T"})).body == BODY
            assert (await post(wire, TLS_PORTAL)).body == BODY
    assert set(proxy.targets) == {"localhost:443"}
    authorization = b"Basic " + base64.b64encode(b"user:p@ss")
    assert all(authorization in head and b"S3CR3T" not in head for head in proxy.heads)


async def test_credentials_go_to_the_proxy_only(own: MakeWire) -> None:
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(FINE)
        await writer.drain()

    async with tls_server(listen) as url, http_proxy(to=place_of(url)) as proxy:
        wire = own(ssl_context=trusting(), proxy=f"http://user:S3CR3T@{proxy.place}")
        await post_once(wire, TLS_PORTAL)
    assert b"proxy-authorization" not in heard[0].lower()
    async with server(saying(FINE)) as url, http_proxy(to=place_of(url)) as proxy:
        await post_once(own(proxy=f"http://user:S3CR3T@{proxy.place}"), PORTAL)
    assert b"proxy-authorization: basic " in proxy.heads[0].lower()


async def test_a_proxy_may_speak_tls_itself(own: MakeWire) -> None:
    async with tls_server(saying(FINE)) as url, http_proxy(to=place_of(url), tls=serving(SERVER)) as proxy:
        address = f"https://localhost:{proxy.place.split(':')[1]}"
        async with own(ssl_context=trusting(), proxy=address) as wire:
            assert (await post(wire, TLS_PORTAL)).body == BODY
    assert proxy.targets == ["localhost:443"]


@pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "127.0.0.0/8", "localhost, [::1], 127.0.0.1"])
async def test_no_proxy_is_respected(own: MakeWire, no_proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server(saying(FINE)) as url, http_proxy() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"http://{proxy.place}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        async with own() as wire:
            assert (await post(wire, url)).body == BODY
    assert proxy.heads == []


async def test_the_argument_comes_before_the_environment(own: MakeWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    async with server(saying(FINE)) as url, http_proxy(to=place_of(url)) as proxy:
        assert await post_once(own(proxy=proxy.place), PORTAL) == BODY
    assert proxy.heads


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
@pytest.mark.parametrize("credentials", [None, "user:p@ss"])
async def test_a_socks_proxy_is_used_over_every_transport(
    own: MakeWire, scheme: str, credentials: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = "user:p%40ss@" if credentials else ""
    async with server(saying(FINE)) as url, socks_proxy(to=place_of(url), credentials=credentials) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://{before}{proxy.place}")
        async with own() as wire:
            assert (await post(wire, PORTAL)).body == BODY
    assert proxy.targets == ["portal.example:80"]


async def test_without_socksio_a_socks_proxy_names_the_remedy(own: MakeWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1")
    async with own() as wire:
        with pytest.raises(ConfigurationError, match=r"ALL_PROXY .* pip install .b24oauth\[socks\]"):
            await post(wire, PORTAL)


# --- what cannot be used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["ftp://S3CR3T@proxy:1", "http://", "http://proxy:x", "http://[::1", "socks4://p:1", "p p:1"]
)
async def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    own: MakeWire, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", value)
    async with server(saying(FINE)) as url, own() as wire:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="HTTP_PROXY") as caught:
                await post(wire, url)
            assert "S3CR3T" not in str(caught.value)
            assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize(
    ("variable", "no_proxy"), [("HTTPS_PROXY", ""), ("HTTP_PROXY", "127.0.0.1")], ids=["other scheme", "excluded"]
)
async def test_a_proxy_that_is_not_needed_may_be_anything(
    own: MakeWire, variable: str, no_proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "gopher://proxy:x")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    async with server(saying(FINE)) as url, own() as wire:
        assert (await post(wire, url)).body == BODY


def test_a_proxy_as_argument_is_judged_at_once() -> None:
    with pytest.raises(ConfigurationError, match="proxy is not the address"):
        Wire(proxy="ftp://proxy:1")


async def test_entries_that_cannot_be_read_are_skipped_with_one_warning(
    own: MakeWire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "b24oauth")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "http://S3CR3T, 127.0.0.1, [::1, 10.0.0.0/99")
    async with server(saying(FINE)) as url, own() as wire:
        for _ in range(3):
            assert (await post(wire, url)).body == BODY
    assert [record.getMessage() for record in caplog.records] == [
        "NO_PROXY: skipped what cannot be read, entry 1, 3, 4"
    ]


# --- a proxy that fails -----------------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def failing(kind: str) -> Any:
    said = {
        "407": b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
        "502": b"HTTP/1.1 502 S3CR3T\r\nContent-Length: 0\r\n\r\n",
        "closed": b"",
        "garbage": b"\x00\x01 S3CR3T\r\n\r\n",
    }
    if kind == "refused":
        async with http_proxy() as gone:
            pass
        yield RunningProxy(place=gone.place)
    else:
        async with http_proxy(response=said[kind]) as proxy:
            yield proxy


@pytest.mark.parametrize(
    ("kind", "told", "retryable"),
    [
        ("407", "requires other credentials (status 407)", False),
        ("403", "refuses the connection (status 403)", False),
        ("502", "refuses the connection (status 502)", True),
        ("refused", "refused the connection (Connection refused)", True),
        ("closed", "", True),
        ("garbage", "", True),
    ],
)
async def test_a_proxy_that_fails_before_the_request_has_seen_nothing(
    own: MakeWire, kind: str, told: str, retryable: bool
) -> None:
    async with failing(kind) as proxy, own(proxy=proxy.place) as wire, asyncio.timeout(10):
        error = await failure(wire, TLS_PORTAL)
    assert (error.sent, error.retryable) == (False, retryable)
    assert told in error.reason
    if told:
        assert error.reason.startswith(f"the proxy {proxy.place} ")
    assert "S3CR3T" not in error.reason + str(error.cause)


async def test_a_request_without_a_tunnel_is_refused_by_the_proxy_too(own: MakeWire) -> None:
    async with failing("407") as proxy, own(proxy=proxy.place) as wire:
        error = await failure(wire, PORTAL)
    assert (error.sent, error.retryable) == (False, False)
    assert error.reason == f"the proxy {proxy.place} requires other credentials (status 407)"


async def test_a_proxy_that_does_not_answer_is_given_up_in_time(own: MakeWire) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with server(hang) as url, own(proxy=place_of(url), connect_timeout=0.1) as wire, asyncio.timeout(5):
        error = await failure(wire, TLS_PORTAL)
    assert (error.sent, error.timed_out) == (False, True)
    assert f"the proxy {place_of(url)}" in error.reason


@pytest.mark.parametrize(
    ("reply", "credentials"), [(5, None), (1, None), (0, "other:words")], ids=["refused", "failure", "login"]
)
async def test_a_socks_proxy_that_fails_has_seen_nothing(own: MakeWire, reply: int, credentials: str | None) -> None:
    before = "u:S3CR3T@" if credentials else ""
    async with socks_proxy(reply=reply, credentials=credentials) as proxy, contextlib.AsyncExitStack() as stack:
        wire = await stack.enter_async_context(own(proxy=f"socks5://{before}{proxy.place}"))
        error = await failure(wire, PORTAL)
    assert not error.sent
    assert error.retryable is (credentials is None)
    assert f"the proxy {proxy.place}" in error.reason
    assert "S3CR3T" not in error.reason


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\xff", b"\x04\x00"])
async def test_what_speaks_no_socks_has_seen_nothing(own: MakeWire, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(3)
        writer.write(said)
        await writer.drain()

    async with server(talk) as url, own(proxy=f"socks5://{place_of(url)}") as wire, asyncio.timeout(5):
        error = await failure(wire, PORTAL)
    assert not error.sent
    assert f"the proxy {place_of(url)}" in error.reason


async def test_an_unknown_host_of_a_proxy_is_named(own: MakeWire) -> None:
    async with own(proxy="http://proxy.invalid:3128") as wire:
        error = await failure(wire, TLS_PORTAL)
    assert (error.sent, error.retryable) == (False, False)
    assert "unknown host: the proxy proxy.invalid:3128" in error.reason
