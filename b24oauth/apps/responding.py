"""Answers the requests of portals: verifies them, and calls handlers or hands the requests on."""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import attrs

from b24oauth.apps.clients import RequestClients
from b24oauth.apps.dispatching import Message, read_message, write_message
from b24oauth.apps.duplicates import Duplicates
from b24oauth.apps.events import Event, Installed, PortalRequest, SettingsOpened, Uninstalled, UserReady
from b24oauth.apps.handlers import Handler, Handlers
from b24oauth.apps.http import Request, Response
from b24oauth.apps.installing import Installations
from b24oauth.apps.pages import Page
from b24oauth.apps.reporting import called, report
from b24oauth.apps.requests import (
    CodeReturned,
    Incoming,
    MessageRequested,
    PageOpened,
    RobotStarted,
    SettingsSaved,
    read_body,
    read_request,
)
from b24oauth.apps.signing import Signer
from b24oauth.apps.tasks import Tasks
from b24oauth.apps.verifying import NotGenuineError
from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError, InvalidDataError, SdkError, UnknownPortalError
from b24oauth.observing import Log
from b24oauth.portals import B24Portals
from b24oauth.protocol.endpoints import portal_origin
from b24oauth.protocol.forms import read_form
from b24oauth.shapes import as_mapping

__all__ = ["ErrorHandler", "Responder"]

ErrorHandler = Callable[[Exception, Incoming], object]

# How long the session of a page is valid, seconds.
_SESSION: Final = 86_400.0


@attrs.define(eq=False, kw_only=True)
class Responder:
    """Answers the requests of portals.

    Attributes:
        handlers: The handlers of the application.
        installations: Verifies requests and keeps the records of installations.
        portals: The clients.
        tasks: Runs handlers after the response.
        log: Gets the reasons of refusals.
        clock: Returns the current Unix timestamp, seconds.
        sessions: Signs the sessions of pages; None for pages without sessions.
        dispatch: Hands requests on to a queue; None calls the handlers in this process.
        duplicates: Remembers events; None lets an equal event be handled again.
        on_error: Called with each error of a handler; None logs it.
    """

    handlers: Handlers
    installations: Installations
    portals: B24Portals
    tasks: Tasks
    _log: Log = attrs.field(alias="log")
    clock: Callable[[], float]
    sessions: Signer | None = None
    dispatch: Callable[[Message], Awaitable[object]] | None = None
    duplicates: Duplicates | None = None
    on_error: ErrorHandler | None = None

    async def answer(self, request: Request) -> Response:
        """Answers a request of Bitrix24 or of a browser. Only the log gets the reason of a refusal.

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
        except SdkError as error:
            # The store or the OAuth server does not answer: Bitrix24 does not send the event again.
            return self._refused(503, error, level=logging.ERROR)

    async def run(self, message: Message) -> None:
        """Calls the handlers of a request that was handed on; see `B24App.run`."""
        incoming, errors = read_message(message), list[Exception]()
        if not await self._is_wanted(incoming):
            return
        for handler in self._handlers_of(incoming):
            if handler.ack == "before":
                try:
                    await self._run(handler, incoming)
                except Exception as error:  # noqa: BLE001 - raised below, after the other handlers
                    await self._report(error, incoming)
                    errors.append(error)
        if errors:
            raise ExceptionGroup(f"{len(errors)} handlers failed", errors)

    async def _is_wanted(self, incoming: Incoming) -> bool:
        """False for a message of a portal that has removed the application since it was handed on."""
        if isinstance(incoming, Uninstalled):
            return True
        member_id = incoming.member_id if isinstance(incoming, PageOpened) else _request(incoming).auth.member_id
        is_installed = await self.installations.is_installed(member_id)
        if not is_installed and isinstance(incoming, UserReady):
            # It may come before the installation; its own pair is stored then.
            is_installed = await self.installations.has_pair(member_id, incoming.user_id)
        if not is_installed:
            self._log.warning(f"A message was dropped: the application is not installed on portal {member_id}")
        return is_installed

    async def _answer(self, incoming: Incoming, path: str) -> Response:
        match incoming:
            case Installed():
                is_new = await self.installations.installed(incoming)
                return await self._called(incoming) if is_new else Response()
            case UserReady():
                incoming = await self.installations.user_ready(incoming)
            case Uninstalled():
                if not await self.installations.uninstalled(incoming):
                    return Response()
            case SettingsOpened() | SettingsSaved():
                return await self._configured(incoming)
            case Event() | RobotStarted() | MessageRequested():
                await self.installations.check(incoming.auth.member_id, incoming.auth.application_token)
                if isinstance(incoming, Event) and self.duplicates and self.duplicates.is_one(incoming):
                    return Response()
            case PageOpened():
                return await self._page(incoming, path)
            case CodeReturned():
                raise InvalidDataError("The request", ["is the return of an authorization: give it to exchange_code"])
        return await self._called(incoming)

    def _handlers_of(self, incoming: Incoming) -> list[Handler]:
        handler: Handler | None = None
        match incoming:
            case SettingsOpened() | SettingsSaved():
                handler = self.handlers.of_settings()
            case Event():
                own: list[Handler] = []
                if isinstance(incoming, Installed):
                    own = self.handlers.of_installations()
                elif isinstance(incoming, Uninstalled):
                    own = self.handlers.of_removals()
                return own + self.handlers.of_event(incoming.name)
            case PageOpened():
                return self.handlers.of_installations()
            case RobotStarted():
                handler = self.handlers.of_robot(incoming.code)
            case MessageRequested():
                handler = self.handlers.of_provider(incoming.code)
            case CodeReturned():
                pass
        if handler is None:
            code = getattr(incoming, "code", "")
            raise InvalidDataError("The request", [f"{type(incoming).__name__} {code} has no handler"])
        return [handler]

    async def _called(self, incoming: Incoming) -> Response:
        """Calls the handlers, or hands the request on to those that are called after the response."""
        handlers = self._handlers_of(incoming)
        later = [handler for handler in handlers if handler.ack == "before"]
        if later and self.dispatch is not None:
            try:
                await self.dispatch(write_message(incoming))
            except Exception as error:  # noqa: BLE001 - reported; the event is not acknowledged
                self._forget(incoming)
                await self._report(error, incoming)
                return self._refused(503, SdkError("dispatch failed", code="B24OAUTH_DISPATCH"), level=logging.ERROR)
            except BaseException:
                # The web server has cancelled the request: the event may not be in the queue.
                self._forget(incoming)
                raise
            later = []
        if not self.tasks.start([functools.partial(self._guarded, handler, incoming) for handler in later]):
            self._forget(incoming)
            return self._refused(503, SdkError("Too many events wait for their handlers", code="B24OAUTH_BUSY"))
        for handler in handlers:
            if handler.ack == "after":
                await self._guarded(handler, incoming)
        return Response()

    async def _run(self, handler: Handler, incoming: Incoming) -> Any:
        """Calls a handler with the client of the portal; what it returns goes to the workflow that waits for it."""
        if isinstance(incoming, Uninstalled):
            return await called(handler.function, incoming)
        if isinstance(incoming, PageOpened):
            return await called(handler.function, incoming, await self.portals.get(incoming.member_id))
        event = _request(incoming)
        b24 = await self._client(event)
        event = attrs.evolve(event, clients=RequestClients(b24, self.portals, self.clock))
        result = await called(handler.function, event, b24)
        if isinstance(event, RobotStarted) and event.waits:
            values = {"EVENT_TOKEN": event.event_token, "RETURN_VALUES": as_mapping(result)}
            await b24.call("bizproc.event.send", values)
        return result

    async def _client(self, event: PortalRequest) -> B24OAuth:
        member_id = event.auth.member_id
        try:
            return await self.portals.get(member_id)
        except UnknownPortalError:
            if isinstance(event, UserReady):
                # It may come before the installation.
                return await self.portals.get(member_id, event.user_id or None)
            raise

    async def _configured(self, event: SettingsOpened | SettingsSaved) -> Response:
        (handler,) = self._handlers_of(event)
        if await self.installations.is_genuine(event.auth):
            b24 = await self.portals.get(event.auth.member_id)
        else:
            # The form is filled in before the installation.
            b24 = await self.installations.proved_client(event)
        event = attrs.evolve(event, clients=RequestClients(b24, self.portals, self.clock))
        try:
            answer = as_mapping(await called(handler.function, event, b24))
        except Exception as error:  # noqa: BLE001 - reported to the application
            await self._report(error, event)
            return Response(status=500)
        status = 400 if answer.get("status") == "error" else 200
        return Response(status=status, body=json.dumps(answer).encode(), content_type="application/json")

    async def _page(self, opened: PageOpened, path: str) -> Response:
        route = self.handlers.page(path)
        if route is None:
            return Response(status=404)
        pair, is_new = await self.installations.opened(
            opened, received_at=self.clock(), is_pending=route.is_installation
        )
        if is_new:
            await self._called(opened)
        b24 = await self.portals.get(pair.member_id)
        session = ""
        if self.sessions is not None:
            session = self.sessions.sign({"m": pair.member_id, "u": pair.user_id}, lifetime=_SESSION)
        user = self.portals.client(pair)
        page = Page(opened=opened, b24=b24, user=user, user_id=pair.user_id, session=session)
        try:
            answer = await called(route.handler.function, page)
        except Exception as error:  # noqa: BLE001 - reported to the application
            await self._report(error, opened)
            return Response(status=500)
        response = Response(body=answer.encode()) if isinstance(answer, str) else answer
        # The portal shows the page in a frame; nobody else may.
        allowed = f"frame-ancestors 'self' {portal_origin(pair.client_endpoint)}"
        return attrs.evolve(response, headers={"Content-Security-Policy": allowed, **response.headers})

    async def _guarded(self, handler: Handler, incoming: Incoming) -> None:
        """Calls a handler. Its error is reported, and answered with 200: Bitrix24 does not send the event again."""
        try:
            await self._run(handler, incoming)
        except Exception as error:  # noqa: BLE001 - reported to the application
            await self._report(error, incoming)

    async def _report(self, error: Exception, incoming: Incoming) -> None:
        name = incoming.name if isinstance(incoming, Event) else type(incoming).__name__
        await report(self.on_error, error, incoming, log=self._log.error, place=f"A handler of {name}")

    def _forget(self, incoming: Incoming) -> None:
        if self.duplicates and isinstance(incoming, Event):
            self.duplicates.forget(incoming)

    def _refused(self, status: int, error: Exception, *, level: int = logging.WARNING) -> Response:
        write = self._log.error if level == logging.ERROR else self._log.warning
        # A request may name a portal with line breaks, to forge lines of the log.
        write(f"A request was answered {status}: {' '.join(str(error).split())}")
        return Response(status=status)


def _request(incoming: Incoming) -> PortalRequest:
    if not isinstance(incoming, PortalRequest):
        raise InvalidDataError("The message", [f"{type(incoming).__name__} has no handlers"])
    return incoming
