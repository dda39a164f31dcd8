"""A contestant's process: takes jobs as JSON lines, answers with what they cost this process.

Usage: python -m benchmarks.worker "bare httpx"
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sys
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import Any

from benchmarks.contestants import CONTESTANTS, Client, Contestant, Target
from benchmarks.contestants.base import Page, raise_first
from benchmarks.machine import allow_many_sockets, forget_peak, peak_bytes, resident_bytes

__all__ = ["run"]

Answer = dict[str, Any]


async def calls(contestant: Contestant, target: Target, *, calls: int, in_flight: int, warmup: int) -> Answer:
    """CPU and wall time of calls of `crm.deal.get`, after some that open connections and fill caches."""
    async with contestant.opened(target) as client:
        raise_first(await client.calls(warmup, in_flight))

        async def work() -> Answer:
            return failed(await client.calls(calls, in_flight))

        return await measured(work)


async def export(contestant: Contestant, target: Target, *, warmup: int) -> Answer:
    """CPU and wall time of reading all deals with a client that has made some calls at once before, or none."""
    async with contestant.opened(target) as client:
        if warmup:
            raise_first(await client.calls(warmup, warmup))
            # The bucket is empty again.
            await asyncio.sleep(warmup / target.drain if target.drain else 0)
        return await measured(lambda: read(client.export()))


async def stall(contestant: Contestant, target: Target) -> Answer:
    """The longest turns of the event loop while all deals are read, full garbage collections apart."""
    async with contestant.opened(target) as client:
        raise_first(await client.calls(1, 1))
        loop = await beginning()
        answer = await read(client.export())
        return {**answer, **loop.figures()}


async def connections(
    contestant: Contestant, target: Target, *, origins: Sequence[str], shared: bool, calls: int
) -> Answer:
    """CPU, memory and longest turn of clients of many portals that make their first calls at once; then more calls.

    Args:
        contestant: Whose clients.
        target: The portal that answers at all addresses.
        origins: The addresses, one for each client.
        shared: Whether the clients share connections.
        calls: How many calls each client makes at once, first and once more.
    """
    targets = [target.at(origin) for origin in origins]
    # What is loaded or made once for a process belongs to no portal.
    async with contestant.opened(target) as client:
        raise_first(await client.calls(calls, calls))
    async with AsyncExitStack() as stack:
        loop, memory = await beginning(), resident_bytes()
        clients: list[Client] = []

        async def first_use() -> Answer:
            clients.extend(await stack.enter_async_context(contestant.many(targets, shared=shared)))
            return await together(clients, calls)

        answer = await measured(first_use)
        answer |= loop.figures() | {"memory": resident_bytes() - memory}
        again = await measured(lambda: together(clients, calls))
        return answer | {"cpu_again": again["cpu"], "failed": answer["failed"] + again["failed"]}


async def together(clients: Sequence[Client], calls: int) -> Answer:
    """All clients make so many calls at once."""
    failures = await asyncio.gather(*(client.calls(calls, calls) for client in clients))
    return failed(list(itertools.chain.from_iterable(failures)))


def failed(failures: Sequence[Exception]) -> Answer:
    """How many calls failed, and why the first of them did."""
    return {"failed": len(failures), "reason": repr(failures[0]) if failures else ""}


async def beginning() -> TimedLoop:
    """The loop, which has just begun to measure its turns."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, TimedLoop)
    gc.collect()
    await asyncio.sleep(0)  # the collection is over before the first turn that counts
    loop.begin()
    return loop


async def objects(contestant: Contestant, target: Target, *, count: int) -> Answer:
    """CPU time and memory of creating clients."""
    return await contestant.objects(target, count)


async def portals(contestant: Contestant, target: Target, *, count: int, calls: int, at_a_time: int) -> Answer:
    """CPU time, memory and the longest turn of the loop of calls to many portals."""
    heap = await contestant.portals(target, count, 0, at_a_time=at_a_time)
    loop = await beginning()
    answer = heap | await measured(lambda: contestant.portals(target, count, calls, at_a_time=at_a_time))
    return {**answer, **loop.figures()}


async def read(pages: AsyncIterator[Page]) -> Answer:
    """Counts rows, and looks whether pages come in ascending order without repeating a row."""
    rows, last, in_order = 0, 0, True
    async for page in pages:
        rows += len(page)
        first = int(page[0]["ID"])
        in_order = in_order and last < first <= int(page[-1]["ID"])
        last = int(page[-1]["ID"])
        if len(page) > 1000:
            ids = [int(row["ID"]) for row in page]
            in_order = in_order and ids == sorted(ids)
            if len(set(ids)) < len(ids):
                raise ValueError("rows came twice")
    return {"rows": rows, "in_order": in_order}


async def measured(work: Callable[[], Awaitable[Answer]]) -> Answer:
    """Does the work and adds CPU time (user and system, all threads), wall time and the largest memory meanwhile."""
    gc.collect()
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    answer = await work()
    cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    return {**answer, **cost, "rss_kb": peak_bytes() // 1024}


class TimedLoop(asyncio.SelectorEventLoop):
    """Measures how long each turn keeps the thread busy: waiting for events does not count, nor do full collections."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: list[float] = []
        self._collecting = self._collected = self._collected_before = 0.0

    def begin(self) -> None:
        """Forgets what was measured."""
        self._turns.clear()
        self._collected_before = self._collected

    def figures(self) -> Answer:
        """The longest turn, how many took more than 12 ms, and all full collections together, seconds."""
        return {
            "longest": max(self._turns),
            "long_turns": sum(turn > 0.012 for turn in self._turns),
            "collections": self._collected - self._collected_before,
        }

    def collecting(self, phase: str, info: dict[str, int]) -> None:
        """What `gc.callbacks` calls."""
        if info["generation"] == 2:
            if phase == "start":
                self._collecting = time.thread_time()
            else:
                self._collected += time.thread_time() - self._collecting

    def _run_once(self) -> None:
        started, collected = time.thread_time(), self._collected
        super()._run_once()  # type: ignore[misc]  # every turn of every loop of the standard library passes here
        self._turns.append(time.thread_time() - started - (self._collected - collected))


JOBS: dict[str, Callable[..., Coroutine[Any, Any, Answer]]] = {
    "calls": calls,
    "export": export,
    "stall": stall,
    "portals": portals,
    "connections": connections,
    "objects": objects,
}
# Jobs that measure the turns of their loop.
TIMED = (stall, portals, connections)


def run(contestant: Contestant, order: dict[str, Any]) -> Answer:
    """Does one job in an event loop of its own; a failure is an answer too."""
    try:
        job, target = JOBS[order.pop("job")], Target(**order.pop("target"))
        if job not in TIMED:
            return asyncio.run(job(contestant, target, **order))
        loop = TimedLoop()
        gc.callbacks.append(loop.collecting)
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                return runner.run(job(contestant, target, **order))
        finally:
            gc.callbacks.remove(loop.collecting)
    except Exception:  # noqa: BLE001 - told to the benchmark, which says so in its table
        return {"error": traceback.format_exc()}


def main() -> None:
    """Obeys orders until there are no more."""
    contestant = CONTESTANTS[sys.argv[1]]
    allow_many_sockets()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(contestant, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
