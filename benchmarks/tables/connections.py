"""Connections of many portals: the first calls of 1,000 clients at once, over shared connections and over their own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

import attrs

from benchmarks.portal import ServedPortal, served_portal
from benchmarks.samples import Check, Samples, Section, Setup
from benchmarks.workers import JobError, Workers

__all__ = ["connection_costs"]

COUNT = 1000
CALLS = 3
BASE = "bare aiohttp, shared"
# Each client, whether all portals share its connections, and how the table says it.
WAYS = {
    f"{client}, {'shared' if shared else 'own'}": (client, shared)
    for client in ("b24oauth", "b24oauth[httpx2]", "b24oauth[speed]", "bare aiohttp")
    for shared in (True, False)
}
# A portal's first use over shared connections: CPU ms and KiB.
MOST_CPU, MOST_KIB = 12, 150


@attrs.define(eq=False)
class _Figures:
    cpu: Samples = attrs.field(factory=Samples)
    again: Samples = attrs.field(factory=Samples)
    memory: Samples = attrs.field(factory=Samples)
    longest: Samples = attrs.field(factory=Samples)
    wall: Samples = attrs.field(factory=Samples)
    failed: dict[str, int] = attrs.field(factory=dict[str, int])
    reasons: dict[str, str] = attrs.field(factory=dict[str, str])


def connection_costs(workers: Workers, setup: Setup) -> Section:
    """Every client in turn, each time in a new process, whose memory no earlier round has touched."""
    count = COUNT // 10 if setup.quick else COUNT
    addresses = [f"127.1.{number // 250}.{number % 250 + 1}" for number in range(count)]
    figures = _Figures()
    can_bind = _can_bind(addresses[-1])
    if can_bind:
        with served_portal(addresses) as portal:
            port = urlsplit(portal.origin).port
            origins = [f"http://{address}:{port}" for address in addresses]
            for number in range(setup.rounds):
                print(f"  round {number + 1} of {setup.rounds}", file=sys.stderr)
                for way in WAYS:
                    _ask(portal, workers, figures, way, origins)
    columns = (
        "client, connections", "CPU ms/portal", f": {BASE}", ": own", "KiB/portal", "longest turn ms", "wall s",
        "CPU ms/call afterwards",
    )  # fmt: skip
    return Section(
        key="connections",
        title=f"Connections of many portals: the first {CALLS} calls of each of {count:,} clients, all at once",
        columns=columns,
        rows=_rows(figures, workers, len(columns)),
        notes=[_NOTE] if can_bind else ["Not measured: this system has no loopback addresses beside 127.0.0.1."],
        checks=[] if setup.quick else _checks(figures),
        data={
            "portals": count,
            "cpu_ms_per_portal": figures.cpu.values,
            "cpu_ms_per_call_afterwards": figures.again.values,
            "kib_per_portal": figures.memory.values,
            "longest_turn_ms": figures.longest.values,
            "wall_s": figures.wall.values,
            "failed": figures.failed,
            "reasons": figures.reasons,
        },
    )


_NOTE = (
    "Shared: one `Wire` given to all clients as `wire=`, or one aiohttp session. Own: each client has connections of"
    " its own. Every portal has a loopback address of its own, so connections are never those of another portal; there"
    " is no TLS. CPU and KiB (resident memory) are of creating the clients and of their first calls, in a process that"
    " has talked to another portal before. Longest turn: CPU time of the thread, without full garbage collections; in"
    f" one turn all tasks of the application begin. Afterwards: {CALLS} calls of each client at once again."
)


def _can_bind(address: str) -> bool:
    try:
        with socket.create_server((address, 0)):
            return True
    except OSError:
        return False


def _ask(portal: ServedPortal, workers: Workers, figures: _Figures, way: str, origins: Sequence[str]) -> None:
    client, shared = WAYS[way]
    if way in figures.reasons:
        return
    with workers.alone(client) as worker:
        if worker is None:
            return
        try:
            answer = worker.ask("connections", target=portal.open(), origins=origins, shared=shared, calls=CALLS)
        except JobError as error:
            # The same client may do well with the other kind of connections.
            figures.reasons[way] = str(error).strip().splitlines()[-1]
            print(f"{way} failed: {error}", file=sys.stderr)
            return
    figures.cpu.add(way, answer["cpu"] / len(origins) * 1000)
    figures.again.add(way, answer["cpu_again"] / len(origins) / CALLS * 1000)
    figures.memory.add(way, answer["memory"] / len(origins) / 1024)
    figures.longest.add(way, answer["longest"] * 1000)
    figures.wall.add(way, answer["wall"])
    figures.failed[way] = figures.failed.get(way, 0) + answer["failed"]


def _rows(figures: _Figures, workers: Workers, columns: int) -> list[list[str]]:
    rows: list[list[str]] = []
    for way, (client, _) in WAYS.items():
        if way in figures.cpu:
            rows.append(_row(way, client, figures))
        elif way in figures.reasons or client in workers.missing:
            reason = figures.reasons.get(way) or workers.missing[client]
            rows.append([way, reason, *[""] * (columns - 2)])
    return rows


def _row(way: str, client: str, figures: _Figures) -> list[str]:
    ratios = (figures.cpu.ratio(way, base) for base in (BASE, f"{client}, own"))
    return [
        way + (f" ({figures.failed[way]} failed)" if figures.failed[way] else ""),
        figures.cpu.shown(way, 2),
        *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
        figures.memory.shown(way, 0),
        figures.longest.shown(way, 0),
        f"{figures.wall.median(way):.1f}",
        figures.again.shown(way, 2),
    ]


def _checks(figures: _Figures) -> list[Check]:
    checks: list[Check] = []
    for client in ("b24oauth", "b24oauth[speed]"):
        way = f"{client}, shared"
        checks += [
            Check(what=f"{way}: CPU ms of a portal's first use", value=figures.cpu.known_median(way), bound=MOST_CPU),
            Check(what=f"{way}: KiB of a portal", value=figures.memory.known_median(way), bound=MOST_KIB),
        ]
    return checks
