"""How long the application's event loop is kept from other tasks while a long list is read."""

from __future__ import annotations

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import JobError, Worker, Workers

__all__ = ["stalls"]

ROWS = 100_000
CLIENTS = ("b24oauth", "b24oauth[httpx2]", "b24oauth[speed]", "bare aiohttp, by start", "fast_bitrix24")
# Milliseconds.
BOUNDS = {"b24oauth": 25, "b24oauth[speed]": 12}


def stalls(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """The longest turn of the loop in an export, for each client."""
    rows = 20_000 if setup.quick else ROWS
    longest, long_turns, collections = Samples(), Samples(), Samples()

    def ask(worker: Worker) -> None:
        answer = worker.ask("stall", target=portal.open(ids=range(1, rows + 1)))
        if answer["rows"] != rows:
            raise JobError(f"read {answer['rows']} of {rows} rows")
        longest.add(worker.name, answer["longest"] * 1000)
        long_turns.add(worker.name, answer["long_turns"])
        collections.add(worker.name, answer["collections"] * 1000)

    for _ in range(setup.rounds):
        workers.each(CLIENTS, ask)
    present = [name for name in CLIENTS if name in longest.values]
    return Section(
        key="stall",
        title=f"Longest turn of the event loop while {rows:,} rows are read, no limits, no latency",
        columns=("client", "ms", "turns over 12 ms", "full collections ms"),
        rows=[
            [name, longest.shown(name, 1), f"{long_turns.median(name):.0f}", f"{collections.median(name):.0f}"]
            for name in present
        ],
        notes=[
            "CPU time of the thread in one turn, without full garbage collections (`gc.freeze()` makes those short).",
            "The first round loads the modules of lists.",
        ],
        checks=[
            Check(
                what=f"{name}: longest turn of the loop, ms",
                value=longest.median(name) if name in present else None,
                bound=bound,
            )
            for name, bound in BOUNDS.items()
        ],
        data={"longest_ms": longest.values, "turns_over_12_ms": long_turns.values},
    )
