"""`Router`: which function handles which request. An application is a router, and may include others."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from b24oauth.apps.handlers import Ack, Handler, Handlers, Middleware, PageRoute
from b24oauth.apps.http import Response
from b24oauth.apps.pages import Page
from b24oauth.checks import check_function, check_text
from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError

__all__ = ["Router"]

_Handles = TypeVar("_Handles", bound=Callable[[Any, B24OAuth], Awaitable[object]])
_HandlesRemoval = TypeVar("_HandlesRemoval", bound=Callable[[Any], Awaitable[object]])
_MakesPage = TypeVar("_MakesPage", bound=Callable[[Page], Awaitable[str | Response]])

_ACKS: Final = frozenset({"before", "after"})


class Router:
    """Functions that handle requests, registered with decorators.

    Split a large application into routers, one for each module, and give them to `B24App.include`.
    """

    def __init__(self) -> None:
        self._handlers = Handlers()

    @property
    def handlers(self) -> Handlers:
        """The registered handlers."""
        return self._handlers

    def on(self, name: str, *, ack: Ack = "before") -> Callable[[_Handles], _Handles]:
        """Registers a handler of an event: ``async def deal_added(event, b24)``.

        Args:
            name: The event, in any case, for example ``ONCRMDEALADD``.
            ack: "before" answers Bitrix24 first, which wants a quick answer, and calls the handler in a task of its
                own; "after" answers when the handler has ended.
        """
        check_text(name, "name")
        _check_ack(ack)

        def register(function: _Handles) -> _Handles:
            self._handlers.events.setdefault(name.upper(), []).append(_handler(function, ack))
            return function

        return register

    def on_install(self, function: _Handles) -> _Handles:
        """Registers a handler of installations: ``async def installed(event, b24)``.

        It is called once the pair is stored, also when an installation is repeated. `event` is `Installed`, or
        `PageOpened` when a page was what told of the installation.
        """
        self._handlers.install.append(_handler(function))
        return function

    def on_uninstall(self, function: _HandlesRemoval) -> _HandlesRemoval:
        """Registers a handler of removals: ``async def uninstalled(event)``. The tokens are dead already."""
        self._handlers.uninstall.append(_handler(function))
        return function

    def page(self, path: str, *, placement: str = "", title: str = "") -> Callable[[_MakesPage], _MakesPage]:
        """Registers a page: ``async def main(page)`` returns HTML or a `Response`.

        Args:
            path: The path below which the application is mounted, for example ``/``.
            placement: Where the portal shows it, for example ``CRM_DEAL_DETAIL_TAB``; `B24App.sync` registers it
                there.
            title: What the placement is called on the portal.
        """
        check_text(path, "path")

        def register(function: _MakesPage) -> _MakesPage:
            self._add_page(path, PageRoute(_handler(function), placement.upper(), title))
            return function

        return register

    def install_page(self, path: str) -> Callable[[_MakesPage], _MakesPage]:
        """Registers the installation page, whose address is a field of the application's card.

        Bitrix24 sends no events before the page has called ``BX24.installFinish()``: return `frame_page(finish=True)`
        when all is set up. Until then the installation is pending.

        Args:
            path: The path below which the application is mounted, for example ``/install``.
        """
        check_text(path, "path")

        def register(function: _MakesPage) -> _MakesPage:
            self._add_page(path, PageRoute(_handler(function), is_installation=True))
            return function

        return register

    def robot(self, code: str, *, ack: Ack = "before") -> Callable[[_Handles], _Handles]:
        """Registers the handler of a robot or an activity, a function like that of an event.

        What it returns, a mapping, is sent to the workflow if that waits for it.

        Args:
            code: `CODE` that it was registered with on the portal.
            ack: As for `on`.
        """
        return self._one_of(self._handlers.robots, "robot", code, ack)

    def message_provider(self, code: str, *, ack: Ack = "before") -> Callable[[_Handles], _Handles]:
        """Registers the handler of a message provider, a function like that of an event; `event` is `MessageRequested`.

        Args:
            code: `CODE` that it was registered with on the portal.
            ack: As for `on`.
        """
        return self._one_of(self._handlers.providers, "message provider", code, ack)

    def settings(self, function: _Handles) -> _Handles:
        """Registers the handler of the configuration form, a function like that of an event that returns a mapping.

        It is called with `SettingsOpened` and returns the form; and with `SettingsSaved`, where it returns
        ``{"status": "success"}``, or ``{"status": "error", "errors": [{"field": …, "message": …}]}``. Before the
        installation `b24` is the client of the user who fills in the form.

        Source: https://apidocs.bitrix24.com/settings/app-installation/mass-market-apps/rest-only-installation-master.html
        """
        self._handlers.settings = _handler(function)
        return function

    def middleware(self, function: Middleware) -> Middleware:
        """Registers what is called around each handler of this router: ``async def timed(event, call_next)``.

        It awaits ``call_next()`` and returns what that returns. `event` is what the handler is given first: the event,
        the robot or the page. The first registered is the outermost.
        """
        check_function(function, "middleware")
        self._handlers.middleware.append(function)
        return function

    def include(self, router: Router) -> None:
        """Adds the handlers of another router; those that it gets later are added too.

        Args:
            router: The router.

        Raises:
            ConfigurationError: It is this router or contains it, or both have a page of one path, or a robot or a
                message provider of one code.
        """
        self._handlers.include(router.handlers)

    def _one_of(self, handlers: dict[str, Handler], what: str, code: str, ack: Ack) -> Callable[[_Handles], _Handles]:
        check_text(code, "code")
        _check_ack(ack)

        def register(function: _Handles) -> _Handles:
            handler = _handler(function, ack)
            if code in handlers:
                raise ConfigurationError(f"code: the {what} {code} is registered already")
            handlers[code] = handler
            return function

        return register

    def _add_page(self, path: str, route: PageRoute) -> None:
        path = "/" + path.strip("/")
        if path in self._handlers.pages:
            raise ConfigurationError(f"path: the page {path} is registered already")
        self._handlers.pages[path] = route


def _handler(function: Callable[..., Any], ack: Ack = "before") -> Handler:
    check_function(function, "handler")
    is_plain = inspect.isfunction(function) and function.__name__ != "<lambda>" and not hasattr(function, "__wrapped__")
    if is_plain and not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"handler {function.__name__} must be a coroutine function: write `async def`")
    return Handler(function, ack)


def _check_ack(ack: str) -> None:
    if ack not in _ACKS:
        raise ConfigurationError('ack must be "before" or "after"')
