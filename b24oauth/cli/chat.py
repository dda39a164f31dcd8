"""`b24oauth portal --bot`: a chat with a bot in the terminal."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import anyio.to_thread

from b24oauth.cli.portal import EARLIER_PAIRS
from b24oauth.testing import FakePortal
from b24oauth.testing.bots import ChatMessage, FakeBot, FakeBots
from b24oauth.testing.installed import FakeInstallation

__all__ = ["run_chat", "typed_lines"]

_USER: Final = 7
_LOOK_EVERY: Final = 0.1

_INTRODUCTION: Final = """\
A fake portal listens at {origin}. Run your bot against it; this one repeats each message:

import asyncio

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret
from b24oauth.bots import Bot

params = B24OAuthParams(
    access_token="{access_token}",
    refresh_token="{refresh_token}",
    expires={expires},
    client_endpoint="{client_endpoint}",
    server_endpoint="{server_endpoint}",
    member_id="{member_id}",
    application_token="{application_token}",
)
secret = B24OAuthSecret(client_id="{client_id}", client_secret="{client_secret}")
bot = Bot("echo", name="Echo")


@bot.message
async def echo(message):
    await message.answer(message.text)


async def main() -> None:
    async with B24OAuth(params, secret, trusted_oauth_hosts=["{host}"]) as b24:
        await bot.run(b24)


asyncio.run(main())

Then write to it here. /name calls a command, #text presses a button. Press Ctrl-C to stop.
"""


async def run_chat(*, host: str, port: int, lines: AsyncIterator[str], show: Callable[[str], None] = print) -> None:
    """Serves a portal, and lets a user chat with the bot that is registered there.

    Args:
        host: Address to listen at.
        port: Port to listen at; 0 for a free one.
        lines: What the user writes.
        show: Shows a line.

    Raises:
        OSError: The port is taken.
    """
    rows = {"crm.deal": 120, "crm.contact": 60, "tasks.task": 60}
    portal = FakePortal(clock=time.time, rows=rows, record=1000, earlier_pairs=EARLIER_PAIRS)
    bots = FakeBots(portal, first_event=int(time.time()))
    async with portal.serve(host=host, port=port) as served:
        pair = served.issue()
        values = pair.to_dict() | served.secret.to_dict() | {"origin": served.origin}
        show(_INTRODUCTION.format(host=served.origin.removeprefix("http://"), **values))
        chat = _Chat(portal, bots, show)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(chat.watch(), name="b24oauth chat")
            async for line in lines:
                await chat.write(line.strip())
            # What was written last is still to be answered.
            await chat.settled()
            watching.cancel()


async def typed_lines() -> AsyncIterator[str]:
    """The lines that are typed in the terminal, until its end."""
    while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        yield line


class _Chat:
    """The dialog of a user with a bot."""

    def __init__(self, portal: FakePortal, bots: FakeBots, show: Callable[[str], None]) -> None:
        self._portal, self._bots, self._show = portal, bots, show
        self._seen: dict[int, tuple[Any, ...]] = {}
        self._typing = 0
        self._changed_at = 0.0
        self._installed = set[str]()
        self._is_known = False

    async def write(self, line: str) -> None:
        """Sends what the user has typed."""
        bot = self._bot()
        if bot is None:
            self._show("No bot is registered yet, or several are: start one bot.")
            return
        name, _, params = line.removeprefix("/").partition(" ")
        if not line:
            return
        if line.startswith("#"):
            found = [one for one in self._bots.messages(str(_USER)) if _buttons(one, line[1:].strip())]
            if not found:
                self._show("There is no such button, or it calls no command.")
                return
            self._bots.press(found[-1].id, line[1:].strip(), user_id=_USER)
        elif line.startswith("/") and name in bot.commands:
            self._bots.command(name, params, user_id=_USER)
        else:
            self._bots.say(line, user_id=_USER)
        self._changed_at = time.monotonic()
        await self._posted(bot)

    async def watch(self) -> None:
        """Shows what the bot does."""
        while True:
            self._look()
            await asyncio.sleep(_LOOK_EVERY)

    async def settled(self, *, quiet: float = 12.0) -> None:
        """Waits until nothing has happened for a while.

        Args:
            quiet: How long, seconds: more than the pause between two requests of a bot.
        """
        while self._bot() is not None and time.monotonic() - self._changed_at < quiet and self._waits():  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)
        self._look()

    def _waits(self) -> bool:
        messages = self._bots.messages(str(_USER))
        return bool(messages) and not messages[-1].is_of_bot

    def _bot(self) -> FakeBot | None:
        with contextlib.suppress(KeyError):
            return self._bots.bot()
        return None

    def _look(self) -> None:
        bot = self._bot()
        if bot is None:
            return
        name = str(bot.user()["name"])
        if not self._is_known:
            self._is_known = True
            self._show(f"{name} is registered.")
        for _, status, _ in self._bots.typing[self._typing :]:
            self._show(f"{name} is {status.removeprefix('IMBOT_AGENT_ACTION_').lower() or 'typing'} …")
        self._typing = len(self._bots.typing)
        for message in self._bots.messages(str(_USER)):
            state = (message.text, str(message.keyboard), tuple(message.files))
            before = self._seen.get(message.id)
            if message.is_of_bot and state != before:
                self._changed_at = time.monotonic()
                self._show(f"{name}{'' if before is None else ' (changed)'}: {self._shown(message)}")
            self._seen[message.id] = state

    def _shown(self, message: ChatMessage) -> str:
        buttons = [f"[{button['TEXT']}]" for button in message.keyboard if "TEXT" in button]
        files = [self._portal.files.get(file_id) for file_id in message.files]
        names = [f"({file.name}, {len(file.content)} bytes)" for file in files if file is not None]
        return " ".join([message.text, *names, *buttons]).strip()

    async def _posted(self, bot: FakeBot) -> None:
        """Posts events to a bot that does not fetch them."""
        for url in bot.urls:
            if url not in self._installed:
                self._installed.add(url)
                await FakeInstallation(self._portal, url).install()
        for response in await self._bots.deliver():
            if response.status != 200:
                self._show(f"The bot answered {response.status or 'nothing'} to an event, which is lost.")


def _buttons(message: ChatMessage, text: str) -> bool:
    return any(button.get("TEXT") == text and "COMMAND" in button for button in message.keyboard)
