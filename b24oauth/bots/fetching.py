"""Fetches the events of a bot from one portal, handles them, and acknowledges those that are done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import attrs

from b24oauth.bots.places import Place, value_store
from b24oauth.bots.reading import read_update
from b24oauth.bots.talking import Talk
from b24oauth.bots.window import Window
from b24oauth.client import B24OAuth
from b24oauth.errors import InvalidDataError, SdkError
from b24oauth.shapes import as_mapping, is_list, whole_number
from b24oauth.storing import ValueKey

if TYPE_CHECKING:
    from b24oauth.bots.bot import Bot

__all__ = ["MORE_AFTER", "Fetcher"]

# Pause between two requests while there are more events, seconds.
MORE_AFTER: Final = 2.0
# Events of a response, if there are no others that it would repeat, and at most.
_PAGE: Final = 100
_LARGEST_PAGE: Final = 1000
# The bot is not there: another one may be registered after the application was installed again.
_GONE: Final = frozenset({"BOT_NOT_FOUND", "BOT_OWNERSHIP_ERROR"})


@attrs.frozen
class _Event:
    id: int
    name: str
    data: Any


@attrs.frozen
class _Page:
    events: list[_Event]
    next_offset: int | None
    has_more: bool


class Fetcher:
    """Fetches and handles events of a bot. One task at a time may use it for a portal: see the leases of `Runner`.

    Args:
        bot: Handles events.
        poll: Pause between two requests when there are no more events, seconds.
        register: Registers the bot on a portal, and returns its ID.
    """

    def __init__(self, bot: Bot, *, poll: float, register: Callable[[B24OAuth], Awaitable[int]]) -> None:
        self._bot, self._poll, self._register = bot, poll, register
        self._ids: dict[str, int] = {}
        self._places: dict[ValueKey, Place] = {}
        self._is_stopping = False

    def stop(self) -> None:
        """Fetches nothing more; what was fetched is handled."""
        self._is_stopping = True

    async def prepare(self, b24: B24OAuth) -> int:
        """Registers the bot on a portal, once.

        Args:
            b24: The client of the portal.

        Returns:
            The bot's ID.

        Raises:
            AjaxError: The portal refuses it.
        """
        portal = b24.auth.get_params().member_id
        if portal not in self._ids:
            self._ids[portal] = await self._register(b24)
        return self._ids[portal]

    async def consume(self, b24: B24OAuth) -> float:
        """Handles all events that there are, and those that come before the last one is handled.

        While a handler takes long, further events are fetched, so that other dialogs need not wait for it.

        Args:
            b24: The client of the portal.

        Returns:
            Seconds after which it is to be called again.

        Raises:
            AjaxError: The portal refuses to tell events; those that were fetched before are done.
            StoreError: The place in the queue cannot be read or written.
        """
        portal = b24.auth.get_params().member_id
        talk = Talk(b24, await self.prepare(b24))
        key = ValueKey(b24.auth.client_id, portal, f"bot:{talk.bot_id}:offset")
        store = value_store(b24)
        # Without a store the place is remembered here. With one, another process may have fetched meanwhile.
        place = self._places.setdefault(key, Place(None, key)) if store is None else Place(store, key)
        window = Window(await place.load())
        try:
            pause = await self._fetched(talk, place, window)
        except asyncio.CancelledError:
            try:
                # What is done is not to be done again.
                await place.save(window.advance())
            except SdkError as error:
                b24.get_logger().warning(f"Bot {self._bot.code}: events may be handled again: {error}", extra={})
            raise
        except SdkError as error:
            if error.code in _GONE:
                self._ids.pop(portal, None)
            await place.save(window.advance())
            raise
        await place.save(window.advance())
        return pause

    async def _fetched(self, talk: Talk, place: Place, window: Window) -> float:
        loop = asyncio.get_running_loop()
        failure: SdkError | None = None
        pause, asked_at = self._poll, loop.time()
        all_done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            while not self._is_stopping:
                asked_at = loop.time()
                try:
                    await place.save(window.advance())
                    page = await self._page(talk, window)
                except SdkError as error:
                    # What was fetched before is handled nevertheless.
                    failure = error
                    break
                for event in page.events:
                    if window.add(event.id):
                        all_done.clear()
                        group.create_task(self._handle(talk, event, window, all_done))
                window.reached(page.next_offset)
                pause = MORE_AFTER if page.has_more else self._poll
                if not window.running and not page.has_more:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        # With more events to come, the pause is kept.
                        await (asyncio.Event() if page.has_more else all_done).wait()
                while len(window) >= _LARGEST_PAGE and window.running:
                    # No response could hold a new event until the oldest one is done.
                    await asyncio.sleep(MORE_AFTER)
                    window.advance()
                if not window.running and not page.has_more:
                    break
        if failure is not None:
            raise failure
        return max(0.0, asked_at + pause - loop.time())

    async def _page(self, talk: Talk, window: Window) -> _Page:
        offset = window.advance()
        params: dict[str, Any] = {"limit": min(_PAGE + len(window), _LARGEST_PAGE)}
        if offset is not None:
            params["offset"] = offset
        # Acknowledging twice is acknowledging once.
        result = as_mapping(await talk.call("Event.get", params, idempotent=True))
        rows = result.get("events")
        events: list[_Event] = []
        for row in map(as_mapping, rows if is_list(rows) else []):
            event_id = whole_number(row.get("eventId"))
            if event_id is None:
                raise InvalidDataError("The response to imbot.v2.Event.get", ["an event has no eventId"])
            events.append(_Event(event_id, str(row.get("type", "")), row.get("data")))
        next_offset = whole_number(result.get("nextOffset"))
        if next_offset is None and events:
            next_offset = max(event.id for event in events) + 1
        return _Page(events, next_offset, result.get("hasMore") is True)

    async def _handle(self, talk: Talk, event: _Event, window: Window, all_done: asyncio.Event) -> None:
        try:
            update = read_update(event.name, event.data, talk)
        except InvalidDataError as error:
            # Otherwise it would be delivered again and again.
            await self._bot.failed(error, None, talk.b24)
        else:
            await self._bot.handle(update)
        window.done(event.id)
        if not window.running:
            all_done.set()
