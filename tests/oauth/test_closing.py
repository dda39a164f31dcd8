"""A1: closing ends within its timeout, whatever hangs, and says what may be lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from b24oauth import B24OAuth, B24OAuthParams, ClientStateError, RefreshTokenError, TokenPersistenceError
from b24oauth.models import RefreshedAuth
from b24oauth.stores import Lease, MemoryStore, StoredPair, TokenKey
from b24oauth.testing import FakePortal, faults
from tests.support.clients import connected, fake_portal
from tests.support.stores import stored_for

pytestmark = pytest.mark.anyio


async def forever(*_: Any) -> None:
    await asyncio.Event().wait()


async def for_ever_stubbornly(*_: Any) -> None:
    """Does not even end when it is cancelled, for an hour."""
    end = asyncio.get_running_loop().time() + 3600
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


class HangingStore(MemoryStore):
    """A store of which one operation never ends."""

    def __init__(self, operation: str) -> None:
        super().__init__()
        self.operation = operation

    @asynccontextmanager
    async def lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease]:
        if self.operation == "lease":
            await forever()
        async with super().lease(key, seconds=seconds) as lease:
            yield lease
        if self.operation == "release":
            await forever()

    async def load(self, key: TokenKey) -> StoredPair | None:
        if self.operation == "load":
            await forever()
        return await super().load(key)

    async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
        if self.operation == "save":
            await forever()
        return await super().save(key, params, expected=expected)


def hanging(what: str, portal: FakePortal) -> tuple[dict[str, Any], Callable[[B24OAuth], None]]:
    """Options of a client, and what is arranged before its first call, so that something never ends."""
    if what in ("lease", "release", "load", "save"):
        return {"token_store": HangingStore(what)}, lambda _: None
    if what == "oauth server":
        portal.inject(faults.hang(), times=None, on="oauth/token")
        return {}, lambda _: None
    if what == "portal":
        portal.inject(faults.hang(), times=None, on="profile")
        return {}, lambda _: None
    if what == "custom refresh":
        return {}, lambda b24: b24.set_custom_refresh_auth(forever)  # type: ignore[arg-type]
    callback = for_ever_stubbornly if what == "stubborn callback" else forever
    return {}, lambda b24: b24.set_callback_refresh_auth(callback)


KEEPS_NOTHING = ("lease", "load", "portal")
LOSES = ("save", "oauth server", "custom refresh", "callback", "stubborn callback")


@pytest.mark.parametrize("what", [*KEEPS_NOTHING, *LOSES, "release"])
async def test_a1_closing_ends_in_time_whatever_hangs(what: str, caplog: pytest.LogCaptureFixture) -> None:
    portal = fake_portal()
    options, arrange = hanging(what, portal)
    loop = asyncio.get_running_loop()
    async with connected(portal, portal.issue(expired=True), **options) as b24:
        arrange(b24)
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(5)]
        await asyncio.sleep(5)
        started = loop.time()
        closing = asyncio.create_task(b24.aclose())
        await asyncio.wait({closing})
        assert loop.time() - started <= 11
        error = closing.exception()
        if what in LOSES:
            assert isinstance(error, TokenPersistenceError)
            assert portal.member_id in str(error)
            assert "lost" in str(error) or "callback" in str(error)
            assert any(portal.member_id in record.getMessage() for record in caplog.records)
        else:
            assert error is None
            assert loop.time() - started <= 1
        done, pending = await asyncio.wait(calls, timeout=1)
        assert not pending
        assert all(isinstance(call.exception(), (ClientStateError, RefreshTokenError, Exception)) for call in done)
        await end(b24, what)


async def end(b24: B24OAuth, what: str) -> None:
    """Lets the client of a test that hangs end."""
    b24.remove_callback_refresh_auth()
    if what in LOSES:
        try:
            await b24.aclose()
        except TokenPersistenceError:
            b24.auth.set_params(b24.auth.get_params())


async def test_a1_the_timeout_is_an_option() -> None:
    portal = fake_portal()
    portal.inject(faults.hang(), times=None, on="oauth/token")
    loop = asyncio.get_running_loop()
    async with connected(portal, portal.issue(expired=True), close_timeout=2) as b24:
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        started = loop.time()
        with pytest.raises(TokenPersistenceError, match="2 s"):
            await b24.aclose()
        assert 2 <= loop.time() - started <= 3
        with pytest.raises(ClientStateError):
            await call


async def test_a1_closing_waits_for_a_pair_that_comes_in_time() -> None:
    portal, store = fake_portal(refresh_latency=9), MemoryStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0.5)
        await b24.aclose()
        with pytest.raises(ClientStateError):
            await call
    assert await stored_for(store, portal) == b24.auth.get_params()


async def test_a1_a_cancelled_close_ends_in_time_too() -> None:
    portal = fake_portal()
    portal.inject(faults.hang(), times=None, on="oauth/token")
    loop = asyncio.get_running_loop()
    async with connected(portal, portal.issue(expired=True)) as b24:
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        started = loop.time()
        closing = asyncio.create_task(b24.aclose())
        for _ in range(5):
            await asyncio.sleep(0.5)
            closing.cancel()
        await asyncio.wait({closing, call})
        assert closing.cancelled()
        assert isinstance(call.exception(), ClientStateError)
        assert loop.time() - started <= 11


async def test_a1_a_pair_whose_save_hung_is_saved_when_closing_is_repeated() -> None:
    portal = fake_portal()
    store = HangingStore("save")
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        call = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        with pytest.raises(TokenPersistenceError):
            await b24.aclose()
        store.operation = ""
        await b24.aclose()
        with pytest.raises((ClientStateError, TokenPersistenceError)):
            await call
    stored = await stored_for(store, portal)
    assert stored is not None
    assert len(portal.token_requests) == 1


async def test_a1_waiters_of_a_renewal_that_closing_ended_are_told_so() -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True), token_store=HangingStore("lease")) as b24:
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(5)]
        await asyncio.sleep(1)
        await b24.aclose()
        errors = await asyncio.gather(*calls, return_exceptions=True)
    assert {(type(error), getattr(error, "code", "")) for error in errors} == {
        (ClientStateError, "B24OAUTH_CLIENT_CLOSED")
    }
    assert len({id(error) for error in errors}) == 5
    assert not portal.token_requests


# --- what callbacks raise ---------------------------------------------------------------------------------------------


class Stop(BaseException):
    """Not an error, as test frameworks and other event loops have them."""


@pytest.mark.parametrize("raised", [Stop("stopped"), GeneratorExit("stopped"), asyncio.CancelledError("stopped")])
@pytest.mark.parametrize("later", [False, True])
async def test_t10_whatever_a_callback_raises_fails_the_save(raised: BaseException, later: bool) -> None:
    portal = fake_portal()
    seen: list[RefreshedAuth] = []

    async def callback(_: RefreshedAuth) -> None:
        if later:
            await asyncio.sleep(0.1)
        raise raised

    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_callback_refresh_auth(callback)
        calls = [asyncio.create_task(b24.actions.v2.call.make("profile")) for _ in range(3)]
        await asyncio.wait(calls)
        assert all(isinstance(call.exception(), TokenPersistenceError) for call in calls)
        b24.set_callback_refresh_auth(seen.append)
        assert (await b24.actions.v2.call.make("profile")).is_success
    assert len(seen) == 1
    assert len(portal.token_requests) == 1


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), SystemExit(3)])
def test_t10_what_ends_the_program_fails_the_save_and_goes_on(raised: BaseException) -> None:
    portal = FakePortal()
    seen: list[RefreshedAuth] = []
    outcomes: list[BaseException | None] = []

    async def call(b24: B24OAuth) -> None:
        try:
            await b24.actions.v2.call.make("profile")
        except BaseException as error:
            outcomes.append(error)
            raise

    def callback(_: RefreshedAuth) -> None:
        raise raised

    async def main() -> None:
        async with connected(portal, portal.issue(expired=True)) as b24:
            b24.set_callback_refresh_auth(callback)
            try:
                await call(b24)
            finally:
                b24.set_callback_refresh_auth(seen.append)

    with pytest.raises(type(raised)):
        asyncio.run(main())
    assert not any(isinstance(error, type(raised)) for error in outcomes)
    assert len(outcomes) == 1
    assert len(seen) == 1
    assert len(portal.token_requests) == 1
