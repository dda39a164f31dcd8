"""fast_bitrix24: `call(raw=True)` in a session of its own, and `get_all`, whose rows come in no order.

Without `raw` it loses calls that start while about 50 are in flight, so it is not measured that way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from fast_bitrix24 import BitrixAsync

from benchmarks.contestants.base import LIST_METHOD, METHOD, Page, Target, at_once

__all__ = ["opened"]


class _Client:
    def __init__(self, bitrix: BitrixAsync) -> None:
        self._bitrix = bitrix

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        async def one(number: int) -> object:
            answer = await self._bitrix.call(METHOD, {"id": number}, raw=True)
            if not answer:
                raise LookupError("no answer and no error")
            return answer

        return await at_once(one, count, in_flight)

    async def export(self) -> AsyncIterator[Page]:
        yield await self._bitrix.get_all(LIST_METHOD)


@asynccontextmanager
async def opened(target: Target, _: str) -> AsyncGenerator[_Client]:
    """A client in a session of its own, so that connections are kept between calls."""

    async def token() -> str:
        return target.token

    async with aiohttp.ClientSession(raise_for_status=True) as session:
        yield _Client(
            BitrixAsync(
                target.endpoint,
                token_func=token,
                verbose=False,
                request_pool_size=10**9 if target.burst is None else int(target.burst),
                requests_per_second=1e9 if target.drain is None else float(target.drain),
                client=session,
            )
        )
