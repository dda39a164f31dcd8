"""What the errors of httpx, httpx2, aiohttp and the system mean: pure."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import traceback
from typing import Any

import httpx
import httpx2
import pytest

from b24oauth.wire import NoResponse, Wire
from b24oauth.wire.failures import Place, is_failure, never_sent, no_response
from tests.support.wires import post

PLACE = Place("portal.example")
PROXIED = Place("portal.example", "proxy:3128")


@pytest.mark.parametrize(
    ("name", "sent", "timed_out"),
    [
        ("ConnectError", False, False),
        ("ConnectTimeout", False, True),
        ("PoolTimeout", False, True),
        ("ProxyError", False, False),
        ("UnsupportedProtocol", False, False),
        ("LocalProtocolError", False, False),
        ("InvalidURL", False, False),
        ("ReadTimeout", True, True),
        ("WriteTimeout", True, True),
        ("ReadError", True, False),
        ("WriteError", True, False),
        ("CloseError", True, False),
        ("RemoteProtocolError", True, False),
        ("DecodingError", True, False),
        ("TooManyRedirects", True, False),
    ],
)
@pytest.mark.parametrize("package", [httpx, httpx2])
@pytest.mark.anyio
async def test_every_failure_of_httpx_is_one_or_the_other(package: Any, name: str, sent: bool, timed_out: bool) -> None:
    def answer(_: Any) -> Any:
        raise getattr(package, name)("token=S3CR3T")

    async with package.AsyncClient(transport=package.MockTransport(answer)) as client, Wire(client) as wire:
        with pytest.raises(NoResponse) as caught:
            await post(wire, "https://portal.example/rest/profile")
    assert (caught.value.sent, caught.value.timed_out) == (sent, timed_out)
    assert "portal.example" in caught.value.reason or name == "PoolTimeout"
    assert "S3CR3T" not in caught.value.reason


def aiohttp_error(*names: str) -> Exception:
    """An error of aiohttp's, by the names of its classes from the oldest ancestor on."""
    kind: type[Exception] = Exception
    for name in names:
        kind = type(name, (kind,), {"__module__": "aiohttp.client_exceptions"})
    return kind("https://portal.example/?token=S3CR3T")


@pytest.mark.parametrize(
    ("names", "sent"),
    [
        (["ClientError", "ServerTimeoutError", "ConnectionTimeoutError"], False),
        (["ClientError", "ServerTimeoutError", "SocketTimeoutError"], True),
        (["ClientError", "ClientConnectionError", "ClientOSError", "ClientConnectorError"], False),
        (["ClientError", "ClientConnectorError", "ClientConnectorDNSError"], False),
        (["ClientError", "ClientConnectorError", "ClientProxyConnectionError"], False),
        (["ClientError", "ClientResponseError", "ClientHttpProxyError"], False),
        (["ClientError", "ClientConnectionError", "ClientOSError", "ClientConnectionResetError"], True),
        (["ClientError", "ClientConnectionError", "ServerDisconnectedError"], True),
        (["ClientError", "ClientPayloadError"], True),
        (["ClientError", "ClientResponseError"], True),
        (["ClientError", "InvalidURL"], False),
        (["ClientError", "NonHttpUrlClientError"], False),
        (["ClientError", "SomethingNew"], True),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_a_failure_of_aiohttp_means_what_it_is_whatever_it_was_wrapped_in(
    names: list[str], sent: bool, wrapped: bool
) -> None:
    error = aiohttp_error(*names)
    if wrapped:
        # As httpx-aiohttp says of every broken connection, which would be sent a second time.
        outer = httpx.ConnectTimeout("")
        outer.__cause__ = error
        error = outer
    assert is_failure(error)
    assert never_sent(error) is not sent
    assert "S3CR3T" not in no_response(error, PLACE, sent=sent).reason


def test_what_is_no_failure_of_a_request_is_not_taken_for_one() -> None:
    assert not is_failure(ValueError("a bug"))
    assert not is_failure(KeyError("ConnectError"))
    assert not is_failure(type("ConnectError", (Exception,), {"__module__": "somewhere"})())
    assert is_failure(httpx2.ReadError(""))


@pytest.mark.parametrize(
    "number", [errno.ECONNREFUSED, errno.ENETUNREACH, errno.ECONNRESET, errno.EMFILE, errno.ETIMEDOUT]
)
@pytest.mark.parametrize("place", [PLACE, PROXIED])
def test_the_cause_is_the_systems_error_and_nothing_else(number: int, place: Place) -> None:
    error = httpx.ConnectError("S3CR3T")
    error.__cause__ = OSError(number, "S3CR3T", "S3CR3T")
    found = no_response(error, place, sent=False)
    assert isinstance(found.cause, OSError)
    assert found.cause.args == (number, os.strerror(number))
    assert place.reached in found.reason
    assert "S3CR3T" not in found.reason + "".join(traceback.format_exception(found.cause))


def test_of_several_attempts_the_last_one_counts() -> None:
    error = httpx.ConnectError("")
    attempts = [OSError(errno.ENETUNREACH, "v6"), OSError(errno.ECONNREFUSED, "v4")]
    error.__cause__ = OSError("All connection attempts failed")
    error.__cause__.__cause__ = ExceptionGroup("several", attempts)
    assert "refused the connection" in no_response(error, PLACE, sent=False).reason


def test_an_error_that_the_caller_handles_meanwhile_is_not_the_reason() -> None:
    error = httpx.RemoteProtocolError("Server disconnected without sending a response.")
    error.__context__ = FileNotFoundError(errno.ENOENT, "S3CR3T")
    found = no_response(error, PLACE, sent=True)
    assert found.reason == "portal.example closed the connection without a response"
    assert found.cause is None


def test_an_ssl_error_without_words_can_be_shown() -> None:
    found = no_response(ssl.SSLError(), PLACE, sent=False)
    assert found.reason == "TLS with portal.example failed (the connection was closed)"
    assert "".join(traceback.format_exception(found.cause))


def test_behind_a_proxy_with_tls_either_certificate_may_be_meant() -> None:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = 18, "self-signed certificate"
    found = no_response(error, Place("portal.example", "proxy:443", is_tls_proxy=True), sent=False)
    assert found.reason.startswith("the certificate of portal.example or its proxy proxy:443 is not trusted")


def test_a_temporary_failure_of_the_resolver_may_be_retried_and_others_not() -> None:
    for number, retryable in ((socket.EAI_AGAIN, True), (socket.EAI_NONAME, False)):
        assert no_response(socket.gaierror(number, "text"), PLACE, sent=False).retryable is retryable
