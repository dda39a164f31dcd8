"""`b24oauth portal --app URL`, with a real application behind a real server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from b24oauth import B24OAuth, B24OAuthSecret
from b24oauth.apps import B24App, Page
from b24oauth.cli.application import run_application
from b24oauth.contrib.aiohttp import setup
from b24oauth.stores import MemoryStore
from tests.support.clients import UNLIMITED
from tests.support.servers import free_port

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


async def test_an_application_is_installed_gets_events_and_is_removed(tmp_path: Path) -> None:
    shown, typed = list[str](), asyncio.Queue[str]()
    called: list[Any] = []
    is_installed = asyncio.Event()
    port, portal_port = free_port(), free_port()
    url = f"http://127.0.0.1:{port}/b24"

    async def lines() -> AsyncIterator[str]:
        while (line := await typed.get()) != "end":
            yield line

    async def until(text: str) -> str:
        for _ in range(1000):
            for line in shown:
                if re.search(text, line):
                    return line
            await asyncio.sleep(0.02)
        raise AssertionError(f"{text} is not in {shown}")

    running = asyncio.create_task(
        run_application(
            url, install_url=None, redirect=None, host="127.0.0.1", port=portal_port, lines=lines(), show=shown.append
        )
    )
    introduction = await until("export B24OAUTH_CLIENT_ID")
    names = ("B24OAUTH_CLIENT_ID", "B24OAUTH_CLIENT_SECRET", "B24OAUTH_TRUSTED_HOSTS")
    client_id, client_secret, hosts = (re.findall(rf"export {name}=(\S+)", introduction)[0] for name in names)
    app = B24App(
        B24OAuthSecret(client_id=client_id, client_secret=client_secret), MemoryStore(), url=url,
        trusted_oauth_hosts=hosts.split(","), restriction_params=UNLIMITED,
    )  # fmt: skip

    @app.on_install
    async def installed(event: Any, b24: B24OAuth) -> None:
        called.append((await app.sync(b24)).added)
        is_installed.set()

    @app.on("ONCRMDEALADD")
    async def added(event: Any, b24: B24OAuth) -> None:
        called.append(event.object_id)

    @app.page("/")
    async def main(page: Page) -> str:
        return f"user {page.user_id}"

    web_app = web.Application()
    setup(web_app, app, path="/b24")
    async with TestServer(web_app, port=port):
        await until("The application is installed")
        async with asyncio.timeout(20):
            await is_installed.wait()
        await typed.put("")
        assert "Deal 121" in await until("is added")
        await until("ONCRMDEALADD is sent to")
        await until("It was answered 200")
        for line in ("open", "bindings", "update 1", "update", "uninstall", "delete 1"):
            await typed.put(line)
        await until("user 1")
        await until("Binding.*ONCRMDEALADD")
        await until("or type: update ID")
        await until("is removed")
        await typed.put("end")
        await running
    assert called[1:] == ["121"]
