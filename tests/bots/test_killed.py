"""Processes that fetch are killed at any moment: every message is handled, by one process at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import sqlite3
import sys
import time
from asyncio.subprocess import Process
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from b24oauth.stores import SQLiteStore, ValueKey
from b24oauth.testing import FakePortal
from b24oauth.testing.bots import FakeBots
from tests.support.examples import examples
from tests.support.stores import put

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
LEASE = 1.5


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


class Workers:
    """A number of processes that share a store, and what they noted."""

    def __init__(self, portal: FakePortal, folder: Path) -> None:
        self.notes = folder / "notes.db"
        with contextlib.closing(sqlite3.connect(self.notes)) as db, db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE notes (pid INTEGER, dialog TEXT, what TEXT, phase TEXT)")
        settings = {
            "secret": portal.secret.to_dict(), "store": str(folder / "tokens.db"), "notes": str(self.notes),
            "hosts": sorted(portal.trusted_oauth_hosts), "lease": LEASE,
        }  # fmt: skip
        self._environment = {**os.environ, "SETTINGS": json.dumps(settings)}
        self.running: dict[int, Process] = {}

    async def start(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bots.fetching_worker", cwd=ROOT, env=self._environment
        )
        self.running[process.pid] = process

    async def kill(self, pid: int) -> None:
        process = self.running.pop(pid)
        process.kill()
        await process.wait()

    def noted(self) -> list[tuple[int, str, str, str]]:
        db = sqlite3.connect(self.notes, timeout=30)
        try:
            return db.execute("SELECT pid, dialog, what, phase FROM notes ORDER BY rowid").fetchall()
        finally:
            db.close()


async def test_killed_processes_lose_no_message_and_one_at_a_time_works(tmp_path: Path) -> None:
    chance = random.Random(20)
    portal = FakePortal(clock=time.time)
    bots, count = FakeBots(portal), itertools.count()
    said = defaultdict[str, list[str]](list)
    store = SQLiteStore(tmp_path / "tokens.db")
    async with portal.serve(), store:
        await put(store, portal.issue())
        workers = Workers(portal, tmp_path)
        try:
            for _ in range(2):
                await workers.start()
            await until(lambda: bool(bots._chats.bots))
            for _ in range(examples(5, 100)):
                before = len(workers.noted())
                # What waits is bounded, because a process that is killed soon answers little.
                for _ in range(max(5, 20 - len(missing(workers.noted(), said)))):
                    user = chance.randint(1, 4)
                    text = f"{next(count)}"
                    said[f"{user}"].append(text)
                    bots.say(text, user_id=user)
                await until(lambda before=before: len(workers.noted()) > before)  # type: ignore[misc]
                await asyncio.sleep(chance.uniform(0, 1.2))
                await workers.kill(workers.noted()[-1][0])
                await workers.start()
            await until(lambda: not missing(workers.noted(), said))
            await until(lambda: not bots.bot().queue)
        finally:
            for pid in list(workers.running):
                await workers.kill(pid)
        stored = await store.load_value(
            ValueKey(portal.secret.client_id, portal.member_id, f"bot:{bots.bot().id}:offset")
        )
        assert stored is not None
        assert int(stored.value) == bots.bot().last_event + 1
        noted = workers.noted()
        turns = [pid for pid, _ in itertools.groupby(noted, key=lambda one: one[0])]
        assert len(turns) == len(set(turns)), "two processes worked at the same time"
        assert len(turns) > 3
        for user, texts in said.items():
            begun = list(dict.fromkeys(what for _, dialog, what, phase in noted if (dialog, phase) == (user, "begin")))
            assert begun == texts, "the order within a dialog"
            assert set(bots.answers(user)) == set(texts)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.01)


def missing(noted: list[tuple[int, str, str, str]], said: dict[str, list[str]]) -> set[tuple[str, str]]:
    """The messages that were not answered yet."""
    done = {(dialog, what) for _, dialog, what, phase in noted if phase == "end"}
    return {(user, text) for user, texts in said.items() for text in texts} - done
