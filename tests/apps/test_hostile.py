"""What a hostile stranger, or a user without administrator rights, cannot do to an application."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from b24oauth.apps import Page, Proof, Request, frame_page
from b24oauth.installations import InstallationState
from b24oauth.stores import SQLiteStore
from tests.apps.desk import desk

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("user_id", [None, "0", 512])
async def test_user_ready_with_the_application_token_of_a_page_names_no_address(user_id: Any) -> None:
    async with desk() as here:
        await here.install()
        working = await here.pair()
        data = here.portal.issue(7).to_dict() | {"user_id": user_id, "client_endpoint": "https://evil.example/rest/"}
        await here.app.handle(here.event("ONAPPUSERREADY", data=data))
        assert await here.pair() == working
        stored = await here.pair(512)
        assert stored is None or stored.client_endpoint == "https://portal.example/rest/"


async def test_user_ready_is_stored_for_the_proved_user() -> None:
    async with desk() as here:
        data = here.portal.issue(7).to_dict() | {"user_id": 1}
        await here.app.handle(here.event("ONAPPUSERREADY", data=data, application_token="invented"))
        assert await here.pair(1) is None


async def test_the_application_token_alone_replaces_no_working_pair() -> None:
    async with desk() as here:
        await here.install()
        working = await here.pair()
        await here.install(access_token="garbage", refresh_token="garbage")
        assert await here.pair() == working


async def test_an_old_installation_replaces_no_newer_pair() -> None:
    async with desk() as here:
        old = here.event("ONAPPINSTALL", ts=1_790_000_000)
        await here.app.handle(old)
        await here.install(ts=1_790_000_500)
        working = await here.pair()
        await here.app.handle(old)
        assert await here.pair() == working


async def test_a_removal_from_the_future_does_not_forbid_installations() -> None:
    async with desk() as here:
        await here.install()
        await here.app.handle(here.silent("ONAPPUNINSTALL", ts=999_999_999_999))
        await here.install(ts=2_000_000_000)
        assert await here.pair() is not None


async def test_a_removal_during_the_proof_of_an_installation_wins() -> None:
    go, held = asyncio.Event(), [False]

    async def prove(pair: Any) -> Proof:
        if held[0]:
            await go.wait()
        return Proof(
            member_id=pair.member_id,
            client_endpoint="https://portal.example/rest/",
            domain="portal.example",
            status="L",
            scope=(),
            user_id=1,
        )

    async with desk(app={"installation_proof": prove}) as here:
        await here.install(ts=1_790_000_000)
        held[0] = True
        task = asyncio.create_task(here.install(ts=1_790_000_050, application_token="other"))
        await asyncio.sleep(0.1)
        assert (await here.app.handle(here.silent("ONAPPUNINSTALL", ts=1_790_000_100))).status == 200
        go.set()
        await task
        assert (await here.record()).state is InstallationState.UNINSTALLED
        assert await here.pair() is None


async def test_a_lone_surrogate_is_refused_and_not_raised(tmp_path: Any) -> None:
    async with SQLiteStore(tmp_path / "s.db") as store, desk() as here:
        here.app._installations._store = store
        body = b'{"event": "X", "auth": {"member_id": "\\ud800", "application_token": "x"}}'
        response = await here.app.handle(Request(body=body, content_type="application/json"))
        assert response.status in (400, 403)


async def test_a_portals_name_makes_no_lines_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:
        await here.app.handle(here.event("X", member_id="a\nERROR forged line"))
        assert "\nERROR forged line" not in caplog.text


async def test_flat_tokens_are_not_handed_on() -> None:
    sent: list[Any] = []

    async def dispatch(message: Any) -> None:
        sent.append(message)

    async with desk(app={"dispatch": dispatch}) as here:
        await here.install()

        @here.app.on("X")
        async def on_x(event: Any, b24: Any) -> None: ...

        flat = {
            "event": "X",
            "auth[member_id]": here.portal.member_id,
            "auth[access_token]": "S3CR3T",
            "auth[application_token]": here.portal.application_token,
        }
        await here.app.handle(Request(body=json.dumps(flat).encode(), content_type="application/json"))
        assert sent
        assert "S3CR3T" not in str(sent)


async def test_a_page_of_no_administrator_does_not_finish_an_installation() -> None:
    async with desk() as here:

        @here.app.install_page("/install")
        async def install(page: Page) -> str:
            return frame_page(finish=True)

        @here.app.page("/")
        async def main(page: Page) -> str:
            return ""

        await here.app.handle(here.page("/install"))
        here.portal.method("profile", lambda _: {"ID": "7", "ADMIN": False})
        await here.app.handle(here.page("/"))
        assert (await here.record()).state is InstallationState.PENDING
