"""A portal with bots, and a client of it, for tests of bots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from b24oauth import B24OAuth
from b24oauth.bots import Bot
from b24oauth.stores import MemoryStore
from b24oauth.testing.bots import FakeBots
from tests.support.clients import connected, fake_portal
from tests.support.stores import put


class Desk:
    """A fake portal that plays `imbot.v2`, and a client of it."""

    def __init__(self, portal: Any, bots: FakeBots, b24: B24OAuth, store: MemoryStore) -> None:
        self.portal, self.bots, self.b24, self.store = portal, bots, b24, store

    def calls(self, method: str) -> int:
        return int(self.portal.calls[f"imbot.v2.{method}".lower()])

    @asynccontextmanager
    async def running(self, bot: Bot, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
        """The bot fetches in a task, until the block ends; then it is asked to stop."""
        stop = asyncio.Event()
        task = asyncio.create_task(bot.run(self.b24, stop=stop, **options))
        try:
            await asyncio.sleep(0.1)
            yield task
        finally:
            stop.set()
            await task


@asynccontextmanager
async def desk(*, rate: int | None = None, portal: Any = None, **options: Any) -> AsyncIterator[Desk]:
    portal = portal or fake_portal()
    bots, store = FakeBots(portal, rate=rate), MemoryStore()
    pair = portal.issue()
    await put(store, pair)
    async with connected(portal, pair, token_store=store, **options) as b24:
        yield Desk(portal, bots, b24, store)
