"""`B24App`: an application of Bitrix24. It verifies requests, keeps installations, and calls your handlers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Final, Protocol, Self, Unpack, cast
from urllib.parse import urlsplit

from b24oauth import assembling
from b24oauth.apps.authorizing import Authorizer
from b24oauth.apps.dispatching import Message
from b24oauth.apps.duplicates import Duplicates
from b24oauth.apps.http import Request, Response
from b24oauth.apps.installing import Installations
from b24oauth.apps.offline import OfflineEvents, OfflineOptions
from b24oauth.apps.pages import Session
from b24oauth.apps.requests import CodeReturned, read_request
from b24oauth.apps.responding import ErrorHandler, Responder
from b24oauth.apps.routing import Router
from b24oauth.apps.signals import Signals
from b24oauth.apps.signing import Signer
from b24oauth.apps.syncing import SyncReport, Wanted, sync
from b24oauth.apps.tasks import Tasks
from b24oauth.apps.verifying import Proof, Prover
from b24oauth.checks import at_least, check_function, check_seconds, check_text
from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError, InvalidDataError
from b24oauth.models import B24OAuthParams, B24OAuthSecret
from b24oauth.observing import Log
from b24oauth.portals import B24Portals
from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS
from b24oauth.protocol.forms import read_form
from b24oauth.storing import InstallationStore, TokenStore, ValueStore

__all__ = ["B24App"]

_DRAIN: Final = 10.0
# The application learns from these that a portal has installed or removed it.
_ALWAYS_BOUND: Final = frozenset({"ONAPPINSTALL", "ONAPPUNINSTALL"})


class _Store(TokenStore, InstallationStore, Protocol):
    pass


class B24App(Router):
    """An application of Bitrix24, for all portals that it is installed on.

    Register handlers with the decorators and give it requests: with an adapter of `b24oauth.contrib`, or with `handle`.
    Every request is verified before a handler is called. Close it with `async with` or `aclose`.

    Args:
        oauth_secret: The application's credentials.
        store: Keeps token pairs and installations, such as `SQLiteStore`.
        url: The address where Bitrix24 reaches the application; needed by `sync`.
        concurrency: How many handlers run at the same time.
        waiting: How many events may wait for their turn besides; more are answered 503, which loses them.
        session_key: Signs the states of authorizations and the sessions of pages, a long random text; all processes
            must have the same.
        dispatch: Is awaited with each verified request as a mapping of JSON values, before Bitrix24 is answered, in
            place of calling the handlers. A worker gives the mapping to `run`. Pages and handlers with ``ack="after"``
            are called as without it.
        installation_proof: Is awaited with a pair that a request brings and returns what is proved of it, in place of
            asking the OAuth server; it raises `NotGenuineError` for a forged one.
        ignore_duplicates: For how long an event that is equal to an earlier one is answered without calling handlers,
            seconds; each process remembers for itself. None calls them.
        options: Further arguments of `B24Portals` and `B24OAuth`, for every client.

    Raises:
        ConfigurationError: An argument is invalid.

    Source: https://apidocs.bitrix24.com/settings/app-installation/index.html
    """

    def __init__(
        self,
        oauth_secret: B24OAuthSecret,
        store: _Store,
        *,
        url: str | None = None,
        concurrency: int = 100,
        waiting: int = 1000,
        session_key: str | None = None,
        dispatch: Callable[[Message], Awaitable[object]] | None = None,
        installation_proof: Callable[[B24OAuthParams], Awaitable[Proof]] | None = None,
        ignore_duplicates: float | None = None,
        **options: Unpack[assembling.ClientOptions],
    ) -> None:
        super().__init__()
        at_least(1)(concurrency, "concurrency")
        at_least(0)(waiting, "waiting")
        for function, name in ((dispatch, "dispatch"), (installation_proof, "installation_proof")):
            if function is not None:
                check_function(function, name)
        assembling.check_is_store(store, "store")
        if not hasattr(store, "save_installation"):
            raise ConfigurationError("store must keep installations too: see b24oauth.stores.InstallationStore")
        self._url = None if url is None else _checked_url(url)
        self.portals = B24Portals(oauth_secret, store, **options)
        log = Log(options.get("logger"), assembling.checked_observers(options.get("observers", ())))
        trusted = frozenset(options.get("trusted_oauth_hosts", DEFAULT_OAUTH_HOSTS))
        prove = installation_proof or Prover(self.portals.wire, oauth_secret, trusted, log).prove
        clock: Callable[[], float] = options.get("clock", time.time)
        self._authorizer: Authorizer | None = None
        self._sessions: Signer | None = None
        if session_key is not None:
            check_text(session_key, "session_key")
            # Without named values in the store a used state is refused by this process only.
            values = cast("ValueStore", store) if hasattr(store, "save_value") else None
            self._authorizer = Authorizer(self.portals.wire, oauth_secret, trusted, session_key, clock, values=values)
            self._sessions = Signer(session_key, "session", clock)
        if ignore_duplicates is not None:
            check_seconds(ignore_duplicates, "ignore_duplicates")
        self._log = log
        self._installations = Installations(store, oauth_secret.client_id, self.portals, prove)
        self._responder = Responder(
            handlers=self.handlers,
            installations=self._installations,
            portals=self.portals,
            tasks=Tasks(concurrency, waiting, self._failed),
            log=log,
            clock=clock,
            sessions=self._sessions,
            dispatch=dispatch,
            duplicates=None if ignore_duplicates is None else Duplicates(ignore_duplicates, time.monotonic),
        )

    def on_error(self, function: ErrorHandler) -> ErrorHandler:
        """Registers what is called with an error of a handler and the request: ``def failed(error, request)``.

        It is async or plain. Without it errors are logged.
        """
        check_function(function, "handler")
        self._responder.on_error = function
        return function

    # --- authorization ------------------------------------------------------------------------------------------------

    def authorization_url(self, domain: str, *, session: str) -> str:
        """The address of a portal's authorization page, to which the browser is sent.

        Args:
            domain: The portal, as the user has typed it: a host, without a scheme or a path.
            session: Identifies the browser's session, for example a random value in a cookie.

        Raises:
            ConfigurationError: `domain` is no host, or the application has no `session_key`.

        Source: https://apidocs.bitrix24.com/settings/oauth/index.html
        """
        return self._authorized().url(domain, session)

    async def exchange_code(self, query: str, *, session: str) -> B24OAuth:
        """The client of the user who has authorized the application.

        The pair becomes the application's default pair if there is none and the user is an administrator. Otherwise it
        is stored as this user's.

        Args:
            query: The query string that the browser returned with.
            session: Of the browser.

        Raises:
            InvalidDataError: The query has no code.
            NotGenuineError: The state is forged, used, too old, or of another session.
            UntrustedHostError: The OAuth server is not known; nothing was sent.
            RefreshTokenError: The OAuth server refused the code.
            AjaxError: The portal refused to name the user.
            SdkError: The OAuth server did not respond. The code may be used up: let the user authorize again.
            StoreError: The store cannot be read or written.
        """
        returned = read_request({}, read_form(query, "The query"))
        if not isinstance(returned, CodeReturned):
            raise InvalidDataError("The query", ["code is missing"])
        pair = await self._authorized().exchange(returned, session)
        return await self._installations.authorized(pair)

    def session(self, text: str) -> Session:
        """Who speaks in a request of the application's own front end.

        Args:
            text: `Page.session`, which the front end sends, for example in the header ``Authorization: Bearer …``.

        Raises:
            NotGenuineError: It is forged or too old.
            ConfigurationError: The application has no `session_key`.
        """
        if self._sessions is None:
            raise ConfigurationError("session_key: give B24App a long random text, which signs sessions")
        values = self._sessions.read(text)
        return Session(member_id=values["m"], user_id=values["u"])

    def _authorized(self) -> Authorizer:
        if self._authorizer is None:
            raise ConfigurationError("session_key: give B24App a long random text, which signs states")
        return self._authorizer

    # --- requests -----------------------------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Response:
        """Answers a request of Bitrix24 or of a browser. Only the log gets the reason of a refusal.

        Args:
            request: The request.
        """
        return await self._responder.answer(request)

    async def run(self, message: Message) -> None:
        """Calls the handlers of a request that was handed on by `dispatch`.

        All of them are called, one after the other, and called again if the queue delivers the message again: write
        them so that this does no harm. A message of a portal that has removed the application meanwhile is dropped.

        Args:
            message: What `dispatch` was given.

        Raises:
            InvalidDataError: `message` is something else.
            ExceptionGroup: Handlers failed; the function registered with `on_error` has seen the errors.
            StoreError: The store cannot be read.
        """
        await self._responder.run(message)

    def _failed(self, error: Exception) -> None:
        self._log.error(f"An event could not be handled: {error}")

    async def sync(self, b24: B24OAuth) -> SyncReport:
        """Makes the events and placements on a portal what the handlers ask for.

        It binds the events of `on`, and the pages with a placement, to `url`, and removes what lies there without a
        handler. What arrives at other addresses is left alone. `ONAPPINSTALL` and `ONAPPUNINSTALL` are always bound.
        Call it in an installation handler, and for all portals with ``portals.for_each(app.sync)`` after an update.

        Args:
            b24: The client of the portal; its pair must be an administrator's.

        Raises:
            ConfigurationError: The application has no `url`.
            AjaxError: The portal refuses.

        Source: https://apidocs.bitrix24.com/api-reference/events/event-bind.html
        """
        if self._url is None:
            raise ConfigurationError("url: give B24App the address where Bitrix24 reaches it")
        pages = {self._url.rstrip("/") + path: page for path, page in self.handlers.placements().items()}
        wanted = Wanted(frozenset(self.handlers.event_names() | _ALWAYS_BOUND), pages, self._url)
        return await sync(b24, wanted)

    # --- offline events -----------------------------------------------------------------------------------------------

    def offline_events(self, member_id: str, **options: Unpack[OfflineOptions]) -> OfflineEvents:
        """The offline events of a portal, in batches: ``async for batch in app.offline_events(member_id)``.

        Each event is delivered at least once, to one reader at a time; see `OfflineEvents`.

        Args:
            member_id: The portal.
            options: See `OfflineOptions`.
        """
        return OfflineEvents(self.portals, member_id, signals=self.signals, **options)

    @cached_property
    def signals(self) -> Signals:
        """Wakes readers and runners when `ONOFFLINEEVENT` arrives: those in the process that calls its handlers.

        With `dispatch=` that is the process that calls `run`.
        """
        signals = Signals()
        self.on("ONOFFLINEEVENT")(signals.received)
        return signals

    # --- life ---------------------------------------------------------------------------------------------------------

    async def aclose(self, *, drain: float = _DRAIN) -> None:
        """Waits for handlers that run, and closes all clients.

        Args:
            drain: How long to wait, seconds; handlers that still run then are cancelled.

        Raises:
            TokenPersistenceError: A new pair still could not be saved; a note names each further portal.
        """
        try:
            lost = await self._responder.tasks.drain(drain)
            if lost:
                self._log.error(f"{lost} handlers were cancelled: they took longer than {drain:g} s to end")
        finally:
            await self.portals.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _checked_url(url: str) -> str:
    check_text(url, "url")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise ConfigurationError("url must be an address such as https://app.example/bitrix24")
    return url
