"""A bucket that is not ours takes the place of the local one: this is what one that processes share builds on."""

from __future__ import annotations

import asyncio

import pytest

from b24oauth import RateLimitConfig, RestrictionManager
from b24oauth.limits import Admission, Bucket
from b24oauth.testing import faults
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


class MinimalBucket:
    """One request a second, told by a list of what happened."""

    def __init__(self) -> None:
        self.config = RateLimitConfig(burst_limit=1, drain_rate=1)
        self.told: list[str] = []
        self._next = 0.0

    burst_limit = drain_rate = 1.0
    recent_errors = recent_successes = 0

    async def set_config(self, config: RateLimitConfig) -> None:
        self.config = config

    def reset(self) -> None:
        self._next = 0.0

    def room(self, calls: int) -> int:
        return min(calls, 1)

    async def acquire_at_once(self) -> Admission | None:
        return None

    async def acquire_in_line(self) -> Admission:
        now = asyncio.get_running_loop().time()
        self._next = at = max(now, self._next + 1)
        await asyncio.sleep(at - now)
        self.told.append("admitted")
        return Admission(at, 0)

    def not_sent(self, admission: Admission) -> None:
        self.told.append("not sent")

    async def refused(self, admission: Admission | None = None, *, retry_after: float = 0.0) -> float:
        self.told.append("refused")
        return 5.0

    def succeeded(self, admission: Admission | None = None, *, now: float | None = None) -> bool:
        self.told.append("succeeded")
        return False


async def test_a_bucket_of_the_application_gives_the_admissions_of_all_calls() -> None:
    portal, bucket = fake_portal(), MinimalBucket()
    as_typed: Bucket = bucket
    manager = RestrictionManager(bucket=as_typed, clock=portal.clock.now)
    async with connected(portal, restriction_manager=manager) as b24:
        before = portal.clock.elapsed
        await asyncio.gather(*(b24.actions.v2.call.make("profile") for _ in range(5)))
        assert portal.clock.elapsed - before >= 4
    assert bucket.told.count("admitted") == bucket.told.count("succeeded") == 5
    assert manager.get_stats().limit_hits == 5


async def test_a_bucket_of_the_application_learns_of_refusals_and_of_requests_that_were_not_sent() -> None:
    portal, bucket = fake_portal(), MinimalBucket()
    async with connected(portal, restriction_manager=RestrictionManager(bucket=bucket)) as b24:
        portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile")
        portal.inject(faults.refuse(), on="user.current")
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert (await b24.actions.v2.call.make("user.current")).is_success
    assert bucket.told == [
        "admitted",
        "refused",
        "admitted",
        "succeeded",
        "admitted",
        "not sent",
        "admitted",
        "succeeded",
    ]
