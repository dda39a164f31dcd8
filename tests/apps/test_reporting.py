"""Errors of handlers, of every way to call one: none is lost, and none stops what has not failed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth import B24OAuth
from b24oauth.apps import Page
from b24oauth.errors import SdkError
from tests.apps.desk import Desk, desk

pytestmark = pytest.mark.anyio


def collects(here: Desk) -> list[Any]:
    """Registers a handler of errors that waits, as one that writes to a database does."""
    found: list[Any] = []

    @here.app.on_error
    async def failed(error: Exception, incoming: Any) -> None:
        await asyncio.sleep(0.01)
        found.append((type(error), getattr(incoming, "name", "a page")))

    return found


@pytest.mark.parametrize("ack", ["before", "after"])
async def test_an_asynchronous_handler_of_errors_is_awaited(ack: Any) -> None:
    async with desk() as here:
        found = collects(here)

        @here.app.on("ONCRMDEALADD", ack=ack)
        async def fails(event: Any, b24: B24OAuth) -> None:
            raise RuntimeError

        await here.install()
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 200
        await here.settled()
        assert found == [(RuntimeError, "ONCRMDEALADD")]


@pytest.mark.parametrize("ack", ["before", "after"])
async def test_a_handler_that_raises_cancelled_error_by_itself_has_failed(ack: Any) -> None:
    async with desk() as here:
        found = collects(here)

        @here.app.on("ONCRMDEALADD", ack=ack)
        async def fails(event: Any, b24: B24OAuth) -> None:
            task = asyncio.create_task(asyncio.sleep(10))
            task.cancel()
            await task

        @here.app.on("ONCRMDEALADD", ack=ack)
        async def works(event: Any, b24: B24OAuth) -> None:
            here.called.append(event.name)

        await here.install()
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 200
        await here.settled()
        assert (found, here.called) == ([(SdkError, "ONCRMDEALADD")], ["ONCRMDEALADD"])


async def test_a_page_that_raises_cancelled_error_by_itself_is_answered_500() -> None:
    async with desk() as here:
        found = collects(here)

        @here.app.page("/")
        async def main(page: Page) -> str:
            raise asyncio.CancelledError

        await here.install()
        assert (await here.app.handle(here.page())).status == 500
        assert found == [(SdkError, "a page")]


async def test_a_handler_of_errors_that_raises_cancelled_error_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as here:

        @here.app.on_error
        async def failed(error: Exception, incoming: Any) -> None:
            raise asyncio.CancelledError

        @here.app.on("ONCRMDEALADD", ack="after")
        async def fails(event: Any, b24: B24OAuth) -> None:
            raise RuntimeError

        await here.install()
        assert (await here.app.handle(here.event("ONCRMDEALADD"))).status == 200
        assert "The handler of errors failed: SdkError" in caplog.text
        assert "A handler of ONCRMDEALADD failed before: RuntimeError" in caplog.text


async def test_a_handler_whose_request_is_cancelled_ends_without_a_report() -> None:
    async with desk() as here:
        found = collects(here)

        @here.app.on("ONCRMDEALADD", ack="after")
        async def waits(event: Any, b24: B24OAuth) -> None:
            await asyncio.sleep(100)

        await here.install()
        request = asyncio.create_task(here.app.handle(here.event("ONCRMDEALADD")))
        await asyncio.sleep(1)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert found == []
