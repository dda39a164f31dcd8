"""Events that arrive a second time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth import B24OAuth
from b24oauth.apps import Event, EventAuth
from b24oauth.apps.duplicates import Duplicates
from tests.apps.desk import desk

pytestmark = pytest.mark.anyio


def event(**fields: Any) -> Event:
    return Event(name="ONCRMDEALADD", auth=EventAuth(member_id="m"), **fields)


def test_an_equal_event_is_a_duplicate_for_a_while() -> None:
    now = 0.0
    seen = Duplicates(10.0, lambda: now)
    assert not seen.is_one(event(data={"FIELDS": {"ID": "1"}}, sent_at=5))
    assert seen.is_one(event(data={"FIELDS": {"ID": "1"}}, sent_at=5))
    for other in (event(data={"FIELDS": {"ID": "2"}}, sent_at=5), event(data={"FIELDS": {"ID": "1"}}, sent_at=6)):
        assert not seen.is_one(other)
    now = 9.9
    assert seen.is_one(event(data={"FIELDS": {"ID": "1"}}, sent_at=5))
    now = 10.0
    assert not seen.is_one(event(data={"FIELDS": {"ID": "1"}}, sent_at=5))


def test_a_forgotten_event_is_no_duplicate() -> None:
    seen = Duplicates(10.0, lambda: 0.0)
    assert not seen.is_one(event())
    seen.forget(event())
    assert not seen.is_one(event())


async def test_duplicates_are_handled_unless_the_application_ignores_them() -> None:
    for options, number in (({}, 2), ({"ignore_duplicates": 60.0}, 1)):
        async with desk(app=options) as here:
            await here.install()

            @here.app.on("ONCRMDEALADD", ack="after")
            async def added(event: Any, b24: B24OAuth, called: list[Any] = here.called) -> None:
                called.append(event.name)

            for _ in range(2):
                assert (await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 1}}))).status == 200
            assert len(here.called) == number


async def test_an_event_whose_dispatch_was_cancelled_is_no_duplicate() -> None:
    messages = list[Any]()

    async def dispatch(message: Any) -> None:
        messages.append(message)
        if len(messages) == 1:
            await asyncio.sleep(100)

    async with desk(app={"dispatch": dispatch, "ignore_duplicates": 60.0}) as here:

        @here.app.on("ONCRMDEALADD")
        async def added(event: Any, b24: B24OAuth) -> None: ...

        await here.install()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 5}}))
        await here.app.handle(here.event("ONCRMDEALADD", data={"FIELDS": {"ID": 5}}))
        assert len(messages) == 2
