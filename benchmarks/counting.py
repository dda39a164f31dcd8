"""A guard against regressions that counts instead of timing: what fails here fails on every machine.

Counts what b24oauth does for calls and for a list, in process and in virtual time: requests, tasks, timers, waits,
bytecode instructions of its own modules, memory; of one call also its own function calls and the moves between
modules, calls and returns counted. The bounds are one table; tighten them when the counts go down.

Usage: python -m benchmarks.counting
"""

from __future__ import annotations

import asyncio
import dis
import gc
import json
import sys
import tracemalloc
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, Self

import attrs
import httpx

import b24oauth
from b24oauth import B24OAuth, RateLimitConfig, RestrictionParams
from b24oauth.testing import FakePortal, VirtualClock, VirtualClockLoop
from b24oauth.testing.messages import Request

__all__ = ["BOUNDS", "broken", "count_all"]

CALLS = 100
ROWS = 20_000
# The queue: so many calls find room at once, the others wait for their turn.
BURST, DRAIN = 10, 50

# The most of each that is allowed, per scenario. Numbers of things are the same in every run, so they have no room. One
# timer watches over all requests under way; it is set anew after each pause.
# Instructions differ by some percent between versions of Python, of which 3.11 runs the most.
# Memory differs between versions of everything, and what is a garbage of cycles waits for its collection: it has half.
BOUNDS: Final[dict[str, dict[str, float]]] = {
    # 100 calls, one after another, no limit in reach.
    "sequential": {
        "requests": 100,
        "tasks": 0,
        "timers": 1,
        "waits": 0,
        "instructions_per_call": 2150,
        "peak_kib": 500,
        "kept_bytes_per_call": 300,
        "own_calls": 58,
        "moves": 68,
    },
    # 100 calls at once, no limit in reach; tasks are those beside the callers' own. All but ten wait for the gate.
    "at_once": {
        "requests": 100,
        "tasks": 0,
        "timers": 1,
        "waits": 90,
        "instructions_per_call": 2190,
        "peak_kib": 550,
        "kept_bytes_per_call": 400,
    },
    # 100 calls at once behind a bucket that lets ten through: each waits for the gate, for its turn, and for room.
    "queued": {
        "requests": 100,
        "tasks": 0,
        "timers": 50,
        "waits": 205,
        "instructions_per_call": 2400,
        "peak_kib": 550,
        "kept_bytes_per_call": 400,
    },
    # A list of 20,000 rows, several requests of up to 50 pages at once.
    # The portal and its answers are in the memory too.
    "export": {
        "requests": 11,
        "commands": 410,
        "tasks": 10,
        "timers": 2,
        "instructions_per_row": 38.1,
        "peak_kib": 32_000,
        "kept_bytes_per_row": 3,
    },
}

_OURS: Final = str(Path(b24oauth.__file__).parent)
_THE_PORTALS: Final = str(Path(b24oauth.__file__).parent / "testing")

Work = Callable[[B24OAuth], Awaitable[int]]


class _CountingLoop(VirtualClockLoop):
    """Counts what is made on it."""

    def __init__(self) -> None:
        super().__init__()
        self.tasks = self.timers = self.waits = 0

    def create_task(self, coro: Coroutine[Any, Any, Any], **options: Any) -> asyncio.Task[Any]:  # type: ignore[override]
        self.tasks += 1
        return super().create_task(coro, **options)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, **options: Any
    ) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(when, callback, *args, **options)

    def create_future(self) -> asyncio.Future[Any]:
        # Locks, semaphores and sleeps make one for each that has to wait.
        self.waits += 1
        return super().create_future()


class _DirectTransport(httpx.AsyncBaseTransport):
    """Hands requests to the portal and makes nothing that would be counted.

    Attributes:
        requests: How many.
    """

    def __init__(self, portal: FakePortal) -> None:
        self._portal = portal
        self.requests = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        # Other calls have their turn while this one is under way, as on a network.
        await asyncio.sleep(0)
        answer = await self._portal.respond(
            Request(
                http_method=request.method,
                path=request.url.path,
                query=request.url.query.decode("ascii"),
                headers=request.headers,
                body=await request.aread(),
            )
        )
        return httpx.Response(answer.status, headers=list(answer.headers), content=answer.body)


class _Instructions:
    """Counts the bytecode instructions that run in b24oauth, the fake portal left out."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> Self:
        # Python 3.12 traces instructions only if a frame wants it before tracing begins.
        sys._getframe().f_trace_opcodes = True  # noqa: SLF001 - there is no other way to this frame
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _on_call(self, frame: FrameType, _: str, __: Any) -> Any:
        if not _is_ours(frame) or (frame.f_back and _is_the_portals(frame.f_back)):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._on_event

    def _on_event(self, _: FrameType, event: str, __: Any) -> Any:
        self.count += event == "opcode"
        return self._on_event


class _Trace:
    """Counts what a reader of one call has to follow: functions of b24oauth, and steps from one module to another."""

    def __init__(self) -> None:
        self.calls = self.moves = 0
        self._begun: set[FrameType] = set()

    def __enter__(self) -> Self:
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self._begun.clear()

    def _on_event(self, frame: FrameType, event: str, _: object) -> None:
        if event not in ("call", "return") or not _is_ours(frame) or _is_within_the_portal(frame):
            return
        caller = frame.f_back
        while caller is not None and not _is_ours(caller):
            caller = caller.f_back
        moves = caller is not None and caller.f_code.co_filename != frame.f_code.co_filename
        # A coroutine that waits has not returned, and one that goes on is not called again.
        if event == "call" and frame not in self._begun:
            self.calls += 1
            self.moves += moves
            self._begun.add(frame)
        elif event == "return" and not _waits(frame):
            self.moves += moves


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS) and not _is_the_portals(frame)


def _is_within_the_portal(frame: FrameType | None) -> bool:
    while frame is not None and not _is_the_portals(frame):
        frame = frame.f_back
    return frame is not None


def _waits(frame: FrameType) -> bool:
    return frame.f_code.co_code[frame.f_lasti] == dis.opmap["YIELD_VALUE"]


def _is_the_portals(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_THE_PORTALS)


@attrs.frozen(kw_only=True)
class Scenario:
    """What is done while counting.

    Attributes:
        work: Does it with an open client and returns the number of tasks that were its own.
        units: How many calls or rows that is.
        unit: What one of them is called.
        limit: The client's bucket: at once, and a second.
    """

    work: Work
    units: int
    unit: str = "call"
    limit: tuple[float, float] = (1e9, 1e9)


async def _sequential(b24: B24OAuth) -> int:
    for number in range(CALLS):
        await b24.actions.v2.call.make("crm.deal.get", {"id": number + 1})
    return 0


async def _at_once(b24: B24OAuth) -> int:
    calls = [b24.actions.v2.call.make("crm.deal.get", {"id": number + 1}) for number in range(CALLS)]
    await asyncio.gather(*calls)
    return CALLS


async def _export(b24: B24OAuth) -> int:
    rows = 0
    async for page in b24.actions.v2.fetch_list.make("crm.deal.list"):
        rows += len(page)
    if rows != ROWS:
        raise AssertionError(f"the list gave {rows} rows of {ROWS}")
    return 0


@attrs.frozen(kw_only=True)
class _Opened:
    portal: FakePortal
    transport: _DirectTransport
    b24: B24OAuth


SCENARIOS: Final = {
    "sequential": Scenario(work=_sequential, units=CALLS),
    "at_once": Scenario(work=_at_once, units=CALLS),
    "queued": Scenario(work=_at_once, units=CALLS, limit=(BURST, DRAIN)),
    "export": Scenario(work=_export, units=ROWS, unit="row"),
}


@asynccontextmanager
async def _opened(limit: tuple[float, float]) -> AsyncGenerator[_Opened]:
    """A portal that keeps no records, and a client of it that has made a call: what is made once is there."""
    portal = FakePortal(clock=VirtualClock(), rows={"crm.deal": ROWS}, record=False)
    transport = _DirectTransport(portal)
    params = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=limit[0], drain_rate=limit[1]))
    async with (
        httpx.AsyncClient(transport=transport) as http,
        B24OAuth(
            portal.issue(), portal.secret, http_client=http, restriction_params=params, clock=portal.clock.now
        ) as b24,
    ):
        await b24.actions.v2.call.make("crm.deal.get", {"id": 1})
        # The bucket is empty again.
        await asyncio.sleep(limit[0] / limit[1])
        yield _Opened(portal=portal, transport=transport, b24=b24)


async def _things(scenario: Scenario) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _CountingLoop)
    async with _opened(scenario.limit) as opened:
        requests, commands = opened.transport.requests, _commands(opened.portal)
        loop.tasks = loop.timers = loop.waits = 0
        own = await scenario.work(opened.b24)
        return {
            "requests": opened.transport.requests - requests,
            "commands": _commands(opened.portal) - commands,
            "tasks": loop.tasks - own,
            "timers": loop.timers,
            "waits": loop.waits,
        }


def _commands(portal: FakePortal) -> int:
    return portal.calls.total() - portal.calls["batch"]


async def _instructions(scenario: Scenario) -> dict[str, float]:
    async with _opened(scenario.limit) as opened:
        with _Instructions() as instructions:
            await scenario.work(opened.b24)
    return {f"instructions_per_{scenario.unit}": instructions.count / scenario.units}


async def _trace(scenario: Scenario) -> dict[str, float]:
    if scenario.work is not _sequential:
        return {}
    async with _opened(scenario.limit) as opened:
        call = opened.b24.actions.v2.call.make
        await call("crm.deal.get", {"id": 1})
        with _Trace() as trace:
            await call("crm.deal.get", {"id": 1})
    return {"own_calls": trace.calls, "moves": trace.moves}


async def _memory(scenario: Scenario) -> dict[str, float]:
    async with _opened(scenario.limit) as opened:
        tracemalloc.start()
        try:
            # Twice before, so that caches are full and what they drop was counted when it came.
            for _ in range(2):
                await scenario.work(opened.b24)
            before = _traced()
            tracemalloc.reset_peak()
            await scenario.work(opened.b24)
            _, peak = tracemalloc.get_traced_memory()
            kept = _traced() - before
        finally:
            tracemalloc.stop()
    return {"peak_kib": (peak - before) / 1024, f"kept_bytes_per_{scenario.unit}": kept / scenario.units}


def _traced() -> int:
    gc.collect()
    traced, _ = tracemalloc.get_traced_memory()
    return traced


def count_all() -> dict[str, dict[str, float]]:
    """Every count of every scenario."""
    return {
        name: {
            metric: value
            for count in (_things, _instructions, _trace, _memory)
            for metric, value in _run(count(scenario)).items()
        }
        for name, scenario in SCENARIOS.items()
    }


def _run(counting: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    with asyncio.Runner(loop_factory=_CountingLoop) as runner:
        return runner.run(counting)


def broken(counts: dict[str, dict[str, float]]) -> list[str]:
    """The counts that are above their bounds, and those that cannot be true."""
    found = [
        f"{scenario}: {metric} is {counts[scenario][metric]:,.1f}, at most {bound:,} allowed"
        for scenario, bounds in BOUNDS.items()
        for metric, bound in bounds.items()
        if counts[scenario][metric] > bound
    ]
    found += [
        f"{scenario}: {metric} is {value:g}, so nothing was counted"
        for scenario, values in counts.items()
        for metric, value in values.items()
        if metric.startswith(("requests", "instructions", "peak")) and value <= 0
    ]
    return found


def main() -> None:
    """Prints the counts as JSON; fails when one is above its bound."""
    counts = count_all()
    print(json.dumps(counts, indent=1))
    if problems := broken(counts):
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
