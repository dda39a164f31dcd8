"""The clients of a verified request: that of the application, and that of the user who caused the event."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import B24OAuth
from b24oauth.apps import Event, read_request
from b24oauth.errors import ClientStateError, InvalidDataError, RefreshTokenError
from b24oauth.protocol.forms import read_form
from tests.apps.desk import desk

pytestmark = pytest.mark.anyio


async def test_an_event_has_the_client_of_the_application_and_that_of_its_user() -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Event, b24: B24OAuth) -> None:
            assert event.b24 is b24
            assert event.as_user is event.as_user
            here.called.append([(await one.call("profile"))["ID"] for one in (event.b24, event.as_user)])

        user = here.portal.issue(user_id=9)
        working = await here.pair()
        event = here.event(
            "ONCRMDEALADD", access_token=user.access_token, user_id=9, client_endpoint="https://evil.example/rest/"
        )
        await here.app.handle(event)
        assert here.called == [["1", "9"]]
        assert await here.pair() == working
        assert await here.pair(9) is None


async def test_the_token_of_an_event_is_not_renewed_when_it_came_without_a_refresh_token() -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Event, b24: B24OAuth) -> None:
            here.portal.expire_tokens()
            with pytest.raises(RefreshTokenError, match="use `event.b24`"):
                await event.as_user.call("profile")
            here.called.append(len(here.portal.token_requests))

        user = here.portal.issue(user_id=9)
        await here.app.handle(here.event("ONCRMDEALADD", access_token=user.access_token, refresh_token=None))
        assert here.called == [0]


async def test_an_event_that_no_user_caused_has_no_client_of_a_user() -> None:
    async with desk() as here:
        await here.install()

        @here.app.on("ONCRMDEALADD", ack="after")
        async def added(event: Event, b24: B24OAuth) -> None:
            with pytest.raises(InvalidDataError, match="no user has caused the event"):
                _ = event.as_user
            here.called.append(event.name)

        await here.app.handle(here.silent("ONCRMDEALADD"))
        assert here.called == ["ONCRMDEALADD"]


async def test_a_request_that_was_only_read_has_no_clients() -> None:
    async with desk() as here:
        event: Any = read_request(read_form(here.event("ONCRMDEALADD").body, "The body"))
        for name in ("b24", "as_user"):
            with pytest.raises(ClientStateError, match="not verified"):
                getattr(event, name)
