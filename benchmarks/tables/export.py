"""Reading whole lists: 20,000 sparse rows under the bucket, with and without slow commands, and a million rows."""

from __future__ import annotations

import random
import sys
from functools import partial
from typing import Any

import attrs

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import JobError, Worker, Workers

__all__ = ["exports", "million_rows"]

BURST, DRAIN, LATENCY = 50, 20, 0.05
ROWS = 20_000
FAST = ("b24oauth", "b24oauth[speed]", "bare aiohttp", "bare aiohttp, by start", "fast_bitrix24", "b24pysdk")
# Those who take many seconds run once.
ONCE = {0.0: ("b24jssdk",), 0.02: ("b24pysdk", "bare aiohttp")}
LEAST = {0.0: 45_000, 0.02: 15_000}


@attrs.define(eq=False)
class _Figures:
    speed: Samples = attrs.field(factory=Samples)
    wall: Samples = attrs.field(factory=Samples)
    cpu: Samples = attrs.field(factory=Samples)
    portal: Samples = attrs.field(factory=Samples)
    requests: Samples = attrs.field(factory=Samples)
    refused: Samples = attrs.field(factory=Samples)
    ordered: dict[str, bool] = attrs.field(factory=dict[str, bool])
    memory: dict[str, float] = attrs.field(factory=dict[str, float])

    def add(self, name: str, answer: dict[str, Any], portal: ServedPortal, rows: int) -> None:
        use = portal.use()
        if answer["rows"] != rows:
            raise JobError(f"read {answer['rows']} of {rows} rows")
        self.speed.add(name, rows / answer["wall"])
        self.wall.add(name, answer["wall"])
        self.cpu.add(name, answer["cpu"])
        self.portal.add(name, use.cpu)
        # The first one was the call that opened the client.
        self.requests.add(name, use.requests - 1)
        self.refused.add(name, use.refused)
        self.ordered[name] = answer["in_order"]
        self.memory[name] = answer["rss_kb"] / 1024

    def data(self) -> dict[str, Any]:
        return {
            "rows_per_second": self.speed.values,
            "wall_s": self.wall.values,
            "cpu_s": self.cpu.values,
            "portal_cpu_s": self.portal.values,
            "requests": self.requests.values,
            "refused": self.refused.values,
            "in_order": self.ordered,
            "peak_rss_mb": self.memory,
        }


def sparse_ids(count: int) -> list[int]:
    """Ids with gaps, the same in every run."""
    # The call that opens a client asks for the first deal.
    return [1, *sorted(random.Random(24).sample(range(2, count * 5), count - 1))]


def exports(portal: ServedPortal, workers: Workers, setup: Setup, *, command_latency: float) -> Section:
    """Everybody reads the same 20,000 deals; where each command of a batch takes longer, too."""
    figures, once = _Figures(), ONCE[command_latency]
    often = tuple(name for name in FAST if name not in once)
    for number in range(1 if setup.quick and command_latency else setup.rounds):
        asked = often if number or setup.quick else (*often, *once)
        workers.each(asked, partial(_ask, portal, figures, command_latency))
    rows = [_row(name, figures) for name in dict.fromkeys((*FAST, *once)) if name in figures.ordered]
    rows += [[name, why, *[""] * 6] for name, why in workers.missing.items() if name in (*FAST, *once)]
    slow = f", {command_latency * 1000:.0f} ms a command" if command_latency else ""
    return Section(
        key="export" if not command_latency else "export_slow_commands",
        title=f"Export of {ROWS:,} sparse rows of `crm.deal.list`, X={BURST} Y={DRAIN}, {LATENCY * 1000:.0f} ms{slow}",
        columns=(
            "client", "rows/s", "wall s", "requests", "503s", "CPU s", "portal's CPU s", "in order", "peak RSS MB",
        ),
        rows=rows,
        notes=[f"{', '.join(once)}: one round."] if set(once) & set(figures.ordered) else [],
        checks=_checks(figures, command_latency),
        data=figures.data(),
    )  # fmt: skip


def _ask(portal: ServedPortal, figures: _Figures, command_latency: float, worker: Worker) -> None:
    facts = portal.open(
        ids=sparse_ids(ROWS), burst=BURST, drain=DRAIN, latency=LATENCY, command_latency=command_latency
    )
    answer = worker.ask("export", target=facts | {"burst": BURST, "drain": DRAIN})
    figures.add(worker.name, answer, portal, ROWS)


def _row(name: str, figures: _Figures) -> list[str]:
    return [
        name,
        figures.speed.shown(name, 0),
        figures.wall.shown(name, 2),
        f"{figures.requests.median(name):,.0f}",
        f"{figures.refused.median(name):,.0f}",
        f"{figures.cpu.median(name):.2f}",
        f"{figures.portal.median(name):.3f}",
        "yes" if figures.ordered[name] else "no",
        f"{figures.memory[name]:,.0f}",
    ]


def _checks(figures: _Figures, command_latency: float) -> list[Check]:
    slow = f", {command_latency * 1000:.0f} ms a command" if command_latency else ""
    checks: list[Check] = []
    for name in ("b24oauth", "b24oauth[speed]"):
        known = name in figures.ordered
        rows = f"{name}: rows/s of {ROWS:,} in order{slow}"
        speed = (figures.speed.median(name) if figures.ordered[name] else 0) if known else None
        checks.append(Check(what=rows, value=speed, bound=LEAST[command_latency], most=False))
        refused = max(figures.refused.values[name]) if known else None
        checks.append(Check(what=f"{name}: 503s{slow}", value=refused, bound=0))
    return checks


def million_rows(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """CPU per row where nothing but the client's work counts: no latency, no limits."""
    count = 50_000 if setup.quick else 1_000_000
    asked, figures = ("bare aiohttp", "b24oauth[speed]", "b24oauth"), _Figures()

    def ask(worker: Worker) -> None:
        facts = portal.open(ids=range(1, 3 * count, 3))
        figures.add(worker.name, worker.ask("export", target=facts), portal, count)

    for number in range(setup.rounds):
        print(f"  round {number + 1}", file=sys.stderr)
        workers.each(asked if number == 0 else asked[:2], ask)
    rows = [
        [
            name,
            Samples({name: [cpu / count * 1e6 for cpu in figures.cpu.values[name]]}).shown(name, 2),
            f"{ratio:.2f}" if (ratio := figures.cpu.ratio(name, "bare aiohttp")) else "",
            figures.speed.shown(name, 0),
            f"{figures.requests.median(name):,.0f}",
            f"{figures.portal.median(name) / count * 1e6:.2f}",
            f"{figures.memory[name]:,.0f}",
        ]
        for name in asked
        if name in figures.ordered
    ]
    return Section(
        key="million_rows",
        title=f"Export of {count:,} rows, no limits, no latency",
        columns=(
            "client", "CPU us/row", ": bare aiohttp, chained", "rows/s", "requests", "portal's CPU us/row",
            "peak RSS MB",
        ),
        rows=rows,
        notes=["b24oauth over httpx: one round."],
        checks=[
            Check(
                what=f"{name} : bare aiohttp chained, CPU per row of {count:,}",
                value=figures.cpu.ratio(name, "bare aiohttp"),
                bound=1.3,
            )
            for name in ("b24oauth[speed]", "b24oauth")
        ],
        data=figures.data() | {"rows": count},
    )  # fmt: skip
