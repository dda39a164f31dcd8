"""Many portals in one process: what creating a client costs, CPU and memory, on a shared HTTP client."""

from __future__ import annotations

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import Worker, Workers

__all__ = ["object_costs"]

COUNT = 1000
ASKED = ("b24oauth", "b24jssdk")


def object_costs(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Asks b24oauth and the JS SDK in turn."""
    cpu, heap = Samples(), Samples()

    def ask(worker: Worker) -> None:
        answer = worker.ask("objects", target=portal.open(), count=COUNT)
        cpu.add(worker.name, answer["cpu"] / COUNT * 1e6)
        heap.add(worker.name, answer["heap"] / COUNT / 1024)

    for _ in range(setup.rounds):
        workers.each(ASKED, ask)
    rows = [[name, cpu.shown(name, 1), heap.shown(name, 2)] for name in cpu.values]
    rows += [[name, why, ""] for name, why in workers.missing.items() if name in ASKED]
    return Section(
        key="objects",
        title=f"Many portals: {COUNT:,} `B24OAuth` on one HTTP client",
        columns=("client", "CPU us each", "KiB each, allocated and kept"),
        rows=rows,
        notes=["Allocated: `tracemalloc` in Python, the heap after a full collection in Node."],
        checks=[
            Check(what="creating a B24OAuth, CPU us", value=cpu.known_median("b24oauth"), bound=50),
            Check(what="a B24OAuth, KiB allocated", value=heap.known_median("b24oauth"), bound=6),
        ],
        data={"cpu_us": cpu.values, "heap_kib": heap.values},
    )
