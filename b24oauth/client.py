"""The `B24OAuth` client: creates its components and closes them."""

from __future__ import annotations

import ssl
import time
import warnings
from collections.abc import Callable, Collection, Iterable
from os import PathLike
from typing import TYPE_CHECKING, Literal, Self, Unpack

import anyio

from b24oauth import assembling
from b24oauth.actions import ActionsManager
from b24oauth.actions.short import Api
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
    from b24oauth.downloads import Download, Progress, Writable
    from b24oauth.wire.foreign import ForeignClient

__all__ = ["B24OAuth"]


class B24OAuth(Api):
    """Talks to one Bitrix24 portal over OAuth 2.0.

    Use it with `async with`. You can also construct it directly, even before an event loop runs; then call
    `await b24.aclose()` when done. All tasks of one event loop can share one client.

    Args:
        auth_options: The token pair, as received from Bitrix24.
        oauth_secret: The application's credentials.
        restriction_params: Rate limits and retry settings; None for the defaults.
        restriction_manager: Limits to share with other clients of the same portal, instead of `restriction_params`.
        http_client: Your own `httpx.AsyncClient`, `httpx2.AsyncClient` or `aiohttp.ClientSession`; used unchanged, and
            not closed by this client.
        transport: HTTP library for this client's own connections: "httpx", "httpx2" or "aiohttp"; "auto" uses aiohttp
            if the extra `speed` is installed, otherwise httpx2 if it is installed, otherwise httpx.
        max_concurrency: Maximum number of concurrent requests of this client; other calls wait in FIFO order. Clients
            that share a `restriction_manager` or an httpx client run at most 10 together (20 if the rate allows it).
        token_store: Persistent storage for token pairs, an implementation of `b24oauth.stores.TokenStore`.
        user_id: ID of the user that the pair must belong to; None for the application's default pair on the portal,
            regardless of its user. The store keeps a separate pair for each user.
        logger: Anything like a `logging.Logger`; by default the logger named "b24oauth".
        observers: Functions that are called with each event (`b24oauth.events`), for metrics and traces. They run in
            the task of the call and must not block.
        timeout: Seconds to wait for a response, for each 64 KiB of a long one, and for sending each chunk of a long
            request; None for no limit. A portal may work for 60 seconds. The `timeout` of a call limits its total time.
        connect_timeout: Seconds to connect, proxy and TLS included; None for no limit.
        max_response_size: Maximum bytes of a decompressed response; a larger one raises `BadResponseError`. Downloads
            are not limited by it.
        proxy: URL of a proxy, such as ``http://user:password@host:port`` or ``socks5://host:port``; None for the
            proxies of the environment (`HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
        ssl_context: For TLS; None for certifi's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
        wire: A `b24oauth.wire.Wire` whose connections are shared with other clients, for example of thousands of
            portals; not closed by this client.
        close_timeout: Seconds that `aclose` waits for a token pair that is being refreshed or saved.
        trusted_oauth_hosts: OAuth servers to which the client secret may be sent, each "host" or "host:port". Loopback
            hosts listed here may be contacted over plain http, as OAuth server and as portal.
        refresh_http_method: "GET" sends the client secret and the refresh token in the query string, where proxies,
            servers and httpx's logger may record them. Use it only if your OAuth server does not accept a POST form.
        refresh_attempts: Maximum number of attempts for one refresh when responses are lost.
        clock: Function that returns the current Unix timestamp in seconds.

    Raises:
        UntrustedHostError: An endpoint in `auth_options` is not a trusted host.
        ConfigurationError: Arguments are invalid or contradict each other.

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
        assembling.check_identity(auth_options, oauth_secret, trusted_oauth_hosts, refresh_http_method)
        assembling.check_connections(wire, max_concurrency)
        assembling.check_store(token_store, auth_options, user_id)
        trusted = frozenset(trusted_oauth_hosts)
        check_pair(auth_options, trusted)
        self._log = Log(logger, assembling.checked_observers(observers))
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
        self._limits = assembling.limits_for(
            restriction_manager, restriction_params, token_store, auth_options.member_id, clock
        )
        wire, attempts = self._wire, refresh_attempts
        renewer = Renewer(wire, oauth_secret, trusted, refresh_http_method, attempts, clock, user_id=user_id)
        self._keeper = TokenKeeper(auth_options, renewer, store=token_store, log=self._log)
        self._services = services = Services(
            wire=wire,
            gate=assembling.gate_for(max_concurrency, restriction_manager, http_client, self._limits),
            send=wire.send,
            credentials=self._keeper,
            limits=self._limits,
            relocation=Relocation(self._keeper),
            log=self._log,
            trusted_hosts=trusted,
        )
        self._http = {version: HttpClient(dialect, services) for version, dialect in DIALECTS.items()}
        self._auth = AuthOAuthManager(self._keeper, renewer, token_store)
        self._actions = ActionsManager(self._http[ApiVersion.V2], self._http[ApiVersion.V3])
        self._tools: ToolsManager | None = None
        self._close_timeout, self._entered = close_timeout, False
        assembling.warn_in_browsers(self._log)

    @classmethod
    async def from_store(
        cls,
        store: TokenStore,
        oauth_secret: B24OAuthSecret,
        *,
        member_id: str,
        user_id: int | None = None,
        **options: Unpack[assembling.ClientOptions],
    ) -> Self:
        """Constructs a client from the stored token pair of a portal.

        Args:
            store: The store that has the pair; the client goes on using it, as with `token_store`.
            oauth_secret: The application's credentials.
            member_id: The portal.
            user_id: The user whose pair it is; None for the application's default pair.
            options: Further arguments of the constructor.

        Raises:
            UnknownPortalError: The store has no pair of this portal and user.
            StoreError: The store cannot be read.
        """
        pair = await assembling.stored_pair(store, oauth_secret, member_id, user_id)
        return cls(pair, oauth_secret, token_store=store, user_id=user_id, **options)

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
        """Tools, such as a health check of the portal."""
        self._tools = self._tools or ToolsManager(self._http[ApiVersion.V2])
        return self._tools

    @property
    def is_init(self) -> bool:
        """Always True: the client is ready as soon as it is constructed."""
        return True

    @property
    def is_idle(self) -> bool:
        """True while no call is under way and no token pair is being renewed or saved."""
        return self._wire.lifetime.under_way == 0 and self._keeper.is_settled

    async def init_is_admin(self, request_id: str | None = None) -> None:
        """Requests whether the token's user is an administrator; the answer is then in `auth.is_admin`.

        Args:
            request_id: Shown in the portal's log; generated by default.

        Raises:
            SdkError: The request failed.
        """
        await self._auth.init_is_admin(lambda: self._http[ApiVersion.V2].call("profile", request_id=request_id))

    async def discover_v3_methods(self, request_id: str | None = None) -> dict[str, V3Method]:
        """The v3 methods of this portal with their parameters, by name.

        Args:
            request_id: Shown in the portal's log; generated by default.

        Raises:
            AjaxError: The request failed.

        Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
        """
        answer = await self._http[ApiVersion.V3].call("rest.documentation.openapi", request_id=request_id)
        return read_methods(answer.raise_for_error().payload)

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
        """Downloads a file as a stream and resumes it if the connection breaks.

        The token is sent to the portal only; a redirect to an external storage host is followed without it. Requests to
        the portal count towards its limits. The error is raised after `max_retries` consecutive attempts that each
        received less than 64 KiB.

        Args:
            source: ID of a file on the drive, or a URL from a response, such as `urlMachine`.
            to: Path of a file, which is created or replaced once the download is complete; or an object with a method
                `write(bytes)`, such as `io.BytesIO` or an anyio file. A synchronous `write` blocks the event loop.
            max_bytes: Maximum file size in bytes; None for no limit.
            timeout: Total time in seconds, including waiting, token refresh and retries; None for no limit.
            on_progress: Function or coroutine function, called with the number of bytes received so far and the total
                size (None if unknown).
            request_id: Shown in the portal's log for the call of `disk.file.get`; generated by default.

        Returns:
            Name, size and type of the file.

        Raises:
            AjaxError: The download failed; the error class gives the reason. No partial file is left at a path.
            BadResponseError: The file is too large, or the portal sends a page instead of it.
            UntrustedHostError: The URL is not https, or would send a token to another host; nothing was sent.
            ConfigurationError: `source` or `to` has an unsupported type.
            OSError: The file cannot be written.
        """
        from b24oauth.downloads import Downloader  # noqa: PLC0415 - most programs download nothing

        return await Downloader(self._http[ApiVersion.V2], self._services).download(
            source, to, max_bytes=max_bytes, timeout=timeout, on_progress=on_progress, request_id=request_id
        )

    def set_callback_refresh_auth(self, callback: CallbackRefreshAuth) -> None:
        """Registers a function that is called once with each new token pair, before the pair is used.

        Args:
            callback: A function or coroutine function with one argument, a `RefreshedAuth`.
        """
        self._auth.set_callback_refresh_auth(callback)

    def remove_callback_refresh_auth(self) -> None:
        """Removes the callback."""
        self._auth.remove_callback_refresh_auth()

    def set_custom_refresh_auth(self, custom: CustomRefreshAuth) -> None:
        """Registers a function that supplies new token pairs instead of the OAuth server.

        Args:
            custom: A function or coroutine function without arguments that returns a `HandlerRefreshAuth`.
        """
        self._auth.set_custom_refresh_auth(custom)

    def remove_custom_refresh_auth(self) -> None:
        """Removes the custom function; new pairs are requested from the OAuth server again."""
        self._auth.remove_custom_refresh_auth()

    def off_client_side_warning(self) -> None:
        """Does nothing; exists because the JS SDK has it."""

    def get_target_origin(self) -> str:
        """The portal's URL, for example ``https://xxx.bitrix24.com``."""
        return self._auth.get_target_origin()

    def get_target_origin_with_path(self) -> dict[ApiVersion, str]:
        """The base URL of each API version, without a trailing slash."""
        return self._auth.get_target_origin_with_path()

    def get_http_client(self, version: ApiVersion) -> HttpClient:
        """The HTTP client of one API version; raises `ConfigurationError` if there is no such version."""
        return self._http[assembling.api_version(version)]

    def set_http_client(self, version: ApiVersion, client: HttpClient) -> None:
        """Replaces the HTTP client of one API version.

        Args:
            version: The API version.
            client: The HTTP client to use from now on; not closed by this client.

        Raises:
            ConfigurationError: `version` is not a supported API version, or `client` has no `call` method.
        """
        if not callable(getattr(client, "call", None)):
            raise ConfigurationError(f"client must be an HttpClient, not {type(client).__name__}")
        self._http[assembling.api_version(version)] = client
        self._actions = ActionsManager(self._http[ApiVersion.V2], self._http[ApiVersion.V3])
        self._tools = None

    async def set_restriction_manager_params(self, params: RestrictionParams) -> None:
        """Replaces the rate-limit and retry settings; measured usage of the portal is kept."""
        await self._limits.set_params(params)

    def get_restriction_manager_params(self) -> RestrictionParams:
        """The current rate-limit and retry settings."""
        return self._limits.get_params()

    def get_logger(self) -> LoggerLike:
        """The logger in use."""
        return self._log.logger

    def set_logger(self, logger: LoggerLike) -> None:
        """Replaces the logger in every part of the client; a `ConfigurationError` names the methods it lacks."""
        assembling.check_logger(logger)
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
                "This client is already open: use the same object instead of a second `async with`",
                code="B24OAUTH_ENTERED_TWICE",
            )
        self._entered = True
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Closes the client: waits for a running refresh, saves an unsaved pair, and ends everything else.

        Later calls and calls that wait for a limit raise `ClientStateError`. Interrupted requests raise `NetworkError`,
        or `AmbiguousResultError` for writes. May be called twice.

        Args:
            drain: Maximum seconds to let running calls, `call_list` reads, batches and downloads finish first. A list
                that is read page by page ends with its current request.

        Raises:
            TokenPersistenceError: A new pair still could not be saved; call `aclose` again to retry.
            ClientStateError: Called from a refresh callback (a deadlock) or in another event loop; nothing is closed.
            ConfigurationError: `drain` is not a valid number of seconds; nothing is closed.
        """
        if drain != 0:
            check_seconds(drain, "drain")
        self._wire.lifetime.check_loop()
        # First: if a refresh callback calls aclose(), the refresh and the call waiting for it must go on.
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
