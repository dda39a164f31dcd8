"""Many portals: three calls to each of a thousand, all at once and a hundred portals at a time."""

from __future__ import annotations

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import Worker, Workers

__all__ = ["many_portals"]

PORTALS = 1000
CALLS = 3
AT_A_TIME = 100
CLIENTS = ("b24oauth", "b24oauth[httpx2]", "b24oauth[speed]")
# Milliseconds of CPU time.
STALL = 25


def many_portals(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Asks each variant for `B24Portals.for_each` with both numbers of portals at a time."""
    count = 100 if setup.quick else PORTALS
    cpu, heap, stall = Samples(), Samples(), Samples()

    def ask(worker: Worker) -> None:
        for at_a_time in (count, min(count, AT_A_TIME)):
            answer = worker.ask("portals", target=portal.open(), count=count, calls=CALLS, at_a_time=at_a_time)
            name = f"{worker.name}, {at_a_time:,} portals at a time"
            cpu.add(name, answer["cpu"] / count / CALLS * 1e6)
            heap.add(name, answer["heap"] / count / 1024)
            stall.add(name, answer["longest"] * 1000)

    for _ in range(setup.rounds):
        workers.each(CLIENTS, ask)
    return Section(
        key="portals",
        title=f"{count:,} portals, {CALLS} calls to each",
        columns=("clients", "CPU us a call", "KiB a portal, allocated and kept", "longest turn of the loop ms"),
        rows=[[name, cpu.shown(name, 0), heap.shown(name, 1), stall.shown(name, 1)] for name in cpu.values],
        notes=[
            "`B24Portals` with one set of connections. First use is included: clients are made and connections opened.",
            "Calls that start at once are prepared eight in a turn of the loop, portals as well.",
        ],
        checks=[
            Check(
                what=f"{name}: longest turn of the loop, ms",
                value=stall.median(name),
                bound=STALL,
            )
            for name in stall.values
        ],
        data={"cpu_us": cpu.values, "heap_kib": heap.values, "longest_ms": stall.values},
    )
