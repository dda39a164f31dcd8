"""T7: a renewal has a deadline of its own, which no timeout of the client or of a call shortens."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth import B24OAuth, RefreshTokenError
from b24oauth.errors import RequestTimeoutError
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, faults
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.stores import stored_for

pytestmark = pytest.mark.anyio


async def test_t7_a_short_timeout_of_a_call_loses_no_pair() -> None:
    portal = fake_portal(refresh_latency=20)
    async with connected(portal, portal.issue(expired=True)) as b24:
        with pytest.raises(RequestTimeoutError):
            await b24.actions.v2.call.make("profile", timeout=0.2)
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == 1


async def test_t7_a_renewal_that_hangs_ends_after_a_minute() -> None:
    portal = fake_portal(single_use=False)
    portal.inject(faults.hang(), times=None, on="oauth/token")
    loop = asyncio.get_running_loop()
    async with connected(portal, portal.issue(expired=True)) as b24:
        started = loop.time()
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make("profile")
        assert 30 <= loop.time() - started <= 61
        assert not caught.value.needs_reauth
        portal.clear_faults()
        assert (await b24.actions.v2.call.make("profile")).is_success


async def served(portal: FakePortal, **options: Any) -> B24OAuth:
    """A client that opens real connections."""
    return B24OAuth(
        portal.issue(expired=True),
        portal.secret,
        trusted_oauth_hosts=portal.trusted_oauth_hosts,
        restriction_params=UNLIMITED,
        **options,
    )


async def test_t7_a_short_timeout_of_the_client_loses_no_pair() -> None:
    portal, store = FakePortal(refresh_latency=0.5), MemoryStore()
    async with portal.serve(), await served(portal, timeout=0.2, token_store=store, transport="httpx") as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert len(portal.token_requests) == 1


async def test_t7_a_server_that_dribbles_does_not_hold_a_renewal_for_ever() -> None:
    async def dribble(process: Any) -> Any:
        await process()
        await asyncio.sleep(10**6)

    portal = fake_portal()
    portal.inject(dribble, times=None, on="oauth/token")
    async with connected(portal, portal.issue(expired=True)) as b24:
        with pytest.raises(RefreshTokenError, match="no whole response"):
            await b24.actions.v2.call.make("profile")
