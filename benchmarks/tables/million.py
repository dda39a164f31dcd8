"""CPU per row of very long lists, where nothing but the client's work counts."""

from __future__ import annotations

import sys
from functools import partial

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.tables.lists import CHAIN, Figures, Reading, prepare
from benchmarks.wide_rows import ROW_BYTES
from benchmarks.workers import Worker, Workers

__all__ = ["million_rows"]

# Rows by their size: a gigabyte of the larger ones tells no more of a row than this.
ROWS = {500: 1_000_000, 2000: 250_000}
EVERY_ROUND = (CHAIN, "b24oauth[speed]")
ONCE = "b24oauth"


def million_rows(served: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Reads a million rows, and a quarter of it of larger rows: no latency, no limits."""
    counts = {size: count // 20 if setup.quick else count for size, count in ROWS.items()}
    figures = Figures()
    prepare(served, workers, (*EVERY_ROUND, ONCE))
    for number in range(setup.rounds):
        print(f"  round {number + 1} of {setup.rounds}", file=sys.stderr)
        for size in ROW_BYTES:
            asked = EVERY_ROUND if number else (*EVERY_ROUND, ONCE)
            workers.each(asked, partial(_ask, served, figures, size, counts[size]))
    readings = [
        Reading(client=client, row_bytes=size, warm=True) for size in ROW_BYTES for client in (*EVERY_ROUND, ONCE)
    ]
    return Section(
        key="million_rows",
        title=f"Export of {counts[500]:,} rows, no limits, no latency",
        columns=(
            "client", "row bytes", "rows", "CPU us/row", ": bare aiohttp, chained", "rows/s", "requests",
            "portal's CPU us/row", "peak RSS MB",
        ),
        rows=[_row(one, figures, counts[one.row_bytes]) for one in readings if one in figures],
        notes=["b24oauth over httpx: one round."],
        checks=[
            Check(
                what=f"{one.client} : bare aiohttp chained, CPU per row of {counts[500]:,}",
                value=figures.cpu.ratio(str(one), str(_chain(one))),
                bound=1.3,
            )
            for one in readings
            if one.row_bytes == ROW_BYTES[0] and one.client != CHAIN
        ],
        data=figures.data() | {"rows": counts},
    )  # fmt: skip


def _ask(served: ServedPortal, figures: Figures, size: int, count: int, worker: Worker) -> None:
    facts = served.open(ids=range(1, 3 * count, 3), row_bytes=size)
    name = str(Reading(client=worker.name, row_bytes=size, warm=True))
    figures.add(name, worker.ask("export", target=facts, warmup=1), served, rows=count, warmup=1)


def _chain(reading: Reading) -> Reading:
    return Reading(client=CHAIN, row_bytes=reading.row_bytes, warm=True)


def _row(reading: Reading, figures: Figures, count: int) -> list[str]:
    name = str(reading)
    per_row = Samples({name: [cpu / count * 1e6 for cpu in figures.cpu.values[name]]})
    ratio = figures.cpu.ratio(name, str(_chain(reading)))
    return [
        reading.client,
        f"{reading.row_bytes:,}",
        f"{count:,}",
        per_row.shown(name, 2),
        f"{ratio:.2f}" if ratio else "",
        figures.speed.shown(name, 0),
        f"{figures.requests.median(name):,.0f}",
        f"{figures.portal.median(name) / count * 1e6:.2f}",
        f"{figures.memory.median(name):,.0f}",
    ]
