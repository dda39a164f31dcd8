"""Real processes that export and are killed at any moment: the final file has every row once."""

from __future__ import annotations

import asyncio
import csv
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from b24oauth.testing import FakePortal
from tests.support.examples import examples

ROOT = Path(__file__).parents[2]
ROWS = 30_000
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # processes take real time


async def run(settings: dict[str, Any], *, kill_after: float | None) -> list[str]:
    """Exports in a process; kills it so many seconds after it has begun, unless it ends before."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.exporting", cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        assert await process.stdout.readline() == b"begun\n"
        lines = asyncio.ensure_future(process.stdout.read())
        await asyncio.wait([lines], timeout=kill_after)
    finally:
        if process.returncode is None:
            process.kill()
    said = (await lines).decode().splitlines()
    await process.wait()
    return said


def read(path: Path) -> list[int]:
    match path.suffix:
        case ".jsonl":
            return [int(json.loads(line)["ID"]) for line in path.read_bytes().splitlines()]
        case ".csv":
            with path.open(newline="") as file:
                return [int(row["ID"]) for row in csv.DictReader(file)]
        case _:
            parquet = pytest.importorskip("pyarrow.parquet")
            return [int(value) for value in parquet.read_table(path)["ID"].to_pylist()]


@pytest.mark.parametrize(
    ("name", "descending"),
    [("deals.jsonl", False), ("deals.csv", True), ("deals.parquet", False)][: examples(1, 3)],
)
async def test_a_killed_export_goes_on_and_has_every_row_once(tmp_path: Path, name: str, descending: bool) -> None:
    moments = random.Random(name)
    expected = list(range(ROWS, 0, -1)) if descending else list(range(1, ROWS + 1))
    portal = FakePortal(clock=time.time, rows={"crm.deal": ROWS}, record=1)
    final, runs = tmp_path / name, list[list[str]]()
    request = {"method": "crm.deal.list", "to": str(final), "descending": descending}
    async with portal.serve() as served:
        settings = {
            "url": served.webhook(),
            "host": served.origin.removeprefix("http://"),
            "rate": 4,
            "request": request,
        }
        for kill_after in [*(moments.uniform(0, 2) for _ in range(examples(3, 10))), None]:
            runs.append(await run(settings, kill_after=kill_after))
            if final.exists():
                # Only a complete file has this name.
                assert read(final) == expected
                if kill_after is not None:
                    for path in tmp_path.iterdir():
                        path.unlink()
    assert runs[-1][-1].split()[:2] == ["done", str(ROWS)]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    # Some run went on with the rows of a killed one.
    assert any(int(line.split()[2]) > 0 for said in runs for line in said)
