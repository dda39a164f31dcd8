"""Applications behind real web servers: nothing that was acknowledged is lost when they are asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from b24oauth import B24OAuth
from b24oauth.apps import B24App
from b24oauth.contrib import aiohttp as contrib
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal
from b24oauth.testing.applications import event_body
from tests.support.clients import UNLIMITED
from tests.support.servers import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


async def post(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with session.post(url, data=body, headers=headers) as response:
        return response.status


async def test_two_servers_with_one_store_lose_no_event_when_they_are_asked_to_stop(tmp_path: Path) -> None:
    notes = tmp_path / "notes.db"
    with contextlib.closing(sqlite3.connect(notes)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE notes (kind TEXT, what TEXT)")
    portal, ports = FakePortal(clock=time.time), [free_port(), free_port()]
    async with portal.serve(), aiohttp.ClientSession() as session:
        servers = []
        for port in ports:
            settings = {
                "secret": portal.secret.to_dict(), "store": str(tmp_path / "tokens.db"), "notes": str(notes),
                "hosts": sorted(portal.trusted_oauth_hosts), "port": port,
            }  # fmt: skip
            servers.append(
                await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "tests.contrib.served", cwd=ROOT,
                    env={**os.environ, "SETTINGS": json.dumps(settings)},
                )
            )  # fmt: skip
        try:
            urls = [f"http://127.0.0.1:{port}/" for port in ports]
            async with asyncio.timeout(30):
                for url in urls:
                    while True:
                        try:
                            async with session.get(url):
                                break
                        except aiohttp.ClientError:
                            await asyncio.sleep(0.05)
            assert await post(session, urls[0], event_body(portal, "ONAPPINSTALL", {"VERSION": "1"})) == 200
            bodies = [event_body(portal, "ONCRMDEALADD", {"FIELDS": {"ID": number}}) for number in range(200)]
            sending = [asyncio.create_task(post(session, urls[number % 2], body)) for number, body in enumerate(bodies)]
            await asyncio.sleep(0.05)
            portal.expire_tokens()
            assert set(await asyncio.gather(*sending)) == {200}
            for server in servers:
                server.send_signal(signal.SIGTERM)
            async with asyncio.timeout(30):
                for server in servers:
                    await server.wait()
        finally:
            for server in servers:
                if server.returncode is None:
                    server.kill()
                    await server.wait()
        assert len(portal.token_requests) <= 1
    db = sqlite3.connect(notes)
    handled = sorted(int(kind) for (kind,) in db.execute("SELECT kind FROM notes"))
    assert handled == list(range(200))


async def test_an_application_within_aiohttp(tmp_path: Path) -> None:
    portal, called = FakePortal(clock=time.time), list[str]()
    async with portal.serve():
        app = B24App(
            portal.secret,
            MemoryStore(),
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            restriction_params=UNLIMITED,
        )

        @app.on("ONCRMDEALADD", ack="after")
        async def added(event: Any, b24: B24OAuth) -> None:
            called.append(event.object_id)

        web_app = web.Application()
        contrib.setup(web_app, app, path="/b24")
        assert web_app[contrib.B24APP] is app
        runner = web.AppRunner(web_app)
        await runner.setup()
        port = free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{port}/b24"
        async with aiohttp.ClientSession() as session:
            assert await post(session, url, event_body(portal, "ONAPPINSTALL", {"VERSION": "1"})) == 200
            assert await post(session, f"{url}/", event_body(portal, "ONCRMDEALADD", {"FIELDS": {"ID": 3}})) == 200
            async with session.post(url, data=io.BytesIO(b"x" * (5 * 1024 * 1024))) as response:
                assert response.status == 413
            assert await post(session, url, b"") == 400
        await runner.cleanup()
    assert called == ["3"]
