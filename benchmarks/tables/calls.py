"""CPU time of one `crm.deal.get`, by calls in flight, all limits off."""

from __future__ import annotations

import math
import sys
from functools import partial

import attrs

from benchmarks.pictures import line_chart
from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import Worker, Workers

__all__ = ["call_costs"]

IN_FLIGHT = (1, 10, 100, 1000)
# How many calls make a round of about half a second; where there are none, the contestant is not asked.
CALLS = {
    "bare sockets": {1: 2000, 10: 3000, 100: 3000, 1000: 3000},
    "bare aiohttp": {1: 800, 10: 1200, 100: 1200, 1000: 2000},
    "bare httpx": {1: 250, 10: 300, 100: 300},
    "bare httpx2": {1: 250, 10: 300, 100: 300, 1000: 1000},
    "b24oauth": {1: 250, 10: 300, 100: 300, 1000: 1000},
    "b24oauth[httpx2]": {1: 250, 10: 300, 100: 300, 1000: 1000},
    "b24oauth[speed]": {1: 1200, 10: 2000, 100: 2000, 1000: 2000},
    "b24jssdk": {1: 1200, 10: 1200, 100: 1200, 1000: 1200},
    "fast_bitrix24": {1: 400, 10: 600, 100: 600},
    "b24pysdk": {1: 200, 10: 200, 100: 200},
}
# V8 compiles while it runs, for some 2,000 calls. Its process is warmed before the rounds, and there is one for each
# number in flight: one that was warmed by others would tell of another client.
JUST_IN_TIME = "b24jssdk"
WARM_UP = 2400
# What each client is compared with, as far as both are there.
BASES = ("bare httpx", "bare httpx2", "bare aiohttp", "b24jssdk")
# Most CPU of a call by calls in flight, each client against the library that it sends with, bare.
MOST = {
    ("b24oauth", "bare httpx"): {1: 1.15, 10: 1.15, 100: 0.45},
    ("b24oauth[httpx2]", "bare httpx2"): {1: 1.15, 10: 1.0, 100: 0.85},
}


@attrs.define(eq=False)
class _Figures:
    cpu: Samples = attrs.field(factory=Samples)
    rate: Samples = attrs.field(factory=Samples)
    portal: Samples = attrs.field(factory=Samples)
    failed: dict[str, int] = attrs.field(factory=dict[str, int])


def call_costs(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Asks everybody, in turn, at each number of calls in flight."""
    levels = IN_FLIGHT[:3] if setup.quick else IN_FLIGHT
    figures = {level: _Figures() for level in levels}
    apart = {level: {JUST_IN_TIME: f"{level} in flight"} for level in levels}
    for level in levels:
        workers.each([JUST_IN_TIME], partial(_warm, portal, level), apart[level])
    for number in range(setup.rounds):
        print(f"  round {number + 1} of {setup.rounds}", file=sys.stderr)
        for level in levels:
            asked = [name for name, counts in CALLS.items() if level in counts]
            ask = partial(_ask, portal, level, figures[level], share=6 if setup.quick else 1)
            workers.each(asked, ask, apart[level])
    return _section(figures, workers)


def _warm(portal: ServedPortal, level: int, worker: Worker) -> None:
    target = portal.open(rows={"crm.deal": 1_000_000})
    worker.ask("calls", target=target, calls=level, in_flight=level, warmup=WARM_UP)


def _ask(portal: ServedPortal, level: int, figures: _Figures, worker: Worker, *, share: int) -> None:
    target = portal.open(rows={"crm.deal": 1_000_000})
    calls = max(CALLS[worker.name][level] // share, level)
    answer = worker.ask("calls", target=target, calls=calls, in_flight=level, warmup=max(level, 20))
    use = portal.use()
    figures.cpu.add(worker.name, answer["cpu"] / calls * 1000)
    figures.rate.add(worker.name, calls / answer["wall"])
    figures.portal.add(worker.name, use.cpu / use.requests * 1000)
    figures.failed[worker.name] = figures.failed.get(worker.name, 0) + answer["failed"]


def _section(figures: dict[int, _Figures], workers: Workers) -> Section:
    rows: list[list[str]] = []
    for level, measured in figures.items():
        for name in CALLS:
            if name in measured.cpu:
                rows.append(_row(name, level, measured))
            elif name in workers.missing:
                rows.append([name, str(level), workers.missing[name], *[""] * (len(BASES) + 3)])
    return Section(
        key="calls",
        title="One call: `crm.deal.get`, limits off",
        columns=(
            "client", "in flight", "CPU ms/call", *(f": {base}" for base in BASES), "calls/s",
            "portal's CPU ms/request", "portal busy",
        ),
        rows=rows,
        notes=_notes(figures),
        checks=_checks(figures),
        data={
            str(level): {
                "cpu_ms_per_call": measured.cpu.values,
                "calls_per_second": measured.rate.values,
                "portal_cpu_ms_per_request": measured.portal.values,
                "failed": measured.failed,
            }
            for level, measured in figures.items()
        },
        pictures={"throughput.svg": _picture(figures)},
    )  # fmt: skip


def _row(name: str, level: int, measured: _Figures) -> list[str]:
    ratios = (measured.cpu.ratio(name, base) for base in BASES)
    return [
        name + (f" ({measured.failed[name]} failed)" if measured.failed[name] else ""),
        str(level),
        measured.cpu.shown(name),
        *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        f"{measured.rate.median(name):,.0f}",
        f"{measured.portal.median(name):.3f}",
        f"{_busy(name, measured):.0%}",
    ]


def _busy(name: str, measured: _Figures) -> float:
    """The share of its core that the portal worked while it answered this client."""
    return measured.portal.median(name) / 1000 * measured.rate.median(name)


def _notes(figures: dict[int, _Figures]) -> list[str]:
    notes: list[str] = []
    if all(JUST_IN_TIME in measured.cpu for measured in figures.values()):
        rounds = ", ".join(f"{level}: {_by_round(measured)}" for level, measured in figures.items())
        notes.append(
            f"{JUST_IN_TIME} has a process for each number in flight, each warmed with {WARM_UP:,} calls. CPU ms/call"
            f" round by round: {rounds}."
        )
    for level, measured in figures.items():
        fastest = max(
            (name for name in measured.rate.values if name != "bare sockets"), key=measured.rate.median, default=None
        )
        if fastest is None or "bare sockets" not in measured.rate:
            continue
        notes.append(
            f"{level} in flight: the portal answers {measured.rate.median('bare sockets'):,.0f} requests/s that come"
            f" as ready bytes; the fastest client, {fastest}, sends {measured.rate.median(fastest):,.0f}/s and spends"
            f" {measured.cpu.median(fastest) / measured.portal.median(fastest):.1f} times the portal's CPU on a call."
        )
    return notes


def _by_round(measured: _Figures) -> str:
    return " ".join(f"{value:.2f}" for value in measured.cpu.values[JUST_IN_TIME])


def _checks(figures: dict[int, _Figures]) -> list[Check]:
    checks: list[Check] = []
    for (name, base), bounds in MOST.items():
        for level, most in bounds.items():
            if level in figures:
                ratio = figures[level].cpu.ratio(name, base)
                checks.append(Check(what=f"{name} : {base}, {level} in flight", value=ratio, bound=most))
    for level, measured in figures.items():
        for base, most in (("b24jssdk", 1.0), ("bare aiohttp", 1.25)):
            ratio = measured.cpu.ratio("b24oauth[speed]", base)
            checks.append(Check(what=f"b24oauth[speed] : {base}, {level} in flight", value=ratio, bound=most))
    if 10 in figures:
        checks += [_flat(name, figures) for name in ("b24oauth", "b24oauth[speed]")]
    return checks


def _flat(name: str, figures: dict[int, _Figures]) -> Check:
    by_level = {str(level): of.cpu.values[name] for level, of in figures.items() if level >= 10 and name in of.cpu}
    return Check(
        what=f"{name}: dearest : cheapest from 10 to {max(figures)} in flight",
        value=Samples(by_level).largest_ratio(),
        bound=1.15,
    )


def _picture(figures: dict[int, _Figures]) -> str:
    names = [name for name in CALLS if name != "bare sockets"]
    lines = {
        name: [
            (math.log10(level), measured.rate.median(name))
            for level, measured in figures.items()
            if name in measured.rate
        ]
        for name in names
    }
    return line_chart(
        "Calls of crm.deal.get a second, by calls in flight",
        {name: points for name, points in lines.items() if points},
        x_label="in flight",
        y_label="calls/s",
        x_ticks={math.log10(level): f"{level:,}" for level in figures},
    )
