"""T9: renewals of clients that share a store, when one of them is slow, stopped, or loses its lease."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, B24OAuthParams, TokenPersistenceError
from b24oauth.errors import ExpiredTokenError, StoreConflictError
from b24oauth.models import RefreshedAuth
from b24oauth.stores import Lease, MemoryStore, TokenKey
from b24oauth.testing import faults
from tests.support.clients import connected, fake_portal
from tests.support.stores import key_of, put, stored_for

pytestmark = pytest.mark.anyio


async def call(b24: B24OAuth) -> None:
    assert (await b24.actions.v2.call.make("profile")).is_success


async def test_t9_a_renewal_that_takes_longer_than_a_lease_is_still_the_only_one() -> None:
    portal, store = fake_portal(refresh_latency=25), MemoryStore()
    pair = portal.issue(expired=True)
    async with (
        connected(portal, pair, token_store=store) as first,
        connected(portal, pair, token_store=store) as second,
    ):
        await asyncio.gather(call(first), call(second))
        assert first.auth.get_params().refresh_token == second.auth.get_params().refresh_token
    assert len(portal.token_requests) == 1


class StoppedStore(MemoryStore):
    """A store that a stopped process uses: its lease is not extended, and somebody else saves meanwhile."""

    def __init__(self, *others: B24OAuthParams) -> None:
        super().__init__()
        self.others = list(others)
        self.saved: list[str] = []

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        if self.others:
            stored = await self.load(key)
            await super().save(key, self.others.pop(0), expected=stored.revision if stored else None)
        revision = await super().save(key, params, expected=expected)
        self.saved.append(params.refresh_token)
        return revision


@pytest.mark.parametrize("was_stored", [True, False])
async def test_t9_a_paused_holder_uses_the_pair_that_was_saved_meanwhile(was_stored: bool) -> None:
    portal = fake_portal()
    pair, newer = portal.issue(expired=True), portal.issue()
    store = StoppedStore()
    if was_stored:
        await put(store, pair)
    store.others = [newer]
    told: list[RefreshedAuth] = []
    async with connected(portal, pair, token_store=store) as b24:
        b24.set_callback_refresh_auth(told.append)
        await call(b24)
        assert b24.auth.get_params() == newer
        assert await stored_for(store, portal) == newer
    assert len(portal.token_requests) == 1
    assert not told


async def test_t9_a_paused_holder_keeps_its_pair_for_when_the_other_one_is_refused() -> None:
    portal = fake_portal()
    dead = attrs.evolve(portal.issue(), access_token="refused-access-token")
    portal.revoke(dead.refresh_token)
    store = StoppedStore(dead)
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        with pytest.raises(ExpiredTokenError):
            await call(b24)  # it has had its one renewal
        await call(b24)
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert [request.status for request in portal.token_requests] == [200, 400, 200]


async def test_t9_a_pair_that_was_written_again_unchanged_is_replaced() -> None:
    portal = fake_portal()
    pair = portal.issue(expired=True)
    store = StoppedStore()
    await put(store, pair)
    store.others = [pair]  # a store whose keys were changed, for example
    async with connected(portal, pair, token_store=store) as b24:
        await call(b24)
        assert await stored_for(store, portal) == b24.auth.get_params() != pair
    assert len(portal.token_requests) == 1


class ConflictingStore(MemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.refused = 0
        self.broken = True

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        if self.broken:
            self.refused += 1
            raise StoreConflictError
        return await super().save(key, params, expected=expected)


async def test_t10_a_store_that_always_sees_a_conflict_fails_to_save() -> None:
    portal, store = fake_portal(), ConflictingStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        with pytest.raises(TokenPersistenceError, match="has changed meanwhile"):
            await call(b24)
        assert store.refused < 10
        store.broken = False
        await call(b24)
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert len(portal.token_requests) == 1


async def test_t9_a_pair_that_was_removed_while_it_was_renewed_is_saved_again() -> None:
    portal, store = fake_portal(), MemoryStore()
    pair = portal.issue(expired=True)
    await put(store, pair)
    portal.inject(faults.latency(3), on="oauth/token")
    async with connected(portal, pair, token_store=store) as b24:
        renewal = asyncio.create_task(call(b24))
        await asyncio.sleep(1)
        await store.delete(key_of(pair))
        await renewal
        assert await stored_for(store, portal) == b24.auth.get_params()


class UnextendedStore(MemoryStore):
    """A store whose leases cannot be extended."""

    def __init__(self, error: Exception | None) -> None:
        super().__init__()
        self.error = error

    @asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        async with super().lease(key, seconds=seconds):
            yield self

    async def extend(self) -> bool:
        if self.error is not None:
            raise self.error
        return False


@pytest.mark.parametrize(("error", "text"), [(None, "ended while"), (OSError("away"), "could not be extended: OSE")])
async def test_t9_a_lease_that_is_not_extended_costs_no_pair(
    error: Exception | None, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    portal, store = fake_portal(refresh_latency=12), UnextendedStore(error)
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await call(b24)
        assert await stored_for(store, portal) == b24.auth.get_params()
    assert len(portal.token_requests) == 1
    assert any(text in record.message for record in caplog.records if record.levelno == logging.WARNING)


class QueuedStore(MemoryStore):
    """A store whose lease somebody holds for ever, as the many before us in a queue do."""

    def __init__(self) -> None:
        super().__init__()
        self.waited = 0

    @asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        self.waited += 1
        await asyncio.sleep(3600)
        async with super().lease(key, seconds=seconds) as lease:
            yield lease


async def test_t9_who_waits_for_a_lease_uses_the_pair_that_its_holder_has_saved() -> None:
    portal, store = fake_portal(), QueuedStore()
    pair, newer = portal.issue(expired=True), portal.issue()
    loop = asyncio.get_running_loop()
    async with connected(portal, pair, token_store=store) as b24:
        began = loop.time()
        calling = asyncio.create_task(call(b24))
        await asyncio.sleep(10)
        assert not calling.done()
        await put(store, newer)
        await calling
        assert loop.time() - began < 11
        assert b24.auth.get_params() == newer
    assert not portal.token_requests
    assert store.waited == 1


async def test_t9_a_pair_in_the_store_that_has_expired_is_no_reason_to_stop_waiting_for_the_lease() -> None:
    portal, store = fake_portal(), QueuedStore()
    pair = portal.issue(expired=True)
    await put(store, portal.issue(expired=True))
    loop = asyncio.get_running_loop()
    async with connected(portal, pair, token_store=store) as b24:
        began = loop.time()
        await call(b24)
        assert loop.time() - began >= 3600


class UnreadableStore(QueuedStore):
    async def load(self, key: TokenKey) -> Any:
        if asyncio.get_running_loop().time() < 3000:
            raise OSError
        return await super().load(key)


async def test_a_store_that_cannot_be_read_while_the_lease_is_waited_for_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    portal, store = fake_portal(), UnreadableStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        await call(b24)
    assert "could not be read while its lease was waited for: OSError" in caplog.text
    assert len(portal.token_requests) == 1


class DeafStore(MemoryStore):
    """A store that swallows a cancellation, as some drivers do; its lease comes while it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.deaf = self.extended = 0
        self.reading = asyncio.Event()

    async def load(self, key: TokenKey) -> Any:
        if not self.deaf:
            self.deaf = 1
            self.reading.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.deaf = 2
        return await super().load(key)

    @asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        await self.reading.wait()
        async with super().lease(key, seconds=seconds):
            yield DeafLease(self)


class DeafLease:
    def __init__(self, store: DeafStore) -> None:
        self.store = store

    async def extend(self) -> bool:
        self.store.extended += 1
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            if self.store.extended > 1:
                raise
        return True


async def test_a_store_that_swallows_a_cancellation_does_not_stop_the_renewal() -> None:
    portal, store = fake_portal(refresh_latency=8), DeafStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        async with asyncio.timeout(60):
            await call(b24)
    assert (store.deaf, store.extended) == (2, 1)
    assert len(portal.token_requests) == 1
