"""`B24OAuth`: the entry, which puts the parts together and closes them."""

from __future__ import annotations

import ssl
import time
import warnings
from collections.abc import Callable, Collection, Iterable
from functools import cached_property
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

import anyio

from b24oauth.actions import ActionsManager
from b24oauth.actions.short import Api
from b24oauth.assembling import (
    api_version,
    check_connections,
    check_identity,
    check_limits,
    check_logger,
    check_store,
    checked_observers,
    gate_for,
    warn_in_browsers,
)
from b24oauth.checks import check_seconds
from b24oauth.errors import ClientStateError, ConfigurationError
from b24oauth.limits.manager import RestrictionManager
from b24oauth.limits.params import RestrictionParams
from b24oauth.models import ApiVersion, B24OAuthParams, B24OAuthSecret
from b24oauth.oauth.keeper import TokenKeeper
from b24oauth.oauth.manager import AuthOAuthManager
from b24oauth.oauth.pair import check_pair
from b24oauth.oauth.renewal import CustomRefreshAuth, Renewer
from b24oauth.oauth.settling import CallbackRefreshAuth
from b24oauth.observing import Log, LoggerLike, Observer
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS
from b24oauth.protocol.openapi import V3Method, read_methods
from b24oauth.rest.client import HttpClient
from b24oauth.rest.relocation import Relocation
from b24oauth.rest.services import Services
from b24oauth.storing import TokenStore
from b24oauth.tools import ToolsManager
from b24oauth.wire import CONNECT_TIMEOUT, MAX_DOWNLOAD_SIZE, MAX_RESPONSE_SIZE, RESPONSE_TIMEOUT, TransportName, Wire

if TYPE_CHECKING:
    from b24oauth.downloads import Download, Downloader, Progress, Writable
    from b24oauth.wire.foreign import ForeignClient

__all__ = ["B24OAuth"]


class B24OAuth(Api):
    """Talks to one Bitrix24 portal over OAuth 2.0.

    Usually opened with `async with`; a plain constructor works too, also before an event loop runs, and then wants
    `await b24.aclose()`. One object serves any number of tasks of one event loop.

    Args:
        auth_options: The token pair, as Bitrix24 gave it.
        oauth_secret: The application's credentials.
        restriction_params: Limits and repeats; None for the usual ones.
        restriction_manager: Limits to share with other clients of the same portal, instead of `restriction_params`.
        http_client: An `httpx.AsyncClient`, `httpx2.AsyncClient` or `aiohttp.ClientSession` of yours, used as it is;
            it stays yours to close.
        transport: The library that connections made here use: "httpx", "httpx2" or "aiohttp"; "auto" takes aiohttp
            where the extra `speed` is installed, else httpx2 where it is installed, else httpx.
        max_concurrency: Requests of this client under way at once, at most; further calls wait in the order they came.
            In any case, clients that share a `restriction_manager` have 10 requests under way together, and up to 20
            where the limits let that many through in a second; clients that share an httpx client have 10.
        token_store: Where token pairs outlive the process, one of `b24oauth.stores` or your own.
        user_id: The user whose pair it is and stays; None for the pair that the application works with on the portal,
            whoever's it is. The store keeps the pairs of users apart.
        logger: Anything like a `logging.Logger`; by default the one named "b24oauth".
        observers: Functions that are called with each event (`b24oauth.events`), for metrics and traces. They run in
            the task of the call and must not block.
        timeout: Seconds to wait for a response, for each 64 KiB of a long one, and for each part of a long request to
            be taken; None for no limit. A portal may work for 60 seconds. The `timeout` of a call bounds all of it.
        connect_timeout: Seconds for making a connection, proxy and TLS included; None for no limit.
        max_response_size: Most bytes of an unpacked response; a larger one is a `BadResponseError`. Not for downloads.
        proxy: Address of a proxy, such as ``http://user:password@host:port`` or ``socks5://host:port``; None for those
            of the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
        ssl_context: For TLS; None for certifi's certificates, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
        wire: A `b24oauth.wire.Wire` whose connections are shared with other clients, for example of thousands of
            portals; it stays yours to close.
        close_timeout: Seconds that `aclose` waits for a token pair that is being renewed or saved.
        trusted_oauth_hosts: OAuth servers that may see the client secret, each "host" or "host:port". Loopback
            addresses listed here may be reached over plain http, as OAuth server and as portal.
        refresh_http_method: "GET" sends the client secret and the refresh token in the address, where proxies, servers
            and httpx's own log write them down: only for an OAuth server that does not read a posted form.
        refresh_attempts: Maximum number of attempts for one renewal, when responses are lost.
        clock: Unix timestamp, seconds.

    Raises:
        UntrustedHostError: An endpoint of the pair must not see a secret.
        ConfigurationError: Arguments that do not fit together.

    Source: https://apidocs.bitrix24.com/settings/oauth/index.html
    """

    def __init__(
        self,
        auth_options: B24OAuthParams,
        oauth_secret: B24OAuthSecret,
        *,
        restriction_params: RestrictionParams | None = None,
        restriction_manager: RestrictionManager | None = None,
        http_client: ForeignClient | None = None,
        transport: TransportName = "auto",
        max_concurrency: int | None = None,
        token_store: TokenStore | None = None,
        user_id: int | None = None,
        logger: LoggerLike | None = None,
        observers: Iterable[Observer] = (),
        timeout: float | None = RESPONSE_TIMEOUT,
        connect_timeout: float | None = CONNECT_TIMEOUT,
        max_response_size: int = MAX_RESPONSE_SIZE,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        wire: Wire | None = None,
        close_timeout: float = 10.0,
        trusted_oauth_hosts: Collection[str] = DEFAULT_OAUTH_HOSTS,
        refresh_http_method: Literal["POST", "GET"] = "POST",
        refresh_attempts: int = 3,
        clock: Callable[[], float] = time.time,
    ) -> None:
        check_identity(auth_options, oauth_secret, trusted_oauth_hosts, refresh_http_method)
        check_limits(restriction_params, restriction_manager)
        check_connections(wire, max_concurrency)
        check_store(token_store, auth_options, user_id)
        trusted = frozenset(trusted_oauth_hosts)
        check_pair(auth_options, trusted)
        self._log = Log(logger, checked_observers(observers))
        self._wire = Wire(
            http_client,
            transport=transport,
            timeout=timeout,
            connect_timeout=connect_timeout,
            max_response_size=max_response_size,
            proxy=proxy,
            ssl_context=ssl_context,
            wire=wire,
            log=self._log,
        )
        self._limits = restriction_manager or RestrictionManager(restriction_params, clock=clock)
        wire, attempts = self._wire, refresh_attempts
        renewer = Renewer(wire, oauth_secret, trusted, refresh_http_method, attempts, clock, user_id=user_id)
        self._keeper = TokenKeeper(auth_options, renewer, store=token_store, log=self._log)
        self._services = services = Services(
            wire=wire,
            gate=gate_for(max_concurrency, restriction_manager, http_client, self._limits),
            send=wire.send,
            credentials=self._keeper,
            limits=self._limits,
            relocation=Relocation(self._keeper),
            log=self._log,
            trusted_hosts=trusted,
        )
        self._http = {version: HttpClient(dialect, services) for version, dialect in DIALECTS.items()}
        self._auth = AuthOAuthManager(self._keeper, renewer)
        self._actions = ActionsManager(self._http[ApiVersion.V2], self._http[ApiVersion.V3])
        self._tools = ToolsManager(self._http[ApiVersion.V2])
        self._close_timeout = close_timeout
        self._entered = False
        warn_in_browsers(self._log)

    @property
    def auth(self) -> AuthOAuthManager:
        """Token data, renewal and its hooks, administrator rights."""
        return self._auth

    @property
    def actions(self) -> ActionsManager:
        """Calls as the JS SDK names them, by API version; they return result objects."""
        return self._actions

    @property
    def tools(self) -> ToolsManager:
        """Whether the portal answers."""
        return self._tools

    @property
    def is_init(self) -> bool:
        """True: the client is ready once it is made."""
        return True

    async def init_is_admin(self, request_id: str | None = None) -> None:
        """Learns whether the user of the token is an administrator; `auth.is_admin` tells afterwards.

        Args:
            request_id: Shown in the portal's log; generated by default.

        Raises:
            SdkError: The portal did not answer.
        """
        await self._auth.init_is_admin(lambda: self._http[ApiVersion.V2].call("profile", request_id=request_id))

    async def discover_v3_methods(self, request_id: str | None = None) -> dict[str, V3Method]:
        """The v3 methods of this portal with their parameters, by name.

        Args:
            request_id: Shown in the portal's log; generated by default.

        Raises:
            AjaxError: The portal did not answer.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        answer = await self._http[ApiVersion.V3].call("rest.documentation.openapi", request_id=request_id)
        return read_methods(answer.raise_for_error().payload)

    @cached_property
    def _downloader(self) -> Downloader:
        from b24oauth.downloads import Downloader  # noqa: PLC0415 - most programs download nothing

        return Downloader(self._http[ApiVersion.V2], self._services)

    async def download(
        self,
        source: str | int,
        to: str | PathLike[str] | Writable,
        *,
        max_bytes: int | None = MAX_DOWNLOAD_SIZE,
        timeout: float | None = None,
        on_progress: Progress | None = None,
        request_id: str | None = None,
    ) -> Download:
        """Downloads a file part by part, and asks for the rest of it when the connection breaks.

        The token goes to the portal only; a redirect to a storage elsewhere is followed without it. A request to the
        portal counts in its limits. After `max_retries` attempts in a row below 64 KiB the error is raised.

        Args:
            source: Identifier of a file on the drive, or an address from a response, such as `urlMachine`.
            to: Path of a file, which appears when it is complete and replaces an older one; or an object whose `write`
                takes bytes, such as `io.BytesIO` or an anyio file. A plain `write` is called in the event loop.
            max_bytes: Size of the file at most; None for no such limit.
            timeout: For everything, waiting, renewal and repeats included, seconds; None for no such limit.
            on_progress: Called, or awaited, with the bytes so far and, where known, of the whole file.
            request_id: Shown in the portal's log for the call of `disk.file.get`; generated by default.

        Returns:
            Name, size and type of the file.

        Raises:
            AjaxError: The file cannot be had; the class tells why. At a path, nothing is left of it.
            BadResponseError: The file is too large, or the portal sends a page instead of it.
            UntrustedHostError: The address is not https, or would carry a token to another host; nothing was sent.
            ConfigurationError: The source or `to` is neither of these.
            OSError: The file cannot be written.

        Source: https://apidocs.bitrix24.com/api-reference/files/how-to-upload-files.html
        """
        return await self._downloader.download(
            source, to, max_bytes=max_bytes, timeout=timeout, on_progress=on_progress, request_id=request_id
        )

    def set_callback_refresh_auth(self, callback: CallbackRefreshAuth) -> None:
        """Calls a function with each renewed pair before anything uses it, exactly once a pair.

        Args:
            callback: An async or a plain function of one argument, a `RefreshedAuth`.

        Raises:
            ConfigurationError: It is no function.
        """
        self._auth.set_callback_refresh_auth(callback)

    def remove_callback_refresh_auth(self) -> None:
        """No function is called any more."""
        self._auth.remove_callback_refresh_auth()

    def set_custom_refresh_auth(self, custom: CustomRefreshAuth) -> None:
        """Obtains new pairs from a function instead of the OAuth server.

        Args:
            custom: An async or a plain function without arguments that gives a `HandlerRefreshAuth`.

        Raises:
            ConfigurationError: It is no function.
        """
        self._auth.set_custom_refresh_auth(custom)

    def remove_custom_refresh_auth(self) -> None:
        """New pairs come from the OAuth server again."""
        self._auth.remove_custom_refresh_auth()

    def off_client_side_warning(self) -> None:
        """Does nothing; the reference's name. The warning of browsers is given once, when a client is made."""

    def get_target_origin(self) -> str:
        """The portal's address, for example ``https://xxx.bitrix24.com``."""
        return self._auth.get_target_origin()

    def get_target_origin_with_path(self) -> dict[ApiVersion, str]:
        """The REST root of each API version, without a slash at its end."""
        return self._auth.get_target_origin_with_path()

    def get_http_client(self, version: ApiVersion) -> HttpClient:
        """The client of one API version.

        Raises:
            ConfigurationError: There is no such version.
        """
        return self._http[api_version(version)]

    def set_http_client(self, version: ApiVersion, client: HttpClient) -> None:
        """Makes calls of one API version through another client.

        Args:
            version: The API version.
            client: What makes its calls from now on; it is not closed by this one.

        Raises:
            ConfigurationError: There is no such version, or the client makes no calls.
        """
        if not callable(getattr(client, "call", None)):
            raise ConfigurationError(f"client must be an HttpClient, not {type(client).__name__}")
        self._http[api_version(version)] = client
        self._actions = ActionsManager(self._http[ApiVersion.V2], self._http[ApiVersion.V3])
        self._tools = ToolsManager(self._http[ApiVersion.V2])

    async def set_restriction_manager_params(self, params: RestrictionParams) -> None:
        """Replaces limits and repeats; what is known of the portal stays.

        Args:
            params: The new ones; change single fields with `attrs.evolve`.
        """
        await self._limits.set_params(params)

    def get_restriction_manager_params(self) -> RestrictionParams:
        """Limits and repeats in force."""
        return self._limits.get_params()

    def get_logger(self) -> LoggerLike:
        """The logger in use."""
        return self._log.logger

    def set_logger(self, logger: LoggerLike) -> None:
        """Writes to another logger from now on, in every part of the client.

        Args:
            logger: Anything like a `logging.Logger`; a ConfigurationError names what it lacks.
        """
        check_logger(logger)
        self._log.logger = logger

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        # Only a client that was used holds connections; a constructor that failed has no wire.
        wire = getattr(self, "_wire", None)
        if wire is not None and wire.lifetime.is_in_use:
            warn(f"unclosed {self!r}: use `async with`, or await aclose()", ResourceWarning, source=self)

    async def __aenter__(self) -> Self:
        self._wire.enter_loop()
        if self._entered:
            raise ClientStateError(
                "This client is entered already: share the object instead of entering it again",
                code="B24OAUTH_ENTERED_TWICE",
            )
        self._entered = True
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Closes the client: waits for a renewal, saves what is not saved yet, and ends everything else.

        Later calls and those that wait for the limits raise `ClientStateError`. A request that is cut off is a
        `NetworkError`, or an `AmbiguousResultError` for a write. May be called twice.

        Args:
            drain: Seconds that calls, eager lists, batches and downloads under way may take to end first. A list that
                is read page by page ends with the request under way.

        Raises:
            TokenPersistenceError: A renewed pair still could not be saved; closing again tries again.
            ClientStateError: Called from within a renewal, a deadlock, or in another event loop; nothing is closed.
            ConfigurationError: `drain` is no time span; nothing is closed.
        """
        if drain != 0:
            check_seconds(drain, "drain")
        self._wire.lifetime.check_loop()
        # Before anything is closed: the renewal that asks goes on, and so does the call it is for.
        self._keeper.check_outside()
        try:
            await self._wire.lifetime.drain(drain)
        finally:
            self._services.end_waits()
            try:
                await self._keeper.aclose(timeout=self._close_timeout)
            finally:
                # Connections are closed even when the task that closes is being cancelled.
                with anyio.CancelScope(shield=True):
                    await self._wire.aclose()

    destroy = aclose
