"""The example of a worker runs as its readers start it, and is killed while it works."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from b24oauth import B24OAuth
from b24oauth.stores import SQLiteStore
from b24oauth.testing import FakePortal
from tests.support.clients import UNLIMITED
from tests.support.stores import key_of, put

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "offline_worker.py"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


class Copy:
    """The copy that the worker makes of a portal's deals."""

    def __init__(self, portal: FakePortal, path: Path) -> None:
        self.portal, self.path = portal, path

    def titles(self) -> dict[int, str]:
        if not self.path.exists():
            return {}
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as db, db:
            try:
                return dict(db.execute("SELECT id, title FROM deals WHERE portal = ?", (self.portal.member_id,)))
            except sqlite3.OperationalError:
                return {}  # the worker is about to make the table

    async def becomes_right(self) -> None:
        async with asyncio.timeout(60):
            while not self.is_right():  # noqa: ASYNC110 - another process makes it right
                await asyncio.sleep(0.05)

    def is_right(self) -> bool:
        deals = self.portal.rows("crm.deal")
        titles = {number: (deals.get(number) or {})["TITLE"] for number in deals.ids}
        return not self.portal.offline.rows and self.titles() == titles


@asynccontextmanager
async def worker(environment: dict[str, str], folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE), cwd=folder, env=environment)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_the_example_of_a_worker_copies_all_deals_although_it_is_killed(tmp_path: Path) -> None:
    chance = random.Random("an example")
    portal = FakePortal(clock=time.time, rows={"crm.deal": 120})
    async with portal.serve(), SQLiteStore(tmp_path / "portals.db") as store, httpx.AsyncClient() as http:
        await put(store, portal.issue(), key=key_of(portal))
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "B24OAUTH_CLIENT_ID": portal.secret.client_id,
            "B24OAUTH_CLIENT_SECRET": portal.secret.client_secret,
            "B24OAUTH_STORE": str(tmp_path / "portals.db"),
            "B24OAUTH_TRUSTED_HOSTS": ",".join(portal.trusted_oauth_hosts),
            "DEALS": str(tmp_path / "deals.db"),
            "POLL": "0.2",
        }
        copy = Copy(portal, tmp_path / "deals.db")
        user = B24OAuth(
            portal.issue(2),
            portal.secret,
            http_client=http,
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            restriction_params=UNLIMITED,
        )

        async def change_some() -> None:
            for _ in range(30):
                number = chance.choice(portal.rows("crm.deal").ids)
                await user.call("crm.deal.update", {"id": number, "fields": {"TITLE": f"Changed {chance.random()}"}})
            await user.call("crm.deal.add", {"fields": {"TITLE": "New"}})
            await user.call("crm.deal.delete", {"id": chance.choice(portal.rows("crm.deal").ids)})

        async with user:
            async with worker(environment, tmp_path):
                await copy.becomes_right()
                await change_some()
                await asyncio.sleep(chance.uniform(0, 0.3))
            # It was killed in the middle of something, and deals go on changing.
            await change_some()
            async with worker(environment, tmp_path) as process:
                await copy.becomes_right()
                await change_some()
                await copy.becomes_right()
                process.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(process.wait(), 30) == 0
        assert portal.offline.rows == []
