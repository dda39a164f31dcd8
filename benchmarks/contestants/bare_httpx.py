"""The same request by hand with httpx or httpx2."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from benchmarks.contestants.base import METHOD, Page, Target, at_once

__all__ = ["opened"]


class _Client:
    def __init__(self, http: Any, target: Target) -> None:
        self._http = http
        self._target = target

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        url, token = f"{self._target.endpoint}{METHOD}", self._target.token

        async def one(number: int) -> object:
            answer = await self._http.post(url, json={"id": number, "auth": token})
            return answer.raise_for_status().json()["result"]

        return await at_once(one, count, in_flight)

    def export(self) -> AsyncIterator[Page]:
        raise NotImplementedError


@asynccontextmanager
async def opened(target: Target, variant: str) -> AsyncGenerator[_Client]:
    """A client of the package that `variant` names."""
    package = importlib.import_module(variant)
    # The pool is waited for as long as it takes: 1,000 calls in flight share 100 connections.
    async with package.AsyncClient(timeout=package.Timeout(30, pool=None)) as http:
        yield _Client(http, target)
