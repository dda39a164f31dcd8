"""`b24oauth login`: a person logs in at the portal's authorization page, and the pair is stored."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakePortal
from tests.support.servers import free_port

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]


async def test_a_login_in_the_browser_stores_the_pair(chromium: Browser, tmp_path: Path) -> None:
    port, store = free_port(), tmp_path / "tokens.db"
    portal = FakePortal(
        clock=time.time, rows={"user": 20}, asks_for_login=True, redirect_uri=f"http://127.0.0.1:{port}/"
    )
    async with portal.serve():
        host = portal.origin.removeprefix("http://")
        env: dict[str, Any] = {
            **os.environ, "PYTHONPATH": str(ROOT), "B24OAUTH_STORE": str(store), "B24OAUTH_TRUSTED_HOSTS": host,
            "B24OAUTH_CLIENT_ID": portal.secret.client_id, "B24OAUTH_CLIENT_SECRET": portal.secret.client_secret,
        }  # fmt: skip
        command = ["-m", "b24oauth", "login", host, "--port", str(port), "--no-browser"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(sys.executable, *command, env=env, stdout=pipe, stderr=pipe)
        assert process.stderr is not None
        url = ""
        while not url.startswith("http"):
            line = await process.stderr.readline()
            assert line, "the command has ended"
            url = line.decode().strip()
        page = await chromium.new_page()
        await page.goto(url)
        await expect(page.locator("h1")).to_have_text("Log in to the fake portal")
        await page.locator("select").select_option("3")
        await page.locator("button").click()
        await expect(page.locator("body")).to_contain_text("close")
        out, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        await page.close()
        assert portal.secret.client_secret not in (out + errors).decode()
        async with SQLiteStore(store) as opened:
            stored = await opened.load(TokenKey(portal.secret.client_id, portal.member_id))
        assert stored is not None
        assert stored.params.client_endpoint == portal.client_endpoint
