"""b24oauth itself, over httpx, httpx2 and aiohttp."""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Literal

import attrs
import httpx

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret, B24Portals, RateLimitConfig, RestrictionParams
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.wire import Wire
from benchmarks.contestants.base import LIST_METHOD, METHOD, Page, Target, at_once, raise_first

__all__ = ["many", "objects", "opened", "portals"]

# More requests of one list at a time than any bucket lets through at once.
CONCURRENCY = 10

Variant = Literal["httpx", "httpx2", "aiohttp"]


class _Client:
    def __init__(self, b24: B24OAuth) -> None:
        self._b24 = b24

    async def calls(self, count: int, in_flight: int) -> list[Exception]:
        call = self._b24.actions.v2.call

        async def one(number: int) -> object:
            return (await call.make(METHOD, {"id": number})).result

        return await at_once(one, count, in_flight)

    def export(self) -> AsyncIterator[Page]:
        return self._b24.actions.v2.fetch_list.make(LIST_METHOD, concurrency=CONCURRENCY)


def restrictions(target: Target) -> RestrictionParams:
    """The limits that the benchmark asks for; where it asks for none, ones that are never reached."""
    burst = 1e9 if target.burst is None else target.burst
    drain = 1e9 if target.drain is None else target.drain
    return RestrictionParams(rate_limit=RateLimitConfig(burst_limit=burst, drain_rate=drain))


def created(target: Target, **connections: Any) -> B24OAuth:
    """A client of the portal; `connections` are its transport or the wire that it shares."""
    return B24OAuth(
        B24OAuthParams.from_dict(target.params),
        B24OAuthSecret.from_dict(target.secret),
        restriction_params=restrictions(target),
        trusted_oauth_hosts=target.hosts,
        **connections,
    )


@asynccontextmanager
async def opened(target: Target, variant: Variant) -> AsyncGenerator[_Client]:
    """A client over the transport that `variant` names."""
    async with created(target, transport=variant) as b24:
        yield _Client(b24)


@asynccontextmanager
async def many(targets: Sequence[Target], variant: Variant, *, shared: bool) -> AsyncGenerator[Sequence[_Client]]:
    """A client for each portal; all of them share one wire, or each has connections of its own."""
    async with AsyncExitStack() as stack:
        connections: dict[str, Any] = {"transport": variant}
        if shared:
            connections = {"wire": await stack.enter_async_context(Wire(transport=variant))}
        yield [_Client(await stack.enter_async_context(created(target, **connections))) for target in targets]


async def objects(target: Target, count: int) -> dict[str, Any]:
    """Creates `count` clients on one HTTP client: once timed, once with every allocation counted.

    Returns:
        `cpu` in seconds and `heap` in bytes, both for all of them.
    """
    params, secret = B24OAuthParams.from_dict(target.params), B24OAuthSecret.from_dict(target.secret)
    async with httpx.AsyncClient() as http:

        def create() -> list[B24OAuth]:
            return [B24OAuth(params, secret, http_client=http, trusted_oauth_hosts=target.hosts) for _ in range(count)]

        kept = create()
        gc.collect()
        cpu = time.process_time()
        kept = create()
        cpu = time.process_time() - cpu
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        kept = create()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return {"cpu": cpu, "heap": after - before, "kept": len(kept)}


async def portals(target: Target, variant: Variant, count: int, calls: int, *, at_a_time: int) -> dict[str, Any]:
    """Calls each of `count` portals, all of which are at one address, `at_a_time` of them at a time.

    Without calls it returns `heap`, the bytes that the clients keep: counting them takes time.
    """
    params, secret = B24OAuthParams.from_dict(target.params), B24OAuthSecret.from_dict(target.secret)
    store = MemoryStore()
    for number in range(count):
        pair = attrs.evolve(params, member_id=f"portal-{number}")
        await store.save(TokenKey(secret.client_id, pair.member_id), pair, expected=None)
    limits, hosts = restrictions(target), target.hosts

    async def work(b24: B24OAuth) -> None:
        await asyncio.gather(*(b24.call(METHOD, {"id": 1}) for _ in range(calls)))

    options: Any = {"restriction_params": limits, "trusted_oauth_hosts": hosts, "transport": variant}
    async with B24Portals(secret, store, max_portals=count, **options) as found:
        if not calls:
            tracemalloc.start()
            kept = [await found.get(f"portal-{number}") for number in range(count)]
            heap, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return {"heap": heap, "kept": len(kept)}
        outcomes = await found.for_each(work, concurrency=at_a_time)
        raise_first([outcome.error for outcome in outcomes.values() if outcome.error is not None])
        return {}
