"""An application and a client within FastAPI, as its users write them."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, FastAPI

from b24oauth import B24OAuth, ConfigurationError
from b24oauth.apps import B24App, NotGenuineError, Page, Session
from b24oauth.contrib.fastapi import client, lifespan_client, portal_client, session_of, setup
from b24oauth.errors import ClientStateError
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, VirtualClock
from b24oauth.testing.applications import event_body, page_request
from tests.support.clients import UNLIMITED

pytestmark = pytest.mark.anyio
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def made(portal: FakePortal, http: httpx.AsyncClient, **options: Any) -> B24App:
    return B24App(
        portal.secret, MemoryStore(), http_client=http, clock=portal.clock.now, restriction_params=UNLIMITED, **options
    )


async def test_an_application_within_fastapi_and_its_own_front_end() -> None:
    portal = FakePortal(clock=VirtualClock())
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        app = made(portal, http, session_key="a long random text")

        @app.page("/")
        async def main(page: Page) -> str:
            return page.session

        web = FastAPI()
        setup(web, app, path="/b24")

        @web.get("/me")
        async def me(
            b24: Annotated[B24OAuth, Depends(portal_client(app))],
            session: Annotated[Session, Depends(session_of(app))],
        ) -> dict[str, Any]:
            return {"portal": session.member_id, "user": session.user_id, "works": (await b24.call("profile"))["ID"]}

        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://app.example") as browser,
        ):
            installation = event_body(portal, "ONAPPINSTALL")
            assert (await browser.post("/b24/", content=installation, headers=FORM)).status_code == 200
            page = page_request(portal, user_id=7)
            response = await browser.post(f"/b24/?{page.query}", content=page.body, headers=FORM)
            assert response.headers["content-security-policy"].startswith("frame-ancestors")
            session = response.text
            answer = await browser.get("/me", headers={"Authorization": f"Bearer {session}"})
            assert answer.json() == {"portal": portal.member_id, "user": 7, "works": "1"}
            for forged in ("", "Bearer", f"Basic {session}", f"Bearer {session}x", "Bearer e30.e30"):
                assert (await browser.get("/me", headers={"Authorization": forged})).status_code == 401
            await app.portals.uninstall(portal.member_id)
            assert (await browser.get("/me", headers={"Authorization": f"Bearer {session}"})).status_code == 401
            portal.clock.advance(86_401)
            assert (await browser.get("/me", headers={"Authorization": f"Bearer {session}"})).status_code == 401
        with pytest.raises(ClientStateError):
            await app.portals.get(portal.member_id)


async def test_one_client_for_the_life_of_a_web_application() -> None:
    portal = FakePortal(clock=VirtualClock())
    async with httpx.AsyncClient(transport=portal.transport()) as http:

        def make() -> B24OAuth:
            return B24OAuth(portal.issue(), portal.secret, http_client=http, clock=portal.clock.now)

        web = FastAPI(lifespan=lifespan_client(make))

        @web.get("/me")
        async def me(b24: Annotated[B24OAuth, Depends(client)]) -> Any:
            return (await b24.call("profile"))["ID"]

        async with (
            web.router.lifespan_context(web),
            httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://app.example") as browser,
        ):
            assert (await browser.get("/me")).json() == "1"


def test_a_session_needs_a_key_and_is_no_state_of_an_authorization() -> None:
    secret = FakePortal(clock=VirtualClock()).secret
    with pytest.raises(ConfigurationError, match="session_key"):
        B24App(secret, MemoryStore()).session("x")
    app = B24App(secret, MemoryStore(), session_key="key")
    state = app.authorization_url("portal.example", session="s").rpartition("state=")[2]
    with pytest.raises(NotGenuineError, match="session is forged"):
        app.session(state)
