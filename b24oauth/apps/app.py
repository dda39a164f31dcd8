"""`B24App`: an application of Bitrix24. It verifies requests, keeps installations, and calls your handlers."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, Protocol, Self, TypeAlias, TypeVar, Unpack

import attrs

from b24oauth import assembling
from b24oauth.apps.authorizing import Authorizer
from b24oauth.apps.events import Event, EventAuth, Installed, Uninstalled, UserReady
from b24oauth.apps.http import Request, Response
from b24oauth.apps.installing import Installations
from b24oauth.apps.pages import Page, Session
from b24oauth.apps.requests import CodeReturned, Incoming, PageOpened, RobotStarted, read_body, read_request
from b24oauth.apps.signing import Signer
from b24oauth.apps.tasks import Tasks
from b24oauth.apps.verifying import NotGenuineError, Prover
from b24oauth.checks import at_least, check_function, check_text
from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError, InvalidDataError, SdkError
from b24oauth.models import B24OAuthSecret
from b24oauth.observing import Log
from b24oauth.portals import B24Portals
from b24oauth.protocol.endpoints import DEFAULT_OAUTH_HOSTS
from b24oauth.protocol.forms import read_form
from b24oauth.shapes import as_mapping
from b24oauth.storing import InstallationStore, TokenStore
from b24oauth.wire import NoResponse

__all__ = ["B24App"]

Ack: TypeAlias = Literal["before", "after"]
EventHandler: TypeAlias = Callable[[Any, B24OAuth], Awaitable[object]]
UninstallHandler: TypeAlias = Callable[[Uninstalled], Awaitable[object]]
ErrorHandler: TypeAlias = Callable[[Exception, Incoming], object]

_H = TypeVar("_H", bound=Callable[..., Any])

_DRAIN: Final = 10.0
_SESSION: Final = 86_400.0


class _Store(TokenStore, InstallationStore, Protocol):
    pass


@attrs.frozen
class _Handler:
    function: Callable[..., Awaitable[object]]
    ack: Ack


PageHandler: TypeAlias = Callable[[Page], Awaitable[str | Response]]


class B24App:
    """An application of Bitrix24, for all portals that it is installed on.

    Register handlers with the decorators and give it requests: with an adapter of `b24oauth.contrib`, or with `handle`.
    Every request is verified before a handler is called. Close it with `async with` or `aclose`.

    Args:
        oauth_secret: The application's credentials.
        store: Keeps token pairs and installations, such as `SQLiteStore`.
        concurrency: How many handlers run at the same time.
        waiting: How many events may wait for their turn besides; more are answered 503, which loses them.
        session_key: Signs the states of authorizations and the sessions of pages, a long random text; all processes
            must have the same.
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
        concurrency: int = 100,
        waiting: int = 1000,
        session_key: str | None = None,
        **options: Unpack[assembling.ClientOptions],
    ) -> None:
        at_least(1)(concurrency, "concurrency")
        at_least(0)(waiting, "waiting")
        assembling.check_is_store(store, "store")
        if not hasattr(store, "save_installation"):
            raise ConfigurationError("store must keep installations too: see b24oauth.stores.InstallationStore")
        self.portals = B24Portals(oauth_secret, store, **options)
        log = Log(options.get("logger"), assembling.checked_observers(options.get("observers", ())))
        trusted = frozenset(options.get("trusted_oauth_hosts", DEFAULT_OAUTH_HOSTS))
        prover = Prover(self.portals.wire, oauth_secret, trusted, log)
        self._installations = Installations(store, oauth_secret.client_id, self.portals, prover)
        self._log = log
        self._clock: Callable[[], float] = options.get("clock", time.time)
        if session_key is not None:
            check_text(session_key, "session_key")
        key, wire = session_key, self.portals.wire
        self._authorizer = None if key is None else Authorizer(wire, oauth_secret, trusted, key, self._clock)
        self._sessions = None if key is None else Signer(key, "session", self._clock)
        self._events: dict[str, list[_Handler]] = {}
        self._install: list[_Handler] = []
        self._uninstall: list[UninstallHandler] = []
        self._robots: dict[str, _Handler] = {}
        self._pages: dict[str, PageHandler] = {}
        self._error: ErrorHandler | None = None
        self._concurrency, self._waiting = concurrency, waiting
        self._tasks: Tasks | None = None

    # --- handlers -----------------------------------------------------------------------------------------------------

    def on(self, name: str, *, ack: Ack = "before") -> Callable[[_H], _H]:
        """Registers a handler of an event: ``async def deal_added(event, b24)``.

        Args:
            name: The event, in any case, for example ``ONCRMDEALADD``.
            ack: "before" answers Bitrix24 first, which wants a quick answer, and calls the handler in a task of its
                own; "after" answers when the handler has ended.
        """
        check_text(name, "name")

        def register(function: _H) -> _H:
            check_function(function, "handler")
            self._events.setdefault(name.upper(), []).append(_Handler(function, ack))
            return function

        return register

    def on_install(self, function: _H) -> _H:
        """Registers a handler of installations: ``async def installed(event, b24)``.

        It is called once the pair is stored, also when an installation is repeated. `event` is `Installed`, or
        `PageOpened` when a page was what told of the installation.
        """
        check_function(function, "handler")
        self._install.append(_Handler(function, "before"))
        return function

    def on_uninstall(self, function: _H) -> _H:
        """Registers a handler of removals: ``async def uninstalled(event)``. The tokens are dead already."""
        check_function(function, "handler")
        self._uninstall.append(function)
        return function

    def on_error(self, function: _H) -> _H:
        """Registers what is called with an error of a handler and the request; without it errors are logged."""
        check_function(function, "handler")
        self._error = function
        return function

    def page(self, path: str) -> Callable[[_H], _H]:
        """Registers a page: ``async def main(page)`` returns HTML or a `Response`.

        Args:
            path: The path below which the application is mounted, for example ``/``.
        """
        check_text(path, "path")

        def register(function: _H) -> _H:
            check_function(function, "handler")
            self._pages["/" + path.strip("/")] = function
            return function

        return register

    def robot(self, code: str, *, ack: Ack = "before") -> Callable[[_H], _H]:
        """Registers the handler of a robot or an activity, a function like that of an event.

        What it returns, a mapping, is sent to the workflow if that waits for it.

        Args:
            code: `CODE` that it was registered with on the portal.
            ack: As for `on`.
        """
        check_text(code, "code")

        def register(function: _H) -> _H:
            check_function(function, "handler")
            self._robots[code] = _Handler(function, ack)
            return function

        return register

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
        """Answers a request of Bitrix24 or of a browser. What is refused is told the log only.

        Args:
            request: The request.
        """
        try:
            form = read_body(request.body, request.content_type)
            incoming = read_request(form, read_form(request.query, "The query"))
            return await self._answer(incoming, "/" + request.path.strip("/"))
        except InvalidDataError as error:
            return self._refused(400, error)
        except (NotGenuineError, ConfigurationError) as error:
            return self._refused(403, error)
        except (SdkError, NoResponse) as error:
            # The store or the OAuth server does not answer: Bitrix24 does not send the event again.
            return self._refused(503, error, level=logging.ERROR)

    async def _answer(self, incoming: Incoming, path: str) -> Response:
        match incoming:
            case Installed():
                stored = await self._installations.installed(incoming)
                return await self._called(self._install if stored else [], incoming, incoming.auth.member_id)
            case UserReady():
                await self._installations.user_ready(incoming)
                return await self._dispatched(incoming)
            case Uninstalled():
                return await self._uninstalled(incoming)
            case Event():
                await self._verified(incoming.auth)
                return await self._dispatched(incoming)
            case RobotStarted():
                await self._verified(incoming.auth)
                return await self._robot(incoming)
            case PageOpened():
                return await self._page(incoming, path)
            case _:
                raise InvalidDataError("The request", [f"{type(incoming).__name__} has no handler"])

    async def _verified(self, auth: EventAuth) -> None:
        await self._installations.check(auth.member_id, auth.application_token)

    async def _dispatched(self, event: Event) -> Response:
        return await self._called(self._events.get(event.name, []), event, event.auth.member_id)

    async def _called(self, handlers: list[_Handler], incoming: Incoming, member_id: str) -> Response:
        for handler in handlers:

            async def work(function: Callable[..., Awaitable[object]] = handler.function) -> None:
                await self._guarded(function, incoming, await self.portals.get(member_id))

            if handler.ack == "after":
                await work()
            elif not self._started().start(work):
                return self._refused(503, SdkError("Too many events wait for their handlers", code="B24OAUTH_BUSY"))
        return Response()

    async def _uninstalled(self, event: Uninstalled) -> Response:
        if await self._installations.uninstalled(event):
            for function in self._uninstall:
                await self._guarded(function, event)
        return Response()

    async def _robot(self, robot: RobotStarted) -> Response:
        handler = self._robots.get(robot.code)
        if handler is None:
            raise InvalidDataError("The request", [f"robot {robot.code} has no handler"])

        async def run(event: RobotStarted, b24: B24OAuth) -> None:
            values = as_mapping(await handler.function(event, b24))
            if event.waits:
                await b24.call("bizproc.event.send", {"EVENT_TOKEN": event.event_token, "RETURN_VALUES": values})

        return await self._called([_Handler(run, handler.ack)], robot, robot.auth.member_id)

    async def _page(self, opened: PageOpened, path: str) -> Response:
        handler = self._pages.get(path)
        if handler is None:
            return Response(status=404)
        pair, is_new = await self._installations.opened(opened, received_at=self._clock())
        if is_new:
            await self._called(self._install, opened, pair.member_id)
        b24 = await self.portals.get(pair.member_id)
        session = ""
        if self._sessions is not None:
            session = self._sessions.sign({"m": pair.member_id, "u": pair.user_id}, lifetime=_SESSION)
        user = self.portals.client(pair)
        page = Page(opened=opened, b24=b24, user=user, user_id=pair.user_id, session=session)
        answer = await handler(page)
        response = Response(body=answer.encode()) if isinstance(answer, str) else answer
        # The portal shows the page in a frame; nobody else may.
        allowed = f"frame-ancestors 'self' https://{pair.domain}"
        return attrs.evolve(response, headers={"Content-Security-Policy": allowed, **response.headers})

    async def _guarded(
        self, function: Callable[..., Awaitable[object]], incoming: Incoming, *arguments: object
    ) -> None:
        """Calls a handler; what it raises is told and answered with 200, since Bitrix24 does not send it again."""
        try:
            await function(incoming, *arguments)
        except Exception as error:  # noqa: BLE001 - told to the application's own handler of errors
            if self._error is None:
                name = incoming.name if isinstance(incoming, Event) else type(incoming).__name__
                self._log.error(f"A handler of {name} failed: {type(error).__name__}")
                return
            self._error(error, incoming)

    def _started(self) -> Tasks:
        if self._tasks is None:
            self._tasks = Tasks(self._concurrency, self._waiting, self._failed)
        return self._tasks

    def _failed(self, error: Exception) -> None:
        self._log.error(f"An event could not be handled: {error}")

    def _refused(self, status: int, error: Exception, *, level: int = logging.WARNING) -> Response:
        told = self._log.error if level == logging.ERROR else self._log.warning
        told(f"A request was answered {status}: {error}")
        return Response(status=status)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def aclose(self, *, drain: float = _DRAIN) -> None:
        """Waits for handlers that run, and closes all clients.

        Args:
            drain: How long to wait, seconds; what is left is cancelled.
        """
        if self._tasks is not None:
            lost = await self._tasks.drain(drain)
            if lost:
                self._log.error(f"{lost} handlers were cancelled: they took longer than {drain:g} s to end")
        await self.portals.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
