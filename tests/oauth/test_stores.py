"""Clients that share a store, one after another or at once: whose pair is the newer one, and who renews it."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, B24OAuthParams, ClientStateError, RefreshTokenError, TokenPersistenceError
from b24oauth.models import RefreshedAuth
from b24oauth.stores import Lease, MemoryStore, StoredPair, TokenKey
from b24oauth.testing import FakePortal, faults
from tests.support.clients import connected, fake_portal
from tests.support.stores import holding, key_of, put, stored_for

pytestmark = pytest.mark.anyio

HOUR = 3600


async def call(b24: B24OAuth) -> None:
    assert (await b24.actions.v2.call.make("profile")).is_success


def revoked(portal: FakePortal, **options: Any) -> B24OAuthParams:
    """A pair of an installation that has been undone."""
    pair = portal.issue(**options)
    portal.revoke(pair.refresh_token)
    return pair


def from_event(pair: B24OAuthParams) -> B24OAuthParams:
    """As an install event tells it: with a lifetime, but not since when."""
    return attrs.evolve(pair, expires=0)


def without_access(portal: FakePortal, pair: B24OAuthParams) -> B24OAuthParams:
    """The pair with an access token that the portal does not accept, whatever the clocks say."""
    return attrs.evolve(pair, access_token="refused-access-token")


def refused(portal: FakePortal) -> int:
    return sum(request.status == 401 for request in portal.requests)


@asynccontextmanager
async def several(
    portal: FakePortal, params: B24OAuthParams, count: int, **options: Any
) -> AsyncIterator[list[B24OAuth]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(connected(portal, params, **options)) for _ in range(count)]


# --- T6, T9: which pair is the newer one ------------------------------------------------------------------------------


@pytest.mark.parametrize("stored_expired", [True, False])
async def test_t6_a_dead_pair_in_the_store_yields_to_a_new_authorization(stored_expired: bool) -> None:
    portal = fake_portal()
    stored = revoked(portal, expired=stored_expired)
    store = await holding(without_access(portal, stored))
    fresh = portal.issue()
    async with connected(portal, from_event(fresh), token_store=store) as b24:
        await call(b24)
        assert await stored_for(store, fresh) == b24.auth.get_params()
        await call(b24)
    assert [request.status for request in portal.token_requests] == [400, 200]
    assert refused(portal) == 1


async def test_t6_set_params_wins_over_what_is_in_the_store() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    async with connected(portal, portal.issue(), token_store=store) as b24:
        b24.auth.set_params(from_event(portal.issue()))
        set_pair = b24.auth.get_params()
        await call(b24)
        renewed = b24.auth.get_params()
        assert await stored_for(store, set_pair) == renewed
    assert [request.status for request in portal.token_requests] == [200]
    assert renewed.refresh_token != set_pair.refresh_token


async def test_t6_set_params_helps_after_a_final_refusal_of_the_stored_pair() -> None:
    portal = fake_portal()
    dead = revoked(portal, expired=True)
    async with connected(portal, dead, token_store=await holding(dead)) as b24:
        with pytest.raises(RefreshTokenError):
            await b24.actions.v2.call.make("profile")
        b24.auth.set_params(from_event(portal.issue()))
        await call(b24)
    assert [request.status for request in portal.token_requests] == [400, 200]


async def test_t6_set_params_of_a_used_pair_yields_to_what_is_in_the_store() -> None:
    portal = fake_portal()
    used = revoked(portal, expired=True)
    store = await holding(portal.issue())
    async with connected(portal, portal.issue(), token_store=store) as b24:
        b24.auth.set_params(used)
        await call(b24)
        assert b24.auth.get_params() == await stored_for(store, used)
    assert len(portal.token_requests) == 1


async def test_t6_both_pairs_refused_is_remembered_for_both() -> None:
    portal = fake_portal()
    store = await holding(without_access(portal, revoked(portal)))
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        for _ in range(3):
            with pytest.raises(RefreshTokenError) as caught:
                await b24.actions.v2.call.make("profile")
            assert caught.value.needs_reauth
        assert len(portal.token_requests) == 2
        await put(store, portal.issue())
        await call(b24)
    assert len(portal.token_requests) == 2


async def test_t6_a_refused_pair_that_comes_back_into_the_store_is_not_used_again() -> None:
    portal = fake_portal()
    dead, good = without_access(portal, revoked(portal)), portal.issue()
    store = await holding(dead)
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        with pytest.raises(RefreshTokenError):
            await b24.actions.v2.call.make("profile")
        await put(store, good)
        await call(b24)
        await put(store, dead)
        await asyncio.sleep(HOUR)
        await call(b24)
        assert await stored_for(store, good) == b24.auth.get_params()


async def test_t6_a_pair_that_gave_way_to_one_that_was_renewed_is_not_asked_about_any_more() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        await b24.auth.refresh_auth()
        await b24.auth.refresh_auth()
        assert len(portal.token_requests) == 1
        portal.revoke(b24.auth.get_params().refresh_token)
        with pytest.raises(RefreshTokenError):
            await b24.auth.refresh_auth()
    assert len(portal.token_requests) == 2


async def test_t9_a_restart_with_old_parameters_uses_the_stored_pair_and_renews_nothing() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        await call(b24)
    assert not portal.token_requests


async def test_t9_a_pair_stored_yesterday_costs_one_refused_call_and_is_renewed() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    await asyncio.sleep(24 * HOUR)
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        await call(b24)
        await call(b24)
    assert refused(portal) == 1
    assert len(portal.token_requests) == 1


async def test_t9_a_refused_client_takes_the_stored_pair_whose_expires_lies_earlier() -> None:
    portal = fake_portal()
    far = attrs.evolve(portal.issue(), expires=int(portal.clock.now()) + 2 * HOUR)
    portal.expire_tokens()
    async with several(portal, far, 2, token_store=MemoryStore()) as clients:
        for b24 in clients:
            await call(b24)
    assert len(portal.token_requests) == 1


async def test_t9_a_pair_that_is_valid_by_its_clock_is_used_without_asking_the_store() -> None:
    class Untouched(MemoryStore):
        async def load(self, key: TokenKey) -> StoredPair | None:
            raise AssertionError

    portal = fake_portal()
    async with connected(portal, portal.issue(), token_store=Untouched()) as b24:
        await call(b24)


async def test_t9_a_token_for_own_requests_is_not_one_that_has_expired_in_the_store() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    await asyncio.sleep(24 * HOUR)
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        token = await b24.auth.get_access_token()
        assert token == await b24.auth.get_access_token()
        assert token == b24.auth.get_params().access_token
        await call(b24)
    assert not refused(portal)
    assert len(portal.token_requests) == 1


async def test_t9_asking_for_a_renewal_does_not_give_a_pair_that_has_expired_in_the_store() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    await asyncio.sleep(24 * HOUR)
    async with connected(portal, revoked(portal, expired=True), token_store=store) as b24:
        await b24.auth.refresh_auth()
        await call(b24)
    assert not refused(portal)


# --- T8: clocks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("skew", [-(10**6), -2 * HOUR, 2 * HOUR, 10**6])
async def test_t8_clients_with_a_wrong_clock_that_share_a_store_renew_once(skew: float, at_once: bool) -> None:
    portal = fake_portal()
    params = portal.issue()
    portal.expire_tokens()
    async with several(portal, params, 6, token_store=MemoryStore()) as clients:
        for b24 in clients:
            b24.auth._renewer.wall_clock = lambda: portal.clock.now() + skew  # a clock that people set wrong
        if at_once:
            await asyncio.gather(*map(call, clients))
        for _ in range(5):
            for b24 in clients:
                await call(b24)
    assert len(portal.token_requests) == 1


async def test_t8_tokens_for_own_requests_are_renewed_once_under_a_clock_that_is_ahead() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        b24.auth._renewer.wall_clock = lambda: portal.clock.now() + 2 * HOUR  # a clock that people set wrong
        tokens = {await b24.auth.get_access_token() for _ in range(5)}
    assert len(tokens) == 1
    assert len(portal.token_requests) == 1


async def test_t10_a_callback_gets_the_token_it_is_to_save_whatever_clock_and_store_say() -> None:
    portal = fake_portal()
    store = await holding(without_access(portal, portal.issue()))
    tokens: list[tuple[str, str]] = []

    async def callback(refreshed: RefreshedAuth) -> None:
        tokens.append((await b24.auth.get_access_token(), refreshed.auth_data.access_token))

    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        b24.auth._renewer.wall_clock = lambda: portal.clock.now() + 2 * HOUR  # a clock that people set wrong
        b24.set_callback_refresh_auth(callback)
        await call(b24)
    assert [one == other for one, other in tokens] == [True]


async def test_t8_a_stored_pair_is_renewed_when_its_time_is_over_without_a_refused_call() -> None:
    portal = fake_portal()
    store = await holding(portal.issue())
    await asyncio.sleep(HOUR / 2)
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await call(b24)
        await asyncio.sleep(HOUR / 2)
        await call(b24)
    assert not refused(portal)
    assert len(portal.token_requests) == 1


# --- T10: saving again ------------------------------------------------------------------------------------------------


class WatchedStore(MemoryStore):
    """Fails to save a number of times, and knows whether its lease is held."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__()
        self.failures = failures
        self.saves: list[bool] = []
        self.leased: set[TokenKey] = set()

    @asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        async with super().lease(key, seconds=seconds) as lease:
            self.leased.add(key)
            yield lease
            self.leased.discard(key)

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        self.saves.append(key in self.leased)
        if self.failures:
            self.failures -= 1
            raise OSError("the disk is full")
        return await super().save(key, params, expected=expected)


async def unsaved(b24: B24OAuth) -> None:
    with pytest.raises(TokenPersistenceError, match="the disk is full"):
        await b24.actions.v2.call.make("profile")


async def test_t9_a_save_that_is_repeated_holds_the_lease_too() -> None:
    portal, store = fake_portal(), WatchedStore(failures=2)
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await unsaved(b24)
        await unsaved(b24)
        await call(b24)
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert store.saves == [True] * 3


@pytest.mark.parametrize("another_in_store", [True, False])
async def test_t9_a_repeated_save_replaces_the_pair_that_was_renewed(
    another_in_store: bool,
) -> None:
    portal, store = fake_portal(), WatchedStore(failures=1)
    old = portal.issue(expired=True)
    before = portal.issue() if another_in_store else old
    await MemoryStore.save(store, key_of(before), before, expected=None)
    async with connected(portal, old, token_store=store) as b24:
        b24.auth.set_params(old)
        await unsaved(b24)
        await call(b24)
        assert b24.auth.get_params() not in (old, before)
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert len(portal.token_requests) == 1


async def test_t9_a_save_that_is_repeated_does_not_overwrite_a_pair_stored_since() -> None:
    portal, store = fake_portal(), WatchedStore(failures=1)
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await unsaved(b24)
        newer = portal.issue()
        async with store.lease(key_of(newer), seconds=1):
            await put(store, newer)
        await call(b24)
        assert b24.auth.get_params() == newer
    assert await stored_for(store, newer) == newer
    assert len(portal.token_requests) == 1


async def test_t9_an_unsaved_pair_is_the_fallback_when_the_stored_one_is_refused() -> None:
    portal, store = fake_portal(), WatchedStore(failures=1)
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await unsaved(b24)
        await put(store, without_access(portal, revoked(portal)))
        await call(b24)
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert [request.status for request in portal.token_requests] == [200, 400, 200]


@pytest.mark.parametrize("closes", [True, False])
async def test_t10_a_lease_that_fails_while_saving_again_keeps_the_pair(closes: bool) -> None:
    portal, store = fake_portal(), WatchedStore(failures=1)
    lease: Callable[..., Any] = store.lease

    def broken(key: TokenKey, *, seconds: float) -> Any:
        raise OSError("no lease")

    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await unsaved(b24)
        store.lease = broken  # type: ignore[method-assign]
        with pytest.raises(TokenPersistenceError, match="no lease"):
            await (b24.aclose() if closes else b24.actions.v2.call.make("profile"))
        store.lease = lease  # type: ignore[method-assign]
    assert await stored_for(store, portal) == b24.auth.get_params()
    assert len(portal.token_requests) == 1


# --- T10: what people's stores do -------------------------------------------------------------------------------------


async def cancelled_helper() -> None:
    """Waits for a task that somebody cancels."""
    helper = asyncio.create_task(asyncio.Event().wait())
    helper.cancel()
    await helper


@pytest.mark.parametrize("where", ["load", "save"])
async def test_t10_a_cancellation_inside_of_the_store_is_its_failure(where: str) -> None:
    class Store(MemoryStore):
        broken = True

        async def load(self, key: TokenKey) -> StoredPair | None:
            if self.broken and where == "load":
                await cancelled_helper()
            return await super().load(key)

        async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
            if self.broken and where == "save":
                await cancelled_helper()
            return await super().save(key, params, expected=expected)

    portal, store = fake_portal(), Store()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        for _ in range(2):
            with pytest.raises(TokenPersistenceError, match="CancelledError"):
                await b24.actions.v2.call.make("profile")
        if where == "save":
            with pytest.raises(TokenPersistenceError):
                await b24.aclose()
        store.broken = False
    assert (await stored_for(store, portal) is not None) is (where == "save")
    assert len(portal.token_requests) == (where == "save")


# --- T10: two clients, one lock ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "deed",
    [lambda b24: b24.actions.v2.call.make("profile"), lambda b24: b24.auth.refresh_auth(), lambda b24: b24.aclose()],
    ids=["call", "refresh_auth", "aclose"],
)
async def test_t10_a_callback_that_waits_for_its_own_lock_gets_an_error(
    deed: Callable[[B24OAuth], Awaitable[Any]],
) -> None:
    portal = fake_portal()
    waiting: list[asyncio.Task[None]] = []
    async with several(portal, portal.issue(expired=True), 2, token_store=MemoryStore()) as (first, second):

        async def callback(_: RefreshedAuth) -> None:
            # Somebody else's call, which may wait for the lock.
            waiting.append(asyncio.create_task(call(second), context=contextvars.Context()))
            await asyncio.sleep(0.1)
            with pytest.raises(ClientStateError, match="a deadlock"):
                await deed(second)

        first.set_callback_refresh_auth(callback)
        await call(first)
        await waiting[0]
    assert len(portal.token_requests) == 1


async def test_t10_a_callback_may_use_a_client_with_a_valid_pair_or_another_store() -> None:
    portal = fake_portal()
    done: list[str] = []
    store = MemoryStore()
    async with (
        connected(portal, portal.issue(expired=True), token_store=store) as b24,
        connected(portal, portal.issue(), token_store=store) as valid,
        connected(portal, portal.issue(expired=True), token_store=MemoryStore()) as elsewhere,
    ):

        async def callback(_: RefreshedAuth) -> None:
            for other in (valid, elsewhere):
                await call(other)
                done.append("called")

        b24.set_callback_refresh_auth(callback)
        await call(b24)
    assert done == ["called"] * 2


async def test_t10_a_task_that_the_callback_started_may_use_another_client_afterwards() -> None:
    portal = fake_portal()
    tasks: list[asyncio.Task[None]] = []
    async with several(portal, portal.issue(expired=True), 2, token_store=MemoryStore()) as (first, second):

        async def later() -> None:
            await asyncio.sleep(1)
            await call(second)

        first.set_callback_refresh_auth(lambda _: tasks.append(asyncio.create_task(later())))
        await call(first)
        await tasks[0]
    assert len(portal.token_requests) == 1


# --- set_params in between --------------------------------------------------------------------------------------------


async def test_what_people_set_while_the_lock_is_waited_for_is_used_and_not_renewed() -> None:
    portal, store = fake_portal(), MemoryStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        async with store.lease(key_of(portal), seconds=15):
            waiting = asyncio.create_task(call(b24))
            await asyncio.sleep(1)
            b24.auth.set_params(given := portal.issue())
        await waiting
        assert b24.auth.get_params() is given
    assert not portal.token_requests


async def test_what_people_set_while_the_store_is_read_after_a_refusal_is_used() -> None:
    class SlowStore(MemoryStore):
        async def load(self, key: TokenKey) -> StoredPair | None:
            if portal.token_requests:
                b24.auth.set_params(given)
            return await super().load(key)

    portal = fake_portal()
    given = portal.issue()
    async with connected(portal, revoked(portal, expired=True), token_store=SlowStore()) as b24:
        await call(b24)
        assert b24.auth.get_params() is given


async def test_t7_a_lost_response_that_was_stored_is_found_after_set_params() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_after(), on="oauth/token")
    found = portal.issue()

    class LateStore(MemoryStore):
        async def load(self, key: TokenKey) -> StoredPair | None:
            return StoredPair(found, "1") if len(portal.token_requests) == 2 else None

    async with connected(portal, portal.issue(expired=True), token_store=LateStore()) as b24:
        b24.auth.set_params(portal.issue(expired=True))
        await call(b24)
        assert b24.auth.get_params() == found
