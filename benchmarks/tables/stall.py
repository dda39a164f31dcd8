"""How long the application's event loop is kept from other tasks while a long list is read."""

from __future__ import annotations

from functools import partial

import attrs

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.tables.lists import FLOOR, prepare
from benchmarks.wide_rows import ROW_BYTES
from benchmarks.workers import JobError, Worker, Workers

__all__ = ["stalls"]

ROWS = 100_000
CLIENTS = ("b24oauth", "b24oauth[httpx2]", "b24oauth[speed]", FLOOR, "fast_bitrix24")
# Milliseconds, for rows of 500 bytes.
BOUNDS = {"b24oauth": 25, "b24oauth[speed]": 12}


@attrs.define(eq=False)
class _Figures:
    longest: Samples = attrs.field(factory=Samples)
    long_turns: Samples = attrs.field(factory=Samples)
    collections: Samples = attrs.field(factory=Samples)


def stalls(portal: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """The longest turn of the loop in an export, for each client and size of rows."""
    rows = 20_000 if setup.quick else ROWS
    figures = {size: _Figures() for size in ROW_BYTES}
    prepare(portal, workers, CLIENTS)
    for _ in range(setup.rounds):
        for size, of_size in figures.items():
            workers.each(CLIENTS, partial(_ask, portal, of_size, rows, size))
    usual = figures[ROW_BYTES[0]].longest
    return Section(
        key="stall",
        title=f"Longest turn of the event loop while {rows:,} rows are read, no limits, no latency",
        columns=("client", "row bytes", "ms", "turns over 12 ms", "full collections ms"),
        rows=[
            [
                name,
                f"{size:,}",
                of_size.longest.shown(name, 1),
                f"{of_size.long_turns.median(name):.0f}",
                f"{of_size.collections.median(name):.0f}",
            ]
            for size, of_size in figures.items()
            for name in CLIENTS
            if name in of_size.longest
        ],
        notes=[
            "CPU time of the thread in one turn, without full garbage collections (`gc.freeze()` makes those short).",
        ],
        checks=[
            Check(what=f"{name}: longest turn of the loop, ms", value=usual.known_median(name), bound=bound)
            for name, bound in BOUNDS.items()
        ],
        data={
            str(size): {"longest_ms": of_size.longest.values, "turns_over_12_ms": of_size.long_turns.values}
            for size, of_size in figures.items()
        },
    )


def _ask(portal: ServedPortal, figures: _Figures, rows: int, size: int, worker: Worker) -> None:
    answer = worker.ask("stall", target=portal.open(ids=range(1, rows + 1), row_bytes=size))
    if answer["rows"] != rows:
        raise JobError(f"read {answer['rows']} of {rows} rows")
    figures.longest.add(worker.name, answer["longest"] * 1000)
    figures.long_turns.add(worker.name, answer["long_turns"])
    figures.collections.add(worker.name, answer["collections"] * 1000)
