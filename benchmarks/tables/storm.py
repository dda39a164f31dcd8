"""150 calls at once against a bucket of 50 and 2/s, in virtual time: set right and set to twice, v2 alone and mixed."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import httpx

from b24oauth import B24OAuth, RateLimitConfig, RestrictionParams
from b24oauth.testing import FakePortal, RequestRecord, VirtualClock, run_virtual
from benchmarks.contestants.base import METHOD
from benchmarks.pictures import Point, line_chart
from benchmarks.samples import Check, Section

__all__ = ["storms"]

CALLS, BURST, DRAIN, LATENCY = 150, 50, 2, 0.05
RIGHT, TWICE = (50.0, 2.0), (100.0, 4.0)
CASES = {
    "set right, v2": (RIGHT, False),
    "set right, v2 and v3": (RIGHT, True),
    "set to twice, v2": (TWICE, False),
    "set to twice, v2 and v3": (TWICE, True),
}


@attrs.frozen(kw_only=True)
class Storm:
    """How one storm went.

    Attributes:
        refused: Requests refused with 503.
        failed: Calls that did not succeed.
        seconds: Virtual time until the last call was done.
        records: All requests, with their times.
    """

    refused: int
    failed: int
    seconds: float
    records: list[RequestRecord]


async def _storm(limit: tuple[float, float], *, mixed: bool) -> Storm:
    portal = FakePortal(clock=VirtualClock(), burst=BURST, drain=DRAIN, latency=LATENCY)
    params = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=limit[0], drain_rate=limit[1]))
    async with (
        httpx.AsyncClient(transport=portal.transport()) as http,
        B24OAuth(
            portal.issue(), portal.secret, http_client=http, restriction_params=params, clock=portal.clock.now
        ) as b24,
    ):
        apis = [b24.actions.v2.call, b24.actions.v3.call if mixed else b24.actions.v2.call]
        calls = [apis[number % 2].make(METHOD, {"id": number % 100 + 1}) for number in range(CALLS)]
        done: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        seconds = portal.clock.elapsed
    failed = sum(isinstance(result, BaseException) or not result.is_success for result in done)
    return Storm(refused=portal.refused, failed=failed, seconds=seconds, records=portal.requests)


def storms() -> Section:
    """All four cases; the figures are the same in every run, since no real time passes."""
    found = {name: run_virtual(_storm(limit, mixed=mixed)) for name, (limit, mixed) in CASES.items()}
    return Section(
        key="storm",
        title=f"{CALLS} calls at once, portal X={BURST} Y={DRAIN}, virtual time",
        columns=("client's limiter", "503s", "failed calls", "seconds"),
        rows=[
            [name, str(storm.refused), str(storm.failed), f"{storm.seconds:.1f}"] for name, storm in found.items()
        ],
        notes=[f"The bucket asks for {(CALLS - BURST) / DRAIN:.0f} s. Answers take {LATENCY * 1000:.0f} ms."],
        checks=[check for name, storm in found.items() for check in _checks(name, storm)],
        data={
            name: {"refused": storm.refused, "failed": storm.failed, "seconds": storm.seconds}
            for name, storm in found.items()
        },
        pictures={"bucket.svg": _picture(found)},
    )  # fmt: skip


def _checks(name: str, storm: Storm) -> list[Check]:
    most_refused, most_seconds = (0, 51.0) if name.startswith("set right") else (12, 60.0)
    return [
        Check(what=f"{name}: 503s", value=storm.refused, bound=most_refused),
        Check(what=f"{name}: failed calls", value=storm.failed, bound=0),
        Check(what=f"{name}: virtual seconds", value=storm.seconds, bound=most_seconds),
    ]


def _picture(found: dict[str, Storm]) -> str:
    last = max(storm.seconds for storm in found.values())
    full = (CALLS - BURST) / DRAIN
    lines: dict[str, list[Point]] = {"room in the bucket": [(0, BURST), (full, CALLS), (last, CALLS)]}
    for name in ("set right, v2", "set to twice, v2"):
        lines[f"sent, {name}"] = _cumulative(found[name].records)
    refused = [record for record in found["set to twice, v2"].records if record.status == 503]
    if refused:
        lines["refused, set to twice, v2"] = _cumulative(refused)
    return line_chart(
        f"Requests over time against the bucket (X={BURST} Y={DRAIN})",
        lines,
        x_label="virtual seconds",
        y_label="requests so far",
        dashed=frozenset({"room in the bucket"}),
        dots=False,
    )


def _cumulative(records: list[RequestRecord]) -> list[Point]:
    start = VirtualClock().base
    times = sorted(record.time - start for record in records)
    steps = [((time, number), (time, number + 1)) for number, time in enumerate(times)]
    return [point for step in steps for point in step]
