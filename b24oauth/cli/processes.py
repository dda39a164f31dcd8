"""`b24oauth demo --processes`: worker processes that share a store, and with it one renewal and one bucket."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from b24oauth.cli.report import Check, Report
from b24oauth.client import B24OAuth
from b24oauth.limits.params import RateLimitConfig, RestrictionParams
from b24oauth.models import B24OAuthSecret
from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakePortal

__all__ = ["run_processes", "work"]

BURST: Final = 50.0
RATE: Final = 20.0
# Calls of all workers together: a burst, and some seconds at the rate.
CALLS: Final = 120
_WORKER: Final = "from b24oauth.cli.processes import work; work()"


async def run_processes(report: Report, processes: int) -> bool:
    """Runs the demo of several processes.

    Args:
        report: Where it is shown.
        processes: How many workers are started.

    Returns:
        True when every check held.
    """
    portal = FakePortal(clock=time.time, burst=BURST, drain=RATE, refresh_latency=0.2)
    with tempfile.TemporaryDirectory(prefix="b24oauth-demo-") as folder:
        path = Path(folder) / "tokens.db"
        async with portal.serve() as served, SQLiteStore(path) as store:
            key = TokenKey(served.secret.client_id, served.member_id)
            await store.save(key, served.issue(expired=True), expected=None)
            report.step(f"A portal on {served.origin} that takes {BURST:.0f} requests at once and {RATE:.0f} a second")
            report.line(f"one store, {path.name}, with a token pair whose access token has expired")
            report.step(f"{processes} processes make {CALLS} calls together")
            job = _job(served, path, CALLS // processes)
            started = time.perf_counter()
            done = await asyncio.gather(*(_worker(job) for _ in range(processes)))
            seconds = time.perf_counter() - started
            wanted = CALLS // processes * processes
            for outcome in done:
                report.line(f"process {outcome['pid']}: {outcome['succeeded']} calls in {outcome['seconds']:.2f} s")
            succeeded, renewals = sum(outcome["succeeded"] for outcome in done), len(served.token_requests)
            report.check(Check("every call came through", succeeded == wanted, f"{succeeded} in {seconds:.2f} s"))
            report.check(Check("one renewal for all processes", renewals == 1, f"{renewals} token request"))
            refused = f"{served.refused} refusals"
            report.check(Check("one bucket for all processes: none refused", not served.refused, refused))
            held = await store.load(key)
            current = held is not None and held.params.expires > time.time()
            report.check(Check("the renewed pair is in the store", current, repr(store)))
    return report.summary()


def _job(portal: FakePortal, path: Path, calls: int) -> bytes:
    return json.dumps(
        {
            "path": str(path),
            "secret": portal.secret.to_dict(),
            "member_id": portal.member_id,
            "hosts": sorted(portal.trusted_oauth_hosts),
            "calls": calls,
        }
    ).encode()


async def _worker(job: bytes) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WORKER, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate(job)
    outcome: dict[str, Any] = json.loads(said or b'{"succeeded": 0, "seconds": 0}')
    return {"pid": process.pid, **outcome}


def work() -> None:
    """What a worker process does: it reads its job from the standard input and reports on the standard output."""
    job = json.load(sys.stdin)
    print(json.dumps(asyncio.run(_work(job))))


async def _work(job: dict[str, Any]) -> dict[str, Any]:
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=BURST, drain_rate=RATE))
    started = time.perf_counter()
    async with SQLiteStore(job["path"]) as store:
        b24 = await B24OAuth.from_store(
            store,
            B24OAuthSecret.from_dict(job["secret"]),
            member_id=job["member_id"],
            trusted_oauth_hosts=job["hosts"],
            restriction_params=limits,
        )
        async with b24:
            calls = (b24.call("profile") for _ in range(job["calls"]))
            results = await asyncio.gather(*calls, return_exceptions=True)
    succeeded = sum(not isinstance(result, BaseException) for result in results)
    return {"succeeded": succeeded, "seconds": time.perf_counter() - started}
