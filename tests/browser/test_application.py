"""An application in a real browser: in a frame of the fake portal, and at its login page."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, expect

from b24oauth import B24OAuth
from b24oauth.apps import B24App, Page, frame_page
from b24oauth.contrib.aiohttp import portal_client, session_of, setup
from b24oauth.installations import InstallationState
from b24oauth.stores import SQLiteStore, TokenKey
from b24oauth.testing import FakeInstallation, FakePortal
from tests.support.clients import UNLIMITED
from tests.support.servers import free_port

pytestmark = pytest.mark.anyio

FETCH = """
<output></output>
<script type="module">
const response = await fetch("/me", {headers: {Authorization: "Bearer SESSION"}});
document.querySelector("output").value = await response.text();
</script>
"""


class Site:
    """An application that is served, and the portal where it is installed."""

    def __init__(self, portal: FakePortal, app: B24App, store: SQLiteStore, url: str) -> None:
        self.portal, self.app, self.store, self.url = portal, app, store, url
        self.installation = FakeInstallation(portal, f"{url}/b24/", install_url=f"{url}/b24/install")
        self.installed: list[str] = []

    async def record(self) -> Any:
        stored = await self.store.load_installation(self.portal.secret.client_id, self.portal.member_id)
        return None if stored is None else stored.installation


@asynccontextmanager
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    portal = FakePortal(
        clock=time.time, rows={"user": 20, "crm.deal": 5}, asks_for_login=True, redirect_uri=f"{url}/returned"
    )
    async with portal.serve(), SQLiteStore(tmp_path / "portals.db") as store:
        app = B24App(
            portal.secret, store, url=f"{url}/b24", session_key="a long random text",
            trusted_oauth_hosts=portal.trusted_oauth_hosts, restriction_params=UNLIMITED,
        )  # fmt: skip
        here = Site(portal, app, store, url)
        bx24 = f"{portal.origin}/_fake/bx24.js"

        @app.on_install
        async def installed(event: Any, b24: B24OAuth) -> None:
            here.installed.append(type(event).__name__)

        @app.install_page("/install")
        async def install(page: Page) -> str:
            await app.sync(page.b24)
            return frame_page("<p>Installing</p>", finish=True, script=bx24)

        @app.page("/", placement="LEFT_MENU", title="Hello")
        async def main(page: Page) -> str:
            me = await page.user.call("profile")
            return frame_page(f"<h1>Hello, {me['NAME']}</h1>" + FETCH.replace("SESSION", page.session), script=bx24)

        async def me(request: web.Request) -> web.Response:
            b24 = await portal_client(request)
            return web.Response(text=f"{session_of(request).user_id} of {(await b24.call('profile'))['ID']}")

        async def login(request: web.Request) -> web.Response:
            host = portal.origin.removeprefix("http://")
            response = web.HTTPFound(app.authorization_url(host, session="of this browser"))
            response.set_cookie("session", "of this browser", httponly=True, samesite="Lax")
            raise response

        async def returned(request: web.Request) -> web.Response:
            b24 = await app.exchange_code(request.query_string, session=request.cookies["session"])
            return web.Response(
                text=f"<p>Logged in: {(await b24.call('profile'))['NAME']}</p>", content_type="text/html"
            )

        application = web.Application()
        setup(application, app, path="/b24")
        application.router.add_get("/me", me)
        application.router.add_get("/login", login)
        application.router.add_get("/returned", returned)
        async with TestServer(application, port=port):
            yield here


async def test_the_installation_page_finishes_the_installation_in_a_frame(chromium: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        page = await chromium.new_page()
        await page.goto(f"{here.portal.origin}/marketplace/app/1/")
        await expect(page.frame_locator("iframe").locator("h1")).to_have_text("Hello, Boris")
        assert here.portal.bindings.is_finished
        assert {one.event for one in here.portal.bindings.events} == {"ONAPPINSTALL", "ONAPPUNINSTALL"}
        assert (await here.record()).state is InstallationState.ACTIVE
        assert here.installed[0] == "PageOpened"
        await page.close()


async def test_a_page_in_a_frame_shows_its_user_and_its_front_end_speaks_for_him(
    chromium: Browser, tmp_path: Path
) -> None:
    async with site(tmp_path) as here:
        page = await chromium.new_page()
        await page.goto(f"{here.portal.origin}/marketplace/app/1/")
        await expect(page.frame_locator("iframe").locator("output")).to_have_text("1 of 1")
        await page.goto(f"{here.portal.origin}/placement/?code=LEFT_MENU&user=4")
        frame = page.frame_locator("iframe")
        await expect(frame.locator("h1")).to_have_text("Hello, Elena")
        await expect(frame.locator("output")).to_have_text("4 of 1")
        await page.screenshot(path=tmp_path / "page.png")
        await page.close()


async def test_another_site_cannot_show_a_page_in_a_frame(chromium: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        page = await chromium.new_page()
        await page.goto(f"{here.portal.origin}/marketplace/app/1/")
        await expect(page.frame_locator("iframe").locator("h1")).to_have_text("Hello, Boris")
        # The same page within a site of another origin.
        content = await (await page.request.get(f"{here.portal.origin}/marketplace/app/1/")).text()

        async def evil(request: web.Request) -> web.Response:
            return web.Response(text=content, content_type="text/html")

        foreign = web.Application()
        foreign.router.add_get("/", evil)
        async with TestServer(foreign) as server:
            await page.goto(str(server.make_url("/")))
            async with page.expect_event("console", lambda message: "frame-ancestors" in message.text):
                await page.reload()
            assert "Hello" not in await page.frame_locator("iframe").locator("body").inner_text()
        await page.close()


async def test_a_user_logs_in_at_the_portal_and_comes_back(chromium: Browser, tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        page = await chromium.new_page()
        await page.goto(f"{here.url}/login")
        await expect(page.locator("h1")).to_have_text("Log in to the fake portal")
        await page.locator("select").select_option("3")
        await page.locator("button").click()
        await expect(page.locator("p")).to_have_text("Logged in: Dmitry")
        stored = [key async for key in here.store.keys(here.portal.secret.client_id)]
        assert stored == [TokenKey(here.portal.secret.client_id, here.portal.member_id)]
        # The address with the code is good once.
        response = await page.goto(page.url)
        assert response is not None
        assert response.status == 500
        await page.close()
