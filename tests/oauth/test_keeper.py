"""The token's life under concurrency: one renewal, whoever asks and whoever is cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import attrs
import pytest

from b24oauth import (
    AjaxError,
    B24OAuth,
    B24OAuthParams,
    ClientStateError,
    ConfigurationError,
    RefreshTokenError,
    TokenPersistenceError,
)
from b24oauth.errors import ExpiredTokenError
from b24oauth.models import RefreshedAuth
from b24oauth.stores import MemoryStore, StoredPair, TokenKey
from b24oauth.testing import faults
from tests.support.clients import connected, fake_portal
from tests.support.stores import put, stored_for

pytestmark = pytest.mark.anyio

CALLS = 200


async def storm(b24: B24OAuth, calls: int = CALLS) -> list[Any]:
    """Calls at once, half of them v2, half v3."""

    def call(number: int) -> Awaitable[Any]:
        actions = b24.actions.v2 if number % 2 else b24.actions.v3
        return actions.call.make("crm.deal.get", {"id": number + 1})

    return await asyncio.gather(*map(call, range(calls)), return_exceptions=True)


def successes(results: list[Any]) -> int:
    return sum(not isinstance(result, BaseException) and result.is_success for result in results)


def others() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if task.get_name() == "b24oauth renewal"}


# --- T1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("expired_locally", [True, False])
async def test_t1_two_hundred_calls_of_both_versions_share_one_renewal(expired_locally: bool) -> None:
    portal = fake_portal(refresh_latency=0.2, rows={"crm.deal": 500})
    params = portal.issue(expired=expired_locally)
    portal.expire_tokens()
    async with connected(portal, params) as b24:
        assert successes(await storm(b24)) == CALLS
    assert len(portal.token_requests) == 1


async def test_t1_a_call_during_a_renewal_waits_for_it_instead_of_being_refused() -> None:
    portal = fake_portal(refresh_latency=1.0)
    async with connected(portal) as b24:
        renewal = asyncio.create_task(b24.auth.refresh_auth())
        await asyncio.sleep(0.5)
        await b24.actions.v2.call.make("profile")
        await renewal
    assert [request.status for request in portal.requests if request.method == "profile"] == [200]
    assert len(portal.token_requests) == 1


async def test_t1_tools_and_own_requests_share_the_renewal_too() -> None:
    portal = fake_portal(refresh_latency=0.2)
    async with connected(portal, portal.issue(expired=True)) as b24:
        token, alive, data, _ = await asyncio.gather(
            b24.auth.get_access_token(), b24.tools.health_check.make(), b24.auth.refresh_auth(), b24.init_is_admin()
        )
        assert alive
        assert token == data.access_token
        assert b24.auth.is_admin
    assert len(portal.token_requests) == 1


# --- T2 ---------------------------------------------------------------------------------------------------------------


async def _cancel_task(call: Awaitable[Any], after: Callable[[], Awaitable[None]]) -> None:
    task = asyncio.ensure_future(call)
    await after()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def _cancel_by_timeout(call: Awaitable[Any], after: Callable[[], Awaitable[None]]) -> None:
    deadline = asyncio.timeout(None)

    async def waiter() -> None:
        async with deadline:
            await call

    task = asyncio.create_task(waiter())
    await after()
    deadline.reschedule(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await task


async def _cancel_by_scope(call: Awaitable[Any], after: Callable[[], Awaitable[None]]) -> None:
    scope = anyio.CancelScope()

    async def waiter() -> None:
        with scope:
            await call

    task = asyncio.create_task(waiter())
    await after()
    scope.cancel()
    await task
    assert scope.cancelled_caught


async def _cancel_by_group(call: Awaitable[Any], after: Callable[[], Awaitable[None]]) -> None:
    async def waiter() -> None:
        await call

    async with anyio.create_task_group() as group:
        group.start_soon(waiter)
        await after()
        group.cancel_scope.cancel()


CANCELLATIONS = [_cancel_task, _cancel_by_timeout, _cancel_by_scope, _cancel_by_group]


class Stops:
    """Stops the renewal at each of its awaits in turn, until the test lets it go on."""

    def __init__(self, at: str) -> None:
        self.at = at
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()

    async def here(self, name: str) -> None:
        if name == self.at:
            self.reached.set()
            await self.go_on.wait()


class StoppingStore(MemoryStore):
    def __init__(self, stops: Stops) -> None:
        super().__init__()
        self.stops = stops

    async def load(self, key: TokenKey) -> StoredPair | None:
        await self.stops.here("load")
        return await super().load(key)

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        await self.stops.here("before save")
        revision = await super().save(key, params, expected=expected)
        await self.stops.here("after save")
        return revision


AWAITS = ["start", "load", "send", "answer", "before save", "after save", "callback"]


@pytest.mark.parametrize("at", AWAITS)
@pytest.mark.parametrize("cancel", CANCELLATIONS, ids=lambda cancel: cancel.__name__)
async def test_t2_cancelled_waiter_never_cancels_the_renewal(at: str, cancel: Any) -> None:
    portal = fake_portal(refresh_latency=0.2, rows={"crm.deal": 500})
    params = portal.issue(expired=True)
    portal.expire_tokens()
    stops = Stops(at)
    store = StoppingStore(stops)

    async def asked(process: Callable[[], Awaitable[Any]]) -> Any:
        await stops.here("send")
        answer = await process()
        await stops.here("answer")
        return answer

    portal.inject(asked, on="oauth/token")

    async def callback(refreshed: RefreshedAuth) -> None:
        await stops.here("callback")

    async def reached() -> None:
        if at == "start":
            await asyncio.sleep(0)
        else:
            await stops.reached.wait()

    async with connected(portal, params, token_store=store) as b24:
        b24.set_callback_refresh_auth(callback)
        first = b24.actions.v2.call.make("crm.deal.get", {"id": 1})
        rest: list[asyncio.Task[list[Any]]] = []

        async def cancelled_at_the_stop() -> None:
            rest.append(asyncio.create_task(storm(b24, CALLS - 1)))
            await reached()

        await cancel(first, cancelled_at_the_stop)
        stops.go_on.set()
        assert successes(await rest[0]) == CALLS - 1
    stored = await stored_for(store, params)
    assert stored is not None
    assert stored.refresh_token != params.refresh_token
    assert len(portal.token_requests) == 1
    assert not others()


async def test_t2_a_renewal_whose_only_waiter_is_cancelled_is_stored_and_used() -> None:
    portal = fake_portal(refresh_latency=1.0)
    params = portal.issue(expired=True)
    seen: list[RefreshedAuth] = []
    async with connected(portal, params) as b24:
        b24.set_callback_refresh_auth(seen.append)
        with anyio.move_on_after(0.5):
            await b24.actions.v2.call.make("profile")
        await b24.actions.v2.call.make("profile")
    assert len(seen) == 1
    assert len(portal.token_requests) == 1


async def test_t2_closing_inside_of_a_cancelled_scope_still_saves_the_renewed_pair() -> None:
    portal = fake_portal(refresh_latency=1.0)
    seen: list[RefreshedAuth] = []

    async def save(refreshed: RefreshedAuth) -> None:
        await asyncio.sleep(0.3)
        seen.append(refreshed)

    with anyio.move_on_after(0.5) as scope:
        async with connected(portal, portal.issue(expired=True)) as b24:
            b24.set_callback_refresh_auth(save)
            await b24.actions.v2.call.make("profile")
    assert scope.cancelled_caught
    assert len(seen) == 1
    assert not others()


async def test_t2_cancelling_the_task_that_closes_still_saves_the_renewed_pair() -> None:
    portal = fake_portal(refresh_latency=1.0)
    seen: list[RefreshedAuth] = []
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(seen.append)
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0.2)
        call.cancel()
        closing = asyncio.create_task(b24.aclose())
        await asyncio.sleep(0.2)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert len(seen) == 1


# --- T3, T10 ----------------------------------------------------------------------------------------------------------


async def test_t3_store_and_callback_have_finished_before_any_call_uses_the_new_token() -> None:
    portal = fake_portal()
    store = MemoryStore()
    events: list[str] = []

    async def callback(refreshed: RefreshedAuth) -> None:
        await asyncio.sleep(5)
        stored = await stored_for(store, refreshed.b24_oauth_params)
        assert stored == refreshed.b24_oauth_params
        events.append("saved")

    portal.method("mark", lambda params: events.append("used"))
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        b24.set_callback_refresh_auth(callback)
        await asyncio.gather(*(b24.actions.v2.call.make("mark") for _ in range(5)))
    assert events == ["saved", *["used"] * 5]


async def test_t3_nobody_sees_a_renewed_pair_before_it_is_saved() -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue()) as b24:
        before = b24.auth.get_params()
        seen: list[B24OAuthParams] = []

        async def callback(_: RefreshedAuth) -> None:
            await asyncio.sleep(5)
            seen.append(b24.auth.get_params())

        b24.set_callback_refresh_auth(callback)
        renewal = asyncio.create_task(b24.auth.refresh_auth())
        await asyncio.sleep(1)
        data = b24.auth.get_auth_data()
        assert data
        assert data.access_token == before.access_token
        await renewal
        data = b24.auth.get_auth_data()
        assert data
        assert data.access_token != before.access_token
    assert seen == [before]


@pytest.mark.parametrize("failing", ["callback", "store"])
async def test_t10_a_save_that_fails_twice_is_repeated_and_the_renewal_is_not(failing: str) -> None:
    portal = fake_portal()
    failures = 2
    saved: list[B24OAuthParams] = []

    def save(params: B24OAuthParams) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise OSError("the disk is full")
        saved.append(params)

    class Store(MemoryStore):
        async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
            save(params)
            return await super().save(key, params, expected=expected)

    store = Store() if failing == "store" else None
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        if failing == "callback":
            b24.set_callback_refresh_auth(lambda refreshed: save(refreshed.b24_oauth_params))
        for _ in range(2):
            with pytest.raises(TokenPersistenceError, match="the disk is full") as caught:
                await b24.actions.v2.call.make("profile")
            assert isinstance(caught.value.__cause__, OSError)
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params() == saved[0]
    assert len(saved) == 1
    assert len(portal.token_requests) == 1


async def test_t10_a_store_that_saved_is_not_asked_again_when_only_the_callback_failed() -> None:
    portal = fake_portal()
    saves: list[B24OAuthParams] = []

    class Store(MemoryStore):
        async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
            saves.append(params)

    fails = [True, False]

    def callback(refreshed: RefreshedAuth) -> None:
        if fails.pop(0):
            raise RuntimeError

    async with connected(portal, portal.issue(expired=True), token_store=Store()) as b24:
        b24.set_callback_refresh_auth(callback)
        with pytest.raises(TokenPersistenceError):
            await b24.auth.refresh_auth()
        await b24.auth.refresh_auth()
    assert len(saves) == 1
    assert len(portal.token_requests) == 1


async def test_t10_what_is_not_saved_is_saved_at_close() -> None:
    portal = fake_portal()
    fails, saved = [True, False], list[RefreshedAuth]()

    def callback(refreshed: RefreshedAuth) -> None:
        if fails.pop(0):
            raise RuntimeError
        saved.append(refreshed)

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        with pytest.raises(TokenPersistenceError):
            await b24.actions.v2.call.make("profile")
    assert len(saved) == 1


async def test_t10_closing_says_that_the_pair_could_not_be_saved_and_can_be_repeated() -> None:
    portal = fake_portal()
    fails, saved = [True, True, False], list[RefreshedAuth]()

    def callback(refreshed: RefreshedAuth) -> None:
        if fails.pop(0):
            raise RuntimeError("no disk")
        saved.append(refreshed)

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        with pytest.raises(TokenPersistenceError):
            await b24.actions.v2.call.make("profile")
        with pytest.raises(TokenPersistenceError, match="no disk"):
            await b24.aclose()
        await b24.aclose()
    assert len(saved) == 1


async def test_t10_a_callback_may_call_the_api_with_the_pair_it_is_to_save() -> None:
    portal = fake_portal()
    answers: list[Any] = []

    async def callback(refreshed: RefreshedAuth) -> None:
        answers.append((await b24.actions.v2.call.make("profile")).result)

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        await b24.actions.v2.call.make("crm.deal.list")
    assert len(answers) == 1
    assert len(portal.token_requests) == 1


async def cancelled_helper(_: RefreshedAuth) -> None:
    """Waits for a task that somebody cancels."""
    helper = asyncio.create_task(asyncio.Event().wait())
    helper.cancel()
    await helper


async def test_t10_a_cancellation_inside_of_the_callback_is_its_failure() -> None:
    portal = fake_portal()
    seen: list[RefreshedAuth] = []
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(cancelled_helper)
        with pytest.raises(TokenPersistenceError, match="CancelledError"):
            await b24.actions.v2.call.make("profile")
        with pytest.raises(TokenPersistenceError, match="CancelledError"):
            await b24.aclose()
        b24.set_callback_refresh_auth(seen.append)
    assert len(seen) == 1
    assert len(portal.token_requests) == 1


async def test_t10_closing_says_so_when_the_saving_task_itself_is_cancelled() -> None:
    portal = fake_portal()
    stops, seen = Stops("callback"), list[RefreshedAuth]()

    async def callback(refreshed: RefreshedAuth) -> None:
        await stops.here("callback")
        seen.append(refreshed)

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await stops.reached.wait()
        closing = asyncio.create_task(b24.aclose())
        await asyncio.sleep(0)
        for task in others():
            task.cancel()  # as the end of the event loop does
        with pytest.raises(RefreshTokenError) as caught:
            await call
        assert caught.value.code == "B24OAUTH_RENEWAL_CANCELLED"
        with pytest.raises(TokenPersistenceError, match="cancelled"):
            await closing
        stops.go_on.set()
    assert len(seen) == 1


@pytest.mark.parametrize("deed", ["refresh_auth", "aclose"])
async def test_t10_a_callback_that_would_wait_for_itself_gets_an_error(deed: str) -> None:
    portal = fake_portal()

    async def callback(refreshed: RefreshedAuth) -> None:
        with pytest.raises(ClientStateError, match="a deadlock"):
            await (b24.auth.refresh_auth() if deed == "refresh_auth" else b24.aclose())

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        assert (await b24.actions.v2.call.make("profile")).is_success


async def test_t10_a_task_that_the_callback_started_is_an_ordinary_caller_afterwards() -> None:
    portal = fake_portal()
    tasks: list[asyncio.Task[Any]] = []

    async def later() -> Any:
        await asyncio.sleep(1)
        return await b24.auth.refresh_auth()

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(lambda refreshed: tasks.append(asyncio.create_task(later())))
        await b24.actions.v2.call.make("profile")
        b24.remove_callback_refresh_auth()
        assert (await tasks[0]).access_token == b24.auth.get_params().access_token
    assert len(portal.token_requests) == 2


# --- T4, T5 -----------------------------------------------------------------------------------------------------------


async def test_t4_late_refusal_of_an_old_token_renews_nothing() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        portal.expire_tokens()
        portal.inject(faults.latency(5), on="crm.deal.list")
        slow = asyncio.create_task(b24.actions.v2.call.make("crm.deal.list"))
        await asyncio.sleep(1)
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert (await slow).is_success
    assert len(portal.token_requests) == 1


async def test_t5_a_second_refusal_surfaces_without_a_second_renewal() -> None:
    portal = fake_portal()
    refusal = faults.status(401, error="expired_token")
    portal.inject(refusal, on="profile", times=None)
    async with connected(portal) as b24:
        with pytest.raises(ExpiredTokenError):
            await b24.actions.v2.call.make("profile")
    assert len(portal.token_requests) == 1
    assert portal.calls["profile"] == 0
    assert sum(request.method == "profile" for request in portal.requests) == 2


async def test_t5_a_token_refused_right_after_its_renewal_is_not_renewed_again() -> None:
    portal = fake_portal()
    portal.inject(faults.status(401, error="invalid_token"), on="profile", times=None)
    async with connected(portal, portal.issue(expired=True)) as b24:
        with pytest.raises(ExpiredTokenError):
            await b24.actions.v2.call.make("profile")
    assert len(portal.token_requests) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "NO_AUTH_FOUND"), (403, "expired_token"), (401, "PAYMENT_REQUIRED"), (401, "METHOD_CONFIRM_WAITING")],
)
async def test_t5_nothing_but_a_refused_token_renews(status: int, code: str) -> None:
    portal = fake_portal()
    portal.inject(faults.status(status, error=code), on="profile")
    async with connected(portal) as b24:
        with pytest.raises(AjaxError) as caught:
            await b24.actions.v2.call.make("profile")
    assert caught.value.code == code
    assert not portal.token_requests


# --- T6, T7 -----------------------------------------------------------------------------------------------------------


async def test_t6_each_waiter_of_a_failed_renewal_gets_its_own_error() -> None:
    portal = fake_portal(refresh_latency=0.2)
    params = portal.issue(expired=True)
    portal.revoke(params.refresh_token)
    async with connected(portal, params) as b24:
        errors = await storm(b24, 20)
    assert all(isinstance(error, RefreshTokenError) and error.needs_reauth for error in errors)
    assert len({id(error) for error in errors}) == 20
    assert len(portal.token_requests) == 1


async def test_t6_a_final_refusal_is_remembered_until_new_tokens_are_set() -> None:
    portal = fake_portal()
    params = portal.issue(expired=True)
    portal.revoke(params.refresh_token)
    async with connected(portal, params) as b24:
        for _ in range(3):
            with pytest.raises(RefreshTokenError):
                await b24.actions.v2.call.make("profile")
        assert len(portal.token_requests) == 1
        b24.auth.set_params(portal.issue())
        assert (await b24.actions.v2.call.make("profile")).is_success


async def test_t6_a_final_refusal_is_over_when_the_store_has_new_tokens() -> None:
    portal = fake_portal()
    params = portal.issue(expired=True)
    portal.revoke(params.refresh_token)
    store = MemoryStore()
    async with connected(portal, params, token_store=store) as b24:
        with pytest.raises(RefreshTokenError):
            await b24.actions.v2.call.make("profile")
        await put(store, portal.issue())
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == 1


@pytest.mark.parametrize("fault", [faults.drop_before(), faults.html(502), faults.refuse(), faults.empty()])
async def test_t7_a_renewal_whose_answer_is_lost_is_asked_for_again(fault: faults.Fault) -> None:
    portal = fake_portal(single_use=False)
    portal.inject(fault, on="oauth/token")
    async with connected(portal, portal.issue(expired=True)) as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == 2


async def test_t7_a_renewal_that_stays_unanswered_fails_without_giving_up_the_pair() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_before(), on="oauth/token", times=3)
    async with connected(portal, portal.issue(expired=True)) as b24:
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make("profile")
        assert not caught.value.needs_reauth
        assert len(portal.token_requests) == 3
        assert (await b24.actions.v2.call.make("profile")).is_success


async def test_t7_what_is_refused_after_a_lost_answer_is_looked_for_in_the_store() -> None:
    portal = fake_portal()
    params = portal.issue(expired=True)
    store = MemoryStore()
    portal.inject(faults.drop_after(), on="oauth/token")

    class LateStore(MemoryStore):
        """Another process saves its pair while this one is asking."""

        async def load(self, key: TokenKey) -> StoredPair | None:
            if len(portal.token_requests) == 2:
                await self.save(key, portal.issue(), expected=None)
            return await super().load(key)

    store = LateStore()
    async with connected(portal, params, token_store=store) as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success


# --- T8 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", [-(10**6), 10**6, 4 * 10**9])
async def test_t8_a_wrong_local_clock_causes_no_renewal_storm(skew: float) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        b24.auth._renewer.wall_clock = lambda: portal.clock.now() + skew  # a clock that people set wrong
        for _ in range(10):
            await b24.actions.v2.call.make("profile")
            await asyncio.sleep(60)
    assert len(portal.token_requests) <= 1


async def test_t8_a_received_pair_lives_for_expires_in_from_its_arrival() -> None:
    portal = fake_portal(token_lifetime=3600)
    async with connected(portal, portal.issue(expired=True)) as b24:
        await b24.auth.refresh_auth()
        await asyncio.sleep(3599)
        assert b24.auth.get_auth_data() is not None
        await asyncio.sleep(1)
        assert b24.auth.get_auth_data() is None
        await b24.actions.v2.call.make("profile")
    assert len(portal.token_requests) == 2


# --- hooks ------------------------------------------------------------------------------------------------------------


async def test_hooks_refuse_what_is_no_function_at_once() -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(ConfigurationError, match="set_callback_refresh_auth"):
            b24.set_callback_refresh_auth("save")  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="set_custom_refresh_auth"):
            b24.set_custom_refresh_auth(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("plain", [True, False])
async def test_a_custom_refresh_replaces_the_oauth_server(plain: bool) -> None:
    portal = fake_portal()
    fresh = portal.issue()
    given = {"access_token": fresh.access_token, "refresh_token": fresh.refresh_token, "expires_in": "3600"}

    async def custom() -> Any:
        return given

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth((lambda: given) if plain else custom)
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params().client_endpoint == portal.client_endpoint
    assert not portal.token_requests


async def test_a_custom_refresh_that_says_the_pair_is_dead_is_believed() -> None:
    portal = fake_portal()
    asked: list[int] = []

    def custom() -> None:
        asked.append(1)
        raise RefreshTokenError("gone", code="broker_says_no", needs_reauth=True)

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(custom)
        for _ in range(2):
            with pytest.raises(RefreshTokenError, match="gone") as caught:
                await b24.actions.v2.call.make("profile")
            assert caught.value.needs_reauth
    assert len(asked) == 1


class NoTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("failure", [NoTextError(), asyncio.CancelledError(), StopIteration()])
async def test_t6_each_waiter_of_a_failed_custom_refresh_gets_its_own_error(failure: BaseException) -> None:
    portal = fake_portal()

    async def custom() -> Any:
        await asyncio.sleep(0.2)
        raise failure

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(custom)
        errors = await storm(b24, 10)
    assert {error.code for error in errors} == {"B24OAUTH_CUSTOM_REFRESH_FAILED"}
    assert len({id(error) for error in errors}) == 10


async def test_t6_a_custom_refresh_whose_data_cannot_be_read_is_an_error_of_each_waiter() -> None:
    class Unreadable(dict[str, Any]):
        def get(self, *_: Any) -> Any:
            raise KeyError("no such thing")

    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(Unreadable)  # type: ignore[arg-type]
        errors = await storm(b24, 10)
    assert {error.code for error in errors} == {"B24OAUTH_CUSTOM_REFRESH_FAILED"}
    assert len({id(error) for error in errors}) == 10


async def test_t10_a_callback_whose_error_has_no_text_is_asked_again() -> None:
    portal = fake_portal()
    fails = [True, True, False]

    def callback(_: RefreshedAuth) -> None:
        if fails.pop(0):
            raise NoTextError

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        for _ in range(2):
            with pytest.raises(TokenPersistenceError, match="NoTextError"):
                await b24.actions.v2.call.make("profile")
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == 1


@pytest.mark.parametrize("text", ["access_token=n3w-t0ken", "{'access_token': 'n3w-t0ken'}"])
@pytest.mark.parametrize("custom", [True, False])
async def test_t12_a_refusal_repeats_no_new_token_that_stands_under_its_name(text: str, custom: bool) -> None:
    portal = fake_portal()

    def refuse() -> None:
        raise RefreshTokenError(f"the broker has {text}", code="broker_says_no")

    portal.inject(faults.status(400, error="broker_says_no", description=f"the broker has {text}"), on="oauth/token")
    async with connected(portal, portal.issue(expired=True)) as b24:
        if custom:
            b24.set_custom_refresh_auth(refuse)
        with pytest.raises(RefreshTokenError, match="the broker has") as caught:
            await b24.actions.v2.call.make("profile")
    assert caught.value.code == "broker_says_no"
    assert "n3w-t0ken" not in "".join(traceback.format_exception(caught.value))


async def test_t12_the_warning_of_a_forged_endpoint_shows_no_token_in_its_host(
    caplog: pytest.LogCaptureFixture,
) -> None:
    portal = fake_portal()
    before = attrs.evolve(portal.issue(expired=True), application_token="Appl1cation-Token")
    async with connected(portal, before) as b24:
        after = {"access_token": "N3w-Access", "refresh_token": "N3w-Refresh"}
        forged = f"https://{after['refresh_token']}.{before.application_token}.evil.example/rest/"
        b24.set_custom_refresh_auth(lambda: {**after, "server_endpoint": forged})  # type: ignore[typeddict-unknown-key]
        await b24.auth.refresh_auth()
    shown = repr([vars(record) for record in caplog.records]).lower()
    assert "evil.example" in shown
    assert not any(token.lower() in shown for token in (*after.values(), before.application_token))


async def test_callers_contexts_do_not_reach_the_callback() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen: list[str] = []
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(lambda refreshed: seen.append(variable.get()))
        variable.set("somebody")
        await b24.actions.v2.call.make("profile")
    assert seen == ["nobody"]


async def test_renewed_fields_take_effect() -> None:
    portal = fake_portal()
    params = portal.issue(expired=True)
    portal.rename("https://renamed.example")
    async with connected(portal, params) as b24:
        await b24.auth.refresh_auth()
        assert b24.get_target_origin() == "https://renamed.example"
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert [request.status for request in portal.requests if request.method == "profile"] == [200]
