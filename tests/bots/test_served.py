"""A bot behind a real web server: order, forged tokens, and nothing acknowledged is lost when it is asked to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from b24oauth import B24OAuth
from b24oauth.bots import Bot
from b24oauth.protocol.forms import read_form
from b24oauth.testing import FakePortal
from b24oauth.testing.applications import encode_form, event_body
from b24oauth.testing.bots import FakeBots, PostedEvent
from tests.support.clients import UNLIMITED
from tests.support.examples import examples
from tests.support.servers import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
DIALOGS = 100


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


async def post(session: aiohttp.ClientSession, url: str, body: bytes) -> int:
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with session.post(url, data=body, headers=headers) as response:
        return response.status


async def test_a_served_bot_keeps_the_order_refuses_forgeries_and_loses_nothing_at_its_end(tmp_path: Path) -> None:
    each = examples(200, 1000) // DIALOGS
    path = tmp_path / "notes.db"
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE notes (dialog TEXT, what TEXT)")
    portal = FakePortal(clock=time.time)
    bots = FakeBots(portal)
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    async with portal.serve(), aiohttp.ClientSession() as session:
        settings = {
            "secret": portal.secret.to_dict(), "store": str(tmp_path / "tokens.db"), "notes": str(path),
            "hosts": sorted(portal.trusted_oauth_hosts), "port": port,
        }  # fmt: skip
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bots.served", cwd=ROOT, env={**os.environ, "SETTINGS": json.dumps(settings)}
        )
        try:
            async with asyncio.timeout(60):
                while True:
                    try:
                        async with session.get(url):
                            break
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.05)
                assert await post(session, url, event_body(portal, "ONAPPINSTALL", {"VERSION": "1"})) == 200
                params = {"restriction_params": UNLIMITED, "trusted_oauth_hosts": portal.trusted_oauth_hosts}
                async with B24OAuth(portal.issue(), portal.secret, **params) as b24:
                    await Bot("echo", name="Echo").register(b24, url="https://app.example/")
                for number in range(each):
                    for user in range(1, DIALOGS + 1):
                        bots.say(f"{number}", user_id=user)
                by_dialog = defaultdict[str, list[PostedEvent]](list)
                for event in bots.outbox:
                    by_dialog[event.dialog_id].append(event)
                bots.outbox.clear()

                async def send(events: list[PostedEvent]) -> set[int]:
                    return {await post(session, url, event.body) for event in events}

                forged = [tampered(event) for events in by_dialog.values() for event in events[:1]]
                statuses = await asyncio.gather(
                    *(send(events) for events in by_dialog.values()), *(post(session, url, body) for body in forged)
                )
                assert all(status in ({200}, 200) for status in statuses)
                server.send_signal(signal.SIGTERM)
                assert await server.wait() in (0, -signal.SIGTERM)
        finally:
            if server.returncode is None:
                server.kill()
                await server.wait()
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            noted = db.execute("SELECT dialog, what FROM notes ORDER BY rowid").fetchall()
        wanted = [f"{number}" for number in range(each)]
        for user in range(1, DIALOGS + 1):
            assert [what for dialog, what in noted if dialog == f"{user}"] == wanted
            assert bots.answers(f"{user}") == wanted


def tampered(event: PostedEvent) -> bytes:
    """The event with the bot's tokens of another portal."""
    form: Any = read_form(event.body, "The body")
    form["data"]["bot"]["auth"] |= {"member_id": "another", "client_endpoint": "http://127.0.0.1:9/rest/"}
    form["data"]["message"]["text"] = "99"
    return encode_form(form)
