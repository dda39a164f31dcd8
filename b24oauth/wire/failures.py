"""Translates exceptions of httpx, httpx2, aiohttp and the OS into `NoResponse`. Pure."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Iterator
from typing import Final, NamedTuple, cast

__all__ = [
    "NoResponse",
    "Place",
    "ResponseTooLarge",
    "badly_packed",
    "is_failure",
    "never_sent",
    "no_response",
    "proxy_refusal",
]


class NoResponse(Exception):  # noqa: N818 - not an error by itself: the caller decides what it means
    """A request that brought no usable response.

    Attributes:
        reason: What happened and where; contains no request data.
        sent: False when the other side cannot have seen the request.
        timed_out: True when a timeout ended it.
        retryable: False when sending it again cannot help.
        cause: The system's error without addresses, headers and bodies; None if it adds no information.
    """

    def __init__(
        self,
        reason: str,
        *,
        sent: bool,
        timed_out: bool = False,
        retryable: bool = True,
        cause: Exception | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.timed_out = timed_out
        self.retryable = retryable
        self.cause = cause


class Place(NamedTuple):
    """Where a request was sent, for messages.

    Attributes:
        host: Host of the address, with its port unless it is the usual one.
        proxy: Host and port of the proxy; None for a direct connection.
        is_tls_proxy: Whether the proxy itself is reached over TLS.
        is_socks_proxy: Whether the proxy speaks SOCKS.
    """

    host: str
    proxy: str | None = None
    is_tls_proxy: bool = False
    is_socks_proxy: bool = False

    @property
    def reached(self) -> str:
        """What a connection is made to."""
        return self.host if self.proxy is None else f"the proxy {self.proxy}"


class ResponseTooLarge(NoResponse):
    """A response that is larger than allowed.

    Attributes:
        limit: Bytes allowed.
    """

    def __init__(self, limit: int, place: Place) -> None:
        super().__init__(f"the response of {place.host} is larger than {limit} bytes", sent=True, retryable=False)
        self.limit = limit


# Errors by the names of their classes: `isinstance` does not cross httpx and httpx2, and no library is imported to be
# asked. A name counts only for a class of one of these packages.
_LIBRARIES: Final = frozenset({"httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "socksio"})
_FAILURES: Final = frozenset({"HTTPError", "InvalidURL", "StreamError", "ClientError", "SOCKSError"})
_NEVER_SENT: Final = frozenset(
    {
        "ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol", "LocalProtocolError",
        "InvalidURL", "NonHttpUrlClientError", "ClientConnectorError", "ClientHttpProxyError", "ConnectionTimeoutError",
    }
)  # fmt: skip
_PROXY_ERRORS: Final = frozenset({"ProxyError", "ClientHttpProxyError"})
_TIMEOUTS: Final = frozenset({"TimeoutException", "ServerTimeoutError"})
_NOT_SENDABLE: Final = frozenset({"UnsupportedProtocol", "LocalProtocolError", "InvalidURL", "NonHttpUrlClientError"})
_NOT_HTTP: Final = frozenset({"RemoteProtocolError", "ClientResponseError", "ClientPayloadError", "DecodingError"})

# OpenSSL's codes of failed verifications. Source: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error/
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME = 9, 10, frozenset({62, 64})
_UNREACHABLE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}
)
_RESET: Final = frozenset({errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE})
_TEMPORARY: Final = frozenset({socket.EAI_AGAIN, socket.EAI_MEMORY, getattr(socket, "EAI_SYSTEM", socket.EAI_AGAIN)})
# Proxy status codes for which a retry cannot succeed (same credentials, same rules).
_FINAL_OF_PROXY: Final = frozenset({401, 403, 405, 407})


def is_failure(error: BaseException) -> bool:
    """True for a failed request, False for anything else, such as a mistake in a program."""
    # Invalid host names cause a UnicodeError in the resolver.
    return isinstance(error, (OSError, UnicodeError)) or bool(_names(error) & _FAILURES)


def never_sent(error: BaseException) -> bool:
    """True when the kind of error alone tells that the request was not sent."""
    # Use the innermost exception: httpx-aiohttp reports every broken connection as a ConnectError.
    known = [names for names in map(_names, _chain(error)) if names]
    return bool(known) and bool(known[-1] & _NEVER_SENT)


def no_response(error: BaseException, place: Place, *, sent: bool) -> NoResponse:
    """Converts an exception to `NoResponse`.

    Args:
        error: What a library or the system raised.
        place: Where the request was sent.
        sent: False when the request was not sent.
    """
    # The deepest cause is what the system said; the errors above it only repeat it.
    for link in reversed(list(_chain(error))):
        told = _told(link, place, sent=sent)
        if told is not None:
            return told
    if sent:
        return NoResponse(f"the connection to {place.host} was lost", sent=True)
    return NoResponse(f"no connection to {place.reached}", sent=False)


def badly_packed(place: Place) -> NoResponse:
    """A body that is not packed as its headers say, or in a way that was not offered."""
    return NoResponse(f"the response of {place.host} is packed badly, or in a form that was not requested", sent=True)


def proxy_refusal(status: int, place: Place) -> NoResponse:
    """A proxy that answers instead of connecting.

    Args:
        status: The status of its response.
        place: Where the request was to be sent.
    """
    what = "requires other credentials" if status == 407 else "refuses the connection"
    retryable = status not in _FINAL_OF_PROXY
    return NoResponse(f"{place.reached} {what} (status {status})", sent=False, retryable=retryable)


def _told(error: BaseException, place: Place, *, sent: bool) -> NoResponse | None:  # noqa: PLR0911 - one for each kind
    names = _names(error)
    if isinstance(error, ssl.SSLError):
        return _told_by_tls(error, place, sent=sent)
    if isinstance(error, socket.gaierror):
        return _told_by_resolver(error, place)
    if names & _PROXY_ERRORS:
        return _told_by_proxy(error, place)
    if "PoolTimeout" in names:
        return NoResponse("no connection of the http_client became free in time", sent=False, timed_out=True)
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return _told_by_system(error.errno, place, sent=sent)
    if names & _TIMEOUTS or isinstance(error, TimeoutError):
        what = f"no response from {place.host}" if sent else f"no connection to {place.reached}"
        return NoResponse(f"{what} in time", sent=sent, timed_out=True)
    if "ServerDisconnectedError" in names or ("RemoteProtocolError" in names and "disconnected" in str(error)):
        return NoResponse(f"{place.host} closed the connection without a response", sent=sent)
    if names & _NOT_HTTP:
        return NoResponse(f"the response of {place.host} is incomplete or not HTTP", sent=sent)
    if isinstance(error, UnicodeError):
        return NoResponse(f"{place.reached} is not a valid host name", sent=sent, retryable=False)
    if names & _NOT_SENDABLE:
        return NoResponse(f"the request to {place.host} cannot be written as HTTP", sent=sent, retryable=False)
    return None


def _told_by_tls(error: ssl.SSLError, place: Place, *, sent: bool) -> NoResponse:
    cause, why = type(error)(*error.args), getattr(error, "reason", None)
    # A proxy that is itself reached over TLS has a certificate of its own.
    whose = f"{place.host} or its proxy {place.proxy}" if place.is_tls_proxy else place.host
    if not (isinstance(error, ssl.SSLCertVerificationError) and isinstance(cause, ssl.SSLCertVerificationError)):
        what = f"TLS with {whose} failed ({why or 'the connection was closed'})"
        return NoResponse(what, sent=sent, cause=cause)
    cause.verify_code, cause.verify_message = error.verify_code, error.verify_message
    if error.verify_code == _EXPIRED:
        what = "has expired"
    elif error.verify_code == _NOT_YET_VALID:
        what = "is not valid yet"
    elif error.verify_code in _OTHER_NAME:
        what = "is for another host name"
    else:
        what = "is not trusted"
    reason = f"the certificate of {whose} {what} ({error.verify_message.rstrip('.')})"
    return NoResponse(reason, sent=sent, retryable=False, cause=cause)


def _told_by_resolver(error: socket.gaierror, place: Place) -> NoResponse:
    cause = socket.gaierror(error.errno, error.strerror)
    if error.errno in _TEMPORARY:
        reason = f"the host name of {place.reached} cannot be resolved for now ({error.strerror})"
        return NoResponse(reason, sent=False, cause=cause)
    return NoResponse(f"unknown host: {place.reached} ({error.strerror})", sent=False, retryable=False, cause=cause)


def _told_by_proxy(error: BaseException, place: Place) -> NoResponse:
    status = getattr(error, "status", None)
    if not isinstance(status, int):
        found = re.match(r"([1-5][0-9]{2}) ", f"{error} ")
        status = int(found[1]) if found else None
    if status is not None:
        return proxy_refusal(status, place)
    text = str(error)
    if "username" in text or text.startswith("Requested"):
        return proxy_refusal(407, place)
    return NoResponse(f"{place.reached} could not connect to {place.host}", sent=False)


def _told_by_system(number: int, place: Place, *, sent: bool) -> NoResponse:
    text = os.strerror(number)
    cause = OSError(number, text)
    where = place.host if sent else place.reached
    if number == errno.ECONNREFUSED:
        reason = f"{where} refused the connection"
    elif number in _UNREACHABLE:
        reason = f"{where} is unreachable from this network"
    elif number in _RESET:
        reason = f"{where} reset the connection"
    else:
        reason = f"the connection to {where} failed"
    timed_out = number == errno.ETIMEDOUT
    return NoResponse(f"{reason} ({text})", sent=sent, timed_out=timed_out, cause=cause)


def _names(error: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in _LIBRARIES}


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes, and the members of groups, each before what caused it."""
    known: set[int] = set()
    queue: list[BaseException | None] = [error]
    while queue:
        link = queue.pop(0)
        if link is None or id(link) in known:
            continue
        known.add(id(link))
        yield link
        # httpcore gives its cause as an argument. No context is followed: it may be an error that the caller handles.
        wrapped = link.args[0] if link.args and _names(link) else None
        queue.append(wrapped if isinstance(wrapped, BaseException) else link.__cause__)
        if isinstance(link, BaseExceptionGroup):
            queue += cast("tuple[BaseException, ...]", link.exceptions)
