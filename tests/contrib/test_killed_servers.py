"""Web servers that are killed: an event that was acknowledged is in the queue."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from b24oauth import B24OAuth
from b24oauth.apps import B24App
from b24oauth.stores import SQLiteStore
from b24oauth.testing import FakePortal
from b24oauth.testing.applications import event_body
from tests.contrib.servers import FORM, served
from tests.support.clients import UNLIMITED
from tests.support.examples import examples
from tests.support.servers import Valkey, free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
STREAM = "events of a killed server"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


async def test_no_acknowledged_event_is_lost_when_servers_are_killed(tmp_path: Path, valkey_server: Valkey) -> None:
    chance = random.Random(7)
    portal, port = FakePortal(clock=time.time), free_port()
    url = f"http://127.0.0.1:{port}/"
    notes = tmp_path / "notes.db"
    with contextlib.closing(sqlite3.connect(notes)) as db, db:
        db.execute("CREATE TABLE notes (kind TEXT, what TEXT)")
    acknowledged, numbers = set[str](), iter(range(1_000_000))
    redis = Redis.from_url(valkey_server.url, decode_responses=True)
    await redis.delete(STREAM)
    async with portal.serve():
        settings = {
            "secret": portal.secret.to_dict(), "store": str(tmp_path / "tokens.db"), "notes": str(notes),
            "hosts": sorted(portal.trusted_oauth_hosts), "port": port, "workers": 2,
            "redis": valkey_server.url, "stream": STREAM,
        }  # fmt: skip

        async def send(session: aiohttp.ClientSession) -> None:
            for number in numbers:
                body = event_body(portal, "ONCRMDEALADD", {"FIELDS": {"ID": number}})
                async with session.post(url, data=body, headers=FORM) as response:
                    if response.status == 200:
                        acknowledged.add(str(number))

        for _ in range(examples(3, 30)):
            async with served(settings, url) as server, aiohttp.ClientSession() as session:
                async with session.post(url, data=event_body(portal, "ONAPPINSTALL"), headers=FORM) as response:
                    assert response.status == 200
                sending = [asyncio.create_task(send(session)) for _ in range(20)]
                await asyncio.sleep(chance.uniform(0.05, 0.4))
                os.killpg(server.pid, signal.SIGKILL)
                await server.wait()
                results = await asyncio.gather(*sending, return_exceptions=True)
                assert all(isinstance(result, aiohttp.ClientError) for result in results)

        handled = set[str]()
        app = B24App(
            portal.secret, SQLiteStore(tmp_path / "tokens.db"), restriction_params=UNLIMITED,
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
        )  # fmt: skip

        @app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            handled.add(event.object_id)

        async with app:
            for _, fields in await redis.xrange(STREAM):
                await app.run(json.loads(fields["message"]))
    await redis.aclose()
    assert len(acknowledged) > 20
    assert acknowledged <= handled
