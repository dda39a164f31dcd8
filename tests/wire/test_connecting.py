"""Why there is no connection: the kind, the host and the system's reason, the same over every transport."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.wire import certificates
from tests.support.spies import saying, server
from tests.support.tls import CERTIFICATES, CLIENT, tls_server, trusting
from tests.support.wires import BODY, FINE, MakeWire, failure, post, wire_of

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def no_known_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificates, "_CONTEXTS", {})


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("certificate", "told"),
    [
        ("self-signed.pem", "is not trusted (self-signed certificate)"),
        ("expired.pem", "has expired (certificate has expired)"),
        ("future.pem", "is not valid yet (certificate is not yet valid)"),
        ("other-name.pem", "is for another host name (Hostname mismatch, certificate is not valid for 'localhost')"),
    ],
)
async def test_a_certificate_that_is_refused_says_why(own: MakeWire, certificate: str, told: str) -> None:
    async with tls_server(saying(FINE), CERTIFICATES / certificate) as url, own(ssl_context=trusting()) as wire:
        error = await failure(wire, url)
    assert (error.sent, error.timed_out, error.retryable) == (False, False, False)
    assert error.reason == f"the certificate of {url.split('/')[2]} {told}"
    assert isinstance(error.cause, ssl.SSLCertVerificationError)
    assert error.cause.verify_message.rstrip(".") in told
    assert error.cause.__traceback__ is error.cause.__context__ is None
    "".join(traceback.format_exception(error.cause))


async def test_an_authority_that_is_not_known_is_not_trusted(own: MakeWire) -> None:
    async with tls_server(saying(FINE)) as url, own() as wire:
        error = await failure(wire, url)
    assert (error.sent, error.retryable) == (False, False)
    assert "is not trusted (unable to get local issuer certificate)" in error.reason


@pytest.mark.parametrize("package", ["httpx", "httpx2", "aiohttp"])
async def test_nor_is_it_by_a_client_that_is_given(package: str) -> None:
    async with tls_server(saying(FINE)) as url, wire_of(f"given {package}") as wire:
        error = await failure(wire, url)
    assert (error.sent, error.retryable) == (False, False)
    assert "is not trusted" in error.reason


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"],
    ids=["closed", "plain", "alert"],
)
async def test_a_handshake_that_fails_was_never_sent(own: MakeWire, said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(said)
        await writer.drain()

    async with server(talk) as url, own() as wire, asyncio.timeout(5):
        error = await failure(wire, url.replace("http:", "https:"))
    assert (error.sent, error.retryable) == (False, True)
    place = url.split("/")[2]
    assert place in error.reason
    if said:
        assert f"TLS with {place} failed" in error.reason


async def test_a_handshake_that_hangs_is_given_up_and_closed(own: MakeWire) -> None:
    gone = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(100):
                pass
        gone.set()

    async with server(hang) as url, own(connect_timeout=0.1) as wire, asyncio.timeout(5):
        error = await failure(wire, url.replace("http:", "https:"))
        await gone.wait()
    assert (error.sent, error.timed_out) == (False, True)
    assert error.reason.endswith("within 0.1 seconds")


# --- names and networks -----------------------------------------------------------------------------------------------


def failing_resolver(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(number, "in the system's words")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.mark.parametrize(
    ("number", "told", "retryable"),
    [
        (socket.EAI_NONAME, "unknown host: portal.example:8443 (in the system's words)", False),
        (socket.EAI_FAIL, "unknown host: portal.example:8443 (in the system's words)", False),
        (
            socket.EAI_AGAIN,
            "the host name of portal.example:8443 cannot be resolved for now (in the system's words)",
            True,
        ),
    ],
)
async def test_a_host_that_is_not_found_is_named(
    make_wire: MakeWire, number: int, told: str, retryable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with make_wire() as wire:
        failing_resolver(number, monkeypatch)
        error = await failure(wire, "http://portal.example:8443/rest/?token=S3CR3T")
    assert (error.reason, error.sent, error.retryable) == (told, False, retryable)
    assert isinstance(error.cause, socket.gaierror)
    assert error.cause.errno == number


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENETUNREACH, "is unreachable from this network"),
        (errno.EHOSTUNREACH, "is unreachable from this network"),
        (errno.ECONNREFUSED, "refused the connection"),
        (errno.EMFILE, "the connection to 127.0.0.1:9 failed"),
    ],
)
async def test_the_systems_reason_is_told(
    make_wire: MakeWire, number: int, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sock_connect(*_: Any) -> None:
        raise OSError(number, "text with S3CR3T")

    async with make_wire() as wire:
        monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", sock_connect)
        error = await failure(wire, "http://127.0.0.1:9/")
    assert (error.sent, error.retryable) == (False, True)
    assert told in error.reason
    assert error.reason.endswith(f"({os.strerror(number)})")
    assert isinstance(error.cause, OSError)
    assert error.cause.errno == number


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "-.example", "xn--.example", "a..example"])
async def test_a_name_that_cannot_be_resolved_is_no_foreign_error(own: MakeWire, host: str) -> None:
    async with own() as wire, asyncio.timeout(10):
        error = await failure(wire, f"http://{host}/")
    assert not error.sent


@pytest.mark.parametrize("given_at", ["[::1]", "localhost", "127.0.0.1"])
async def test_loopback_is_reached_by_all_of_its_names(make_wire: MakeWire, given_at: str) -> None:
    if given_at == "[::1]" and not _has_ipv6():
        given_at = "127.0.0.1"  # a machine without IPv6 has fewer names
    host = given_at.strip("[]")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await saying(FINE)(reader, writer)
        writer.close()

    listening = await asyncio.start_server(talk, host if host != "localhost" else "127.0.0.1", 0)
    async with listening, make_wire() as wire:
        port = listening.sockets[0].getsockname()[1]
        assert (await post(wire, f"http://{given_at}:{port}/rest/")).body == BODY


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


# --- the context ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates_of_the_environment_are_trusted(
    own: MakeWire, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "SSL_CERT_DIR":
        # OpenSSL finds a certificate by the hash of its subject.
        (tmp_path / f"{_subject_hash()}.0").write_bytes(CLIENT.read_bytes())
    monkeypatch.setenv(how, str(tmp_path if how == "SSL_CERT_DIR" else CLIENT))
    async with tls_server(saying(FINE)) as url, own() as wire:
        assert (await post(wire, url)).body == BODY


def _subject_hash() -> str:
    return "3922cb92"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
async def test_certificates_that_cannot_be_used_are_named_by_their_variable(
    own: MakeWire, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "/nowhere/S3CR3T")
    async with server(saying(FINE)) as url, own() as wire:
        assert (await post(wire, url)).body == BODY  # http needs none
        with pytest.raises(ConfigurationError, match=variable) as caught:
            await post(wire, url.replace("http:", "https:"))
    assert "S3CR3T" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_file_without_certificates_is_named_too(
    own: MakeWire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "empty.pem"))
    async with own() as wire:
        with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE .* no certificates"):
            await post(wire, "https://localhost:9/")


async def test_a_context_as_argument_needs_no_file(own: MakeWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere")
    async with tls_server(saying(FINE)) as url, own(ssl_context=trusting()) as wire:
        assert (await post(wire, url)).body == BODY
