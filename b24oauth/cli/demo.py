"""`b24oauth demo`: the library against an embedded portal on loopback: an expired token, a small bucket, faults."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import stat
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from b24oauth.cli.processes import run_processes
from b24oauth.cli.report import Check, Report
from b24oauth.client import B24OAuth
from b24oauth.errors import AmbiguousResultError, SdkError
from b24oauth.limits.params import RateLimitConfig, RestrictionParams
from b24oauth.models import RefreshedAuth
from b24oauth.testing import FakePortal, faults

__all__ = ["demo", "run_demo"]

CALLS = 200
THROTTLED = 120
BURST, DRAIN = 20.0, 50.0
# The portal counts calls when they arrive: some come closer to the next ones than they were sent, while connections are
# made or the machine is busy. A client that leaves room is not refused for that.
HEADROOM = 10.0
# For the same reason it sends a little slower than the portal takes calls.
PACE = 40.0

SURVIVED: tuple[tuple[str, faults.Fault], ...] = (
    ("a slow answer", faults.latency(0.3)),
    ("a connection cut before the call", faults.drop_before()),
    ("a connection cut after the call", faults.drop_after()),
    ("502 with a page of HTML", faults.html(502)),
    ("200 with a page of HTML", faults.html(200)),
    ("JSON that ends in the middle", faults.truncated_json()),
    ("500 with a code", faults.status(500, error="SOMETHING_BROKE")),
    ("503, too many requests", faults.status(503, error="QUERY_LIMIT_EXCEEDED")),
    ("401, expired token", faults.status(401, error="expired_token")),
)


def demo(
    *, plain: bool = False, processes: Annotated[int | None, Parameter(validator=Number(gte=1, lte=32))] = None
) -> int:
    """Run 200 calls and a set of faults against an embedded portal.

    Args:
        plain: No colours.
        processes: Show so many processes that share one store instead.
    """
    importlib.import_module("uvicorn")  # the portal asks for it only when it is served
    report = Report(plain=plain)
    return 0 if asyncio.run(run_processes(report, processes) if processes else run_demo(report)) else 1


async def run_demo(report: Report) -> bool:
    """Runs the whole demo.

    Args:
        report: Where it is shown.

    Returns:
        True when every check held.
    """
    # Real time: the portal and the client stand on a real loopback socket here.
    portal = FakePortal(clock=time.time, rows={"crm.deal": 5000}, burst=BURST, drain=DRAIN, refresh_latency=0.2)
    with tempfile.TemporaryDirectory(prefix="b24oauth-demo-") as folder:
        async with portal.serve() as served:
            report.step(f"An embedded portal on {served.origin}, and a token pair whose access token has expired")
            await _storm(served, Path(folder) / "tokens.json", report)
            await _throttling(served, report)
            await _faults(served, report)
            await _lists(served, report)
            await _ambiguous(served, report)
            await _rename(served, report)
    return report.summary()


@asynccontextmanager
async def _client(
    portal: FakePortal, *, expired: bool = False, burst: float = BURST, drain: float = DRAIN, also_trusted: str = ""
) -> AsyncGenerator[B24OAuth]:
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=burst, drain_rate=drain), retry_delay=0.1)
    client = B24OAuth(
        portal.issue(expired=expired),
        portal.secret,
        restriction_params=limits,
        trusted_oauth_hosts=portal.trusted_oauth_hosts | {also_trusted},
    )
    async with client as b24:
        yield b24


async def _storm(portal: FakePortal, path: Path, report: Report) -> None:
    report.step(f"{CALLS} calls at once, half of them REST v2, half v3")
    calls_before_save = list[int]()

    def save(refreshed: RefreshedAuth) -> None:
        calls_before_save.append(portal.calls.total())
        text = json.dumps(refreshed.b24_oauth_params.to_dict())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    async with _client(portal, expired=True) as b24:
        b24.set_callback_refresh_auth(save)
        versions = (b24.actions.v2, b24.actions.v3)
        calls = (versions[n % 2].call.make("crm.deal.get", {"id": n + 1}) for n in range(CALLS))
        succeeded = await _successes(*calls)
        saved = json.loads(await asyncio.to_thread(path.read_text, encoding="utf-8"))
        current = b24.auth.get_params()
        renewals = len(portal.token_requests)
    report.line(f"the saved pair: {current}")
    report.check(Check("every call came through", succeeded == CALLS, f"{succeeded} of {CALLS}"))
    report.check(Check("one renewal for all of them", renewals == 1, f"{renewals} token request"))
    first = calls_before_save == [0] and saved == current.to_dict()
    mode = stat.S_IMODE((await asyncio.to_thread(path.stat)).st_mode)
    measured = f"{path.name}, mode {mode:o}, calls until then: {calls_before_save}"
    report.check(Check("the pair was saved before it was used", first, measured))


async def _successes(*calls: Awaitable[Any]) -> int:
    results = await asyncio.gather(*calls, return_exceptions=True)
    return sum(not isinstance(result, BaseException) and result.is_success for result in results)


async def _throttling(portal: FakePortal, report: Report) -> None:
    burst = BURST - HEADROOM
    report.step(
        f"The portal takes {BURST:.0f} requests at once and {DRAIN:.0f} a second; "
        f"the client sends {burst:.0f}, then {PACE:.0f} a second"
    )
    # Reset the portal's bucket, so that earlier calls do not affect this check.
    await asyncio.sleep(2 * BURST / DRAIN)
    refused, started = portal.refused, time.perf_counter()
    async with _client(portal, burst=burst, drain=PACE) as b24:
        succeeded = await _successes(*(b24.actions.v2.call.make("server.time") for _ in range(THROTTLED)))
    seconds, refusals = time.perf_counter() - started, portal.refused - refused
    best = (THROTTLED - burst) / PACE
    report.line(f"{THROTTLED} calls took {seconds:.2f} s; its limits allow {best:.2f} s at best")
    # How long it took depends on the machine as well.
    held = refusals == 0 and succeeded == THROTTLED
    measured = f"{succeeded} calls, {refusals} refusals, {seconds:.2f} s"
    report.check(Check("throttled: none refused, none lost", held, measured))


async def _faults(portal: FakePortal, report: Report) -> None:
    report.step("One fault of each kind, in the middle of a read")
    async with _client(portal) as b24:
        for name, fault in SURVIVED:
            portal.inject(fault, on="crm.deal.get")
            report.check(Check(f"survives {name}", *await _read(b24)))


async def _read(b24: B24OAuth) -> tuple[bool, str]:
    started = time.perf_counter()
    try:
        row: Any = (await b24.actions.v2.call.make("crm.deal.get", {"id": 7})).result
    except SdkError as error:
        return False, str(error)
    return row["ID"] == "7", f"{time.perf_counter() - started:.2f} s"


async def _lists(portal: FakePortal, report: Report) -> None:
    report.step("A list of 5,000 rows")
    before = len(portal.requests)
    async with _client(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("crm.deal.list", {"select": ["ID"]})).result
    in_order = [int(row["ID"]) for row in rows] == list(range(1, 5001))
    requests = len(portal.requests) - before
    report.check(Check("every row once, in order", in_order, f"{len(rows)} rows in {requests} requests"))


async def _ambiguous(portal: FakePortal, report: Report) -> None:
    report.step("A write whose answer is lost")
    before = portal.executed["crm.deal.add"]
    portal.inject(faults.drop_after(), on="crm.deal.add")
    async with _client(portal) as b24:
        try:
            await b24.actions.v2.call.make("crm.deal.add", {"fields": {"TITLE": "once"}})
        except AmbiguousResultError as error:
            said = type(error).__name__
        else:
            said = "nothing"
    runs = portal.executed["crm.deal.add"] - before
    report.check(Check("a write is never run twice", runs == 1 and said != "nothing", f"{runs} run, said {said}"))


async def _rename(portal: FakePortal, report: Report) -> None:
    report.step("The portal moves to another address")
    old = portal.origin
    # The same server under another name of the loopback.
    new = old.replace("127.0.0.1", "localhost")
    async with _client(portal, also_trusted=new.removeprefix("http://")) as b24:
        portal.rename(new)
        held, measured = await _read(b24)
        held = held and b24.get_target_origin() == new
    report.check(Check("follows a renamed portal", held, f"{measured}, {old} to {new}"))
