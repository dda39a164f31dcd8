"""What an application has on a portal is made what its handlers ask for."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import AjaxError, B24OAuth, ConfigurationError
from b24oauth.apps import Page, Registered, SyncReport
from b24oauth.apps.handlers import Handler, PageRoute
from b24oauth.apps.syncing import Wanted, to_change
from b24oauth.testing import FakePortal
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


class Registry:
    """What is registered on a portal, with the traps of Bitrix24."""

    def __init__(self, portal: FakePortal) -> None:
        self.events: list[dict[str, Any]] = []
        self.placements: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.race: dict[str, Any] | None = None
        for name in ("event.get", "event.bind", "event.unbind", "placement.get", "placement.bind", "placement.unbind"):
            portal.method(name, getattr(self, name.replace(".", "_")))
        portal.method("scope", lambda params: ["crm", "placement"])

    def event_get(self, params: dict[str, Any]) -> Any:
        return [*self.events, {"event": "ONCRMDEALADD", "connector_id": "", "offline": 1}]

    def event_bind(self, params: dict[str, Any]) -> Any:
        self.calls.append(f"bind {params['event']}")
        one = {"event": params["event"], "handler": params["handler"], "auth_type": "0", "offline": 0}
        if self.race:
            self.events.append(self.race)
            self.race = None
        if one in self.events:
            raise RestError("ERROR_CORE", "Handler already binded", status=400)
        self.events.append(one)
        return True

    def event_unbind(self, params: dict[str, Any]) -> Any:
        self.calls.append(f"unbind {params['event']}")
        kept = [
            one for one in self.events
            if (one["event"], one["handler"], one["auth_type"])
            != (params["event"], params["handler"], params["auth_type"])
        ]  # fmt: skip
        count = len(self.events) - len(kept)
        self.events[:] = kept
        return {"count": count}

    def placement_get(self, params: dict[str, Any]) -> Any:
        return self.placements

    def placement_bind(self, params: dict[str, Any]) -> Any:
        self.calls.append(f"place {params['PLACEMENT']} {params['TITLE']}")
        if len(self.placements) >= 2:
            raise RestError("ERROR_PLACEMENT_MAX_COUNT", "Too many", status=200)
        self.placements.append({"placement": params["PLACEMENT"], "userId": 0, "handler": params["HANDLER"]})
        return True

    def placement_unbind(self, params: dict[str, Any]) -> Any:
        self.calls.append(f"displace {params['HANDLER']}")
        before = len(self.placements)
        self.placements[:] = [one for one in self.placements if one["handler"] != params["HANDLER"]]
        return {"count": 2 * (before - len(self.placements))}


async def with_handlers(here: Desk) -> Registry:
    await here.install()
    here.app.on("onCrmDealAdd")(handler)

    @here.app.page("/deal", placement=TAB, title="Deal")
    async def deal(page: Page) -> str:
        return ""

    return Registry(here.portal)


async def test_handlers_are_registered_once_and_left_over_ones_removed() -> None:
    async with desk(app={"url": URL}) as here:
        registry = await with_handlers(here)
        registry.events.append({"event": "ONCRMLEADADD", "handler": URL, "auth_type": "0", "offline": 0})
        registry.placements.append({"placement": TAB, "userId": 0, "handler": f"{URL}/gone"})
        report = await here.sync()
        names = ("ONAPPINSTALL", "ONAPPUNINSTALL", "ONCRMDEALADD")
        assert report.added == (*(event(name) for name in names), placement())
        assert report.removed == (event("ONCRMLEADADD"), placement(f"{URL}/gone"))
        assert [one["event"] for one in registry.events] == list(names)
        assert [one["handler"] for one in registry.placements] == [f"{URL}/deal"]
        registry.calls.clear()
        report = await here.sync()
        assert (report.added, report.removed, registry.calls) == ((), (), [])


async def test_a_handler_that_another_process_has_just_bound_is_no_error() -> None:
    async with desk(app={"url": URL}) as here:
        registry = await with_handlers(here)
        registry.race = {"event": "ONAPPINSTALL", "handler": URL, "auth_type": "0", "offline": 0}
        await here.sync()
        assert len(registry.events) == 3


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
        registry = await with_handlers(here)
        registry.placements += [{"placement": TAB, "userId": 0, "handler": f"https://old.example/{n}"} for n in (1, 2)]
        with pytest.raises(AjaxError) as raised:
            await here.sync()
        assert raised.value.code == "ERROR_PLACEMENT_MAX_COUNT"


async def test_a_portal_without_the_scope_of_placements_is_not_asked_for_them() -> None:
    async with desk(app={"url": URL}) as here:
        await here.install()
        registry = Registry(here.portal)
        here.portal.method("scope", lambda params: ["crm"])

        def unknown(params: dict[str, Any]) -> Any:
            raise RestError("ERROR_METHOD_NOT_FOUND", "Method not found!", status=404)

        here.portal.method("placement.get", unknown)
        await here.sync()
        assert len(registry.events) == 2


async def test_an_application_without_an_address_registers_nothing() -> None:
    async with desk() as here:
        await here.install()
        with pytest.raises(ConfigurationError, match="url"):
            await here.sync()


async def test_a_handler_may_register_from_the_installation() -> None:
    async with desk(app={"url": URL}) as here:
        registry = Registry(here.portal)

        @here.app.on_install
        async def installed(event: Any, b24: B24OAuth) -> None:
            here.called.append(await here.app.sync(b24))

        await here.install()
        await here.settled()
        assert len(here.called) == 1
        assert [one["event"] for one in registry.events] == ["ONAPPINSTALL", "ONAPPUNINSTALL"]
