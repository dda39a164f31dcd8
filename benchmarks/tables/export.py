"""Reading whole lists under the bucket: 20,000 sparse rows, 100,000 rows, and 20,000 on a portal that is slow."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from itertools import product

import attrs

from benchmarks.portal import ServedPortal
from benchmarks.samples import Check, Section, Setup
from benchmarks.tables.lists import CHAIN, COLUMNS, FLOOR, OURS, Figures, ListPortal, Reading, missing_rows, prepare
from benchmarks.wide_rows import ROW_BYTES
from benchmarks.workers import Workers

__all__ = ["exports", "long_exports", "slow_exports"]

ROWS = 20_000
LONG_ROWS = 100_000
# The peers read each size once in a round, with a client that has made calls.
PEERS = ("fast_bitrix24", "b24pysdk")
SLOW_PEER = "b24jssdk"
# Seconds that a page by offset costs the portal on average, beside what each command costs.
COUNTING = (0.0, 0.005, 0.05)
# Rows/s of 20,000 rows of 500 bytes, and how many times the floor's.
LEAST_ROWS, LEAST_OF_FLOOR = 45_000, 0.9
LEAST_OF_FLOOR_LONG = {"b24oauth": 1.0, "b24oauth[speed]": 1.1}
LEAST_ROWS_SLOW = 15_000
STATES = (
    "Cold: the list is the first request of a new client, without a connection. Warm: the client has made ten calls at"
    f" once before. `: floor` is rows/s : those of `{FLOOR}` of the same round, row size and state."
)
BUCKET = (
    "Requests beyond those that the bucket takes at once wait for their turn. b24oauth asks for wide rows in smaller"
    " batches, so that no response stalls the event loop."
)
CHAINED = (
    f"`: chain` is rows/s : those of `{CHAIN}`, which asks for pages behind the last row and lets the portal count"
    " nothing. Counting ms: what the portal takes to count and skip for a page by offset, on average of all such pages"
    " of the list."
)


def readings(clients: Sequence[str], sizes: Sequence[int] = ROW_BYTES) -> list[Reading]:
    """Every size of rows, cold and warm, by each client."""
    return [
        Reading(client=client, row_bytes=size, warm=warm)
        for size, warm, client in product(sizes, (False, True), clients)
    ]


def warm_readings(clients: Sequence[str], sizes: Sequence[int] = ROW_BYTES) -> list[Reading]:
    """Every size of rows, by each client when it is warm."""
    return [reading for reading in readings(clients, sizes) if reading.warm]


def exports(served: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """Everybody reads the same 20,000 deals."""
    portal = ListPortal(rows=ROWS)
    often = [*readings((*OURS, FLOOR, CHAIN)), *warm_readings(PEERS)]
    once = [] if setup.quick else warm_readings([SLOW_PEER], ROW_BYTES[:1])
    figures = _measured(served, workers, setup.rounds, portal, often=often, once=once)
    return Section(
        key="export",
        title=f"Export of {ROWS:,} sparse rows of `crm.deal.list`, {portal}",
        columns=COLUMNS,
        rows=_rows(figures, [*often, *once], workers),
        notes=[STATES, *_one_round(figures, once)],
        checks=[
            *_floor_checks(figures, portal, dict.fromkeys(OURS, LEAST_OF_FLOOR)),
            *_speed_checks(figures, portal, LEAST_ROWS),
        ],
        data=figures.data(),
    )


def long_exports(served: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """100,000 deals, which take about as many requests as the bucket takes at once."""
    portal = ListPortal(rows=ROWS if setup.quick else LONG_ROWS)
    often, once = readings((*OURS, FLOOR)), warm_readings((CHAIN, *PEERS))
    if setup.quick:
        often, once = warm_readings((*OURS, FLOOR), ROW_BYTES[:1]), []
    figures = _measured(served, workers, setup.rounds, portal, often=often, once=once)
    return Section(
        key="export_long",
        title=f"Export of {portal.rows:,} sparse rows of `crm.deal.list`, {portal}",
        columns=COLUMNS,
        rows=_rows(figures, [*often, *once], workers),
        notes=[
            STATES,
            f"The rows fit into {math.ceil(portal.rows / 2500)} batches of 50 full pages. {BUCKET}",
            *_one_round(figures, once),
        ],
        checks=[] if setup.quick else _floor_checks(figures, portal, LEAST_OF_FLOOR_LONG),
        data=figures.data(),
    )


def slow_exports(served: ServedPortal, workers: Workers, setup: Setup) -> Section:
    """The same 20,000 deals where each command takes 20 ms, and pages by offset cost the portal nothing, some, or much.

    The chain has no pages by offset, and one connection: it reads once in a round for each size of rows.
    """
    portal = ListPortal(rows=5_000 if setup.quick else ROWS, command_latency=0.02)
    sizes = ROW_BYTES[:1] if setup.quick else ROW_BYTES
    asked = (warm_readings if setup.quick else readings)((*OURS, FLOOR), sizes)
    often = [*warm_readings([CHAIN], sizes), *_counted(asked)]
    once = [] if setup.quick else [*_counted(warm_readings(PEERS[:1])), *warm_readings(PEERS[1:], sizes[:1])]
    figures = _measured(served, workers, setup.rounds, portal, often=often, once=once)

    def rows() -> Iterator[list[str]]:
        for reading in sorted([*often, *once], key=lambda one: (one.row_bytes, one.counting)):
            if reading in figures:
                ratios = (figures.ratio(reading, _chain(reading)), figures.floor_ratio(reading))
                yield figures.row(reading, ratios, extra=[_counting(reading)])

    columns = (*COLUMNS[:3], "counting ms", "rows/s", ": chain", *COLUMNS[4:])
    return Section(
        key="export_slow_commands",
        title=f"Export of {portal.rows:,} sparse rows of `crm.deal.list`, {portal}, with a cost of counting",
        columns=columns,
        rows=[*rows(), *missing_rows(workers, [one.client for one in (*often, *once)], len(columns))],
        notes=[STATES, CHAINED, *_one_round(figures, once)],
        checks=[] if setup.quick else _slow_checks(figures, portal),
        data=figures.data(),
    )


def _measured(
    served: ServedPortal,
    workers: Workers,
    rounds: int,
    portal: ListPortal,
    *,
    often: Sequence[Reading],
    once: Sequence[Reading],
) -> Figures:
    figures = Figures()
    prepare(served, workers, list(dict.fromkeys(reading.client for reading in (*often, *once))))
    for number in range(rounds):
        print(f"  round {number + 1} of {rounds}", file=sys.stderr)
        figures.read(served, workers, portal, often if number else [*often, *once])
    return figures


def _rows(figures: Figures, asked: Sequence[Reading], workers: Workers) -> list[list[str]]:
    ordered = sorted(asked, key=lambda one: (one.row_bytes, one.warm))
    rows = [figures.row(one, [figures.floor_ratio(one)]) for one in ordered if one in figures]
    return [*rows, *missing_rows(workers, [one.client for one in asked], len(COLUMNS))]


def _one_round(figures: Figures, once: Sequence[Reading]) -> list[str]:
    names = dict.fromkeys(one.client for one in once if one in figures)
    return [f"{', '.join(names)}: one round."] if names else []


def _counted(asked: Sequence[Reading]) -> list[Reading]:
    return [attrs.evolve(reading, counting=counting) for counting in COUNTING for reading in asked]


def _chain(reading: Reading) -> Reading:
    return Reading(client=CHAIN, row_bytes=reading.row_bytes, warm=True)


def _counting(reading: Reading) -> str:
    # The chain never lets the portal count.
    return "any" if reading.client == CHAIN else f"{reading.counting * 1000:g}"


def _floor_checks(figures: Figures, portal: ListPortal, least: dict[str, float]) -> list[Check]:
    checks: list[Check] = []
    # A page more than a full batch for each of ten requests at once, and the first page.
    most_requests = max(11, math.ceil(portal.rows / 2450) + 2)
    for reading in warm_readings(OURS, ROW_BYTES[:1]):
        what = f"{reading.client}: {{}} of {portal.rows:,}"
        known = reading in figures and figures.ordered[str(reading)]
        name = str(reading)
        checks += [
            Check(
                what=what.format("rows/s : floor"),
                value=figures.floor_ratio(reading) if known else None,
                bound=least[reading.client],
                most=False,
            ),
            Check(
                what=what.format("requests"),
                value=figures.requests.median(name) if known else None,
                bound=most_requests,
            ),
            Check(what=what.format("503s"), value=max(figures.refused.values[name]) if known else None, bound=0),
        ]
    return checks


def _speed_checks(figures: Figures, portal: ListPortal, least: float) -> list[Check]:
    slow = f", {portal.command_latency * 1000:.0f} ms a command" if portal.command_latency else ""
    return [
        Check(
            what=f"{reading.client}: rows/s of {portal.rows:,} in order{slow}",
            value=figures.speed.median(str(reading)) if reading in figures and figures.ordered[str(reading)] else None,
            bound=least,
            most=False,
        )
        for reading in warm_readings(OURS, ROW_BYTES[:1])
    ]


def _slow_checks(figures: Figures, portal: ListPortal) -> list[Check]:
    checks = _speed_checks(figures, portal, LEAST_ROWS_SLOW)
    for counting, reading in product(COUNTING, warm_readings(OURS, ROW_BYTES[:1])):
        counted = attrs.evolve(reading, counting=counting)
        what = f"{counted.client}: rows/s : chain, 20 ms a command, counting {counting * 1000:g} ms"
        ratio = figures.ratio(counted, _chain(counted))
        checks.append(Check(what=what, value=ratio, bound=1.0, most=False))
    return checks
