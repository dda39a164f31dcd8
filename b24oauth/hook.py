"""`B24Hook`: the entry for an inbound webhook, whose address is all it takes."""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Iterable
from functools import cached_property
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
    from b24oauth.downloads import Download, Downloader, Progress, Writable
    from b24oauth.wire.foreign import ForeignClient

__all__ = ["B24Hook"]

_PATH: Final = re.compile(r"(?P<root>.*/rest)/(?:api/)?(?P<user>[0-9]+)/(?P<code>[A-Za-z0-9_-]+)/?", re.ASCII)


class B24Hook(Api):
    """Talks to one Bitrix24 portal through an inbound webhook: two lines to start, no tokens, the rights of one user.

    The address is a secret: it is sent to the portal only, and no error, log or `repr` shows it. Use `B24OAuth` for
    applications of several portals or users.

    Args:
        url: Address of the webhook, as the portal shows it: ``https://your.bitrix24.com/rest/1/<code>/``.
        restriction_params: Limits and repeats; None for the usual ones.
        restriction_manager: Limits to share with other clients of the same portal, instead of `restriction_params`.
        http_client: A client of yours, used as it is; as for `B24OAuth`.
        transport: The library that connections made here use; as for `B24OAuth`.
        max_concurrency: Requests of this client under way at once, at most.
        logger: Anything like a `logging.Logger`; by default the one named "b24oauth".
        observers: Functions that are called with each event.
        timeout: Seconds to wait for a response; None for no limit.
        connect_timeout: Seconds for making a connection; None for no limit.
        max_response_size: Most bytes of an unpacked response.
        proxy: Address of a proxy; None for those of the environment.
        ssl_context: For TLS; None for the usual certificates.
        wire: A `b24oauth.wire.Wire` whose connections are shared; it stays yours to close.
        trusted_hosts: Loopback addresses that may be reached over plain http, each "host:port"; for tests.

    Raises:
        ConfigurationError: The address is not one of a webhook, or arguments do not fit together.
        UntrustedHostError: The address is not https.

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
        grant = _grant(url, trusted)
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
        """Whether the portal answers."""
        return self._tools

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
        """Downloads a file; arguments, result and errors as for `B24OAuth.download`."""
        return await self._downloader.download(
            source, to, max_bytes=max_bytes, timeout=timeout, on_progress=on_progress, request_id=request_id
        )

    def get_http_client(self, version: ApiVersion) -> HttpClient:
        """The client of one API version.

        Raises:
            ConfigurationError: There is no such version.
        """
        return self._http[api_version(version)]

    def set_logger(self, logger: LoggerLike) -> None:
        """Writes to another logger from now on.

        Args:
            logger: Anything like a `logging.Logger`.

        Raises:
            ConfigurationError: It has not the methods of one.
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
            drain: Seconds that calls, eager lists, batches and downloads under way may take to end first.

        Raises:
            ClientStateError: Called in another event loop than the client was used in; nothing is closed.
            ConfigurationError: `drain` is no time span; nothing is closed.
        """
        if drain != 0:
            check_seconds(drain, "drain")
        self._wire.lifetime.check_loop()
        try:
            await self._wire.lifetime.drain(drain)
        finally:
            self._services.end_waits()
            # Connections are closed even when the task that closes is being cancelled.
            with anyio.CancelScope(shield=True):
                await self._wire.aclose()


def _grant(url: object, trusted_hosts: frozenset[str]) -> HookGrant:
    if not isinstance(url, str):
        raise ConfigurationError(f"url must be the address of a webhook, not {type(url).__name__}")
    root = rest_root(url, trusted_hosts)
    origin, _, rest = root.partition("://")
    host, _, path = rest.partition("/")
    found = _PATH.fullmatch(f"/{path}")
    if found is None:
        raise ConfigurationError(
            f"url must be the whole address of a webhook at {host}, with the user and the code: "
            "https://your.bitrix24.com/rest/1/<code>/"
        )
    base = f"{origin}://{host}{found['root']}/"
    tail = f"{found['user']}/{found['code']}/"
    return HookGrant(base + tail, f"{base}api/{tail}", found["code"])
