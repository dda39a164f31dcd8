"""What a contestant is, and the list of them. Their own packages are imported only in their own processes."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, Self
from urllib.parse import urlsplit

import attrs

__all__ = ["CONTESTANTS", "METHOD", "Client", "Contestant", "Page", "Target", "at_once", "chained_pages", "raise_first"]

METHOD = "crm.deal.get"
LIST_METHOD = "crm.deal.list"
PAGE = 50
COMMANDS = 50

Page = Sequence[Mapping[str, Any]]


@attrs.frozen(kw_only=True)
class Target:
    """The portal as a client needs to know it, and the limits that the client shall set itself.

    Attributes:
        params: A token pair and endpoints.
        secret: The application's credentials.
        hosts: OAuth servers to trust.
        burst: Requests that the client may send at once; None: as many as it likes.
        drain: Requests a second after those.
    """

    params: Mapping[str, Any]
    secret: Mapping[str, Any]
    hosts: Sequence[str]
    burst: float | None = None
    drain: float | None = None

    @property
    def endpoint(self) -> str:
        """The REST root of the portal."""
        return str(self.params["client_endpoint"])

    @property
    def token(self) -> str:
        """The access token."""
        return str(self.params["access_token"])

    def at(self, origin: str) -> Self:
        """The same portal at another address, as a client sees a portal of its own."""
        host = urlsplit(origin).netloc
        params = {**self.params, "client_endpoint": f"{origin}/rest/", "domain": host}
        return attrs.evolve(self, params=params, hosts=(*self.hosts, host))


class Client(Protocol):
    """A client that is open; what it cannot do raises NotImplementedError."""

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        """Calls `crm.deal.get` so often; the failures."""
        ...

    def export(self) -> AsyncIterator[Page]:
        """All deals, as they come."""
        ...


@attrs.frozen
class Contestant:
    """Who is measured.

    Attributes:
        name: As the tables say it.
        module: The file in this folder.
        variant: Which way of that file.
        requires: The package whose absence leaves the row empty.
    """

    name: str
    module: str
    variant: str = ""
    requires: str | None = None

    def opened(self, target: Target) -> AbstractAsyncContextManager[Client]:
        """Opens a new client."""
        opened: AbstractAsyncContextManager[Client] = self._load().opened(target, self.variant)
        return opened

    def many(self, targets: Sequence[Target], *, shared: bool) -> AbstractAsyncContextManager[Sequence[Client]]:
        """Opens a client for each portal, with connections of its own or with one set of connections for all."""
        opened: AbstractAsyncContextManager[Sequence[Client]] = self._load().many(targets, self.variant, shared=shared)
        return opened

    async def objects(self, target: Target, count: int) -> dict[str, Any]:
        """Creates so many clients; CPU seconds and bytes of all of them."""
        cost: dict[str, Any] = await self._load().objects(target, count)
        return cost

    async def portals(self, target: Target, count: int, calls: int, *, at_a_time: int) -> dict[str, Any]:
        """Makes calls to many portals; bytes of all of the clients."""
        cost: dict[str, Any] = await self._load().portals(target, self.variant, count, calls, at_a_time=at_a_time)
        return cost

    def _load(self) -> Any:
        return importlib.import_module(f"benchmarks.contestants.{self.module}")


CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant("bare sockets", "bare_sockets"),
        Contestant("bare aiohttp", "bare_aiohttp", "chained", "aiohttp"),
        Contestant("bare aiohttp, by start", "bare_aiohttp", "by start", "aiohttp"),
        Contestant("bare httpx", "bare_httpx", "httpx"),
        Contestant("bare httpx2", "bare_httpx", "httpx2", "httpx2"),
        Contestant("b24oauth", "b24", "httpx"),
        Contestant("b24oauth[httpx2]", "b24", "httpx2", "httpx2"),
        Contestant("b24oauth[speed]", "b24", "aiohttp", "aiohttp"),
        Contestant("b24jssdk", "peers.mjs"),
        Contestant("fast_bitrix24", "fast_bitrix", "", "fast_bitrix24"),
        Contestant("b24pysdk", "b24py", "", "b24pysdk"),
    )
}


async def at_once(call: Callable[[int], Awaitable[object]], count: int, in_flight: int) -> list[Exception]:
    """Makes `count` calls with ids from 1, `in_flight` of them at any time.

    Args:
        call: One call; raises when it fails.
        count: How many.
        in_flight: How many at a time.

    Returns:
        What the failed ones raised.
    """
    numbers = iter(range(1, count + 1))
    failures: list[Exception] = []

    async def worker() -> None:
        for number in numbers:
            try:
                await call(number)
            except Exception as error:  # noqa: BLE001 - whatever a peer raises is a failed call of the table
                failures.append(error)

    await asyncio.gather(*(worker() for _ in range(in_flight)))
    return failures


def raise_first(failures: Sequence[Exception]) -> None:
    """Raises the first failure, if there is one."""
    if failures:
        raise failures[0]


def chained_pages(after: int) -> list[str]:
    """The commands of a batch of 50 pages, each beginning behind the last row of the one before."""
    commands = [_command(str(after))]
    commands += [_command(f"$result[{number - 1}][{PAGE - 1}][ID]") for number in range(1, COMMANDS)]
    return commands


def _command(after: str) -> str:
    return f"{LIST_METHOD}?order[ID]=ASC&filter[>ID]={after}&start=-1"
