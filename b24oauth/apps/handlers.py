"""The registered handlers, and which of them handles a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Literal, TypeAlias

import attrs

from b24oauth.apps.pages import Page
from b24oauth.apps.requests import Incoming
from b24oauth.errors import ConfigurationError

__all__ = ["Ack", "Handler", "Handlers", "Middleware", "PageRoute"]

Ack: TypeAlias = Literal["before", "after"]
Middleware: TypeAlias = Callable[[Incoming | Page, Callable[[], Awaitable[Any]]], Awaitable[Any]]


@attrs.frozen
class Handler:
    """A function that handles requests.

    Attributes:
        function: The function, within the middleware that was registered.
        ack: When Bitrix24 is answered.
    """

    function: Callable[..., Awaitable[Any]]
    ack: Ack = "before"


@attrs.frozen
class PageRoute:
    """A page of the application.

    Attributes:
        handler: Makes the page.
        placement: Code of the placement where the portal shows it; empty for a page of the application's own.
        title: What the placement is called on the portal.
        is_installation: True for the page that installs the application.
    """

    handler: Handler
    placement: str = ""
    title: str = ""
    is_installation: bool = False


@attrs.define(eq=False)
class Handlers:
    """The handlers of a router, and those of the routers that it includes.

    Attributes:
        events: By name in upper case.
        install: Of installations.
        uninstall: Of removals.
        robots: By code.
        providers: By code.
        pages: By path.
        settings: Of the configuration form.
        middleware: Functions called around each handler, the outermost first.
        included: Those of other routers.
    """

    events: dict[str, list[Handler]] = attrs.field(factory=dict[str, list[Handler]])
    install: list[Handler] = attrs.field(factory=list[Handler])
    uninstall: list[Handler] = attrs.field(factory=list[Handler])
    robots: dict[str, Handler] = attrs.field(factory=dict[str, Handler])
    providers: dict[str, Handler] = attrs.field(factory=dict[str, Handler])
    pages: dict[str, PageRoute] = attrs.field(factory=dict[str, PageRoute])
    settings: Handler | None = None
    middleware: list[Middleware] = attrs.field(factory=list[Middleware])
    included: list[Handlers] = attrs.field(factory=list["Handlers"])

    def include(self, other: Handlers) -> None:
        """Adds those of another router.

        Raises:
            ConfigurationError: They contain these, or both have a page of one path, or a robot or a message provider
                of one code.
        """
        others = [part for part, _ in other.parts()]
        if any(part is self for part in others):
            raise ConfigurationError("router contains this router: include routers in one direction only")
        for mine, _ in self.parts():
            for part in others:
                for what, names, new in (
                    ("page", mine.pages.keys(), part.pages.keys()),
                    ("robot", mine.robots.keys(), part.robots.keys()),
                    ("message provider", mine.providers.keys(), part.providers.keys()),
                ):
                    for name in names & new:
                        raise ConfigurationError(f"router has the {what} {name}, which is registered already")
        self.included.append(other)

    def parts(self, outer: tuple[Middleware, ...] = ()) -> Iterator[tuple[Handlers, tuple[Middleware, ...]]]:
        """These and the included ones, each with the middleware around it."""
        around = (*outer, *self.middleware)
        yield self, around
        for included in self.included:
            yield from included.parts(around)

    def of_event(self, name: str) -> list[Handler]:
        """The handlers of an event.

        Args:
            name: The event, in upper case.
        """
        return [_within(one, around) for part, around in self.parts() for one in part.events.get(name, ())]

    def of_installations(self) -> list[Handler]:
        """The handlers of installations."""
        return [_within(one, around) for part, around in self.parts() for one in part.install]

    def of_removals(self) -> list[Handler]:
        """The handlers of removals."""
        return [_within(one, around) for part, around in self.parts() for one in part.uninstall]

    def of_robot(self, code: str) -> Handler | None:
        """The handler of a robot."""
        found = ((part.robots.get(code), around) for part, around in self.parts())
        return next((_within(one, around) for one, around in found if one), None)

    def of_provider(self, code: str) -> Handler | None:
        """The handler of a message provider."""
        found = ((part.providers.get(code), around) for part, around in self.parts())
        return next((_within(one, around) for one, around in found if one), None)

    def of_settings(self) -> Handler | None:
        """The handler of the configuration form."""
        return next((_within(part.settings, around) for part, around in self.parts() if part.settings), None)

    def page(self, path: str) -> PageRoute | None:
        """The page of a path."""
        for part, around in self.parts():
            route = part.pages.get(path)
            if route is not None:
                return attrs.evolve(route, handler=_within(route.handler, around))
        return None

    def event_names(self) -> set[str]:
        """The events that have a handler."""
        return {name for part, _ in self.parts() for name in part.events}

    def placements(self) -> dict[str, PageRoute]:
        """The pages that the portal shows somewhere, by path."""
        return {path: page for part, _ in self.parts() for path, page in part.pages.items() if page.placement}


def _within(handler: Handler, around: tuple[Middleware, ...]) -> Handler:
    """The handler within its middleware."""
    if not around:
        return handler

    async def call(event: Any, *arguments: Any) -> Any:
        async def call_from(index: int) -> Any:
            if index == len(around):
                return await handler.function(event, *arguments)
            return await around[index](event, lambda: call_from(index + 1))

        return await call_from(0)

    return attrs.evolve(handler, function=call)
