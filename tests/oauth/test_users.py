"""Pairs of users beside the pair that the application works with."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, ConfigurationError, RefreshTokenError
from b24oauth.events import UserChanged
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakePortal
from tests.support.builders import params, secret
from tests.support.clients import connected, fake_portal
from tests.support.spies import renewal_says
from tests.support.stores import key_of, put, stored_for

pytestmark = pytest.mark.anyio

USER = 42


def of_user(portal: FakePortal, user_id: int, **options: Any) -> Any:
    return attrs.evolve(portal.issue(**options), user_id=user_id)


async def call(b24: B24OAuth) -> None:
    assert (await b24.actions.v2.call.make("profile")).is_success


async def test_the_pair_of_a_user_is_stored_apart_from_the_working_pair() -> None:
    portal, store = fake_portal(), MemoryStore()
    working = portal.issue()
    await put(store, working)
    portal.inject(renewal_says(user_id=USER), on="oauth/token")
    async with connected(portal, of_user(portal, USER, expired=True), token_store=store, user_id=USER) as b24:
        await call(b24)
        stored = await store.load(key_of(portal, USER))
        assert stored is not None
        assert stored.params == b24.auth.get_params() != working
    assert await stored_for(store, portal) == working


async def test_t13_a_renewal_that_brings_another_user_is_refused_for_a_user() -> None:
    portal, store = fake_portal(), MemoryStore()
    pair = of_user(portal, USER, expired=True)
    portal.inject(renewal_says(user_id=USER + 1), on="oauth/token")
    async with connected(portal, pair, token_store=store, user_id=USER) as b24:
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make("profile")
        assert caught.value.code == "B24OAUTH_OAUTH_OTHER_USER"
        assert b24.auth.get_params() is pair
    assert [key async for key in store.keys(portal.secret.client_id)] == []


async def test_the_working_pair_may_change_its_user_and_observers_learn_of_it() -> None:
    portal, store = fake_portal(), MemoryStore()
    events: list[object] = []
    portal.inject(renewal_says(user_id=USER), on="oauth/token")
    async with connected(portal, of_user(portal, 7, expired=True), token_store=store, observers=[events.append]) as b24:
        await call(b24)
        assert b24.auth.get_params().user_id == USER
        assert await stored_for(store, portal) == b24.auth.get_params()
    changed = [event for event in events if isinstance(event, UserChanged)]
    assert [(event.before, event.after) for event in changed] == [(7, USER)]
    assert "no longer of 7" in str(changed[0])


async def test_t13_a_stored_pair_of_another_user_is_not_used() -> None:
    portal, store = fake_portal(), MemoryStore()
    await put(store, of_user(portal, USER + 1), key=key_of(portal, USER))
    portal.inject(renewal_says(user_id=USER), on="oauth/token")
    async with connected(portal, of_user(portal, USER, expired=True), token_store=store, user_id=USER) as b24:
        await call(b24)
        assert b24.auth.get_params().user_id == USER
    assert len(portal.token_requests) == 1


async def test_t13_a_pair_of_another_user_cannot_be_set() -> None:
    portal = fake_portal()
    async with connected(portal, of_user(portal, USER), user_id=USER) as b24:
        with pytest.raises(ConfigurationError, match="user_id: the pair is of user 43"):
            b24.auth.set_params(of_user(portal, USER + 1))
        b24.auth.set_params(new := of_user(portal, 0))
        assert b24.auth.get_params() is new


@pytest.mark.parametrize("user_id", [0, -1, True, "42", 4.2])
def test_a_user_is_named_by_a_positive_number(user_id: Any) -> None:
    with pytest.raises(ConfigurationError, match="user_id must be a whole number"):
        B24OAuth(params(user_id=0), secret(), user_id=user_id)


def test_a_client_for_a_user_refuses_the_pair_of_another() -> None:
    with pytest.raises(ConfigurationError, match="is of user 7, and the client is for 42"):
        B24OAuth(params(user_id=7), secret(), user_id=USER)


def test_a_store_of_0_1_0_is_refused_with_the_remedy() -> None:
    class OldStore:
        async def load(self, member_id: str) -> None: ...
        async def save(self, pair: object) -> None: ...
        def lock(self, member_id: str) -> None: ...

    with pytest.raises(ConfigurationError, match=r"it has no delete, keys, lease.*the changelog shows"):
        B24OAuth(params(), secret(), token_store=OldStore())  # type: ignore[arg-type]


def test_a_key_shows_what_it_is() -> None:
    assert repr(TokenKey("app.1", "member-1")) == "TokenKey(client_id='app.1', member_id='member-1', user_id=None)"
