"""T5, T6: portals and OAuth servers that refuse again and again are not asked by every call."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from b24oauth import AccessDeniedError, B24OAuth, RefreshTokenError
from b24oauth.errors import ExpiredTokenError
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, faults
from tests.support.clients import connected, fake_portal
from tests.support.stores import put

pytestmark = pytest.mark.anyio

REFUSED = faults.status(401, error="expired_token")
DENIED = faults.status(
    401,
    {"error": {"code": "BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION", "message": "Access denied"}},
)


async def failures(b24: B24OAuth, calls: int, *, every: float = 0.1, method: str = "profile") -> list[Exception]:
    """The errors of calls one after the other."""
    caught: list[Exception] = []
    for _ in range(calls):
        try:
            await b24.actions.v2.call.make(method)
        except Exception as error:  # noqa: BLE001 - all are looked at
            caught.append(error)
        await asyncio.sleep(every)
    return caught


# --- T5 ---------------------------------------------------------------------------------------------------------------


async def test_t5_a_portal_that_refuses_every_token_costs_a_handful_of_renewals() -> None:
    portal = fake_portal()
    portal.inject(REFUSED, times=None, on="profile")
    async with connected(portal) as b24:
        errors = await failures(b24, 50)
    assert {type(error) for error in errors} == {ExpiredTokenError}
    assert len(errors) == 50
    assert len(portal.token_requests) <= 4


async def test_t5_many_calls_at_once_cost_a_handful_too() -> None:
    portal = fake_portal(refresh_latency=0.1)
    portal.inject(REFUSED, times=None, on="profile")
    async with connected(portal) as b24:
        for _ in range(10):
            await asyncio.gather(*(b24.actions.v2.call.make("profile") for _ in range(20)), return_exceptions=True)
    assert len(portal.token_requests) <= 4


async def test_t5_a_refused_token_is_renewed_again_later() -> None:
    portal = fake_portal()
    portal.inject(REFUSED, times=None, on="profile")
    async with connected(portal) as b24:
        await failures(b24, 50)
        portal.clear_faults()
        portal.expire_tokens()
        assert await failures(b24, 1)
        await asyncio.sleep(120)
        assert not await failures(b24, 1)


async def test_t5_commands_of_a_batch_that_are_always_refused_cost_a_handful() -> None:
    portal = fake_portal()
    portal.inject(REFUSED, times=None, on="batch")
    async with connected(portal) as b24:
        for _ in range(30):
            with pytest.raises(ExpiredTokenError):
                await b24.actions.v2.batch.make({"a": ("profile",)})
    assert len(portal.token_requests) <= 4


@pytest.mark.parametrize("times", [15])
async def test_t1_tokens_that_expire_early_are_renewed_each_time(times: int) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        for _ in range(times):
            portal.expire_tokens()
            assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == times


async def test_t5_another_process_may_still_bring_a_token_that_is_accepted() -> None:
    portal, store = fake_portal(), MemoryStore()
    portal.inject(REFUSED, times=None, on="profile")
    async with connected(portal, token_store=store) as b24:
        await failures(b24, 20)
        portal.clear_faults()
        portal.expire_tokens()
        await put(store, portal.issue())
        assert not await failures(b24, 1)


# --- T6 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refusal",
    [
        faults.status(400, error="expired_token"),
        faults.status(403, error="PORTAL_DELETED"),
        faults.status(400, {"error": "", "error_description": "Something is wrong"}),
        faults.status(200, {"error": "broker_says_no"}),
        faults.html(404),
        faults.status(429, error="too_many"),
        faults.status(200, {"access_token": "half a pair"}),
        faults.html(403),
    ],
)
async def test_t6_a_refusal_that_repeats_is_not_asked_for_by_every_call(refusal: faults.Fault) -> None:
    portal = fake_portal()
    portal.inject(refusal, times=None, on="oauth/token")
    async with connected(portal, portal.issue(expired=True)) as b24:
        errors = await failures(b24, 50)
        assert all(isinstance(error, RefreshTokenError) and not error.needs_reauth for error in errors)
        assert len(portal.token_requests) <= 3
        assert len({id(error) for error in errors}) == 50
        assert len({str(error) for error in errors}) == 1
        portal.clear_faults()
        await asyncio.sleep(300)
        assert not await failures(b24, 1)


async def test_t6_a_refusal_that_passes_is_over_with_the_next_call() -> None:
    portal = fake_portal()
    portal.inject(faults.status(400, error="expired_token"), times=1, on="oauth/token")
    async with connected(portal, portal.issue(expired=True)) as b24:
        assert len(await failures(b24, 2)) == 1


async def test_t6_lost_responses_are_asked_for_again_by_the_next_call() -> None:
    portal = fake_portal()
    portal.inject(faults.html(502), times=9, on="oauth/token")
    async with connected(portal, portal.issue(expired=True)) as b24:
        assert len(await failures(b24, 4)) == 3
    assert len(portal.token_requests) == 10


# --- v3: denied -------------------------------------------------------------------------------------------------------


async def denied(b24: B24OAuth) -> bool:
    result = await b24.actions.v3.call.make("tasks.task.get", {"id": 1})
    assert result.is_success or isinstance(next(iter(result.get_errors())), AccessDeniedError)
    return not result.is_success


def denying(portal: FakePortal) -> None:
    """v3 denies access to every token that exists now, and to none that comes later."""

    async def fault(process: Any) -> Any:
        answer = await process()
        return await DENIED(process) if answer.status == 401 else answer

    portal.expire_tokens()
    portal.inject(fault, times=None, on="tasks.task.get")


async def test_t5_v3_may_mean_an_expired_token_when_it_denies_access() -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(61)
        denying(portal)
        assert not await denied(b24)
        assert not await denied(b24)
    assert len(portal.token_requests) == 1


async def test_t5_a_young_token_that_v3_denies_access_to_is_not_renewed() -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(59)
        portal.inject(DENIED, times=1, on="tasks.task.get")
        assert await denied(b24)
    assert not portal.token_requests
    assert portal.calls["tasks.task.get"] == 1


async def test_t5_denials_at_once_share_one_renewal() -> None:
    portal = fake_portal(rows={"tasks.task": 3}, refresh_latency=0.5)
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(61)
        denying(portal)
        assert not any(await asyncio.gather(*(denied(b24) for _ in range(50))))
    assert len(portal.token_requests) == 1


async def test_t5_a_second_denial_is_returned_inside_of_the_result() -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(61)
        portal.inject(DENIED, times=None, on="tasks.task.get")
        assert await denied(b24)
        assert len(portal.token_requests) == 1
        assert [request.status for request in portal.requests if request.method == "tasks.task.get"] == [200, 401, 401]


async def test_t5_a_user_without_access_does_not_cost_a_renewal_for_each_call() -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    portal.inject(DENIED, times=None, on="tasks.task.get")
    async with connected(portal) as b24:
        for _ in range(360):
            assert await denied(b24)
            await asyncio.sleep(10)
    assert len(portal.token_requests) <= 7


@pytest.mark.parametrize("status", [400, 403])
async def test_t5_only_a_401_of_v3_may_be_about_the_token(status: int) -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    body = {"error": {"code": "BITRIX_REST_V3_EXCEPTION_ACCESSDENIEDEXCEPTION", "message": "Access denied"}}
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(61)
        portal.inject(faults.status(status, body), times=None, on="tasks.task.get")
        assert await denied(b24)
    assert not portal.token_requests


async def test_t5_the_store_is_looked_into_before_a_denied_token_is_renewed() -> None:
    portal, store = fake_portal(rows={"tasks.task": 3}), MemoryStore()
    async with connected(portal, token_store=store) as b24:
        assert not await denied(b24)
        denying(portal)
        await put(store, portal.issue())
        assert not await denied(b24)
    assert not portal.token_requests


async def test_t5_a_renewal_for_a_denial_that_fails_leaves_the_denial() -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(61)
        portal.inject(DENIED, times=None, on="tasks.task.get")
        portal.inject(faults.html(502), times=3, on="oauth/token")
        assert await denied(b24)


async def test_t5_a_renewal_for_a_denial_that_is_refused_for_good_says_so() -> None:
    portal = fake_portal(rows={"tasks.task": 3})
    async with connected(portal) as b24:
        assert not await denied(b24)
        await asyncio.sleep(61)
        portal.revoke_all()
        portal.inject(DENIED, times=None, on="tasks.task.get")
        with pytest.raises(RefreshTokenError) as caught:
            await denied(b24)
    assert caught.value.needs_reauth
