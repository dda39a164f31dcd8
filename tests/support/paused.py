"""A client that is stopped while responses arrive. Run as a script by `tests/wire/test_paused_process.py`."""

from __future__ import annotations

import asyncio
import sys

from tests.support.wires import wire_of


async def main(kind: str, url: str, runs: int, timeout: float) -> None:
    async with wire_of(kind, timeout=timeout) as wire:
        for _ in range(runs):
            response = await wire.send("POST", url, b"{}", {"Content-Type": "application/json"})
            sys.stdout.write(f"{len(response.body)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
