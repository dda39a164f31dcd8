"""The fake portal plays its side of an application, as awkwardly as Bitrix24."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from b24oauth import AjaxError, B24Hook, B24OAuth
from b24oauth.apps import B24App, Page, Request, Uninstalled, frame_page
from b24oauth.errors import RefreshTokenError
from b24oauth.installations import InstallationState
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakeInstallation, FakePortal, VirtualClock
from b24oauth.testing.bindings import Binding
from b24oauth.testing.brackets import parse_query
from b24oauth.testing.installed import AppRequest, AppResponse
from tests.support.clients import UNLIMITED

pytestmark = pytest.mark.anyio
URL = "https://app.example/b24"


class Office:
    """An application that registers itself, and the portal where it is installed."""

    def __init__(self, portal: FakePortal, app: B24App, store: MemoryStore) -> None:
        self.portal, self.app, self.store = portal, app, store
        self.sent: list[AppRequest] = []
        self.called: list[Any] = []
        self.is_away = False

    async def send(self, request: AppRequest) -> AppResponse:
        self.sent.append(request)
        if self.is_away:
            return AppResponse(status=0)
        parts = urlsplit(request.url)
        response = await self.app.handle(
            Request(path=parts.path.removeprefix("/b24"), query=parts.query, body=request.body)
        )
        return AppResponse(status=response.status, body=response.body, headers=response.headers)

    def installation(self, *, with_page: bool = False) -> FakeInstallation:
        return FakeInstallation(self.portal, URL, install_url=f"{URL}/install" if with_page else None, send=self.send)

    async def state(self) -> Any:
        stored = await self.store.load_installation(self.portal.secret.client_id, self.portal.member_id)
        return None if stored is None else stored.installation.state

    @property
    def events(self) -> list[str]:
        forms = [parse_query(request.body.decode()) for request in self.sent]
        return [form["event"] for form in forms if "event" in form]


@asynccontextmanager
async def office(**options: Any) -> AsyncIterator[Office]:
    portal, store = FakePortal(clock=VirtualClock(), **options), MemoryStore()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        app = B24App(
            portal.secret, store, url=URL, http_client=http, clock=portal.clock.now, restriction_params=UNLIMITED,
            session_key="a long random text",
        )  # fmt: skip
        async with app:
            here = Office(portal, app, store)

            @app.on_install
            async def installed(event: Any, b24: B24OAuth) -> None:
                await app.sync(b24)

            @app.on("ONCRMDEALADD", ack="after")
            async def added(event: Any, b24: B24OAuth) -> None:
                deal = await b24.call("crm.deal.get", {"id": event.object_id})
                here.called.append((deal["TITLE"], event.auth.user_id))

            @app.page("/", placement="LEFT_MENU")
            async def main(page: Page) -> str:
                return f"{page.user_id} {page.opened.placement}"

            @app.install_page("/install")
            async def install(page: Page) -> str:
                await app.sync(page.b24)
                return frame_page("", finish=True)

            @app.on_uninstall
            async def uninstalled(event: Uninstalled) -> None:
                here.called.append(event.cleans)

            yield here


async def settled(here: Office) -> None:
    import asyncio

    await asyncio.sleep(1)


@pytest.mark.parametrize("order", ["installed first", "user first"])
async def test_an_application_without_an_interface_is_installed_by_events(order: Any) -> None:
    async with office() as here:
        installation = here.installation()
        assert (await installation.install(order=order)).status == 200
        assert sorted(here.events) == ["ONAPPINSTALL", "ONAPPUSERREADY"]
        assert await here.state() is InstallationState.ACTIVE
        system = TokenKey(here.portal.secret.client_id, here.portal.member_id, installation.system_user)
        assert await here.store.load(system) is not None


async def test_events_are_silent_until_the_installation_page_has_finished() -> None:
    async with office() as here:
        installation = here.installation(with_page=True)
        assert "installFinish" in (await installation.install()).text
        assert await here.state() is InstallationState.PENDING
        b24 = await here.app.portals.get(here.portal.member_id)
        assert (await b24.call("app.info"))["INSTALLED"] is False
        await b24.call("crm.deal.add", {"fields": {"TITLE": "Before"}})
        assert await installation.deliver() == []
        await installation.finish()
        assert await here.state() is InstallationState.ACTIVE
        await b24.call("crm.deal.add", {"fields": {"TITLE": "After"}})
        assert [response.status for response in await installation.deliver()] == [200]
        assert here.called == [("After", 1)]
        assert (await b24.call("app.info"))["INSTALLED"] is True


async def test_changes_of_rows_send_the_events_that_are_bound() -> None:
    async with office() as here:
        installation = here.installation()
        await installation.install()
        await settled(here)
        b24 = await here.app.portals.get(here.portal.member_id)
        deals = [await b24.call("crm.deal.add", {"fields": {"TITLE": f"Deal {number}"}}) for number in range(4)]
        await b24.call("crm.deal.update", {"id": deals[0], "fields": {"TITLE": "Other"}})
        await installation.deliver(shuffle=random.Random(3), twice=True)
        assert sorted(here.called) == sorted(2 * [(f"Deal {n}" if n else "Other", 1) for n in range(4)])


async def test_an_event_that_is_not_answered_is_lost() -> None:
    async with office() as here:
        installation = here.installation()
        await installation.install()
        await settled(here)
        here.is_away = True
        await installation.send("ONCRMDEALADD", {"FIELDS": {"ID": 1}})
        here.is_away = False
        assert await installation.deliver() == []
        assert [lost.event for lost in installation.lost] == ["ONCRMDEALADD"]
        assert here.called == []


async def test_an_unpaid_application_gets_no_events() -> None:
    async with office() as here:
        installation = here.installation()
        await installation.install()
        await settled(here)
        here.portal.bindings.is_paid = False
        assert await installation.send("ONCRMDEALADD", {"FIELDS": {"ID": 1}}) == []


async def test_ordinary_events_carry_no_refresh_token_and_those_of_no_user_no_token() -> None:
    async with office(rows={"crm.deal": 2}) as here:
        installation = here.installation()
        await installation.install()
        await settled(here)
        await installation.send("ONCRMDEALADD", {"FIELDS": {"ID": 1}}, user_id=7)
        auth = parse_query(here.sent[-1].body.decode())["auth"]
        assert auth["user_id"] == "7"
        assert auth["access_token"]
        assert "refresh_token" not in auth
        await installation.send("ONCRMDEALADD", {"FIELDS": {"ID": 1}}, user_id=None)
        auth = parse_query(here.sent[-1].body.decode())["auth"]
        assert auth["application_token"] == here.portal.application_token
        assert "access_token" not in auth
        assert [user for _, user in here.called] == [7, 0]


async def test_a_binding_of_one_user_hears_this_user_only() -> None:
    async with office(rows={"crm.deal": 2}) as here:
        installation = here.installation()
        await installation.install()
        here.portal.bindings.events[:] = [Binding("ONCRMDEALADD", URL, auth_type=7)]
        for user in (7, 8, None):
            await installation.send("ONCRMDEALADD", {"FIELDS": {"ID": 1}}, user_id=user)
        assert [user for _, user in here.called] == [7]


async def test_a_removed_application_has_dead_tokens_and_no_handlers() -> None:
    async with office() as here:
        installation = here.installation()
        await installation.install()
        await settled(here)
        stored = await here.store.load(TokenKey(here.portal.secret.client_id, here.portal.member_id))
        assert stored is not None
        await installation.uninstall()
        await settled(here)
        assert here.called == [True]
        assert await here.state() is InstallationState.UNINSTALLED
        assert here.portal.bindings.events == []
        async with (
            httpx.AsyncClient(transport=here.portal.transport()) as http,
            B24OAuth(stored.params, here.portal.secret, http_client=http) as b24,
        ):
            with pytest.raises(RefreshTokenError, match="invalid_grant"):
                await b24.call("profile")
        assert (await installation.install()).status == 200
        assert await here.state() is InstallationState.ACTIVE


async def test_an_update_runs_the_installation_again() -> None:
    async with office() as here:
        installation = here.installation(with_page=True)
        await installation.install()
        await installation.finish()
        await installation.update()
        assert not here.portal.bindings.is_finished
        assert await here.state() is InstallationState.ACTIVE
        await installation.finish()
        assert here.portal.bindings.is_finished


async def test_pages_and_placements_are_opened_by_their_users() -> None:
    async with office() as here:
        installation = here.installation()
        await installation.install()
        await settled(here)
        assert (await installation.open_page(user_id=7)).text == "7 DEFAULT"
        assert (await installation.open_placement("LEFT_MENU", '{"ID": 1}', user_id=8)).text == "8 LEFT_MENU"
        with pytest.raises(KeyError):
            await installation.open_placement("TASK_VIEW_TAB")
        own = installation.page_of(f"{URL}?own=1")
        assert own.url.startswith(f"{URL}?own=1&DOMAIN=")


async def test_the_answer_of_a_robot_is_taken_once() -> None:
    async with office() as here:
        installation = here.installation()

        @here.app.robot("double", ack="after")
        async def double(event: Any, b24: B24OAuth) -> dict[str, Any]:
            here.called.append((event, b24))
            return {"result": 2 * int(event.properties["value"])}

        await installation.install()
        b24 = await here.app.portals.get(here.portal.member_id)
        robot = {"CODE": "double", "HANDLER": URL, "NAME": "Doubles a number"}
        await b24.call("bizproc.robot.add", robot)
        with pytest.raises(AjaxError, match="ERROR_ACTIVITY_ALREADY_INSTALLED"):
            await b24.call("bizproc.robot.add", robot)
        response, token = await installation.robot("double", {"value": 21}, waits=True)
        assert response.status == 200
        assert here.portal.bindings.returned == {token: {"result": 42}}
        with pytest.raises(AjaxError, match="ACCESS_DENIED"):
            await b24.call("bizproc.event.send", {"EVENT_TOKEN": token, "RETURN_VALUES": {}})


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("event.bind", {"event": "ONNOTHING", "handler": URL}, "ERROR_EVENT_NOT_FOUND"),
        ("event.bind", {"event": "ONUSERADD"}, "ERROR_ARGUMENT"),
        ("event.bind", {"event": "ONUSERADD", "handler": "ftp://app.example"}, "ERROR_UNSUPPORTED_PROTOCOL"),
        ("event.bind", {"event": "ONUSERADD", "handler": "http://localhost/"}, "ERROR_WRONG_HANDLER_URL"),
        ("event.bind", {"event": "ONOFFLINEEVENT", "event_type": "offline"}, "ERROR_ARGUMENT"),
        ("placement.bind", {"PLACEMENT": "NOWHERE", "HANDLER": URL}, "ERROR_PLACEMENT_NOT_FOUND"),
        ("placement.bind", {"PLACEMENT": "PAGE_BACKGROUND_WORKER", "HANDLER": URL}, "EMPTY_ERROR_HANDLER_URL"),
        ("bizproc.robot.add", {"CODE": "a b", "HANDLER": URL, "NAME": "x"}, "ERROR_ACTIVITY_VALIDATION_FAILURE"),
        ("bizproc.robot.delete", {"CODE": "none"}, "ERROR_ACTIVITY_NOT_FOUND"),
    ],
)
async def test_wrong_registrations_are_refused(method: str, params: dict[str, Any], code: str) -> None:
    async with office() as here:
        await here.installation().install()
        b24 = await here.app.portals.get(here.portal.member_id)
        with pytest.raises(AjaxError) as raised:
            await b24.call(method, params)
        assert raised.value.code == code


async def test_the_traps_of_removing_handlers() -> None:
    async with office() as here:
        await here.installation().install()
        await settled(here)
        b24, bindings = await here.app.portals.get(here.portal.member_id), here.portal.bindings
        bindings.events[:] = [
            Binding("A", URL),
            Binding("A", URL, 7),
            Binding("B", URL),
            Binding("B", "https://x.example"),
        ]
        assert await b24.call("event.unbind", {"event": "A", "handler": URL, "auth_type": 0}) == {"count": 1}
        assert await b24.call("event.unbind", {"event": "A", "handler": URL}) == {"count": 1}
        assert await b24.call("event.unbind") == {"count": 2}
        assert await b24.call("placement.unbind", {"PLACEMENT": "LEFT_MENU"}) == {"count": 2}
        assert bindings.placements == []


async def test_a_webhook_is_no_application() -> None:
    async with (
        office() as here,
        httpx.AsyncClient(transport=here.portal.transport()) as http,
        B24Hook(here.portal.webhook(), http_client=http) as b24,
    ):
        with pytest.raises(AjaxError, match="WRONG_AUTH_TYPE"):
            await b24.call("event.bind", {"event": "ONUSERADD", "handler": URL})


async def test_a_test_event_reaches_its_handler_with_the_parameters() -> None:
    async with office() as here:
        installation = here.installation()

        @here.app.on("ONAPPTEST", ack="after")
        async def tested(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.query)

        await installation.install()
        await settled(here)
        b24 = await here.app.portals.get(here.portal.member_id)
        await b24.call("event.test", {"nonce": "x"})
        await installation.deliver()
        assert here.called == [{"nonce": "x"}]


async def test_an_application_that_does_not_answer_over_http_loses_its_events() -> None:
    portal = FakePortal(clock=VirtualClock())
    installation = FakeInstallation(portal, "http://127.0.0.1:9/")
    assert (await installation.install()).status == 0
