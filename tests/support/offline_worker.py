"""Worker processes that read offline events, and a journal of what they do."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import attrs

from b24oauth import B24OAuth, B24OAuthSecret, RateLimitConfig, RestrictionParams
from b24oauth.apps import B24App, run_portals
from b24oauth.stores import SQLiteStore
from tests.support.worker import serve


@attrs.frozen
class OfflineJob:
    """What a worker does until it gets SIGTERM: it processes events, `pace` seconds each."""

    store: str
    journal: str
    secret: dict[str, str]
    hosts: list[str]
    lease: float = 1.0
    concurrency: int = 10
    limit: int = 10
    pace: float = 0.0
    drain: float = 10.0
    burst: float = 1e6
    rate: float = 1e6


@attrs.frozen
class Entry:
    """A line of the journal: a worker begins or ends an event of a portal."""

    what: str
    pid: int
    time: float
    portal: str
    event: str


def read_journal(path: str | Path) -> list[Entry]:
    lines = Path(path).read_text().splitlines() if Path(path).exists() else []
    parts = [line.split() for line in lines]
    return [Entry(what, int(pid), float(at), portal, event) for what, pid, at, portal, event in parts]


async def work(job: OfflineJob) -> dict[str, Any]:
    journal = os.open(job.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    errors: list[str] = []

    def note(what: str, portal: str, event: str) -> None:
        # One short write is not mixed with those of the other processes.
        os.write(journal, f"{what} {os.getpid()} {time.time():.6f} {portal} {event}\n".encode())

    app = B24App(
        B24OAuthSecret.from_dict(job.secret),
        SQLiteStore(job.store),
        trusted_oauth_hosts=job.hosts,
        transport="aiohttp",
        restriction_params=RestrictionParams(
            rate_limit=RateLimitConfig(burst_limit=job.burst, drain_rate=job.rate), max_retries=10
        ),
    )

    async def consume(b24: B24OAuth) -> None:
        portal = b24.auth.get_params().member_id
        async for batch in app.offline_events(portal, limit=job.limit, lease=job.lease):
            for event in batch:
                note("begin", portal, event.object_id)
                await asyncio.sleep(job.pace)
                note("end", portal, event.object_id)

    async with app:
        await run_portals(
            app,
            consume,
            name="storm",
            poll=0.3,
            lease=job.lease,
            concurrency=job.concurrency,
            drain=job.drain,
            on_error=lambda error, member_id: errors.append(f"{member_id}: {error}"),
        )
    os.close(journal)
    return {"errors": errors}


if __name__ == "__main__":
    serve(OfflineJob, work)
