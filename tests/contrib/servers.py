"""Starts `tests.contrib.served` in a process group of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["FORM", "served"]

ROOT = Path(__file__).parents[2]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def served(settings: dict[str, Any], url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A web server that answers at `url`; it is killed at the end if it still runs."""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.contrib.served", cwd=ROOT, start_new_session=True,
        env={**os.environ, "SETTINGS": json.dumps(settings)},
    )  # fmt: skip
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                try:
                    async with session.get(url):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield server
    finally:
        if server.returncode is None:
            os.killpg(server.pid, signal.SIGKILL)
            await server.wait()
