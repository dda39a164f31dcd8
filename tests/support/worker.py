"""Worker processes that share a store. The script forks a process for each line that it reads.

A process that was forked is as one that was started, without the second that importing takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from b24oauth import B24OAuth, B24OAuthParams, B24OAuthSecret, RateLimitConfig, RestrictionParams, SdkError
from b24oauth.limits.redis import RedisRestrictionManager
from b24oauth.oauth import keeper, leasing
from b24oauth.stores import EncryptedStore, FileStore, RedisStore, SQLAlchemyStore, SQLiteStore


def opened(spec: str) -> Any:
    """The store of a specification: its kind, and where it is."""
    kind, _, place = spec.partition(" ")
    match kind:
        case "file":
            return FileStore(place)
        case "sqlite":
            return SQLiteStore(place)
        case "redis":
            return RedisStore(place)
        case "postgresql":
            return SQLAlchemyStore(place)
        case _:
            path, key = place.split(" ")
            return EncryptedStore(SQLiteStore(path), [key])


@attrs.frozen
class Job:
    """What a worker does with a client of its own: a number of calls at once, or calls for some seconds.

    `limits` is the URL of a Redis server; without one the limits are those of the store.
    """

    store: str
    secret: dict[str, str]
    member_id: str
    hosts: list[str]
    calls: int = 1
    lease: float = 15.0
    seconds: float = 0.0
    starts_at: float = 0.0
    burst: float = 1e6
    rate: float = 1e6
    limits: str = ""


async def work(job: Job) -> dict[str, Any]:
    keeper.LEASE_SECONDS, leasing.EXTEND_EVERY = job.lease, job.lease / 3
    store = opened(job.store)
    config = RateLimitConfig(burst_limit=job.burst, drain_rate=job.rate)
    params = RestrictionParams(rate_limit=config, max_retries=10)
    limits: Any = {"restriction_params": params}
    if job.limits:
        limits = {"restriction_manager": RedisRestrictionManager(job.limits, job.member_id, params)}
    b24 = await B24OAuth.from_store(
        store,
        B24OAuthSecret.from_dict(job.secret),
        member_id=job.member_id,
        trusted_oauth_hosts=job.hosts,
        transport="aiohttp",
        **limits,
    )
    if job.seconds:
        await b24.call("profile")  # opens the connections
        await asyncio.sleep(job.starts_at - time.time())
    began = time.time()
    loop = asyncio.get_running_loop()
    end, results, longest_stall = loop.time() + job.seconds, list[Any](), 0.0

    ended_at: list[float] = []

    async def call() -> None:
        while not results or loop.time() < end:
            try:
                results.append(await b24.call("profile"))
                ended_at.append(time.time())
            except SdkError as error:
                results.append(error)
            if not job.seconds:
                return

    async def watch() -> None:
        nonlocal longest_stall
        while True:
            before = loop.time()
            await asyncio.sleep(0.01)
            longest_stall = max(longest_stall, loop.time() - before - 0.01)

    async with b24:
        watching = asyncio.create_task(watch())
        await asyncio.gather(*(call() for _ in range(job.calls)))
        watching.cancel()
        ended = time.time()
    if limits.get("restriction_manager"):
        await limits["restriction_manager"].aclose()
    await store.aclose()
    failed = sorted({f"{type(result).__name__}: {result}" for result in results if isinstance(result, BaseException)})
    return {
        "succeeded": sum(isinstance(result, dict) for result in results),
        "failed": failed,
        "stall": longest_stall,
        "began": began,
        "after_burst": sum(began + 2 < at < began + job.seconds for at in ended_at),
        "ended": ended,
    }


def report(**said: Any) -> None:
    # One write is not mixed with those of the other processes.
    os.write(1, (json.dumps({"pid": os.getpid(), **said}) + "\n").encode())


async def warm_up() -> None:
    """Loads what a client loads when it is first used."""
    nobody = "http://127.0.0.1:9/rest/"
    params = B24OAuthParams(
        access_token="a", refresh_token="r", expires=2**31, client_endpoint=nobody, server_endpoint=nobody
    )
    secret = B24OAuthSecret(client_id="app", client_secret="secret")
    hosts = ["127.0.0.1:9"]
    async with B24OAuth(params, secret, transport="aiohttp", trusted_oauth_hosts=hosts) as b24:
        with contextlib.suppress(SdkError):
            await b24.with_options(max_attempts=1).call("profile")


def serve(job_type: Callable[..., Any], work: Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]) -> None:
    """Forks a process for each job."""
    asyncio.run(warm_up())
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            report(event="started")
            try:
                report(event="done", **asyncio.run(work(job_type(**json.loads(line)))))
            except BaseException as error:  # noqa: BLE001 - the test shows it
                report(event="done", succeeded=0, failed=[f"{type(error).__name__}: {error}"])
            os._exit(0)


if __name__ == "__main__":
    serve(Job, work)
