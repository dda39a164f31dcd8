"""The `B24Hook` client for an inbound webhook; it needs only the webhook URL."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Iterable
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import anyio

from b24oauth.actions import ActionsManager
from b24oauth.actions.short import Api
from b24oauth.assembling import (
    api_version,
    check_connections,
    check_hosts,
    check_limits,
    check_logger,
    checked_observers,
    gate_for,
)
from b24oauth.checks import check_seconds
from b24oauth.errors import ConfigurationError
from b24oauth.limits.manager import RestrictionManager
from b24oauth.limits.params import RestrictionParams
from b24oauth.models import ApiVersion
from b24oauth.observing import Log, LoggerLike, Observer
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.protocol.endpoints import rest_root
from b24oauth.rest.client import HttpClient
from b24oauth.rest.credentials import HookGrant, WebhookCredentials
from b24oauth.rest.services import Services
from b24oauth.tools import ToolsManager
from b24oauth.wire import (
    CONNECT_TIMEOUT,
    MAX_DOWNLOAD_SIZE,
    MAX_RESPONSE_SIZE,
    RESPONSE_TIMEOUT,
    TransportName,
    Wire,
)

if TYPE_CHECKING:
    from b24oauth.downloads import Download, Progress, Writable
    from b24oauth.wire.foreign import ForeignClient

__all__ = ["B24Hook"]

_PATH: Final = re.compile(r"(?P<root>.*/rest)/(?:api/)?(?P<user>[0-9]+)/(?P<code>[A-Za-z0-9_-]+)/?", re.ASCII)


class B24Hook(Api):
    """Client for one Bitrix24 portal through an inbound webhook.

    It needs no tokens and has the permissions of the user who created the webhook. The URL is a secret: it is sent to
    the portal only, and no error, log or `repr` shows it. Use `B24OAuth` for several portals or users.

    Args:
        url: URL of the webhook, as the portal shows it: ``https://your.bitrix24.com/rest/1/<code>/``.
        restriction_params: Rate limits and retry settings; None for the defaults.
        restriction_manager: Limits to share with other clients of the same portal, instead of `restriction_params`.
        http_client: Your own HTTP client, used unchanged and not closed by this client; see `B24OAuth`.
        transport: HTTP library for this client's own connections; see `B24OAuth`.
        max_concurrency: Maximum number of concurrent requests of this client.
        logger: Anything like a `logging.Logger`; by default the logger named "b24oauth".
        observers: Functions that are called with each event.
        timeout: Seconds to wait for a response; None for no limit.
        connect_timeout: Seconds to connect; None for no limit.
        max_response_size: Maximum bytes of a decompressed response.
        proxy: URL of a proxy; None for the proxies of the environment.
        ssl_context: For TLS; None for the default certificates.
        wire: A `b24oauth.wire.Wire` whose connections are shared; not closed by this client.
        trusted_hosts: Loopback hosts that may be contacted over plain http, each "host:port"; for tests.

    Raises:
        ConfigurationError: `url` is not a webhook URL, or the arguments are invalid or contradict each other.
        UntrustedHostError: `url` is not https.

    Source: https://apidocs.bitrix24.com/local-integrations/local-webhooks.html
    """

    def __init__(
        self,
        url: str,
        *,
        restriction_params: RestrictionParams | None = None,
        restriction_manager: RestrictionManager | None = None,
        http_client: ForeignClient | None = None,
        transport: TransportName = "auto",
        max_concurrency: int | None = None,
        logger: LoggerLike | None = None,
        observers: Iterable[Observer] = (),
        timeout: float | None = RESPONSE_TIMEOUT,
        connect_timeout: float | None = CONNECT_TIMEOUT,
        max_response_size: int = MAX_RESPONSE_SIZE,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        wire: Wire | None = None,
        trusted_hosts: Collection[str] = (),
    ) -> None:
        check_hosts(trusted_hosts, "trusted_hosts")
        trusted = frozenset(trusted_hosts)
        grant = _webhook_credentials(url, trusted)
        check_limits(restriction_params, restriction_manager)
        check_connections(wire, max_concurrency)
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
        limits = restriction_manager or RestrictionManager(restriction_params)
        credentials = WebhookCredentials(grant)
        self._services = Services(
            wire=self._wire,
            send=self._wire.send_silently,
            gate=gate_for(max_concurrency, restriction_manager, http_client, limits),
            credentials=credentials,
            limits=limits,
            relocation=credentials,
            log=self._log,
            trusted_hosts=trusted,
        )
        self._http = {version: HttpClient(dialect, self._services) for version, dialect in DIALECTS.items()}
        self._actions = ActionsManager(self._http[ApiVersion.V2], self._http[ApiVersion.V3])
        self._tools = ToolsManager(self._http[ApiVersion.V2])

    def __repr__(self) -> str:
        """The portal and the user, without the secret."""
        root, _, rest = self._services.credentials.params.client_endpoint.rpartition("/rest/")
        return f"<B24Hook {root}/rest/{rest.partition('/')[0]}/***/>"

    @property
    def actions(self) -> ActionsManager:
        """Calls as the JS SDK names them, by API version; they return result objects."""
        return self._actions

    @property
    def tools(self) -> ToolsManager:
        """Tools, such as a health check of the portal."""
        return self._tools

    def get_target_origin(self) -> str:
        """The portal's URL, for example ``https://xxx.bitrix24.com``."""
        return self._services.credentials.params.client_endpoint.partition("/rest/")[0]

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
        """Downloads a file; arguments, result and errors as for `B24OAuth.download`."""
        from b24oauth.downloads import Downloader  # noqa: PLC0415 - most programs download nothing

        return await Downloader(self._http[ApiVersion.V2], self._services).download(
            source, to, max_bytes=max_bytes, timeout=timeout, on_progress=on_progress, request_id=request_id
        )

    def get_http_client(self, version: ApiVersion) -> HttpClient:
        """The HTTP client of one API version.

        Raises:
            ConfigurationError: `version` is not a supported API version.
        """
        return self._http[api_version(version)]

    def set_logger(self, logger: LoggerLike) -> None:
        """Replaces the logger.

        Args:
            logger: Anything like a `logging.Logger`.

        Raises:
            ConfigurationError: `logger` lacks a required method.
        """
        check_logger(logger)
        self._log.logger = logger

    async def __aenter__(self) -> Self:
        self._wire.enter_loop()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, drain: float = 0.0) -> None:
        """Closes the client and ends its calls. May be called twice.

        Args:
            drain: Maximum seconds to let running calls, `call_list` reads, batches and downloads finish first.

        Raises:
            ClientStateError: Called in another event loop than the client was used in; nothing is closed.
            ConfigurationError: `drain` is not a valid number of seconds; nothing is closed.
        """
        if drain != 0:
            check_seconds(drain, "drain")
        self._wire.lifetime.check_loop()
        try:
            await self._wire.lifetime.drain(drain)
        finally:
            self._services.end_waits()
            # Close the connections even if the current task is being cancelled.
            with anyio.CancelScope(shield=True):
                await self._wire.aclose()


def _webhook_credentials(url: object, trusted_hosts: frozenset[str]) -> HookGrant:
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be a str with the URL of a webhook, not {type(url).__name__}")
    root = rest_root(url, trusted_hosts)
    origin, _, rest = root.partition("://")
    host, _, path = rest.partition("/")
    found = _PATH.fullmatch(f"/{path}")
    if found is None:
        raise ConfigurationError(
            f"url must be the complete URL of a webhook at {host}, with the user ID and the code: "
            "https://your.bitrix24.com/rest/1/<code>/"
        )
    base = f"{origin}://{host}{found['root']}/"
    tail = f"{found['user']}/{found['code']}/"
    return HookGrant(base + tail, f"{base}api/{tail}", found["code"])
