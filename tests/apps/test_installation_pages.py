"""The installation page, the configuration form, and proofs of the application's own."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, B24OAuthParams, ConfigurationError
from b24oauth.apps import NotGenuineError, Page, Proof, Request, SettingsSaved, frame_page
from b24oauth.installations import InstallationState
from b24oauth.testing.applications import encode_form, event_body
from tests.apps.desk import Desk, desk

pytestmark = pytest.mark.anyio


def with_pages(here: Desk) -> None:
    @here.app.install_page("/install")
    async def install(page: Page) -> str:
        return frame_page("<p>Installed</p>", finish=True)

    @here.app.page("/")
    async def main(page: Page) -> str:
        return "main"


async def test_an_installation_is_pending_until_another_page_is_opened() -> None:
    async with desk() as here:
        with_pages(here)
        for _ in range(2):
            response = await here.app.handle(here.page("/install"))
            assert b"BX24.installFinish()" in response.body
            assert (await here.record()).state is InstallationState.PENDING
        pair = await here.pair()
        assert (await here.app.handle(here.page())).body == b"main"
        assert (await here.record()).state is InstallationState.ACTIVE
        assert await here.pair() == pair


async def test_an_installation_is_pending_until_its_event_arrives() -> None:
    async with desk() as here:
        with_pages(here)
        await here.app.handle(here.page("/install"))
        await here.install()
        assert (await here.record()).state is InstallationState.ACTIVE
        await here.app.handle(here.page("/install"))
        assert (await here.record()).state is InstallationState.ACTIVE


async def test_an_event_of_a_pending_installation_is_genuine() -> None:
    async with desk() as here:
        with_pages(here)
        await here.app.handle(here.page("/install"))
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 200


def test_a_page_for_the_frame_escapes_what_is_text() -> None:
    page = frame_page("<p>{as it is}</p>", title="<b>", language='"><script>', script="https://api.example/?a&b")
    assert "<p>{as it is}</p>" in page
    assert "<title>&lt;b&gt;</title>" in page
    assert '<html lang="&quot;&gt;&lt;script&gt;">' in page
    assert "a&amp;b" in page
    assert "installFinish" not in page


# --- the configuration form -------------------------------------------------------------------------------------------


def saved(here: Desk, **auth: Any) -> Request:
    pair = here.portal.issue(user_id=7)
    block = {
        "access_token": pair.access_token, "refresh_token": pair.refresh_token, "expires_in": 3600,
        "member_id": here.portal.member_id, "application_token": here.portal.application_token,
        "client_endpoint": pair.client_endpoint, "server_endpoint": pair.server_endpoint, **auth,
    }  # fmt: skip
    return Request(body=encode_form({"data": {"api-key": "x"}, "auth": block, "saveform": "Y"}))


async def test_the_configuration_form_is_answered_with_json_before_and_after_the_installation() -> None:
    async with desk() as here:

        @here.app.settings
        async def settings(event: Any, b24: B24OAuth) -> dict[str, Any]:
            me = (await b24.call("profile"))["ID"]
            if isinstance(event, SettingsSaved):
                return {"status": "error", "errors": [{"field": "api-key", "message": event.data["api-key"] + me}]}
            return {"title": me, "steps": []}

        display = Request(body=event_body(here.portal, "OnAppSettingsInstall", ts=None, user_id=7))
        for _ in range(2):
            response = await here.app.handle(display)
            assert (response.status, response.content_type) == (200, "application/json")
            here.called.append(json.loads(response.body)["title"])
            response = await here.app.handle(saved(here))
            assert response.status == 400
            here.called.append(json.loads(response.body)["errors"][0]["message"])
            await here.install()
        assert here.called == ["7", "x7", "1", "x1"]


@pytest.mark.parametrize("forged", [{"access_token": "forged"}, {"member_id": "other"}, {"refresh_token": ""}])
async def test_a_forged_configuration_form_reaches_no_handler(forged: dict[str, Any]) -> None:
    async with desk() as here:

        @here.app.settings
        async def settings(event: Any, b24: B24OAuth) -> dict[str, Any]:
            raise AssertionError

        assert (await here.app.handle(saved(here, **forged))).status in (400, 403)


async def test_a_configuration_form_without_a_handler_is_refused() -> None:
    async with desk() as here:
        assert (await here.app.handle(saved(here))).status == 400


# --- proofs of the application's own ----------------------------------------------------------------------------------


async def test_a_proof_of_the_applications_own_replaces_the_question_to_the_oauth_server() -> None:
    asked: list[B24OAuthParams] = []

    async def prove(pair: B24OAuthParams) -> Proof:
        asked.append(pair)
        if pair.access_token == "forged":
            raise NotGenuineError("It is forged")
        return Proof(
            member_id="other" if pair.access_token == "stolen" else pair.member_id,
            client_endpoint="https://portal.example/rest/", domain="portal.example", status="L", scope=(), user_id=7,
        )  # fmt: skip

    async with desk(app={"installation_proof": prove}) as here:
        for token in ("forged", "stolen"):
            assert (await here.install(access_token=token)).status == 403
            assert await here.pair() is None
        assert (await here.install(client_endpoint="https://evil.example/rest/")).status == 200
        assert (await here.pair()).client_endpoint == "https://portal.example/rest/"
        assert len(asked) == 3
        assert not [request for request in here.portal.requests if request.method == "app.info"]


def test_the_applications_functions_must_be_functions() -> None:
    from b24oauth.apps import B24App
    from b24oauth.stores import MemoryStore
    from b24oauth.testing import FakePortal, VirtualClock

    secret, wrong = FakePortal(clock=VirtualClock()).secret, object()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"dispatch": wrong}, "dispatch"), ({"installation_proof": wrong}, "installation_proof"),
        ({"ignore_duplicates": -1}, "ignore_duplicates"), ({"url": "app.example"}, "url"), ({"url": ""}, "url"),
    ]  # fmt: skip
    for options, named in cases:
        with pytest.raises(ConfigurationError, match=named):
            B24App(secret, MemoryStore(), **options)
    assert attrs.has(Proof)
