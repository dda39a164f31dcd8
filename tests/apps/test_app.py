"""`B24App` against the fake portal: what is believed, what is stored, and who is called."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httpx
import pytest

from b24oauth import B24OAuth, ConfigurationError
from b24oauth.apps import B24App, Installed, Page, PageOpened, Request, Response, Uninstalled
from b24oauth.errors import ClientStateError, UnknownPortalError
from b24oauth.installations import InstallationState
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, VirtualClock, faults
from b24oauth.testing.applications import robot_body
from tests.apps.desk import Desk, desk
from tests.support.clients import UNLIMITED

pytestmark = pytest.mark.anyio


# --- installation -----------------------------------------------------------------------------------------------------


async def test_an_installation_is_proved_stored_and_told() -> None:
    async with desk() as here:

        @here.app.on_install
        async def installed(event: Installed, b24: B24OAuth) -> None:
            here.called.append((event.version, (await b24.call("profile"))["ID"]))

        assert (await here.install()).status == 200
        await here.settled()
        assert here.called == [("1", "1")]
        assert (await here.pair()).client_endpoint == "https://portal.example/rest/"
        record = await here.record()
        assert (record.state, record.application_tokens) == (
            InstallationState.ACTIVE,
            (here.portal.application_token,),
        )
        assert not here.portal.token_requests


@pytest.mark.parametrize(
    "claim",
    [
        {"access_token": "forged"},
        {"member_id": "another-portal"},
        {"server_endpoint": "https://evil.example/rest/"},
        {"access_token": None},
        {"refresh_token": None},
    ],
)
async def test_a_forged_installation_stores_and_sends_nothing(claim: dict[str, Any]) -> None:
    async with desk() as here:
        response = await here.install(**claim)
        assert response.status in (400, 403)
        assert response.body == b""
        assert await here.record() is None
        assert [key async for key in here.store.keys(here.portal.secret.client_id)] == []
        assert not here.portal.token_requests


async def test_the_address_of_a_portal_is_the_proved_one_and_not_the_claimed_one() -> None:
    async with desk() as here:
        claim = {"client_endpoint": "https://evil.example/rest/", "domain": "evil.example"}
        assert (await here.install(**claim)).status == 200
        assert (await here.pair()).client_endpoint == "https://portal.example/rest/"
        assert (await here.record()).domain == "portal.example"


async def test_a_user_who_is_no_administrator_installs_nothing() -> None:
    async with desk(is_admin=False) as here:
        assert (await here.install()).status == 403
        assert await here.pair() is None


async def test_an_installation_may_be_repeated_with_the_same_token() -> None:
    async with desk() as here:
        for _ in range(3):
            assert (await here.install()).status == 200
        assert (await here.record()).application_tokens == (here.portal.application_token,)


async def test_a_new_application_token_of_a_known_portal_needs_the_same_proof() -> None:
    async with desk() as here:
        await here.install()
        before = await here.pair()
        assert (await here.install(application_token="other", access_token="forged")).status == 403
        assert await here.pair() == before
        assert (await here.install(application_token="other")).status == 200
        assert (await here.record()).application_tokens == (here.portal.application_token, "other")


async def test_the_system_users_pair_lies_beside_the_working_pair() -> None:
    async with desk() as here:
        await here.install()
        working = await here.pair()
        system = here.portal.issue(user_id=512).to_dict() | {"user_id": 512, "domain": "oauth.bitrix.info"}
        assert (await here.app.handle(here.event("ONAPPUSERREADY", data=system))).status == 200
        assert await here.pair() == working
        assert (await here.pair(512)).user_id == 512


async def test_a_system_users_pair_may_come_before_the_installation() -> None:
    async with desk() as here:
        system = here.portal.issue(user_id=512).to_dict() | {"user_id": 512}
        assert (await here.app.handle(here.event("ONAPPUSERREADY", data=system))).status == 200
        forged = system | {"access_token": "forged", "user_id": 9}
        assert (await here.app.handle(here.event("ONAPPUSERREADY", data=forged))).status == 403
        assert (await here.pair(512)).user_id == 512
        assert await here.pair(9) is None


async def test_a_removed_application_leaves_a_record_without_secrets() -> None:
    async with desk() as here:
        await here.install()

        @here.app.on_uninstall
        async def uninstalled(event: Uninstalled) -> None:
            here.called.append(event.cleans)

        removal = here.silent("ONAPPUNINSTALL", data={"CLEAN": 1}, ts=1_790_000_100)
        assert (await here.app.handle(removal)).status == 200
        await here.settled()
        assert here.called == [True]
        assert await here.pair() is None
        record = await here.record()
        assert (record.state, record.application_tokens, record.event_time) == (
            InstallationState.UNINSTALLED,
            (),
            1_790_000_100,
        )
        with pytest.raises(UnknownPortalError):
            await here.app.portals.get(here.portal.member_id)


async def test_a_late_removal_does_not_remove_a_newer_installation() -> None:
    async with desk() as here:
        await here.install(ts=1_790_000_200)
        assert (await here.app.handle(here.silent("ONAPPUNINSTALL", ts=1_790_000_100))).status == 200
        assert await here.pair() is not None


async def test_a_late_installation_does_not_bring_back_a_removed_one() -> None:
    async with desk() as here:
        await here.install(ts=1_790_000_000)
        await here.app.handle(here.silent("ONAPPUNINSTALL", ts=1_790_000_100))
        assert (await here.install(ts=1_790_000_050)).status == 200
        assert await here.pair() is None
        assert (await here.install(ts=1_790_000_150)).status == 200
        assert await here.pair() is not None


@pytest.mark.parametrize("token", ["", "wrong", "ключ", "x" * 10_000])
async def test_a_forged_removal_removes_nothing(token: str) -> None:
    async with desk() as here:
        await here.install()
        assert (await here.app.handle(here.silent("ONAPPUNINSTALL", application_token=token))).status == 403
        assert await here.pair() is not None


async def test_an_oauth_server_that_takes_no_post_is_asked_by_get_and_remembered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk() as here:
        here.portal.inject(faults.html(404), on="app.info")
        assert (await here.install()).status == 200
        assert (await here.install(application_token="other")).status == 200
        infos = [request for request in here.portal.requests if request.method == "app.info"]
        assert [request.http_method for request in infos] == ["POST", "GET", "GET"]
        assert caplog.text.count("does not take app.info by POST") == 1


async def test_an_oauth_server_that_is_away_makes_the_installation_fail_and_stores_nothing() -> None:
    async with desk() as here:
        here.portal.inject(faults.refuse(), on="app.info")
        assert (await here.install()).status == 503
        assert await here.pair() is None


# --- events -----------------------------------------------------------------------------------------------------------


async def test_an_event_is_answered_before_its_handler_ends() -> None:
    async with desk() as here:
        await here.install()
        release = asyncio.Event()

        @here.app.on("onCrmDealAdd")
        async def added(event: Any, b24: B24OAuth) -> None:
            await release.wait()
            here.called.append((event.object_id, (await b24.call("profile"))["ID"]))

        response = await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": "5"}}))
        assert (response.status, here.called) == (200, [])
        release.set()
        await here.settled()
        assert here.called == [("5", "1")]


async def test_an_event_may_be_answered_when_its_handler_has_ended() -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Any, b24: B24OAuth) -> None:
            await asyncio.sleep(5)
            here.called.append(event.name)

        await here.app.handle(here.event("ONCRMDEALADD"))
        assert here.called == ["ONCRMDEALADD"]


async def test_a_handler_works_with_the_installations_pair_and_not_with_the_events() -> None:
    async with desk() as here:
        await here.install()
        working = await here.pair()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append(b24.auth.get_params())

        await here.app.handle(here.event("ONCRMDEALADD", access_token="of-the-event"))
        assert here.called == [working]
        assert await here.pair() == working


@pytest.mark.parametrize("token", ["", "wrong", "ключ", "x" * 10_000])
async def test_a_forged_event_reaches_no_handler(token: str, caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append(event)

        response = await here.app.handle(here.event("ONCRMDEALADD", application_token=token))
        assert (response.status, response.body, here.called) == (403, b"", [])
        assert "not one of portal" in caplog.text
        assert not token or token not in caplog.text


async def test_an_event_of_a_portal_that_is_not_installed_is_refused() -> None:
    async with desk() as here:
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 403


async def test_an_event_without_a_handler_is_answered() -> None:
    async with desk() as here:
        await here.install()
        assert (await here.app.handle(here.event("ONUNKNOWN"))).status == 200


async def test_an_error_of_a_handler_is_told_and_the_others_are_called(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def fails(event: Any, b24: B24OAuth) -> None:
            raise RuntimeError("S3CR3T")

        @here.app.on("ONCRMDEALADD", ack="after")
        async def works(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 200
        assert here.called == ["ONCRMDEALADD"]
        assert "A handler of ONCRMDEALADD failed: RuntimeError" in caplog.text
        assert "S3CR3T" not in caplog.text
        here.app.on_error(lambda error, incoming: here.called.append((type(error), incoming.name)))
        await here.app.handle(here.event("ONCRMDEALADD"))
        assert (RuntimeError, "ONCRMDEALADD") in here.called


async def test_events_beyond_the_bounds_are_refused_knowingly() -> None:
    portal, store = FakePortal(clock=VirtualClock()), MemoryStore()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        app = B24App(
            portal.secret, store, concurrency=2, waiting=3, http_client=http,
            trusted_oauth_hosts=portal.trusted_oauth_hosts, clock=portal.clock.now, restriction_params=UNLIMITED,
        )  # fmt: skip
        async with app:
            here = Desk(app, portal, store)
            await here.install()
            running: list[int] = []

            @app.on("ONCRMDEALADD")
            async def added(event: Any, b24: B24OAuth) -> None:
                running.append(1)
                assert len(running) <= 2
                await asyncio.sleep(10)
                running.pop()

            answers = [(await app.handle(here.event("ONCRMDEALADD"))).status for _ in range(7)]
            assert answers == [200] * 5 + [503] * 2


async def test_an_event_with_several_handlers_is_refused_before_one_of_them_is_called() -> None:
    async with desk(app={"concurrency": 1, "waiting": 2}) as here:

        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.object_id)
            await asyncio.sleep(10)

        for _ in range(2):
            here.app.on("ONCRMDEALADD")(added)
        await here.install()
        answers = [await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": n}})) for n in (1, 2)]
        assert [answer.status for answer in answers] == [200, 503]
        await asyncio.sleep(30)
        assert here.called == ["1", "1"]
        # More handlers than the bounds allow are called when nothing else waits.
        for _ in range(4):
            here.app.on("ONCRMDEALADD")(added)
        assert (await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 3}}))).status == 200


async def test_a_close_waits_for_handlers_and_cancels_what_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            await asyncio.sleep(float(event.object_id))
            here.called.append(event.object_id)

        for seconds in ("5", "500"):
            await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": seconds}}))
        await here.app.aclose(drain=30)
        assert here.called == ["5"]
        assert "1 handlers were cancelled" in caplog.text


# --- robots and pages -------------------------------------------------------------------------------------------------


async def test_a_robot_answers_the_workflow_that_waits_for_it() -> None:
    async with desk() as here:
        await here.install()
        here.portal.method("bizproc.event.send", lambda params: here.called.append(params) or True)

        @here.app.robot("demo_robot")
        async def robot(event: Any, b24: B24OAuth) -> dict[str, str]:
            return {"sum": event.properties["amount"]}

        body = robot_body(here.portal, "demo_robot", {"amount": "3"}, waits=True)
        assert (await here.app.handle(Request(body=body))).status == 200
        await here.settled()
        (sent,) = here.called
        assert (sent["EVENT_TOKEN"][-10:], sent["RETURN_VALUES"]) == ("vent-token", {"sum": "3"})
        assert (await here.app.handle(Request(body=robot_body(here.portal, "other")))).status == 400


async def test_a_page_knows_its_user_without_a_renewal_and_may_be_framed_by_the_portal_only() -> None:
    async with desk() as here:
        await here.install()

        @here.app.page("/")
        async def main(page: Page) -> str:
            me = (await page.user.call("profile"))["ID"]
            return f"<p>{me} {page.user_id} {(await page.b24.call('profile'))['ID']}</p>"

        working = await here.pair()
        response = await here.app.handle(here.page())
        assert (response.status, response.body) == (200, b"<p>7 7 1</p>")
        assert response.headers["Content-Security-Policy"] == "frame-ancestors 'self' https://portal.example"
        assert await here.pair() == working
        assert not here.portal.token_requests
        assert (await here.app.handle(here.page("/unknown"))).status == 404


async def test_the_first_page_of_an_administrator_is_an_installation() -> None:
    async with desk() as here:

        @here.app.on_install
        async def installed(event: Any, b24: B24OAuth) -> None:
            here.called.append(type(event))

        @here.app.page("/install")
        async def install(page: Page) -> Response:
            return Response(body=b"done", headers={"X-Own": "1"})

        response = await here.app.handle(here.page("/install"))
        assert (response.body, response.headers["X-Own"]) == (b"done", "1")
        await here.settled()
        assert here.called == [PageOpened]
        assert (await here.record()).state is InstallationState.ACTIVE
        await here.app.handle(here.page("/install"))
        assert here.called == [PageOpened]


@pytest.mark.parametrize("claim", [{"AUTH_ID": "forged"}, {"member_id": "other"}, {"AUTH_ID": ""}])
async def test_a_forged_page_is_refused(claim: dict[str, Any]) -> None:
    async with desk() as here:
        await here.install()

        @here.app.page("/")
        async def main(page: Page) -> str:
            raise AssertionError

        assert (await here.app.handle(here.page(**claim))).status in (400, 403)


async def test_what_is_no_request_of_bitrix24_is_refused() -> None:
    async with desk() as here:
        for request in (Request(), Request(body=b"a=%ff"), Request(body=b"[", content_type="application/json")):
            assert (await here.app.handle(request)).status == 400


@pytest.mark.parametrize(
    ("options", "named"),
    [({"store": object()}, "store must be"), ({"concurrency": 0}, "concurrency"), ({"waiting": -1}, "waiting")],
)
def test_wrong_arguments_are_named(options: dict[str, Any], named: str) -> None:
    given: dict[str, Any] = {"store": MemoryStore(), **options}
    with pytest.raises(ConfigurationError, match=named):
        B24App(FakePortal(clock=VirtualClock()).secret, given.pop("store"), **given)


def test_what_is_no_handler_is_refused() -> None:
    app = B24App(FakePortal(clock=VirtualClock()).secret, MemoryStore())
    wrong: Any = "no function"
    for register in (app.on("X"), app.page("/"), app.robot("x"), app.on_install, app.on_uninstall, app.on_error):
        with pytest.raises(ConfigurationError, match="handler must be a function"):
            register(wrong)


async def test_a_store_that_fails_is_told_the_log_and_answered_503(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    async with desk() as here:
        await here.install()

        async def fails(*_: Any) -> Any:
            from b24oauth.errors import StoreError

            raise StoreError("the disk is gone")

        here.store.load_installation = fails  # type: ignore[method-assign]
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 503
        assert "the disk is gone" in caplog.text


async def test_an_access_token_stores_no_pair_of_another_user_than_its_own() -> None:
    async with desk() as here:
        await here.install()
        await here.app.portals.install(here.portal.issue(user_id=1), user_id=1)
        before = await here.pair(1)
        forged = here.portal.issue(user_id=7).to_dict() | {"user_id": 1}
        await here.app.handle(here.event("ONAPPUSERREADY", data=forged, application_token="unknown"))
        assert await here.pair(1) == before


async def test_a_system_users_pair_without_a_user_does_not_replace_the_default_pair() -> None:
    async with desk() as here:
        await here.install()
        before = await here.pair()
        data = {name: value for name, value in here.portal.issue(user_id=7).to_dict().items() if name != "user_id"}
        assert (await here.app.handle(here.event("ONAPPUSERREADY", data=data))).status == 200
        assert await here.pair() == before
        assert (await here.pair(7)).user_id == 7


async def test_an_installation_that_arrives_late_does_not_replace_a_newer_one() -> None:
    async with desk() as here:
        await here.install(ts=1000)
        await here.app.handle(here.silent("ONAPPUNINSTALL", ts=2000, data={"CLEAN": 0}))
        await here.install(ts=3000)
        newer = await here.pair()
        assert (await here.install(ts=1000)).status == 200
        assert await here.pair() == newer


async def test_an_error_handler_that_fails_changes_no_response() -> None:
    async with desk() as here:

        @here.app.on_error
        def failed(error: Exception, incoming: Any) -> None:
            raise RuntimeError

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Any, b24: B24OAuth) -> None:
            raise ValueError

        await here.install()
        assert (await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 5}}))).status == 200


async def test_an_event_after_the_close_is_refused() -> None:
    async with desk() as here:

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            here.called.append(event)

        await here.install()
        await here.app.aclose()
        assert (await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 5}}))).status == 503


async def test_a_cancelled_close_cancels_handlers_and_closes_the_clients() -> None:
    async with desk() as here:

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None:
            try:
                await asyncio.sleep(100)
            finally:
                here.called.append("ended")

        await here.install()
        await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 5}}))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await here.app.aclose()
        await here.settled()
        assert here.called == ["ended"]
        with pytest.raises(ClientStateError):
            await here.app.portals.get(here.portal.member_id)


async def test_an_oauth_server_in_trouble_does_not_get_the_token_in_an_address(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with desk() as here:
        here.portal.inject(faults.html(502), on="app.info")
        assert (await here.install()).status == 503
        assert (await here.install()).status == 200
        # Asked by GET, the server would not have been asked by POST again.
        assert "asked by GET" not in caplog.text
