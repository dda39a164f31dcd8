"""The example of a worker that exports the deals of every portal, in a process that is killed and started again."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakeCloud

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "export_worker.py"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


async def test_the_deals_of_all_portals_are_exported_although_the_worker_is_killed(tmp_path: Path) -> None:
    cloud = FakeCloud(2, clock=time.time, rows={"crm.deal": 1500}, latency=0.3)
    files = [tmp_path / portal.member_id / "deals.csv" for portal in cloud]
    async with cloud.serve(), SQLiteStore(tmp_path / "tokens.db") as store:
        for portal in cloud:
            key = TokenKey(cloud.secret.client_id, portal.member_id)
            await store.save(key, portal.issue(expired=True), expected=None)
        env = {
            **os.environ, "PYTHONPATH": str(ROOT), "EXPORTS": str(tmp_path),
            "B24OAUTH_STORE": str(tmp_path / "tokens.db"),
            "B24OAUTH_TRUSTED_HOSTS": ",".join(cloud.trusted_oauth_hosts),
            "B24OAUTH_CLIENT_ID": cloud.secret.client_id, "B24OAUTH_CLIENT_SECRET": cloud.secret.client_secret,
        }  # fmt: skip
        for seconds in (1.2, None):
            process = await asyncio.create_subprocess_exec(
                sys.executable, str(EXAMPLE), env=env, stdout=asyncio.subprocess.DEVNULL
            )
            if seconds is not None:
                await asyncio.sleep(seconds)
                process.kill()
                await process.wait()
                continue
            for _ in range(1200):
                if all(file.exists() for file in files):
                    break
                await asyncio.sleep(0.05)
            process.terminate()
            assert await process.wait() in (0, -15)
        assert all(len(portal.token_requests) == 1 for portal in cloud)
    for file in files:
        with file.open(encoding="utf-8", newline="") as text:
            assert [int(row["ID"]) for row in csv.DictReader(text)] == list(range(1, 1501))
