"""`FakePortal`: a Bitrix24 portal and its OAuth server as one ASGI application, with counters, faults and a clock."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, overload
from urllib.parse import urlsplit

import attrs

from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.testing.asgi import run_asgi
from b24oauth.testing.bindings import Bindings
from b24oauth.testing.clock import Clock, as_clock
from b24oauth.testing.faults import Fault, Faults
from b24oauth.testing.files import FILE_FIELDS, FileStore
from b24oauth.testing.front import Front
from b24oauth.testing.handlers import as_handler
from b24oauth.testing.list_shapes import ListShape
from b24oauth.testing.messages import Answer, Request, RequestRecord, dumps
from b24oauth.testing.offline import AUTH_CONNECTOR, OFFLINE_EXTENDED, OfflineQueue
from b24oauth.testing.parts import Parts
from b24oauth.testing.payment import Payment
from b24oauth.testing.recording import Counts, as_record, open_exchange
from b24oauth.testing.rest import RestServer
from b24oauth.testing.table import Table
from b24oauth.testing.tokens import Grant, make_secret
from b24oauth.testing.web_pages import PageHandler

if TYPE_CHECKING:
    import httpx
    import httpx2

__all__ = ["FakePortal"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@attrs.define(eq=False, kw_only=True)
class FakePortal(Counts):
    """A Bitrix24 portal and its OAuth server for tests: in process or on loopback. By default it answers at once.

    Attributes:
        clock: The portal's time: a `VirtualClock`, a function like `time.time`, or None: the loop's time, started now.
        burst: Requests that the leaky bucket takes at once (X); more are answered 503. None: no limit.
        drain: Requests that leave the bucket a second (Y). None: they never leave.
        operating: Seconds of execution charged for each call, by method; other methods are free.
        operating_limit: Seconds of execution a method may use within ten minutes; more is answered 429.
        token_lifetime: Lifetime of access tokens, seconds.
        latency: Seconds between processing a REST request and its answer.
        refresh_latency: The same for token requests.
        command_latency: Seconds added for each REST method that was run: each command of a batch is one.
        count_latency: Seconds added for each 1,000 rows that a v2 list counts and skips, unless its `start` is -1.
        request_limit: Seconds after which the portal ends a request: it answers 504, even if everything was executed.
        rows: Number of rows by table (``{"crm.deal": 1_000_000}``); rows are made when they are read.
        page_caps: Rows of a v3 page at most, by method; others have 1000.
        single_use: Whether a refresh token is good for one renewal only.
        earlier_pairs: How many pairs an earlier run of the same portal may have issued; they can be renewed.
        origin: Where the portal is reached.
        oauth_origin: Where the OAuth server is reached.
        secret: The application that the OAuth server knows.
        is_admin: Whether users are administrators.
        administrators: IDs of the users who are, if only some are; `is_admin` does not count then.
        payment: How the application is paid for.
        member_id: The portal's identifier.
        realm: Portals of one OAuth server have tokens that differ by it.
        scope: What the application may do.
        application_token: Proof that an event comes from this portal.
        redirect_uri: Where the application takes authorization codes.
        asks_for_login: Whether the authorization page asks who logs in; otherwise it is the first user.
        file_fields: Names of file fields by table (``{"crm.deal": {"UF_CRM_FILE": False}}``), each with whether it
            holds several files; one that is written in a form that the method does not take is not stored.
        download_ranges: Whether parts of files can be downloaded.
        one_use_downloads: Whether the address of a file is good once.
        storage_origin: Where downloads are redirected to; None: the portal serves files itself.
        features: Features of the portal's plan, as `feature.get` names them.
        record: Whether `requests` is kept, or how many of the last ones.
        dumps: Writes the JSON text of REST answers; a faster one than the standard library's for loads of rows.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """

    clock: Clock = attrs.field(default=None, converter=as_clock)
    burst: float | None = None
    drain: float | None = None
    operating: Mapping[str, float] = attrs.field(factory=dict[str, float])
    operating_limit: float = 480.0
    token_lifetime: float = 3600.0
    latency: float = 0.0
    refresh_latency: float = 0.0
    command_latency: float = 0.0
    count_latency: float = 0.0
    request_limit: float = 60.0
    sizes: Mapping[str, int] = attrs.field(alias="rows", factory=dict[str, int])
    page_caps: Mapping[str, int] = attrs.field(factory=lambda: {"tasks.task.list": 50})
    single_use: bool = True
    earlier_pairs: int = 0
    _origin: str = attrs.field(default="https://portal.example", alias="origin")
    _oauth_origin: str = attrs.field(default="https://oauth.bitrix.info", alias="oauth_origin")
    secret: B24OAuthSecret = attrs.field(factory=make_secret)
    is_admin: bool = True
    administrators: Collection[int] | None = None
    payment: Payment = attrs.field(factory=Payment)
    member_id: str = "0f4a7c1de82b4b5fa3d96c0e5b1a2d34"
    realm: str = ""
    scope: str = "crm,task,user_brief,department"
    application_token: str = attrs.field(default="fake-portals-application-token", repr=False)
    redirect_uri: str = "https://application.example/oauth"
    asks_for_login: bool = False
    file_fields: Mapping[str, Mapping[str, bool]] = FILE_FIELDS
    download_ranges: bool = True
    one_use_downloads: bool = False
    storage_origin: str | None = None
    features: Collection[str] = (OFFLINE_EXTENDED, AUTH_CONNECTOR)
    record: bool | int = True
    dumps: Callable[[object], bytes] = dumps
    _parts: Parts = attrs.field(init=False)
    _faults: Faults = attrs.field(init=False, factory=Faults)
    _rest: RestServer = attrs.field(init=False)
    _front: Front = attrs.field(init=False)
    _records: deque[RequestRecord] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._parts = parts = Parts(self, self._origin, self._oauth_origin)
        self._rest = parts.rest
        self._front = Front(parts.addresses, parts.rest, parts.oauth, parts.downloads, self._faults)
        self._records = deque(maxlen=None if self.record is True else int(self.record))

    @property
    def origin(self) -> str:
        """Where the portal is reached at present."""
        return self._parts.addresses.portal

    @property
    def client_endpoint(self) -> str:
        """The REST root of the portal."""
        return self._parts.addresses.portal + "/rest/"

    @property
    def server_endpoint(self) -> str:
        """The REST root of the OAuth server."""
        return self._parts.addresses.oauth + "/rest/"

    @property
    def trusted_oauth_hosts(self) -> frozenset[str]:
        """What a client must trust to renew tokens here."""
        return frozenset({urlsplit(self._parts.addresses.oauth).netloc})

    def issue(self, user_id: int = 1, *, expired: bool = False) -> B24OAuthParams:
        """Mints a pair of tokens, as an installation would hand it to an application.

        Args:
            user_id: The user that the pair belongs to.
            expired: Whether the access token's time is over already; the refresh token is good all the same.

        Returns:
            What `B24OAuth` takes as `auth_options`.
        """
        return self._as_params(self._parts.tokens.issue(user_id, expired=expired))

    def webhook(self, user_id: int = 1) -> str:
        """The address of a new inbound webhook, for `B24Hook`.

        Args:
            user_id: Whose rights it has.
        """
        return f"{self.client_endpoint}{user_id}/{self._parts.tokens.issue_webhook(user_id)}/"

    def authorization_code(self, user_id: int = 1) -> str:
        """A code as the authorization page gives it: good once and for 30 seconds."""
        return self._parts.tokens.issue_code(user_id)

    def expire_tokens(self) -> None:
        """Lets every access token expire on the portal's side; clients learn it from 401 `expired_token`."""
        self._parts.tokens.expire_all()

    def revoke(self, refresh_token: str) -> None:
        """Makes one refresh token void: renewals answer 400 `invalid_grant`.

        Raises:
            KeyError: This portal never issued it, or it was revoked before.
        """
        self._parts.tokens.revoke(refresh_token)

    def revoke_all(self) -> None:
        """Makes every refresh token void."""
        self._parts.tokens.revoke_all()

    def kill_tokens(self) -> None:
        """Makes all tokens and codes void, as the removal of the application does; webhooks stay."""
        self._parts.tokens.kill()

    def rename(self, origin: str) -> None:
        """Moves the portal: the old address answers 302, and renewals name the new one.

        Args:
            origin: The new origin, for example ``https://new.example``.
        """
        self._parts.addresses.former.add(urlsplit(self._parts.addresses.portal).netloc)
        self._parts.addresses.portal = origin.rstrip("/")
        self._parts.addresses.former.discard(urlsplit(origin).netloc)

    def rows(self, table: str, *, ids: Iterable[int] | None = None) -> Table:
        """A table of the portal, to be read and changed during a test.

        Args:
            table: The first part of its methods' names, for example ``crm.deal``.
            ids: Ids that the table shall have instead, gaps allowed; a `range` is not copied.

        Raises:
            KeyError: There is no such table.
        """
        if table not in self._parts.tables:
            raise KeyError(f"rows: no table {table}; there are {', '.join(sorted(self._parts.tables))}")
        if ids is not None:
            self._parts.tables[table].replace(ids)
        return self._parts.tables[table]

    @property
    def files(self) -> FileStore:
        """The portal's files: ``portal.files.add("a.txt", b"...")`` stores one, `get` finds one by its identifier."""
        return self._parts.files

    @property
    def offline(self) -> OfflineQueue:
        """The queue of offline events: ``portal.offline.add("ONCRMDEALADD", {"FIELDS": {"ID": "1"}})`` adds one."""
        return self._parts.offline

    @property
    def bindings(self) -> Bindings:
        """What the application has registered: handlers of events, placements and robots."""
        return self._parts.bindings

    def page(self, path: str, handler: PageHandler) -> None:
        """Adds a page for browsers.

        Args:
            path: Its path.
            handler: Gets a `Request` and returns an `Answer`, or an awaitable of it.
        """
        self._front.pages[path.strip("/").lower()] = handler

    def method(self, name: str, handler: Callable[[dict[str, Any]], Any]) -> None:
        """Adds a method of your own to both versions, or replaces a built-in one.

        Args:
            name: The method's name.
            handler: An async or a plain function. It gets the parameters and returns the `result`, or a `Reply` that
                has a total beside it; it may raise `RestError` to refuse. If it raises anything else, the traceback is
                printed, and the client gets a 500, as of a portal whose code fails.

        Raises:
            TypeError: The name is no text, or the handler cannot be called.
        """
        self._rest.methods["v2", name.lower()] = self._rest.methods["v3", name.lower()] = as_handler(name, handler)

    def list_method(self, name: str, shape: ListShape, rows: Sequence[Any]) -> None:
        """Adds a list method of v2, or replaces a built-in one.

        Args:
            name: The method's name.
            shape: How it answers.
            rows: All of its rows in their own order; changes made to the sequence later are seen.
        """
        self._rest.methods["v2", name.lower()] = lambda call: shape.answer(rows, call)

    def inject(self, fault: Fault, *, on: str | None = None, times: int | None = 1, after: int = 0) -> None:
        """Lets requests meet a fault; commands inside a batch do not meet faults of their own.

        Args:
            fault: One of `b24oauth.testing.faults`, or an async function of that kind.
            on: The REST method or ``oauth/token``; None: any request.
            times: How many requests meet it; None: all of them.
            after: How many matching requests are let through before.
        """
        self._faults.add(fault, on=on, times=times, after=after)

    def clear_faults(self) -> None:
        """Forgets all faults that have not been met."""
        self._faults.clear()

    @overload
    def transport(self, package: Literal["httpx"] = "httpx") -> httpx.AsyncBaseTransport: ...
    @overload
    def transport(self, package: Literal["httpx2"]) -> httpx2.AsyncBaseTransport: ...
    def transport(self, package: Literal["httpx", "httpx2"] = "httpx") -> Any:
        """A transport for an `AsyncClient` that reaches this portal, under any host name, in process.

        Args:
            package: Whose client it is for, as type checkers see it; the object works with both.
        """
        from b24oauth.testing.transport import PortalTransport  # noqa: PLC0415 - the portal itself needs no httpx

        del package
        return PortalTransport(self.respond)

    def serve(
        self, *, host: str = "127.0.0.1", port: int = 0, oauth_origin: str | None = None
    ) -> AbstractAsyncContextManager[FakePortal]:
        """Serves the portal: ``async with portal.serve() as served``.

        Inside, `origin`, `client_endpoint`, `server_endpoint` and `trusted_oauth_hosts` name its address.

        Args:
            host: Address to listen at. A client only sends tokens over plain http to loopback addresses.
            port: Port to listen at; 0 for a free one.
            oauth_origin: Where its OAuth server is reached; None: at the same address.

        Raises:
            ModuleNotFoundError: uvicorn is missing; the message says how to install it.
            ValueError: There is no such port.
            OSError: The port is taken, or the address is not one of this machine.
        """
        from b24oauth.testing.serving import serving  # noqa: PLC0415 - uvicorn is optional

        return self._served(serving(self, host, port), oauth_origin)

    @asynccontextmanager
    async def _served(
        self, server: AbstractAsyncContextManager[str], oauth_origin: str | None
    ) -> AsyncGenerator[FakePortal]:
        before = self._parts.addresses.portal, self._parts.addresses.oauth
        async with server as origin:
            self._parts.addresses.portal, self._parts.addresses.oauth = origin, oauth_origin or origin
            try:
                yield self
            finally:
                self._parts.addresses.portal, self._parts.addresses.oauth = before

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        await run_asgi(self.respond, scope, receive, send)

    async def respond(self, request: Request) -> Answer:
        """Answers one request; what `transport` and the ASGI application share.

        Raises:
            DroppedConnectionError: A fault cuts the connection.
            RefusedConnectionError: A fault refuses the connection.
        """
        exchange = open_exchange(request, self.clock.now())
        try:
            answer = await self._front.answer(exchange, self.latency, self.refresh_latency, self.request_limit)
            exchange.status = answer.status
        finally:
            if self.record:
                self._records.append(as_record(exchange))
        return answer

    def is_administrator(self, user_id: int) -> bool:
        """True for a user who may install the application and change what it has registered."""
        return self.is_admin if self.administrators is None else user_id in self.administrators

    def knows(self, token: str) -> bool:
        """True for a token or an authorization code that this portal has issued."""
        return self._parts.tokens.knows(token)

    def _as_params(self, grant: Grant) -> B24OAuthParams:
        return B24OAuthParams(
            access_token=grant.access_token,
            refresh_token=grant.refresh_token,
            expires=grant.expires,
            expires_in=int(self.token_lifetime),
            client_endpoint=self.client_endpoint,
            server_endpoint=self.server_endpoint,
            domain=urlsplit(self.origin).netloc,
            member_id=self.member_id,
            application_token=self.application_token,
            user_id=grant.user_id,
            scope=self.scope,
            status=self.payment.status,
        )
