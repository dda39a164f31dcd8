"""A client, and the application's own front end, within aiohttp."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from b24oauth import B24OAuth
from b24oauth.apps import B24App, Page
from b24oauth.contrib import aiohttp as contrib
from b24oauth.errors import ClientStateError
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal
from b24oauth.testing.applications import event_body, page_request
from tests.support.clients import UNLIMITED

pytestmark = pytest.mark.anyio
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {}


async def test_the_front_end_of_a_page_speaks_for_its_user_and_portal() -> None:
    portal = FakePortal(clock=time.time)
    async with portal.serve():
        app = B24App(
            portal.secret, MemoryStore(), trusted_oauth_hosts=portal.trusted_oauth_hosts,
            restriction_params=UNLIMITED, session_key="a long random text",
        )  # fmt: skip

        @app.page("/")
        async def main(page: Page) -> str:
            return page.session

        async def me(request: web.Request) -> web.Response:
            b24 = await contrib.portal_client(request)
            user = contrib.session_of(request).user_id
            return web.json_response({"user": user, "works": (await b24.call("profile"))["ID"]})

        web_app, inner = web.Application(), web.Application()
        contrib.setup(web_app, app, path="/b24")
        inner.router.add_get("/me", me)
        web_app.add_subapp("/api", inner)
        async with TestServer(web_app) as server, aiohttp.ClientSession(server.make_url("/")) as browser:
            body = event_body(portal, "ONAPPINSTALL", {"VERSION": "1"})
            async with browser.post("/b24", data=body, headers=FORM) as response:
                assert response.status == 200
            page = page_request(portal, user_id=7)
            async with browser.post(f"/b24/?{page.query}", data=page.body, headers=FORM) as response:
                session = await response.text()
            async with browser.get("/api/me", headers={"Authorization": f"Bearer {session}"}) as response:
                assert await response.json() == {"user": 7, "works": "1"}
            for forged in ("", "Bearer", f"Basic {session}", f"Bearer {session}x"):
                async with browser.get("/api/me", headers={"Authorization": forged}) as response:
                    assert response.status == 401
                    assert response.headers["WWW-Authenticate"] == "Bearer"
            await app.portals.uninstall(portal.member_id)
            async with browser.get("/api/me", headers={"Authorization": f"Bearer {session}"}) as response:
                assert response.status == 401
            async with browser.put("/b24", data=body, headers=FORM) as response:
                assert response.status == 405


async def test_one_client_lives_as_long_as_the_web_application() -> None:
    portal = FakePortal(clock=time.time)
    made: list[B24OAuth] = []

    def make() -> B24OAuth:
        made.append(B24OAuth(portal.issue(), portal.secret, trusted_oauth_hosts=portal.trusted_oauth_hosts))
        return made[0]

    async def me(request: web.Request) -> web.Response:
        return web.json_response((await request.config_dict[contrib.B24CLIENT].call("profile"))["ID"])

    async with portal.serve():
        web_app = web.Application()
        web_app.cleanup_ctx.append(contrib.client_context(make))
        web_app.router.add_get("/me", me)
        async with (
            TestServer(web_app) as server,
            aiohttp.ClientSession(server.make_url("/")) as browser,
            browser.get("/me") as response,
        ):
            assert await response.json() == "1"
        with pytest.raises(ClientStateError):
            await made[0].call("profile")
