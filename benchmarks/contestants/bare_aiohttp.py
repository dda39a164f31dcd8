"""The same requests by hand with aiohttp: calls, and an export in batches, chained or all at once by `start`.

It sets itself no limit: no export here has more requests than the bucket takes at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp

from benchmarks.contestants.base import COMMANDS, LIST_METHOD, METHOD, PAGE, Page, Target, at_once, chained_pages

__all__ = ["many", "opened"]


class _Client:
    def __init__(self, session: aiohttp.ClientSession, target: Target, variant: str) -> None:
        self._session = session
        self._target = target
        self._variant = variant

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        return await at_once(lambda number: self._post(METHOD, {"id": number}), count, in_flight)

    async def export(self) -> AsyncIterator[Page]:
        pages = self._chained() if self._variant == "chained" else self._by_start()
        async for page in pages:
            yield page

    async def _post(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = {**params, "auth": self._target.token}
        async with self._session.post(self._target.endpoint + method, json=body) as answer:
            answer.raise_for_status()
            payload: dict[str, Any] = await answer.json()
            return payload

    async def _batch(self, commands: list[str]) -> list[Page]:
        pages: list[Page] = (await self._post("batch", {"halt": 1, "cmd": commands}))["result"]["result"]
        return pages

    async def _chained(self) -> AsyncIterator[Page]:
        after = 0
        while True:
            for page in await self._batch(chained_pages(after)):
                if page:
                    yield page
                if len(page) < PAGE:
                    return
                after = int(page[-1]["ID"])

    async def _by_start(self) -> AsyncIterator[Page]:
        """Needs the total first, and rows that nobody adds or removes meanwhile."""
        total = (await self._post(LIST_METHOD, {"order": {"ID": "ASC"}}))["total"]
        commands = [f"{LIST_METHOD}?order[ID]=ASC&start={start}" for start in range(0, total, PAGE)]
        batches = [commands[start : start + COMMANDS] for start in range(0, len(commands), COMMANDS)]
        for pages in await asyncio.gather(*map(self._batch, batches)):
            for page in pages:
                yield page


@asynccontextmanager
async def opened(target: Target, variant: str) -> AsyncGenerator[_Client]:
    """An aiohttp session; `variant` is how it exports."""
    async with aiohttp.ClientSession() as session:
        yield _Client(session, target, variant)


@asynccontextmanager
async def many(targets: Sequence[Target], variant: str, *, shared: bool) -> AsyncGenerator[Sequence[_Client]]:
    """A client for each portal, over one session or each over its own."""
    async with AsyncExitStack() as stack:
        # By default a session opens 100 connections at most.
        sessions = [
            await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
            for _ in range(1 if shared else len(targets))
        ]
        yield [_Client(sessions[0 if shared else number], target, variant) for number, target in enumerate(targets)]
