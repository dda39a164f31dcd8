"""What passes between the parts of the fake portal: a request, a call, a reply, an answer, a refusal, a record."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import attrs

__all__ = [
    "Answer",
    "Call",
    "DroppedConnectionError",
    "Exchange",
    "Handler",
    "RefusedConnectionError",
    "Reply",
    "Request",
    "RequestRecord",
    "RestError",
    "Version",
    "dumps",
]

Version = Literal["v2", "v3"]
Channel = Literal["v2", "v3", "oauth"]

JSON_HEADERS = (("content-type", "application/json; charset=utf-8"),)


def dumps(value: object) -> bytes:
    """The compact JSON text of an answer, UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


@attrs.frozen(kw_only=True)
class Request:
    """One HTTP request as it arrived.

    Attributes:
        http_method: GET, POST …
        path: The decoded path.
        query: The query string, still encoded.
        headers: Header values by lower-case name.
        body: The whole body.
    """

    http_method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@attrs.frozen(kw_only=True)
class Answer:
    """One HTTP answer.

    Attributes:
        status: HTTP status code.
        body: The whole body.
        headers: Names and values, `Content-Length` not included.
        breaks_after: Bytes of the body after which nothing more comes; None: the whole body comes.
        stalls: Whether the connection stays open when the body breaks off; it is cut otherwise.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = JSON_HEADERS
    breaks_after: int | None = None
    stalls: bool = False


@attrs.frozen(kw_only=True)
class Call:
    """One call of a REST method, plain or inside a batch.

    Attributes:
        method: The method's name in lower case.
        version: The REST version that was spoken.
        params: The parameters in the order they were sent, without the token.
        user_id: The user whose token it was.
        positional: Whether the query string could have shifted positional parameters.
        auth: The access token, when it came among the parameters and not in a header.
        hook: User and code of the webhook that it came through.
    """

    method: str
    version: Version
    params: dict[str, Any]
    user_id: int
    positional: bool = False
    auth: str = attrs.field(default="", repr=False)
    hook: tuple[int, str] | None = attrs.field(default=None, repr=False)


@attrs.frozen(kw_only=True)
class Reply:
    """What a method returns.

    Attributes:
        result: The `result` of the answer.
        total: Number of rows that fit, or None.
        next: Where the next page starts, or None.
        bare: The result is the whole body, without an envelope.
        counted: Rows that were counted and skipped for it.
    """

    result: Any
    total: int | None = None
    next: int | None = None
    bare: bool = False
    counted: int = 0


Handler = Callable[[Call], Reply | Awaitable[Reply]]


@attrs.frozen(kw_only=True)
class RequestRecord:
    """One request as `FakePortal.requests` remembers it; tokens and secrets are replaced by labels.

    Attributes:
        time: When it arrived, Unix time in seconds.
        method: The REST method, ``oauth/token`` or ``oauth/authorize``.
        version: ``v2``, ``v3`` or ``oauth``.
        http_method: GET, POST …
        host: The `Host` header.
        query: The query parameters; secrets are masked.
        params: The parameters of the body, without token and secrets.
        token: Label of the token that was sent (``access-1``, ``refresh-1``), ``unknown``, or None without one.
        headers: The other headers by lower-case name, without `Authorization`.
        status: HTTP status of the answer, or None when no answer was sent.
    """

    time: float
    method: str
    version: Channel
    http_method: str
    host: str
    query: Mapping[str, Any]
    params: Any
    token: str | None
    headers: Mapping[str, str]
    status: int | None


@attrs.define(eq=False, kw_only=True)
class Exchange:
    """One request on its way through the portal, with what was learnt about it: for the record, and how much it ran."""

    request: Request
    method: str
    version: Channel
    arrived: float
    params: Any = None
    token: str | None = None
    status: int | None = None
    seconds: float = 0.0
    webhook: tuple[int, str] | None = attrs.field(default=None, repr=False)


class RestError(Exception):
    """The portal refuses a call; becomes the error of an answer or of one command of a batch.

    Args:
        code: The error code.
        text: The error description.
        status: HTTP status of the answer.
        validation: Names of the fields that v3 reports as not valid.
    """

    def __init__(self, code: str, text: str, *, status: int = 400, validation: tuple[str, ...] = ()) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text
        self.status = status
        self.validation = validation


class DroppedConnectionError(Exception):
    """The connection is cut instead of an answer being sent."""


class RefusedConnectionError(Exception):
    """The connection is refused before anything is sent."""
