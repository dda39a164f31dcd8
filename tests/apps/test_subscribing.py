"""Subscriptions to offline events."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth import ConfigurationError
from b24oauth.apps import subscribe_offline
from b24oauth.errors import AjaxError, BatchError
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


async def test_events_are_subscribed_to_once() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        wanted = ["onCrmDealAdd", "ONCRMDEALUPDATE", "ONCRMDEALADD"]
        assert sorted(await subscribe_offline(b24, wanted)) == ["ONCRMDEALADD", "ONCRMDEALUPDATE"]
        assert await subscribe_offline(b24, [*wanted, "ONCRMDEALDELETE"]) == ["ONCRMDEALDELETE"]
        assert await subscribe_offline(b24, wanted) == []
        assert portal.calls["event.bind"] == 3
        assert {event for event, _ in portal.offline.bindings} == {
            "ONCRMDEALADD",
            "ONCRMDEALUPDATE",
            "ONCRMDEALDELETE",
        }


async def test_each_connector_has_its_own_subscriptions() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        await subscribe_offline(b24, ["A"])
        assert await subscribe_offline(b24, ["A"], auth_connector="sync") == ["A"]
        assert portal.offline.bindings == [("A", ""), ("A", "sync")]


async def test_processes_that_subscribe_at_the_same_moment_do_not_fail() -> None:
    portal = fake_portal(latency=0.1)
    async with connected(portal) as b24:
        await asyncio.gather(*(subscribe_offline(b24, ["A", "B"]) for _ in range(3)))
        assert portal.offline.bindings == [("A", ""), ("B", "")]


async def test_a_refusal_is_raised_and_the_others_are_subscribed_to() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(BatchError) as caught:
            await subscribe_offline(b24, ["A", "ONOFFLINEEVENT"])
        assert list(caught.value.errors) == ["ONOFFLINEEVENT"]
        assert portal.offline.bindings == [("A", "")]


async def test_a_user_who_is_no_administrator_is_refused() -> None:
    async with connected(fake_portal(is_admin=False)) as b24:
        with pytest.raises((BatchError, AjaxError)):
            await subscribe_offline(b24, ["A"])


@pytest.mark.parametrize("arguments", [{"events": "ONCRMDEALADD"}, {"events": [""]}, {"events": [7]}])
async def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(ConfigurationError, match="events"):
            await subscribe_offline(b24, **arguments)
