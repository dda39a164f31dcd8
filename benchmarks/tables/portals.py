"""Many portals at once: three calls to each of a thousand, by clients that share their connections and by others."""

from __future__ import annotations

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import Worker, Workers

__all__ = ["many_portals"]

PORTALS = 1000
CALLS = 3
CLIENTS = ("b24oauth", "b24oauth[httpx2]", "b24oauth[speed]")
# Milliseconds of CPU time.
STALL = 25


def many_portals(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Asks each variant, once with one wire for all portals and once with a wire for each."""
    count = 100 if setup.quick else PORTALS
    cpu, heap, stall = Samples(), Samples(), Samples()

    def ask(worker: Worker) -> None:
        for way, shares in (("one wire", True), ("a wire each", False)):
            # Without sharing each portal loads connections and settings of its own; a tenth of them shows it.
            portals = count if shares else count // 10
            answer = worker.ask("portals", target=portal.open(), count=portals, calls=CALLS, shares=shares)
            name = f"{worker.name}, {way}"
            cpu.add(name, answer["cpu"] / portals / CALLS * 1e6)
            heap.add(name, answer["heap"] / portals / 1024)
            stall.add(name, answer["longest"] * 1000)

    for _ in range(setup.rounds):
        workers.each(CLIENTS, ask)
    return Section(
        key="portals",
        title=f"{count:,} portals, {CALLS} calls to each at once",
        columns=("clients", "CPU us a call", "KiB a portal, allocated and kept", "longest turn of the loop ms"),
        rows=[[name, cpu.shown(name, 0), heap.shown(name, 1), stall.shown(name, 1)] for name in cpu.values],
        notes=[
            "One wire: `B24Portals`, whose clients share connections. A wire each: a tenth as many, which do not.",
            "With first use: clients are made, connections opened, and what a client computes once is computed.",
        ],
        checks=[
            Check(
                what=f"{name}, one wire: longest turn of the loop, ms",
                value=stall.median(f"{name}, one wire") if f"{name}, one wire" in stall.values else None,
                bound=STALL,
            )
            for name in ("b24oauth", "b24oauth[speed]")
        ],
        data={"cpu_us": cpu.values, "heap_kib": heap.values, "longest_ms": stall.values},
    )
