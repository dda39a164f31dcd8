"""b24pysdk: synchronous, so as many threads as calls in flight; a connection a call; no limiter.

It only speaks https; for loopback it is turned to http, which spares it a TLS handshake a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from b24pysdk import BitrixApp, BitrixToken
from b24pysdk.api.callers import call_method

from benchmarks.contestants.base import LIST_METHOD, METHOD, Page, Target

__all__ = ["opened"]


class _Client:
    def __init__(self, token: BitrixToken) -> None:
        self._token = token

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        with ThreadPoolExecutor(in_flight) as threads:
            loop = asyncio.get_running_loop()
            done = [loop.run_in_executor(threads, self._call, number) for number in range(1, count + 1)]
            results = await asyncio.gather(*done, return_exceptions=True)
        return [result for result in results if isinstance(result, Exception)]

    def _call(self, number: int) -> object:
        return self._token.call_method(METHOD, {"id": number})["result"]

    async def export(self) -> AsyncIterator[Page]:
        for row in self._token.call_list_fast(LIST_METHOD)["result"]:
            yield [row]


def _speak_http() -> None:
    caller = call_method.__globals__["_MethodCaller"]
    caller._base_url = property(lambda self: f"http://{self._domain}/rest")  # noqa: SLF001 - there is no other way in


@asynccontextmanager
async def opened(target: Target, _: str) -> AsyncGenerator[_Client]:
    """A token of an application; connections are opened by each call."""
    _speak_http()
    app = BitrixApp(client_id=target.secret["client_id"], client_secret=target.secret["client_secret"])
    yield _Client(
        BitrixToken(
            domain=urlsplit(target.endpoint).netloc,
            auth_token=target.token,
            refresh_token=target.params["refresh_token"],
            bitrix_app=app,
        )
    )
