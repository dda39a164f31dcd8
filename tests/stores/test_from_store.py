"""A client that starts from what is stored."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest

from b24oauth import B24OAuth, ConfigurationError
from b24oauth.errors import UnknownPortalError
from b24oauth.stores import MemoryStore
from b24oauth.testing import VirtualClockLoop
from tests.support.clients import fake_portal
from tests.support.stores import key_of, put

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": VirtualClockLoop}


async def test_a_client_starts_from_the_stored_pair_and_saves_into_the_store() -> None:
    portal, store = fake_portal(), MemoryStore()
    await put(store, portal.issue(expired=True), key=key_of(portal))
    hosts = portal.trusted_oauth_hosts
    http = httpx.AsyncClient(transport=portal.transport())
    b24 = await B24OAuth.from_store(
        store, portal.secret, member_id=portal.member_id, http_client=http, trusted_oauth_hosts=hosts
    )
    async with http, b24:
        assert (await b24.call("profile"))["ID"]
        stored = await store.load(key_of(portal))
        assert stored is not None
        assert stored.params == b24.auth.get_params()
    assert len(portal.token_requests) == 1


async def test_the_pair_of_a_user_is_another_one_than_that_of_the_portal() -> None:
    portal, store = fake_portal(), MemoryStore()
    await put(store, portal.issue(), key=key_of(portal))
    mine = attrs.evolve(portal.issue(), user_id=42)
    await put(store, mine, key=key_of(portal, 42))
    b24 = await B24OAuth.from_store(store, portal.secret, member_id=portal.member_id, user_id=42)
    assert b24.auth.get_params() == mine
    await b24.aclose()


async def test_a_portal_that_is_not_stored_is_named() -> None:
    portal = fake_portal()
    with pytest.raises(UnknownPortalError, match="no token pair of portal unknown and user 7 .*save the pair"):
        await B24OAuth.from_store(MemoryStore(), portal.secret, member_id="unknown", user_id=7)
    with pytest.raises(LookupError):
        await B24OAuth.from_store(MemoryStore(), portal.secret, member_id="unknown")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"store": object()}, "store must be"),
        ({"secret": {"client_id": "app"}}, "oauth_secret must be"),
        ({"member_id": ""}, "member_id"),
    ],
)
async def test_wrong_arguments_are_named(arguments: dict[str, Any], named: str) -> None:
    portal = fake_portal()
    given: dict[str, Any] = {
        "store": MemoryStore(),
        "secret": portal.secret,
        "member_id": portal.member_id,
        **arguments,
    }
    with pytest.raises(ConfigurationError, match=named):
        await B24OAuth.from_store(given["store"], given["secret"], member_id=given["member_id"])
