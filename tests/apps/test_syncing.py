"""What an application has on a portal is made what its handlers ask for."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import AjaxError, B24OAuth, ConfigurationError
from b24oauth.apps import Page, Registered, SyncReport
from b24oauth.apps.handlers import Handler, PageRoute
from b24oauth.apps.syncing import Wanted, to_change
from b24oauth.testing.bindings import Binding, Bindings, Placement
from b24oauth.testing.messages import RestError
from tests.apps.desk import Desk, desk

pytestmark = pytest.mark.anyio

URL = "https://app.example/b24"
TAB = "CRM_DEAL_DETAIL_TAB"


async def handler(*_: Any) -> str:
    return ""


def event(name: str, address: str = URL, user: str = "") -> Registered:
    return Registered("event", name, address, user)


def placement(address: str = f"{URL}/deal", user: str = "") -> Registered:
    return Registered("placement", TAB, address, user)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], SyncReport(added=(event("A"), placement()))),
        ([event("A"), placement()], SyncReport(kept=(event("A"), placement()))),
        (
            [event("A"), event("B"), placement(f"{URL}/gone"), placement()],
            SyncReport(removed=(event("B"), placement(f"{URL}/gone")), kept=(event("A"), placement())),
        ),
        (
            [event("A", "https://old.example/b24"), placement("https://app.example/b24x"), placement()],
            SyncReport(
                added=(event("A"),),
                kept=(placement(),),
                foreign=(event("A", "https://old.example/b24"), placement("https://app.example/b24x")),
            ),
        ),
        (
            [event("A", user="5"), event("B", user="5"), placement(user="5")],
            SyncReport(
                added=(event("A"), placement()),
                foreign=(event("A", user="5"), event("B", user="5"), placement(user="5")),
            ),
        ),
        (
            [event("A"), placement(), event("ONIMBOTV2MESSAGEADD"), event("ONOFFLINEEVENT")],
            SyncReport(kept=(event("A"), placement()), foreign=(event("ONIMBOTV2MESSAGEADD"), event("ONOFFLINEEVENT"))),
        ),
    ],
)
def test_what_has_to_change(found: list[Registered], expected: SyncReport) -> None:
    names = frozenset({"A", "ONIMBOTV2MESSAGEADD", "ONAPPUSERREADY"})
    wanted = Wanted(names, {f"{URL}/deal": PageRoute(Handler(handler), TAB, "Deal")}, URL)
    assert to_change(wanted, found) == expected


async def with_handlers(here: Desk) -> Bindings:
    await here.install()
    here.app.on("onCrmDealAdd")(handler)

    @here.app.page("/deal", placement=TAB, title="Deal")
    async def deal(page: Page) -> str:
        return ""

    return here.portal.bindings


def calls(here: Desk) -> int:
    return sum(number for name, number in here.portal.calls.items() if name.endswith(("bind", "unbind")))


async def test_handlers_are_registered_once_and_left_over_ones_removed() -> None:
    async with desk(app={"url": URL}) as here:
        bindings = await with_handlers(here)
        bindings.events += [Binding("ONCRMLEADADD", URL), Binding("ONCRMDEALADD", URL, auth_type=7)]
        bindings.placements.append(Placement(code=TAB, handler=f"{URL}/gone"))
        report = await here.sync()
        names = ("ONAPPINSTALL", "ONAPPUNINSTALL", "ONCRMDEALADD")
        assert report.added == (*(event(name) for name in names), placement())
        assert report.removed == (event("ONCRMLEADADD"), placement(f"{URL}/gone"))
        assert report.foreign == (event("ONCRMDEALADD", user="7"),)
        assert {one.event for one in bindings.events if not one.auth_type} == set(names)
        assert [(one.handler, one.title) for one in bindings.placements] == [(f"{URL}/deal", "Deal")]
        before = calls(here)
        report = await here.sync()
        assert (report.added, report.removed, calls(here)) == ((), (), before)


async def test_offline_events_are_left_alone() -> None:
    async with desk(app={"url": URL}) as here:
        await with_handlers(here)
        here.portal.offline.bind("ONCRMDEALADD")
        await here.sync()
        assert here.portal.offline.bindings == [("ONCRMDEALADD", "")]


async def test_a_handler_that_another_process_has_just_bound_is_no_error() -> None:
    async with desk(app={"url": URL}) as here:
        bindings = await with_handlers(here)

        def raced(params: dict[str, Any]) -> Any:
            bindings.events.append(Binding(params["event"], params["handler"]))
            raise RestError("ERROR_CORE", "Unable to set event handler: Handler already binded")

        here.portal.method("event.bind", raced)
        await here.sync()
        assert len(bindings.events) == 3


async def test_a_refusal_that_only_looks_like_it_is_raised() -> None:
    async with desk(app={"url": URL}) as here:
        await with_handlers(here)

        def refused(params: dict[str, Any]) -> Any:
            raise RestError("ERROR_CORE", "The database is gone", status=400)

        here.portal.method("event.bind", refused)
        with pytest.raises(AjaxError, match="database is gone"):
            await here.sync()


async def test_an_error_within_http_200_is_raised() -> None:
    async with desk(app={"url": URL}) as here:
        bindings = await with_handlers(here)
        bindings.placements += [Placement(code=TAB, handler=f"https://old.example/{number}") for number in range(10)]
        with pytest.raises(AjaxError) as raised:
            await here.sync()
        assert raised.value.code == "ERROR_PLACEMENT_MAX_COUNT"


async def test_a_portal_without_the_scope_of_placements_is_not_asked_for_them() -> None:
    async with desk(app={"url": URL}) as here:
        await here.install()
        here.portal.method("scope", lambda params: ["crm"])

        def unknown(params: dict[str, Any]) -> Any:
            raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status=404)

        here.portal.method("placement.get", unknown)
        await here.sync()
        assert len(here.portal.bindings.events) == 2


async def test_an_application_without_an_address_registers_nothing() -> None:
    async with desk() as here:
        await here.install()
        with pytest.raises(ConfigurationError, match="url"):
            await here.sync()


async def test_a_handler_may_register_from_the_installation() -> None:
    async with desk(app={"url": URL}) as here:

        @here.app.on_install
        async def installed(event: Any, b24: B24OAuth) -> None:
            here.called.append(await here.app.sync(b24))

        await here.install()
        await here.settled()
        assert len(here.called) == 1
        assert [one.event for one in here.portal.bindings.events] == ["ONAPPINSTALL", "ONAPPUNINSTALL"]
