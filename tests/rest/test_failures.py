"""The errors of calls and renewals that got no response: the kind, the host, the system's reason, and a safe cause."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gzip
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

import attrs
import pytest

from b24oauth import AmbiguousResultError, B24OAuth, ConfigurationError, NetworkError, RefreshTokenError
from b24oauth.errors import BadResponseError, RequestTimeoutError
from b24oauth.rest.failures import without_response
from b24oauth.testing import FakePortal, faults
from b24oauth.wire import NoResponse, ResponseTooLarge
from b24oauth.wire.failures import Place
from tests.support.builders import PLANTED, query
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.spies import Talk, saying, server, whole_request
from tests.support.tls import tls_server, trusting

pytestmark = pytest.mark.anyio

TRANSPORTS = ("httpx", "httpx2", "aiohttp")
ADD = ("crm.deal.add", {"fields": {"TITLE": "x"}})
GET = ("crm.deal.get", {"id": 1})


@pytest.fixture(autouse=True)
def transport() -> None:
    """All libraries are here: each test says which one it is about."""


def client_of(url: str, **options: Any) -> B24OAuth:
    """A client that finds its portal and its OAuth server at the address of a server, and waits little."""
    portal = FakePortal()
    root = url.removesuffix("profile")
    pair = attrs.evolve(portal.issue(), client_endpoint=root, server_endpoint=root, expires=4_000_000_000)
    params = attrs.evolve(UNLIMITED, retry_delay=0.001)
    options.setdefault("restriction_params", params)
    return B24OAuth(pair, portal.secret, trusted_oauth_hosts={root.split("/")[2]}, **options)


def expired(b24: B24OAuth) -> B24OAuth:
    b24.auth.set_params(attrs.evolve(b24.auth.get_params(), expires=1))
    return b24


@contextlib.asynccontextmanager
async def counted(response: bytes = b"", *, cut: bool = False) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that writes down what it is asked and answers so."""
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await whole_request(reader))
        writer.write(response)
        await writer.drain()
        if cut:
            writer.transport.abort()

    async with server(talk) as url:
        yield url, heard


# --- words ------------------------------------------------------------------------------------------------------------


def test_a_request_that_was_not_sent_says_why_and_where() -> None:
    cause = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    failure = NoResponse("portal.example refused the connection (Connection refused)", sent=False, cause=cause)
    error = without_response(failure, query(), ())
    assert type(error) is NetworkError
    assert (error.code, error.status, error.retryable) == ("NETWORK_ERROR", 0, True)
    assert error.message == (
        "The portal could not be reached for x.get: portal.example refused the connection (Connection refused)"
    )
    assert error.__cause__ is cause


def test_what_cannot_help_again_says_so() -> None:
    error = without_response(NoResponse("unknown host: x", sent=False, retryable=False), query(), ())
    assert not error.retryable


def test_a_response_in_vain_is_a_timeout() -> None:
    error = without_response(NoResponse("no response from x within 65 seconds", sent=True, timed_out=True), query(), ())
    assert type(error) is RequestTimeoutError
    assert (error.code, error.status) == ("REQUEST_TIMEOUT", 408)
    assert error.message.startswith("Request timeout exceeded: the portal did not answer x.get in time (no response")


def test_a_connection_in_vain_is_none() -> None:
    error = without_response(NoResponse("no connection to x", sent=False, timed_out=True), query(), ())
    assert type(error) is NetworkError


def test_a_response_that_is_too_large_names_the_method_and_the_limit() -> None:
    error = without_response(ResponseTooLarge(1000, Place("portal.example")), query(), ())
    assert type(error) is BadResponseError
    assert error.code == "B24OAUTH_RESPONSE_TOO_LARGE"
    assert "x.get" in error.message
    assert "1000 bytes" in error.message
    assert "max_response_size" in error.message


def test_t12_a_secret_in_the_name_of_a_host_is_not_told() -> None:
    host = f"{PLANTED}.example"
    cause = ssl.SSLCertVerificationError(1, f"certificate is not valid for '{host}'")
    error = without_response(NoResponse(f"unknown host: {host}", sent=False, cause=cause), query(), (PLANTED,))
    assert PLANTED not in f"{error} {error!r} {error.message}"
    assert error.__cause__ is None


# --- calls ------------------------------------------------------------------------------------------------------------

REAL = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["real time"])
OVER_EACH = pytest.mark.parametrize("transport_name", TRANSPORTS)


@REAL
@OVER_EACH
@pytest.mark.parametrize("call", [ADD, GET], ids=["write", "read"])
async def test_an_unknown_host_is_not_asked_for_again(
    transport_name: Any,
    call: Any,
    anyio_backend: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[str] = []

    def getaddrinfo(host: Any, *_: Any, **__: Any) -> Any:
        asked.append(host if isinstance(host, str) else host.decode())
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    portal = fake_portal()
    params = attrs.evolve(UNLIMITED, retry_delay=0.001)
    pair = attrs.evolve(portal.issue(), expires=4_000_000_000)
    async with B24OAuth(pair, portal.secret, transport=transport_name, restriction_params=params) as b24:
        with pytest.raises(NetworkError) as caught:
            await b24.actions.v2.call.make(*call)
    assert asked == ["portal.example"]
    assert "unknown host: portal.example (Name or service not known)" in caught.value.message
    assert isinstance(caught.value.__cause__, socket.gaierror)
    assert not caught.value.retryable
    assert "unknown host: portal.example" in caplog.text


@REAL
@OVER_EACH
async def test_a_resolver_that_fails_for_now_is_asked_again(
    transport_name: Any, anyio_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve, failures = socket.getaddrinfo, 2

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        nonlocal failures
        if host in ("portal.example", b"portal.example"):
            if failures:
                failures -= 1
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            host = "127.0.0.1"
        return resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with counted(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"result":1}') as (url, heard):
        port = url.split(":")[2].split("/")[0]
        b24 = client_of(f"http://127.0.0.1:{port}/rest/profile", transport=transport_name)
        # Plain http is for loopback addresses only, so that the name stands for one here.
        monkeypatch.setattr("b24oauth.oauth.keeper.rest_root", lambda *_: f"http://portal.example:{port}/rest/")
        async with b24:
            assert (await b24.actions.v2.call.make(*ADD)).result == 1
    assert len(heard) == 1


@REAL
@OVER_EACH
async def test_an_untrusted_certificate_is_shown_once(transport_name: Any, anyio_backend: Any) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    async with tls_server(talk) as url, client_of(url, transport=transport_name) as b24:
        with pytest.raises(NetworkError) as caught:
            await b24.actions.v2.call.make(*ADD)
        place = url.split("/")[2]
    assert f"the certificate of {place} is not trusted" in caught.value.message
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert not isinstance(caught.value, AmbiguousResultError)


@REAL
@OVER_EACH
async def test_the_context_of_the_caller_is_used(transport_name: Any, anyio_backend: Any) -> None:
    said = b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"result":1}'
    options: dict[str, Any] = {"transport": transport_name, "ssl_context": trusting()}
    async with tls_server(saying(said)) as url, client_of(url, **options) as b24:
        assert (await b24.actions.v2.call.make(*ADD)).result == 1


@REAL
@OVER_EACH
async def test_a_refused_port_is_tried_again_and_no_write_is_ambiguous(
    transport_name: Any, anyio_backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "b24oauth")
    async with counted() as (url, _):
        pass
    async with client_of(url, transport=transport_name) as b24:
        with pytest.raises(NetworkError) as caught:
            await b24.actions.v2.call.make(*ADD)
    told = [record for record in caplog.records if "refused the connection" in record.getMessage()]
    assert [record.levelname for record in told] == ["DEBUG"] * 3 + ["WARNING"]
    assert not isinstance(caught.value, AmbiguousResultError)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)


@REAL
@OVER_EACH
async def test_a_write_that_was_cut_off_is_ambiguous_and_shows_the_cause(
    transport_name: Any, anyio_backend: Any
) -> None:
    async with counted(cut=True) as (url, heard), client_of(url, transport=transport_name) as b24:
        with pytest.raises(AmbiguousResultError) as caught:
            await b24.actions.v2.call.make(*ADD)
    assert len(heard) == 1
    assert "closed the connection" in caught.value.message or isinstance(caught.value.__cause__, ConnectionResetError)


@REAL
@OVER_EACH
@pytest.mark.parametrize("body", [b"", b'{"error": "SOMETHING", "error_description": "S3CR3T"}'], ids=["page", "code"])
@pytest.mark.parametrize(("call", "requests"), [(ADD, 1), (GET, 3)], ids=["write", "read"])
async def test_408_is_a_gateways_timeout(
    transport_name: Any, call: Any, requests: int, body: bytes, anyio_backend: Any
) -> None:
    said = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with counted(said) as (url, heard), client_of(url, transport=transport_name) as b24:
        with pytest.raises(AmbiguousResultError if call is ADD else Exception, match="408"):
            await b24.actions.v2.call.make(*call)
    assert len(heard) == requests


@pytest.mark.parametrize(("call", "requests"), [(ADD, 1), (GET, 2)], ids=["write", "read"])
async def test_a_response_is_waited_for_65_seconds_and_twice_at_most(call: Any, requests: int) -> None:
    portal = fake_portal(latency=100, request_limit=1000)
    loop = asyncio.get_running_loop()
    async with connected(portal, restriction_params=attrs.evolve(UNLIMITED, max_retries=5)) as b24:
        started = loop.time()
        with pytest.raises((AmbiguousResultError, RequestTimeoutError)):
            await b24.actions.v2.call.make(*call)
        assert loop.time() - started == pytest.approx(requests * 65, abs=5)
    assert len(portal.requests) <= requests


@pytest.mark.parametrize("fault", [faults.empty(), faults.status(204), faults.status(200), faults.status(202)])
async def test_l5_a_write_with_an_empty_response_is_sent_once(fault: Any) -> None:
    portal = fake_portal()
    portal.inject(fault, on="crm.deal.add", times=None)
    async with connected(portal, restriction_params=attrs.evolve(UNLIMITED, retry_on_network_error=True)) as b24:
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.call.make(*ADD)
    assert len(portal.requests) == 1


@pytest.mark.parametrize("seconds", [31, 59])
async def test_a_slow_write_is_waited_for_as_long_as_the_portal_may_work(seconds: float) -> None:
    portal = fake_portal(latency=seconds)
    async with connected(portal) as b24:
        assert (await b24.actions.v2.call.make(*ADD)).is_success
        assert (await b24.actions.v2.call.make(*ADD, timeout=seconds + 1)).is_success


async def test_the_timeout_of_a_call_is_the_bound_of_all_of_it() -> None:
    portal = fake_portal(latency=40)
    loop = asyncio.get_running_loop()
    async with connected(portal) as b24:
        started = loop.time()
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.call.make(*ADD, timeout=20)
        assert loop.time() - started == pytest.approx(20)


@REAL
@OVER_EACH
@pytest.mark.parametrize("call", [ADD, GET], ids=["write", "read"])
async def test_a_response_that_is_too_large_is_refused_once(transport_name: Any, call: Any, anyio_backend: Any) -> None:
    body = gzip.compress(b'{"result": "' + b" " * 5_000_000 + b'"}')
    said = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    options: dict[str, Any] = {"transport": transport_name, "max_response_size": 1_000_000}
    async with counted(said) as (url, heard), client_of(url, **options) as b24:
        with pytest.raises((BadResponseError, AmbiguousResultError)) as caught:
            await b24.actions.v2.call.make(*call)
    assert len(heard) == 1
    assert type(caught.value) is (BadResponseError if call is GET else AmbiguousResultError)
    assert f"{call[0]} is larger than the 1000000 bytes allowed" in caught.value.message


async def test_the_limit_counts_over_a_client_in_process_too() -> None:
    portal = fake_portal(rows={"crm.deal": 1000})
    async with connected(portal, max_response_size=5000) as b24:
        assert (await b24.actions.v2.call.make(*GET)).is_success
        with pytest.raises(BadResponseError, match=r"crm\.deal\.list is larger than the 5000 bytes"):
            await b24.actions.v2.call.make("crm.deal.list")


@REAL
@OVER_EACH
@pytest.mark.parametrize("variable", ["ALL_PROXY", "SSL_CERT_FILE"])
async def test_an_environment_that_cannot_be_used_names_its_variable_and_sends_nothing(
    transport_name: Any, variable: str, anyio_backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "gopher://nowhere")
    monkeypatch.setattr("b24oauth.wire.certificates._CONTEXTS", {})
    portal = fake_portal()
    pair = attrs.evolve(portal.issue(), expires=4_000_000_000)
    async with B24OAuth(pair, portal.secret, transport=transport_name, restriction_params=UNLIMITED) as b24:
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=variable):
                await b24.actions.v2.call.make(*ADD)
        with pytest.raises(ConfigurationError, match=variable):
            await b24.auth.refresh_auth()
        with pytest.raises(ConfigurationError, match=variable):
            await b24.download("https://storage.example/file", "unused.bin")


# --- renewals ---------------------------------------------------------------------------------------------------------


@REAL
@OVER_EACH
async def test_an_oauth_server_that_cannot_be_reached_is_named(transport_name: Any, anyio_backend: Any) -> None:
    async with counted() as (url, _):
        pass
    async with expired(client_of(url, transport=transport_name, refresh_attempts=1)) as b24:
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make(*GET)
    place = url.split("/")[2]
    assert f"The OAuth server could not be reached: {place} refused the connection" in caught.value.message
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    assert not caught.value.needs_reauth


@REAL
@OVER_EACH
async def test_an_oauth_server_with_an_untrusted_certificate_is_asked_once(
    transport_name: Any, anyio_backend: Any
) -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    async with tls_server(talk) as url, expired(client_of(url, transport=transport_name)) as b24:
        async with asyncio.timeout(0.4):  # a second attempt comes after half a second
            with pytest.raises(RefreshTokenError, match="is not trusted") as caught:
                await b24.actions.v2.call.make(*GET)
    assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("talk", [saying(b"HTTP/1.1 408 X\r\nContent-Length: 0\r\n\r\n")])
@REAL
async def test_408_of_an_oauth_server_may_have_renewed_the_pair(talk: Talk, anyio_backend: Any) -> None:
    async with server(talk) as url, expired(client_of(url, refresh_attempts=1)) as b24:
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make(*GET)
    assert (caught.value.status, caught.value.needs_reauth) == (408, False)
