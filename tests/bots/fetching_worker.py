"""A process that fetches the events of a bot until it is killed, run as a script by `test_killed`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
from typing import Any

from b24oauth import B24OAuthSecret, B24Portals
from b24oauth.bots import Bot, Message, bot, fetching
from b24oauth.stores import SQLiteStore
from tests.support.clients import UNLIMITED

settings: dict[str, Any] = json.loads(os.environ["SETTINGS"])
bot._SHORTEST_POLL = fetching.MORE_AFTER = 0.05  # type: ignore[misc]
notes = sqlite3.connect(settings["notes"], timeout=30, isolation_level=None)
echo = Bot("echo", name="Echo", concurrency=5)


def note(dialog: str, what: str, phase: str) -> None:
    notes.execute("INSERT INTO notes VALUES (?, ?, ?, ?)", (os.getpid(), dialog, what, phase))


@echo.message
async def answer(message: Message) -> None:
    note(message.dialog_id, message.text, "begin")
    await asyncio.sleep(random.uniform(0.02, 0.2))
    await message.answer(message.text)
    note(message.dialog_id, message.text, "end")


async def main() -> None:
    async with B24Portals(
        B24OAuthSecret.from_dict(settings["secret"]),
        SQLiteStore(settings["store"]),
        trusted_oauth_hosts=settings["hosts"],
        restriction_params=UNLIMITED,
        transport="aiohttp",
    ) as portals:
        await echo.run_portals(portals, poll=0.05, lease=settings["lease"])


asyncio.run(main())
