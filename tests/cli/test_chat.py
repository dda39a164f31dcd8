"""`b24oauth portal --bot` as a developer uses it: the printed bot runs, and answers in the terminal."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret
from b24oauth.bots import Bot, Button, Command, Keyboard, Message
from b24oauth.cli.chat import run_chat

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "import sys; from b24oauth.cli import main; sys.exit(main())"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


def test_the_bot_that_is_printed_answers_in_the_terminal() -> None:
    terminal = subprocess.Popen(
        [sys.executable, "-u", "-c", START, "portal", "--bot"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert terminal.stdin is not None
    assert terminal.stdout is not None

    def read(end: str) -> str:
        text = ""
        while not text.rstrip().endswith(end):
            line = terminal.stdout.readline()  # type: ignore[union-attr]
            assert line, text
            text += line
        return text

    printed = read("Press Ctrl-C to stop.")
    program = printed[printed.index("import asyncio") : printed.index("Then write")]
    bot = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    try:
        read("Echo is registered.")
        terminal.stdin.write("Hello, bot\n")
        terminal.stdin.flush()
        read("Echo: Hello, bot")
        bot.terminate()
        _, errors = bot.communicate(timeout=30)
        assert (bot.returncode, errors) == (0, "")
    finally:
        bot.kill()
        bot.wait()
    terminal.send_signal(signal.SIGINT)
    _, errors = terminal.communicate(timeout=30)
    assert (terminal.returncode, errors) == (130, "")


async def test_commands_buttons_changes_and_typing_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("b24oauth.bots.bot._SHORTEST_POLL", 0.05)
    shown: list[str] = []
    bot = Bot("echo", name="Echo")

    @bot.message
    async def answer(message: Message) -> None:
        async with message.typing():
            sent = await message.answer("first")
            await asyncio.sleep(0.5)
        await sent.edit("second")

    @bot.command("vote")
    async def vote(command: Command) -> None:
        if command.origin == "keyboard":
            await command.answer(f"You have voted {command.params}")
        else:
            await command.answer(command.params, keyboard=Keyboard([Button("Yes", command="vote", params="yes")]))

    async def until(text: str) -> None:
        async with asyncio.timeout(30):
            while text not in shown:  # noqa: ASYNC110 - the terminal sets no event
                await asyncio.sleep(0.02)

    async def lines() -> AsyncIterator[str]:
        yield "too early"
        printed = shown[0]
        values = dict(re.findall(r'(\w+)=(?:"([^"]*)"|\d+)', printed))
        params = B24OAuthParams(**{name: values[name] for name in PAIR}, expires=2**31)
        secret = B24OAuthSecret(client_id=values["client_id"], client_secret=values["client_secret"])
        host = values["client_endpoint"].split("/")[2]
        stop = asyncio.Event()
        async with B24OAuth(params, secret, trusted_oauth_hosts=[host]) as b24:
            running = asyncio.create_task(bot.run(b24, stop=stop, poll=0.05))
            await until("Echo is registered.")
            yield "hello"
            await until("Echo (changed): second")
            yield "/vote Pizza?"
            await until("Echo: Pizza? [Yes]")
            yield "#No"
            yield "#Yes"
            await until("Echo: You have voted yes")
            stop.set()
            await running

    await run_chat(host="127.0.0.1", port=0, lines=lines(), show=shown.append)
    assert "No bot is registered yet, or several are: start one bot." in shown
    assert "Echo is typing …" in shown
    assert "There is no such button, or it calls no command." in shown


PAIR = ("access_token", "refresh_token", "client_endpoint", "server_endpoint", "member_id")
