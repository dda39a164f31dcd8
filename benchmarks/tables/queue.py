"""What waiting for the client's own limiter costs: 2,000 calls at once, with and without a limit of 200 a second."""

from __future__ import annotations

from typing import Any

import attrs

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import Worker, Workers

__all__ = ["queue_costs"]

BURST, DRAIN = 50, 200
OURS = ("b24oauth", "b24oauth[speed]")
PEER = "b24jssdk"


@attrs.define(eq=False)
class _Figures:
    free: Samples = attrs.field(factory=Samples)
    limited: Samples = attrs.field(factory=Samples)
    wall: Samples = attrs.field(factory=Samples)


def queue_costs(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Everybody in turn, though most of the time is sleep: side by side they would cool each other's caches."""
    calls = 250 if setup.quick else 2000
    figures = _Figures()
    for _ in range(setup.rounds):
        _ask(portal, workers, OURS, calls, figures)
    _ask(portal, workers, (PEER,), calls, figures)
    free, limited, wall = figures.free, figures.limited, figures.wall
    waiting = {
        name: Samples({name: [after - before for before, after in zip(free.values[name], values, strict=True)]})
        for name, values in limited.values.items()
    }
    rows = [
        [name, free.shown(name), limited.shown(name), waiting[name].shown(name), f"{wall.median(name):.1f}"]
        for name in limited.values
    ]
    rows += [[name, why, "", "", ""] for name, why in workers.missing.items() if name == PEER]
    return Section(
        key="queue",
        title=f"Waiting for the client's own limiter: {calls:,} calls at once, {BURST} and then {DRAIN}/s",
        columns=("client", "CPU ms/call, no limit", "CPU ms/call, limited", "of it the waiting", "wall s"),
        rows=rows,
        notes=[
            f"The portal has no limit. {PEER}: one round.",
            f"The bucket asks for {(calls - BURST) / DRAIN:.1f} s.",
        ],
        checks=[
            Check(
                what=f"{name}: CPU of waiting, ms/call",
                value=waiting[name].median(name) if name in waiting else None,
                bound=0.2,
            )
            for name in OURS
        ],
        data={"calls": calls, "free_cpu_ms": free.values, "limited_cpu_ms": limited.values, "wall_s": wall.values},
    )


def _ask(portal: ServedPortal, workers: Workers, names: tuple[str, ...], calls: int, figures: _Figures) -> None:
    job: dict[str, Any] = {"calls": calls, "in_flight": calls, "warmup": 20}

    def both(worker: Worker) -> None:
        answer = worker.ask("calls", target=portal.open(), **job)
        limited = worker.ask("calls", target=portal.open() | {"burst": BURST, "drain": DRAIN}, **job)
        figures.free.add(worker.name, answer["cpu"] / calls * 1000)
        figures.limited.add(worker.name, limited["cpu"] / calls * 1000)
        figures.wall.add(worker.name, limited["wall"])

    workers.each(names, both)
