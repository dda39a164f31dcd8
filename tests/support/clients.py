"""Clients of a fake portal, in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from b24oauth import B24OAuth, B24OAuthParams, RateLimitConfig, RestrictionParams
from b24oauth.testing import FakePortal, VirtualClock

UNLIMITED = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1e6, drain_rate=1e6))


def fake_portal(**options: Any) -> FakePortal:
    return FakePortal(clock=VirtualClock(), **options)


@asynccontextmanager
async def connected(
    portal: FakePortal, params: B24OAuthParams | None = None, **options: Any
) -> AsyncIterator[B24OAuth]:
    """A client of the portal; unlimited unless limits are given."""
    if "restriction_manager" not in options:
        options.setdefault("restriction_params", UNLIMITED)
    transport = portal.transport()
    async with httpx.AsyncClient(transport=transport) as http:
        b24 = B24OAuth(
            portal.issue() if params is None else params,
            portal.secret,
            http_client=http,
            trusted_oauth_hosts=portal.trusted_oauth_hosts,
            clock=portal.clock.now,
            **options,
        )
        async with b24:
            yield b24


__all__ = ["UNLIMITED", "connected", "fake_portal"]
