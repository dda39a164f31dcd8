"""Twenty portals, one application: several workers with one store, renewals in the middle, removals at the end."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.installations import InstallationState
from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakePortal
from b24oauth.testing.applications import event_body
from tests.contrib.servers import FORM, served
from tests.support.examples import examples
from tests.support.servers import free_port

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

PORTALS = examples(6, 20)
EVENTS = examples(200, 1000)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


@pytest.mark.parametrize("server", ["fastapi", "aiohttp"])
async def test_no_event_is_lost_and_every_pair_is_renewed_once(server: str, tmp_path: Path) -> None:
    notes, store, port = tmp_path / "notes.db", tmp_path / "tokens.db", free_port()
    with contextlib.closing(sqlite3.connect(notes)) as db, db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE notes (kind TEXT, what TEXT)")
    async with AsyncExitStack() as stack:
        secret = B24OAuthSecret(client_id="app.many", client_secret="of many portals")
        portals = [
            FakePortal(
                clock=time.time,
                secret=secret,
                member_id=f"{number:032x}",
                application_token=f"token of {number}",
                refresh_latency=0.05,
            )
            for number in range(PORTALS)
        ]
        for portal in portals:
            await stack.enter_async_context(portal.serve())
        settings = {
            "secret": secret.to_dict(), "store": str(store), "notes": str(notes), "port": port,
            "hosts": [host for portal in portals for host in portal.trusted_oauth_hosts],
            "workers": 4, "server": server,
        }  # fmt: skip
        url = f"http://127.0.0.1:{port}/"
        process = await stack.enter_async_context(served(settings, url))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        turns = asyncio.Semaphore(100)

        async def post(body: bytes) -> int:
            async with turns, http.post(url, data=body, headers=FORM) as response:
                return response.status

        assert {await post(event_body(portal, "ONAPPINSTALL", {"VERSION": "1"})) for portal in portals} == {200}
        sending = [
            asyncio.create_task(post(event_body(portals[number % PORTALS], "ONCRMDEALADD", {"FIELDS": {"ID": number}})))
            for number in range(EVENTS)
        ]
        for number, done in enumerate(asyncio.as_completed(sending)):
            await done
            if number == EVENTS // 3:
                break
        for portal in portals:
            portal.expire_tokens()
        assert Counter(await asyncio.gather(*sending)) == {200: EVENTS}
        forged = event_body(portals[0], "ONAPPUNINSTALL", with_tokens=False, application_token="token of 1")
        assert await post(forged) == 403
        process.terminate()
        async with asyncio.timeout(60):
            await process.wait()
        # All workers together have renewed each pair once.
        assert {len(portal.token_requests) for portal in portals} == {1}
        process = await stack.enter_async_context(served(settings, url))
        removals = [event_body(portal, "ONAPPUNINSTALL", {"CLEAN": 1}, with_tokens=False) for portal in portals]
        assert set(await asyncio.gather(*map(post, removals))) == {200}
        process.terminate()
        await process.wait()
    with contextlib.closing(sqlite3.connect(notes)) as db, db:
        handled = Counter(int(kind) for (kind,) in db.execute("SELECT kind FROM notes"))
    assert handled == dict.fromkeys(range(EVENTS), 1)
    records = SQLiteStore(store)
    assert [key async for key in records.keys(secret.client_id)] == []
    left = [record async for record in records.installations(secret.client_id)]
    assert {(record.state, record.application_tokens) for record in left} == {(InstallationState.UNINSTALLED, ())}
    assert len(left) == PORTALS


async def test_a_renewal_goes_on_when_the_browser_that_waits_for_it_leaves(tmp_path: Path) -> None:
    portal = FakePortal(clock=time.time, refresh_latency=0.5)
    notes, port = tmp_path / "notes.db", free_port()
    with contextlib.closing(sqlite3.connect(notes)) as db, db:
        db.execute("CREATE TABLE notes (kind TEXT, what TEXT)")
    async with portal.serve(), aiohttp.ClientSession() as http:
        settings = {
            "secret": portal.secret.to_dict(), "store": str(tmp_path / "tokens.db"), "notes": str(notes),
            "hosts": sorted(portal.trusted_oauth_hosts), "port": port, "ack": "after",
        }  # fmt: skip
        url = f"http://127.0.0.1:{port}/"
        async with served(settings, url) as process:
            async with http.post(url, data=event_body(portal, "ONAPPINSTALL"), headers=FORM) as response:
                assert response.status == 200
            portal.expire_tokens()
            body = event_body(portal, "ONCRMDEALADD", {"FIELDS": {"ID": 1}})
            with pytest.raises(TimeoutError):
                async with http.post(url, data=body, headers=FORM, timeout=aiohttp.ClientTimeout(total=0.3)):
                    pass
            # It waits for what it has begun.
            process.terminate()
            async with asyncio.timeout(30):
                await process.wait()
        key = TokenKey(portal.secret.client_id, portal.member_id)
        stored = await SQLiteStore(tmp_path / "tokens.db").load(key)
        assert len(portal.token_requests) == 1
        # The new pair is the stored one: a client that starts from it needs no renewal.
        assert stored is not None
        options: dict[str, Any] = {"trusted_oauth_hosts": portal.trusted_oauth_hosts}
        async with B24OAuth(stored.params, portal.secret, **options) as b24:
            await b24.call("profile")
        assert len(portal.token_requests) == 1
