"""What the fake portal notes of requests: where they lead, records without tokens and secrets, and counters."""

from __future__ import annotations

from collections import Counter, deque
from types import MappingProxyType
from typing import TYPE_CHECKING

from b24oauth.testing.brackets import parse_query
from b24oauth.testing.messages import Channel, Exchange, Request, RequestRecord
from b24oauth.testing.oauth_server import masked

if TYPE_CHECKING:
    from b24oauth.testing.rest import RestServer

__all__ = ["AUTHORIZE", "TOKEN", "Counts", "as_record", "open_exchange"]

TOKEN, AUTHORIZE = "oauth/token", "oauth/authorize"
_UNRECORDED = frozenset({"authorization", "host", "cookie"})


def open_exchange(request: Request, arrived: float) -> Exchange:
    """Begins the exchange of a request that arrived at this Unix time."""
    method, version, webhook = _route(request.path)
    return Exchange(request=request, method=method, version=version, arrived=arrived, webhook=webhook)


def _route(path: str) -> tuple[str, Channel, tuple[int, str] | None]:
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["rest", "api", user, code, method] if user.isdecimal():
            return method.lower(), "v3", (int(user), code)
        case ["rest", user, code, method] if user.isdecimal():
            return method.lower().removesuffix(".json"), "v2", (int(user), code)
        case ["rest", "api", method]:
            return method.lower(), "v3", None
        case ["rest", method]:
            return method.lower().removesuffix(".json"), "v2", None
        case _:
            return "/".join(parts), "oauth", None


def as_record(exchange: Exchange) -> RequestRecord:
    """The record of an exchange that has ended, answered or not."""
    request = exchange.request
    headers = {name: value for name, value in request.headers.items() if name not in _UNRECORDED}
    return RequestRecord(
        time=exchange.arrived,
        method=exchange.method,
        version=exchange.version,
        http_method=request.http_method,
        host=request.headers.get("host", ""),
        query=MappingProxyType(masked(parse_query(request.query))),
        params=exchange.params,
        token=exchange.token,
        headers=MappingProxyType(headers),
        status=exchange.status,
    )


class Counts:
    """The part of a portal that tells what it was asked for."""

    __slots__ = ()
    _records: deque[RequestRecord]
    _rest: RestServer

    @property
    def requests(self) -> list[RequestRecord]:
        """The requests so far, in the order in which they were answered; see `record`."""
        return list(self._records)

    @property
    def token_requests(self) -> list[RequestRecord]:
        """The requests to the token endpoint among `requests`."""
        return [record for record in self._records if record.method == TOKEN]

    @property
    def refused(self) -> int:
        """How many requests the leaky bucket refused with 503."""
        return self._rest.bucket.refused

    @property
    def calls(self) -> Counter[str]:
        """How often each method was called with a good token, commands of batches included."""
        return self._rest.calls

    @property
    def executed(self) -> Counter[str]:
        """How often each method was run to its end: more than once for one intended write is a duplicate."""
        return self._rest.executed
