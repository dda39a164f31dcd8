"""`b24oauth export`, in processes of its own against a served portal."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from b24oauth.testing import FakePortal
from tests.support.examples import examples

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


@pytest.fixture
async def portal() -> AsyncIterator[FakePortal]:
    served = FakePortal(clock=time.time, rows={"crm.deal": 3000}, latency=0.02)
    async with served.serve():
        yield served


async def started(portal: FakePortal, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "B24OAUTH_WEBHOOK": portal.webhook(),
        "B24OAUTH_TRUSTED_HOSTS": portal.origin.removeprefix("http://"), "NO_COLOR": "1",
    }  # fmt: skip
    pipe = asyncio.subprocess.PIPE
    command = ["-m", "b24oauth", "export", "crm.deal.list", *arguments]
    return await asyncio.create_subprocess_exec(
        sys.executable, *command, cwd=folder, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )


async def run(portal: FakePortal, folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = await started(portal, folder, *arguments)
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_an_export_that_is_killed_goes_on_and_has_every_row_once(portal: FakePortal, tmp_path: Path) -> None:
    chance = random.Random(11)
    arguments = ("--to", "deals.jsonl", "--select", "ID,TITLE", "--filter", ">ID=10", "--descending")
    for _ in range(examples(3, 10)):
        process = await started(portal, tmp_path, *arguments)
        await asyncio.sleep(chance.uniform(0.3, 1.2))
        if process.returncode is None:
            process.kill()
        await process.communicate()
        if (tmp_path / "deals.jsonl").exists():
            break
    if not (tmp_path / "deals.jsonl").exists():
        status, out, err = await run(portal, tmp_path, *arguments)
        assert (status, "2,990 rows in deals.jsonl" in out) == (0, True), err
    rows = [json.loads(line) for line in (tmp_path / "deals.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [int(row["ID"]) for row in rows] == list(range(3000, 10, -1))
    assert [path.name for path in tmp_path.iterdir()] == ["deals.jsonl"]


async def test_the_formats_and_the_statuses(portal: FakePortal, tmp_path: Path) -> None:
    status, out, err = await run(portal, tmp_path, "--to", "deals.parquet", "--json")
    assert (status, json.loads(out)["rows"]) == (0, 3000), err
    table = pyarrow.parquet.read_table(tmp_path / "deals.parquet")
    assert table.num_rows == 3000
    status, out, _ = await run(portal, tmp_path, "--to", "-", "--limit", "2", "--select", "ID")
    assert (status, out) == (0, '{"ID":"1"}\n{"ID":"2"}\n')
    status, out, _ = await run(portal, tmp_path, "--to", "deals.csv", "--limit", "2", "--select", "ID")
    assert (status, (tmp_path / "deals.csv").read_text(encoding="utf-8").split()) == (0, ["ID", "1", "2"])
    for wrong, said in (
        (("--to", "deals.csv"), "deals.csv exists: name another file, or replace it with --overwrite"),
        (("--to", "deals.xls"), "names no format"),
        (("--to", "x.csv", "--filter", "OPPORTUNITY"), "must be a field, an equals sign and a value"),
        (("--to", "x.csv", "--limit", "0"), "limit"),
    ):
        status, out, err = await run(portal, tmp_path, *wrong)
        assert (status, out, said in err) == (2, "", True), err
        assert "Traceback" not in err
    portal.method("crm.deal.list", lambda _: 1 / 0)
    status, out, err = await run(portal, tmp_path, "--to", "failed.csv")
    assert (status, out) == (1, "")
    assert "No rows are kept" in err
