"""What the fake portal notes of a request: where it leads, and a record without tokens and secrets."""

from __future__ import annotations

from types import MappingProxyType

from b24oauth.testing.brackets import parse_query
from b24oauth.testing.messages import Channel, Exchange, Request, RequestRecord
from b24oauth.testing.oauth_server import masked

__all__ = ["AUTHORIZE", "TOKEN", "as_record", "open_exchange"]

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
