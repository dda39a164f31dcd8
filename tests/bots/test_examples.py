"""The examples of bots: echo_bot and agent_bot run against a fake portal in the place of the network."""

from __future__ import annotations

import ast
import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from b24oauth.stores import SQLiteStore
from b24oauth.testing import FakePortal
from b24oauth.testing.bots import FakeBots
from tests.support.clients import UNLIMITED
from tests.support.stores import put

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


@asynccontextmanager
async def running(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeBots]:
    """Runs an example in this loop, as `asyncio.run` would."""
    portal = FakePortal(clock=time.time)
    monkeypatch.setattr(httpx, "AsyncHTTPTransport", lambda **_: portal.transport())
    for package in ("httpx2", "msgspec", "orjson"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("CLIENT_ID", portal.secret.client_id)
    monkeypatch.setenv("CLIENT_SECRET", portal.secret.client_secret)
    monkeypatch.setattr("b24oauth.bots.BOT_LIMITS", UNLIMITED)
    monkeypatch.setattr("b24oauth.bots.bot._SHORTEST_POLL", 0.05)
    monkeypatch.chdir(folder)
    programs: list[Coroutine[Any, Any, None]] = []
    monkeypatch.setattr(asyncio, "run", programs.append)
    path = EXAMPLES / f"{name}.py"
    exec(compile(path.read_text(encoding="utf-8"), path, "exec", dont_inherit=True), {"__name__": "__main__"})
    bots = FakeBots(portal)
    async with SQLiteStore("portals.db") as store:
        await put(store, portal.issue())
    task = asyncio.create_task(programs[0])
    try:
        await until(lambda: bots._chats.bots)
        yield bots
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - the portal sets no event
            await asyncio.sleep(0.02)


async def test_the_echo_bot_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running("echo_bot", tmp_path, monkeypatch) as bots:
        bots.say("Hello")
        await until(lambda: bots.answers("7") == ["Hello"])


async def test_the_agent_streams_its_answer_and_remembers_each_dialog(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running("agent_bot", tmp_path, monkeypatch) as bots:

        def last(user: str = "7") -> Any:
            return bots.messages(user)[-1]

        bots.invite("7")
        await until(lambda: bots.answers("7") == ["Hello! Ask me anything."])
        bots.say("What is the weather like?")
        bots.say("Who are you?", user_id=8)
        await until(lambda: last().text.strip().endswith("was: What is the weather like?"))
        await until(lambda: last("8").text.startswith("You have asked 1 times."))
        assert ("7", "IMBOT_AGENT_ACTION_THINKING", 30) in bots.typing
        bots.say("And tomorrow?")
        await until(lambda: last().text.strip() == "You have asked 2 times. Your last question was: And tomorrow?")
        await until(lambda: last().keyboard)
        assert last().changes > 1, "the answer must grow"
        bots.press(last().id, "Forget everything")
        await until(lambda: last().text == "I have forgotten everything.")
        bots.say("Do you know me?")
        await until(lambda: last().text.startswith("You have asked 1 times."))


def test_the_echo_bot_has_ten_lines() -> None:
    text = (EXAMPLES / "echo_bot.py").read_text(encoding="utf-8")
    lines = 0
    for node in ast.parse(text).body:
        if isinstance(node, (ast.Import, ast.ImportFrom, ast.Expr)) and not isinstance(
            getattr(node, "value", None), ast.Call
        ):
            continue
        first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", []))])
        lines += sum(bool(line.strip()) for line in text.splitlines()[first - 1 : node.end_lineno])
    assert lines <= 10
