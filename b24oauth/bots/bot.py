"""`Bot`: a chat bot of an application. It is registered, gets events, and calls your handlers."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar, Unpack

from b24oauth.apps.events import BotEvent
from b24oauth.apps.reporting import called, report
from b24oauth.apps.routing import Router
from b24oauth.apps.runner import HasPortals, RunnerOptions
from b24oauth.bots.fetching import Fetcher
from b24oauth.bots.lanes import Lanes
from b24oauth.bots.posted import checked_update
from b24oauth.bots.reading import EVENT_NAMES
from b24oauth.bots.registering import CommandSpec, Profile, ProfileOptions, register
from b24oauth.bots.running import run_bot, run_bots
from b24oauth.bots.updates import (
    BotRemoved,
    Command,
    ContextOpened,
    Joined,
    Message,
    MessageChanged,
    MessageDeleted,
    Reaction,
    Update,
)
from b24oauth.checks import at_least, check_function, check_seconds, check_text
from b24oauth.client import B24OAuth
from b24oauth.errors import ConfigurationError, SdkError
from b24oauth.portals import B24Portals
from b24oauth.stores.loops import PerLoop

__all__ = ["Bot"]

Handler: TypeAlias = Callable[[Any], Awaitable[object]]
ErrorHandler: TypeAlias = Callable[[Exception, Update | None], object]

_OnMessage = TypeVar("_OnMessage", bound=Callable[[Message], Awaitable[object]])
_OnChange = TypeVar("_OnChange", bound=Callable[[MessageChanged], Awaitable[object]])
_OnDeletion = TypeVar("_OnDeletion", bound=Callable[[MessageDeleted], Awaitable[object]])
_OnJoining = TypeVar("_OnJoining", bound=Callable[[Joined], Awaitable[object]])
_OnReaction = TypeVar("_OnReaction", bound=Callable[[Reaction], Awaitable[object]])
_OnContext = TypeVar("_OnContext", bound=Callable[[ContextOpened], Awaitable[object]])
_OnRemoval = TypeVar("_OnRemoval", bound=Callable[[BotRemoved], Awaitable[object]])
_OnCommand = TypeVar("_OnCommand", bound=Callable[[Command], Awaitable[object]])
_OnError = TypeVar("_OnError", bound=ErrorHandler)

_SHORTEST_POLL: Final = 5.0
_LONGEST_POLL: Final = 30.0


class Bot:
    """A chat bot of an application, for all portals where it is installed.

    Register handlers with the decorators. Then fetch events with `run` or `run_portals`, which needs no public address,
    or let portals post them with `attach`. Events of one dialog are handled one after another in their order, those of
    different dialogs at the same time.

    Args:
        code: Identifies the bot within the application.
        name: Name that users see.
        concurrency: How many dialogs are served at the same time.
        hears_bots: Whether messages and commands of other bots are handled too; two bots can talk without end.
        profile: How it appears and what it hears: `work_position`, `avatar`, `type` and others; see `ProfileOptions`.

    Raises:
        ConfigurationError: An argument is invalid.

    Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/index.html
    """

    def __init__(
        self,
        code: str,
        *,
        name: str,
        concurrency: int = 50,
        hears_bots: bool = False,
        **profile: Unpack[ProfileOptions],
    ) -> None:
        check_text(code, "code")
        check_text(name, "name")
        at_least(1)(concurrency, "concurrency")
        self.profile = Profile(code=code, name=name, **profile)
        self._hears_bots = hears_bots
        # A bot may be used in one event loop after another, for example by tests.
        self._lanes = PerLoop(lambda: Lanes(concurrency))
        self._handlers: dict[type[Update], list[Handler]] = {}
        self._commands: dict[str, tuple[CommandSpec, Handler]] = {}
        self._error: ErrorHandler | None = None

    def __repr__(self) -> str:
        return f"Bot({self.code!r})"

    @property
    def code(self) -> str:
        """Identifies the bot within the application."""
        return self.profile.code

    @property
    def _work(self) -> str:
        """Names the fetching of its events, the same in all processes."""
        return f"bot {self.code}"

    # --- handlers -----------------------------------------------------------------------------------------------------

    def message(self, function: _OnMessage) -> _OnMessage:
        """Registers a handler of messages: a coroutine function that takes a `Message`."""
        self._on(Message, function)
        return function

    def changed(self, function: _OnChange) -> _OnChange:
        """Registers a handler of edited messages, which takes a `MessageChanged`."""
        self._on(MessageChanged, function)
        return function

    def deleted(self, function: _OnDeletion) -> _OnDeletion:
        """Registers a handler of deleted messages, which takes a `MessageDeleted`."""
        self._on(MessageDeleted, function)
        return function

    def joined(self, function: _OnJoining) -> _OnJoining:
        """Registers a handler that is called when the bot was added to a chat; it takes a `Joined`."""
        self._on(Joined, function)
        return function

    def reaction(self, function: _OnReaction) -> _OnReaction:
        """Registers a handler of reactions, which takes a `Reaction`."""
        self._on(Reaction, function)
        return function

    def context(self, function: _OnContext) -> _OnContext:
        """Registers a handler of links that carry data, which takes a `ContextOpened`.

        Never act on the data before the user has confirmed it: see `ContextOpened`.
        """
        self._on(ContextOpened, function)
        return function

    def removed(self, function: _OnRemoval) -> _OnRemoval:
        """Registers a handler that is called when the bot was removed; it takes a `BotRemoved`."""
        self._on(BotRemoved, function)
        return function

    def command(
        self,
        name: str,
        *,
        title: str | Mapping[str, str] = "",
        params: str | Mapping[str, str] = "",
        common: bool = False,
        hidden: bool = False,
        extranet: bool = False,
    ) -> Callable[[_OnCommand], _OnCommand]:
        """Registers a command and its handler, which takes a `Command`.

        Args:
            name: The command, with or without a slash.
            title: What it does, shown in the list of commands: English text, or texts by language. The name by default.
            params: What is written behind it, likewise.
            common: Whether it may be called in chats that the bot is not in.
            hidden: Whether it is left out of the list of commands.
            extranet: Whether users from outside of the company may call it.

        Raises:
            ConfigurationError: The name is invalid or taken.
        """
        check_text(name, "name")
        name = name.removeprefix("/")
        if not name or any(letter.isspace() or letter == "/" for letter in name):
            raise ConfigurationError("name must be one word, for example help")
        if name in self._commands:
            raise ConfigurationError(f"name: the command {name} has a handler already")
        spec = CommandSpec(
            name=name,
            title=title or ("" if hidden else name),
            params=params,
            common=common,
            hidden=hidden,
            extranet=extranet,
        )

        def add(function: _OnCommand) -> _OnCommand:
            _check_handler(function)
            self._commands[name] = spec, function
            return function

        return add

    def error(self, function: _OnError) -> _OnError:
        """Registers what is called with an error of a handler: ``def failed(error, update)``, async or plain.

        `update` is None for an event that cannot be read. Without it errors are logged, or reported to the application
        that the bot is attached to. The event counts as handled.
        """
        check_function(function, "handler")
        self._error = function
        return function

    def _on(self, kind: type[Update], function: Handler) -> None:
        _check_handler(function)
        self._handlers.setdefault(kind, []).append(function)

    # --- use ----------------------------------------------------------------------------------------------------------

    async def register(self, b24: B24OAuth, *, url: str | None = None) -> int:
        """Registers the bot and its commands on a portal, and changes what differs. `run` does it by itself.

        Args:
            b24: The client of the portal.
            url: The public address that events are posted to; None for a bot that fetches them.

        Returns:
            The bot's ID on the portal.

        Raises:
            ConfigurationError: The bot is registered with another type, which cannot be changed.
            AjaxError: The portal refuses it.
        """
        _check_url(url)
        return await register(b24, self.profile, [spec for spec, _ in self._commands.values()], url)

    async def run(
        self,
        b24: B24OAuth,
        *,
        poll: float = _SHORTEST_POLL,
        drain: float = 20.0,
        stop: asyncio.Event | None = None,
    ) -> None:
        """Registers the bot on one portal, and fetches and handles its events until the process is asked to stop.

        At SIGTERM or SIGINT nothing more is fetched, and running handlers get `drain` seconds. An event whose handler
        has not ended is delivered again. If the client has a store, the place in the queue is kept there, and of
        several processes one at a time fetches.

        Args:
            b24: The client of the portal.
            poll: Seconds between two requests when there are no events, 5 to 30.
            drain: Seconds that handlers get to end.
            stop: Ends it when it is set, instead of signals.

        Raises:
            ConfigurationError: An argument is invalid.
            AjaxError: The portal refuses to register the bot.
        """
        fetcher = Fetcher(self, poll=_checked_poll(poll), register=self.register)
        check_seconds(drain, "drain")
        await run_bot(b24, fetcher, name=self._work, drain=drain, stop=stop)

    async def run_portals(self, app: HasPortals | B24Portals, **options: Unpack[RunnerOptions]) -> None:
        """As `run`, for all portals where the application is installed: the main part of a worker process.

        Any number of processes may do it over one store; each portal is served by one of them at a time.

        Args:
            app: A `B24App` or `B24Portals`.
            options: See `RunnerOptions`; `poll` is from 5 to 30 seconds, 5 by default.

        Raises:
            ConfigurationError: An argument is invalid.
        """
        poll = _checked_poll(options.get("poll", _SHORTEST_POLL))
        fetcher = Fetcher(self, poll=poll, register=self.register)
        await run_bots(app, fetcher, name=self._work, options=options)

    def attach(self, app: Router, *, url: str | None = None) -> None:
        """Lets an application handle the events that portals post to it.

        The application verifies them by their application token. The tokens in ``data[bot][auth]`` prove nothing and
        are not used: answers are sent with the application's pair. An event whose tokens contradict the verified ones
        is refused.

        Args:
            app: The application, or a router of it.
            url: The public address of the application. If given, the bot is registered on each portal when the
                application is installed there; where it is installed already, call `register`.

        Raises:
            ConfigurationError: `url` is no https address.
        """
        _check_url(url)

        async def posted(event: BotEvent, b24: B24OAuth) -> None:
            if event.bot_code != self.code:
                return  # another bot of the application
            try:
                update = checked_update(event, b24)
            except SdkError as error:
                if self._error is None:
                    raise
                await self.failed(error, None, b24)
            else:
                await self.handle(update, reports=False)

        async def installed(_: object, b24: B24OAuth) -> None:
            await self.register(b24, url=url)

        for name in EVENT_NAMES:
            app.on(name)(posted)
        if url is not None:
            app.on_install(installed)

    # --- events -------------------------------------------------------------------------------------------------------

    async def handle(self, update: Update, *, reports: bool = True) -> None:
        """Calls the handlers of an event when those before it in the dialog have ended.

        Args:
            update: The event.
            reports: Whether errors are logged if there is no handler of errors; False raises them.
        """
        handlers = self._handlers_of(update)
        if not handlers:
            return
        portal = update.b24.auth.get_params().member_id

        async def call() -> None:
            errors = [await self._error_of(handler, update) for handler in handlers]
            for error in errors:
                if error is not None and self._error is None and not reports:
                    raise error
                if error is not None:
                    await self.failed(error, update, update.b24)

        await self._lanes.get().run(portal, update.dialog_id, call)

    async def failed(self, error: Exception, update: Update | None, b24: B24OAuth) -> None:
        """Reports an error to the handler of errors, or logs it.

        Args:
            error: The error.
            update: The event; None if it could not be read.
            b24: The client of the portal.
        """
        what = "an event" if update is None else type(update).__name__
        place = f"Bot {self.code}, portal {b24.auth.get_params().member_id}: handling {what}"
        log = functools.partial(b24.get_logger().error, extra={})
        await report(self._error, error, update, log=log, place=place)

    def _handlers_of(self, update: Update) -> list[Handler]:
        if isinstance(update, Command):
            command = self._commands.get(update.name)
            handlers = [] if command is None else [command[1]]
        else:
            handlers = self._handlers.get(type(update), [])
        is_from_bot = isinstance(update, (Command, Message)) and update.user is not None and update.user.is_bot
        return [] if is_from_bot and not self._hears_bots else handlers

    async def _error_of(self, handler: Handler, update: Update) -> Exception | None:
        try:
            await called(handler, update)
        except Exception as error:  # noqa: BLE001 - an error of one event
            return error
        return None


def _check_handler(function: Callable[..., object]) -> None:
    check_function(function, "handler")
    is_plain = inspect.isfunction(function) and function.__name__ != "<lambda>" and not hasattr(function, "__wrapped__")
    if is_plain and not inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"handler {function.__name__} must be a coroutine function: write `async def`")


def _check_url(url: str | None) -> None:
    """Refuses an address that portals do not post to. A fake portal posts to loopback addresses too."""
    if url is not None and not url.startswith(("https://", "http://127.0.0.1:", "http://[::1]:")):
        raise ConfigurationError("url must be the public https address that portals post events to")


def _checked_poll(poll: float) -> float:
    check_seconds(poll, "poll")
    if not _SHORTEST_POLL <= poll <= _LONGEST_POLL:
        raise ConfigurationError(f"poll must be from {_SHORTEST_POLL:g} to {_LONGEST_POLL:g} seconds")
    return poll
