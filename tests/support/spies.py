"""Watching what leaves: every byte by host, and every text in which a planted secret could show."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import pickle
import ssl
import traceback
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import attrs
import httpx

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret, SdkError
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakePortal, faults
from b24oauth.testing.messages import Answer
from tests.support.clients import UNLIMITED

SECRETS = ("access", "refresh", "client", "application", "password")


# --- what reaches which host ------------------------------------------------------------------------------------------


class RecordingTransport(httpx.AsyncBaseTransport):
    """Writes down every byte of every request by origin, then passes it on."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self.heard: defaultdict[str, bytes] = defaultdict(bytes)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        body = await request.aread()
        head = b"\n".join(name + b": " + value for name, value in request.headers.raw)
        self.heard[self._origin(request)] += b"\n".join((str(request.url).encode(), head, body, b""))
        self.requests.append(request)
        return await self._inner.handle_async_request(request)

    def hosts_that_heard(self, secret: str) -> set[str]:
        return {origin for origin, heard in self.heard.items() if any(form in heard for form in _forms(secret))}

    def sent_to(self, origin: str) -> list[httpx.Request]:
        return [request for request in self.requests if self._origin(request) == origin]

    @staticmethod
    def _origin(request: httpx.Request) -> str:
        return f"{request.url.scheme}://{request.url.netloc.decode()}"


@attrs.define(eq=False)
class Watched:
    """A client of a fake portal, with everything it sends and every pair it ever held."""

    b24: B24OAuth
    portal: FakePortal
    wire: RecordingTransport
    pairs: list[B24OAuthParams]

    def assert_secrets_stayed_home(self, *portals: str) -> None:
        """The OAuth server alone heard the secret and refresh tokens; the portals alone heard access tokens."""
        oauth = {"https://oauth.bitrix.info"}
        assert self.wire.hosts_that_heard(self.portal.secret.client_secret) <= oauth
        for pair in [*self.pairs, self.b24.auth.get_params()]:
            assert self.wire.hosts_that_heard(pair.refresh_token) <= oauth
            assert self.wire.hosts_that_heard(pair.access_token) <= {*portals, "https://portal.example"}


@asynccontextmanager
async def watched(
    portal: FakePortal,
    params: B24OAuthParams | None = None,
    *,
    http_options: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Watched]:
    pair = portal.issue() if params is None else params
    wire = RecordingTransport(portal.transport())
    async with httpx.AsyncClient(transport=wire, **(http_options or {})) as http:
        b24 = B24OAuth(
            pair,
            portal.secret,
            http_client=http,
            restriction_params=options.pop("restriction_params", UNLIMITED),
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            clock=portal.clock.now,
            **options,
        )
        pairs = [pair]
        b24.set_callback_refresh_auth(lambda refreshed: pairs.append(refreshed.b24_oauth_params))
        async with b24:
            yield Watched(b24, portal, wire, pairs)


class SpyStore(MemoryStore):
    """A store in memory that remembers each pair it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.saved: list[B24OAuthParams] = []

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        self.saved.append(params)
        return await super().save(key, params, expected=expected)


def redirect(status: int, location: str | None) -> faults.Fault:
    """A redirect instead of an answer."""
    headers = () if location is None else (("location", location),)

    async def fault(_: Callable[[], Awaitable[Answer]]) -> Answer:
        return Answer(status=status, body=b"", headers=headers)

    return fault


def renewal_says(**changes: Any) -> faults.Fault:
    """The OAuth server's answer with other fields."""

    async def fault(process: Callable[[], Awaitable[Answer]]) -> Answer:
        answer = await process()
        return attrs.evolve(answer, body=json.dumps(json.loads(answer.body) | changes).encode())

    return fault


# --- a server on a real socket ----------------------------------------------------------------------------------------

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def saying(raw: bytes) -> Talk:
    """Reads a whole request, answers these bytes and closes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await whole_request(reader)
        writer.write(raw)
        await writer.drain()

    return talk


async def whole_request(reader: asyncio.StreamReader) -> bytes:
    """Head and body of one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    lengths = [line for line in head.lower().splitlines() if line.startswith(b"content-length:")]
    return head + (await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b"")


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[str]:
    """A loopback server that treats each connection so; its address."""
    async with listening(talk) as port:
        yield f"http://127.0.0.1:{port}/rest/profile"


@asynccontextmanager
async def listening(talk: Talk, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A port on which each connection is treated so; nothing of it is left at the end."""
    talks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks.add(task)
        try:
            await talk(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
            await asyncio.sleep(0)  # the transport closes its socket in the next turn
        finally:
            writer.close()
            talks.discard(task)

    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls) as listener:
        yield listener.sockets[0].getsockname()[1]
        for task in talks:
            task.cancel()
        while talks:
            await asyncio.wait(talks)


# --- where a planted secret shows -------------------------------------------------------------------------------------


def canary(name: str) -> str:
    """A secret that each way of writing it down spells differently, around parts that none of them changes."""
    return f'c4n4ry{name}head"/+=%& c4n4ry{name}tail'


PARAMS = B24OAuthParams(
    access_token=canary("access"),
    refresh_token=canary("refresh"),
    application_token=canary("application"),
    expires=4_000_000_000,
    client_endpoint="https://portal.example/rest/",
    member_id="member-1",
)
SECRET = B24OAuthSecret(client_id="app.1", client_secret=canary("client"))


def leaks(exposed: str | bytes) -> set[str]:
    """The planted secrets of which a part can be read in something that people see."""
    raw = exposed.encode("utf-8", "replace") if isinstance(exposed, str) else exposed
    parts = {f"c4n4ry{name}{end}": name for name in SECRETS for end in ("head", "tail")}
    return {name for part, name in parts.items() if _shows(part, raw)}


def _shows(part: str, raw: bytes) -> bool:
    return part.encode() in raw.lower() or any(form in raw for form in _forms(part))


def assert_error_is_clean(error: BaseException) -> None:
    """Neither the error nor what is chained to it shows a planted secret in any way of showing it."""
    assert not leaks("".join(traceback.format_exception(error)))
    for shown in _chain(error):
        assert not leaks(str(shown)), f"str of {type(shown).__name__}"
        assert not leaks(repr(shown)), f"repr of {type(shown).__name__}"
        assert not leaks(repr(shown.args)), f"args of {type(shown).__name__}"
        # What people's own errors carry along unseen is theirs.
        if isinstance(shown, SdkError):
            assert not leaks(repr(vars(shown))), f"attributes of {type(shown).__name__}"
            assert not leaks(pickle.dumps(shown)), f"pickle of {type(shown).__name__}"
            assert not leaks(json.dumps(shown.to_dict(), default=repr)), f"to_dict of {type(shown).__name__}"


def assert_shows_nothing(*values: object) -> None:
    for value in values:
        assert not leaks(repr(value)), f"repr of {type(value).__name__}"
        assert not leaks(str(value)), f"str of {type(value).__name__}"


@contextmanager
def clean_logs() -> Iterator[list[logging.LogRecord]]:
    """Everything that the library and the HTTP client log at DEBUG, which must show no planted secret."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    loggers = [logging.getLogger(name) for name in ("b24oauth", "httpx", "httpcore", "httpx2", "httpcore2", "aiohttp")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
    for record in records:
        assert not leaks(f"{record.getMessage()} {vars(record)!r}"), f"log record {record.msg}"
        assert not leaks(json.dumps(vars(record), default=str)), f"log record {record.msg}"


def _chain(error: BaseException) -> Iterator[BaseException]:
    pending: list[BaseException | None] = [error]
    known: set[int] = set()
    while pending:
        shown = pending.pop()
        if shown is None or id(shown) in known:
            continue
        known.add(id(shown))
        yield shown
        pending += [shown.__cause__, shown.__context__]
        if isinstance(shown, BaseExceptionGroup):
            pending += shown.exceptions


def _forms(secret: str) -> Iterable[bytes]:
    raw = secret.encode()
    yield raw
    for offset in range(3):
        # In base64 a text reads differently at each offset; its first and last letters mix with the neighbours.
        whole = base64.b64encode(b"\0" * offset + raw).rstrip(b"=")
        yield whole[4 if offset else 0 : -2]
