"""The recipes of docs/applications.md for frameworks without an adapter, within those frameworks."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import django
import httpx
import litestar
import pytest
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from starlette.applications import Starlette

from b24oauth.contrib.asgi import asgi
from b24oauth.contrib.starlette import setup
from b24oauth.testing.applications import page_request
from tests.apps.desk import Desk, desk

pytestmark = pytest.mark.anyio
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PAGE = (Path(__file__).parents[2] / "docs" / "applications.md").read_text(encoding="utf-8")
urlpatterns: list[Any] = []


@asynccontextmanager
async def application() -> AsyncIterator[Desk]:
    async with desk() as here:

        @here.app.page("/deal")
        async def deal(page: Any) -> str:
            return f"<p>{page.user_id}</p>"

        yield here


async def check(web: Any, here: Desk) -> None:
    """A request of each kind arrives as it was sent, and the response of the application comes back."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://app.example") as browser:
        # Bitrix24 does not follow a redirect to the path with a slash.
        for address in ("/bitrix24", "/bitrix24/"):
            response = await browser.post(address, content=here.event("ONAPPINSTALL").body, headers=FORM)
            assert response.status_code == 200
            assert await here.pair() is not None
            await here.app.portals.uninstall(here.portal.member_id)
        await browser.post("/bitrix24", content=here.event("ONAPPINSTALL", ts=1_800_000_000).body, headers=FORM)
        page = page_request(here.portal, user_id=7)
        response = await browser.post(f"/bitrix24/deal?{page.query}", content=page.body, headers=FORM)
        assert (response.status_code, response.text) == (200, "<p>7</p>")
        assert response.headers["Content-Security-Policy"] == "frame-ancestors 'self' https://portal.example"
        assert (await browser.post("/bitrix24/", content=b"x=1", headers=FORM)).status_code == 400


async def test_the_recipe_for_litestar() -> None:
    (recipe,) = re.findall(r"`(Litestar\(.*\))`", PAGE)
    async with application() as here:
        names = {"Litestar": litestar.Litestar, "litestar": litestar, "asgi": asgi, "b24app": here.app}
        web: litestar.Litestar = eval(recipe, names)
        await check(web, here)
        async with web.lifespan():
            pass
        with pytest.raises(Exception, match="closed"):
            await here.app.portals.get(here.portal.member_id)


async def test_the_recipe_for_starlette() -> None:
    async with application() as here:
        web = Starlette()
        setup(web, here.app, path="/bitrix24")
        await check(web, here)
        async with web.router.lifespan_context(web):
            pass
        with pytest.raises(Exception, match="closed"):
            await here.app.portals.get(here.portal.member_id)


async def test_the_recipe_for_django() -> None:
    if not settings.configured:
        middleware = [
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.middleware.clickjacking.XFrameOptionsMiddleware",
        ]
        settings.configure(
            ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of the tests", MIDDLEWARE=middleware, USE_TZ=True
        )
        django.setup()
    (recipe,) = re.findall(r"(from b24oauth.apps import Request\n.*?)```", PAGE, re.DOTALL)
    async with application() as here:
        names: dict[str, Any] = {"__name__": "views", "b24app": here.app}
        exec(recipe, names)
        view = csrf_exempt(names["bitrix24"])
        (pattern,) = re.findall(r'urlpatterns = \[re_path\(r"(.*?)", bitrix24\)\]', recipe)
        urlpatterns[:] = [re_path(pattern, view)]
        await check(ASGIHandler(), here)
