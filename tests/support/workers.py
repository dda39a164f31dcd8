"""Starts, stops and kills worker processes, from a test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs

ROOT = Path(__file__).parents[2]


class Workers:
    """Worker processes, each forked by a process that has imported everything."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._started: asyncio.Queue[int] = asyncio.Queue()
        self._done: defaultdict[int, asyncio.Future[dict[str, Any]]] = defaultdict(asyncio.Future)

    async def read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if said["event"] == "started":
                self._started.put_nowait(said["pid"])
            else:
                self._done[said["pid"]].set_result(said)

    async def start(self, job: attrs.AttrsInstance) -> int:
        """The pid of a new worker."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(attrs.asdict(job)).encode() + b"\n")
        async with asyncio.timeout(30):
            return await self._started.get()

    async def outcome(self, pid: int, timeout: float = 60) -> dict[str, Any]:
        """What a worker has reported at its end."""
        async with asyncio.timeout(timeout):
            return await self._done[pid]

    def is_done(self, pid: int) -> bool:
        return self._done[pid].done()

    @staticmethod
    def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(pid, number)


@asynccontextmanager
async def workers(module: str = "tests.support.worker") -> AsyncIterator[Workers]:
    """Processes that a script forks: `tests.support.worker`, or another one with jobs of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    started = Workers(process)
    reading = asyncio.create_task(started.read())
    try:
        yield started
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        reading.cancel()
        await asyncio.wait({reading})
