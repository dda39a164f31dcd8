"""Routers: whose handlers are called, and what is called around them."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import B24OAuth, ConfigurationError
from b24oauth.apps import Page, Request, Response, Router
from b24oauth.testing.applications import robot_body
from tests.apps.desk import desk

pytestmark = pytest.mark.anyio


async def test_handlers_of_included_routers_are_called_also_those_registered_later() -> None:
    async with desk() as here:
        await here.install()
        deals, inner = Router(), Router()
        deals.include(inner)
        here.app.include(deals)

        async def note(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        here.app.on("ONCRMDEALADD", ack="after")(note)
        deals.on("ONCRMDEALADD", ack="after")(note)
        inner.on("ONCRMLEADADD", ack="after")(note)
        for name in ("ONCRMDEALADD", "ONCRMLEADADD"):
            await here.app.handle(here.event(name))
        assert here.called == ["ONCRMDEALADD", "ONCRMDEALADD", "ONCRMLEADADD"]


async def test_middleware_is_called_around_the_handlers_of_its_router_and_of_those_it_includes() -> None:
    async with desk() as here:
        await here.install()
        deals, leads = Router(), Router()
        here.app.include(deals)
        here.app.include(leads)

        def named(name: str) -> Any:
            async def around(event: Any, call_next: Any) -> Any:
                here.called.append(f"{name}+")
                try:
                    return await call_next()
                finally:
                    here.called.append(f"{name}-")

            return around

        here.app.middleware(named("outer"))
        deals.middleware(named("deals 1"))
        deals.middleware(named("deals 2"))

        @deals.on("ONCRMDEALADD", ack="after")
        @leads.on("ONCRMLEADADD", ack="after")
        async def handler(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        await here.app.handle(here.event("ONCRMDEALADD"))
        around = ["outer+", "deals 1+", "deals 2+", "ONCRMDEALADD", "deals 2-", "deals 1-", "outer-"]
        assert here.called == around
        here.called.clear()
        await here.app.handle(here.event("ONCRMLEADADD"))
        assert here.called == ["outer+", "ONCRMLEADADD", "outer-"]


async def test_middleware_sees_pages_and_may_answer_in_their_place() -> None:
    async with desk() as here:
        await here.install()

        @here.app.middleware
        async def gate(event: Any, call_next: Any) -> Any:
            if isinstance(event, Page) and event.user_id == 7:
                return Response(status=418)
            return await call_next()

        @here.app.page("/")
        async def main(page: Page) -> str:
            raise AssertionError

        assert (await here.app.handle(here.page())).status == 418


async def test_middleware_carries_the_result_of_a_robot_to_the_workflow() -> None:
    async with desk() as here:
        await here.install()
        here.portal.method("bizproc.event.send", lambda params: here.called.append(params["RETURN_VALUES"]) or True)

        @here.app.middleware
        async def doubled(event: Any, call_next: Any) -> Any:
            result = await call_next()
            return {name: 2 * value for name, value in result.items()}

        @here.app.robot("sum", ack="after")
        async def robot(event: Any, b24: B24OAuth) -> dict[str, int]:
            return {"sum": 21}

        assert (await here.app.handle(Request(body=robot_body(here.portal, "sum", waits=True)))).status == 200
        assert here.called == [{"sum": 42}]


async def test_an_error_in_a_page_is_told_and_answered_500_without_a_body(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:
        await here.install()

        @here.app.page("/")
        async def main(page: Page) -> str:
            raise RuntimeError("S3CR3T")

        response = await here.app.handle(here.page())
        assert (response.status, response.body) == (500, b"")
        assert "A handler of PageOpened failed: RuntimeError at " in caplog.text
        assert "in main" in caplog.text
        assert "S3CR3T" not in caplog.text


@pytest.mark.parametrize("what", ["page", "robot", "message_provider"])
def test_two_handlers_of_one_page_robot_or_message_provider_are_refused(what: str) -> None:
    async def handler(*_: Any) -> str:
        return ""

    first, second = Router(), Router()
    getattr(first, what)("/x")(handler)
    getattr(second, what)("/x")(handler)
    with pytest.raises(ConfigurationError, match="/x"):
        getattr(first, what)("/x")(handler)
    outer = Router()
    outer.include(first)
    with pytest.raises(ConfigurationError, match="/x, which is registered already"):
        outer.include(second)


def test_routers_do_not_include_each_other() -> None:
    first, second = Router(), Router()
    first.include(second)
    for one, other in ((first, first), (second, first)):
        with pytest.raises(ConfigurationError, match="in one direction only"):
            one.include(other)


def test_what_is_no_coroutine_function_is_refused() -> None:
    router: Any = Router()

    def plain(event: Any, b24: B24OAuth) -> None: ...

    for register in (router.on("X"), router.page("/"), router.robot("x"), router.on_install, router.settings):
        with pytest.raises(ConfigurationError, match="handler plain must be a coroutine function"):
            register(plain)
    with pytest.raises(ConfigurationError, match='ack must be "before" or "after"'):
        router.on("X", ack="now")
