"""What the tables of lists have in common: one reading of a list, its figures, and how they are shown."""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs

from benchmarks.samples import Samples
from benchmarks.workers import JobError, Worker, Workers

if TYPE_CHECKING:
    from benchmarks.portal import ServedPortal

__all__ = ["CHAIN", "COLUMNS", "FLOOR", "OURS", "Figures", "ListPortal", "Reading", "missing_rows", "prepare"]

OURS = ("b24oauth", "b24oauth[speed]")
# What a client without any promises can do: it counts first, and asks for all batches at once, by offset.
FLOOR = "bare aiohttp, by start"
# Batches one after another, each page behind the last row of the one before.
CHAIN = "bare aiohttp"
# Calls at once that make a client warm: they open as many connections as b24oauth reads a list with.
WARMUP = 10

COLUMNS = (
    "client", "row bytes", "state", "rows/s", ": floor", "wall s", "requests", "503s", "CPU s",
    "portal's CPU s", "in order", "peak RSS MB",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class ListPortal:
    """The portal whose list is read.

    Attributes:
        rows: Rows of the list.
        burst: Requests that its bucket takes at once.
        drain: Requests that leave the bucket a second.
        latency: Seconds that each request takes.
        command_latency: Seconds more for each command of a batch.
    """

    rows: int
    burst: float = 50
    drain: float = 20
    latency: float = 0.05
    command_latency: float = 0.0

    def __str__(self) -> str:
        slow = f", {self.command_latency * 1000:.0f} ms a command" if self.command_latency else ""
        return f"X={self.burst:g} Y={self.drain:g}, {self.latency * 1000:.0f} ms{slow}"


@attrs.frozen(kw_only=True)
class Reading:
    """One way in which the list is read.

    Attributes:
        client: Who reads it.
        row_bytes: Size of a row, bytes of JSON text.
        warm: Whether the client has made calls before; otherwise its first request is the list's.
        counting: Seconds that the portal takes to count and skip for a page by offset, on average of all such pages.
    """

    client: str
    row_bytes: int
    warm: bool
    counting: float = 0.0

    def __str__(self) -> str:
        counting = f", counting {self.counting * 1000:g} ms" if self.counting else ""
        return f"{self.client}, {self.row_bytes} B, {self.state}{counting}"

    @property
    def state(self) -> str:
        """Whether it is warm, as the tables say it."""
        return "warm" if self.warm else "cold"


@attrs.define(eq=False)
class Figures:
    """All figures of one table, by reading."""

    speed: Samples = attrs.field(factory=Samples)
    wall: Samples = attrs.field(factory=Samples)
    cpu: Samples = attrs.field(factory=Samples)
    portal: Samples = attrs.field(factory=Samples)
    requests: Samples = attrs.field(factory=Samples)
    refused: Samples = attrs.field(factory=Samples)
    memory: Samples = attrs.field(factory=Samples)
    ordered: dict[str, bool] = attrs.field(factory=dict[str, bool])

    def __contains__(self, reading: Reading) -> bool:
        return str(reading) in self.speed

    def read(self, served: ServedPortal, workers: Workers, portal: ListPortal, readings: Sequence[Reading]) -> None:
        """Lets each of them read the list once, in turn."""
        for reading in readings:
            workers.each([reading.client], partial(self._ask, served, portal, reading))

    def _ask(self, served: ServedPortal, portal: ListPortal, reading: Reading, worker: Worker) -> None:
        facts = served.open(
            ids=sparse_ids(portal.rows),
            row_bytes=reading.row_bytes,
            burst=portal.burst,
            drain=portal.drain,
            latency=portal.latency,
            command_latency=portal.command_latency,
            # A page by offset counts all rows, and skips half of them on average.
            count_latency=reading.counting / (1.5 * portal.rows / 1000),
        )
        warmup = WARMUP if reading.warm else 0
        target = facts | {"burst": portal.burst, "drain": portal.drain}
        answer = worker.ask("export", target=target, warmup=warmup)
        self.add(str(reading), answer, served, rows=portal.rows, warmup=warmup)

    def add(self, name: str, answer: dict[str, Any], served: ServedPortal, *, rows: int, warmup: int) -> None:
        """Notes the figures of one reading, without the requests of its warming."""
        use = served.use()
        if answer["rows"] != rows:
            raise JobError(f"read {answer['rows']} of {rows} rows")
        self.speed.add(name, rows / answer["wall"])
        self.wall.add(name, answer["wall"])
        self.cpu.add(name, answer["cpu"])
        self.portal.add(name, use.cpu)
        self.requests.add(name, use.requests - warmup)
        self.refused.add(name, use.refused)
        self.memory.add(name, answer["rss_kb"] / 1024)
        self.ordered[name] = answer["in_order"]

    def ratio(self, reading: Reading, base: Reading) -> float | None:
        """How many times the rows a second of another reading."""
        return self.speed.ratio(str(reading), str(base))

    def floor_ratio(self, reading: Reading) -> float | None:
        """How many times the floor's rows a second, under the same conditions."""
        return self.ratio(reading, attrs.evolve(reading, client=FLOOR))

    def row(self, reading: Reading, ratios: Sequence[float | None], extra: Sequence[str] = ()) -> list[str]:
        """The cells of one reading.

        Args:
            reading: Which.
            ratios: What stands behind its rows a second.
            extra: What stands behind the client's state.
        """
        name = str(reading)
        return [
            reading.client,
            f"{reading.row_bytes:,}",
            reading.state,
            *extra,
            self.speed.shown(name, 0),
            *("" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            self.wall.shown(name, 2),
            f"{self.requests.median(name):,.0f}",
            f"{self.refused.median(name):,.0f}",
            f"{self.cpu.median(name):.2f}",
            f"{self.portal.median(name):.3f}",
            "yes" if self.ordered[name] else "no",
            f"{self.memory.median(name):,.0f}",
        ]

    def data(self) -> dict[str, Any]:
        """All figures, round by round."""
        return {
            "rows_per_second": self.speed.values,
            "wall_s": self.wall.values,
            "cpu_s": self.cpu.values,
            "portal_cpu_s": self.portal.values,
            "requests": self.requests.values,
            "refused": self.refused.values,
            "in_order": self.ordered,
            "peak_rss_mb": self.memory.values,
        }


def sparse_ids(count: int) -> list[int]:
    """Ids with gaps, the same in every run."""
    # The call that opens a client asks for the first deals.
    first = list(range(1, WARMUP + 1))
    return [*first, *sorted(random.Random(24).sample(range(WARMUP + 1, count * 5), count - WARMUP))]


def prepare(served: ServedPortal, workers: Workers, names: Sequence[str]) -> None:
    """Lets each process read a short list, which does not count: modules that it loads belong to no reading."""

    def ask(worker: Worker) -> None:
        worker.ask("export", target=served.open(rows={"crm.deal": 1000}), warmup=1)

    workers.each(names, ask)


def missing_rows(workers: Workers, names: Sequence[str], columns: int) -> list[list[str]]:
    """A row for each client that cannot run here, with the reason."""
    return [[name, why, *[""] * (columns - 2)] for name, why in workers.missing.items() if name in names]
