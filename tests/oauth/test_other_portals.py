"""T13: a pair of another portal is never adopted, wherever it comes from; what is not known yet is filled in."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, B24OAuthParams, ConfigurationError, RefreshTokenError
from b24oauth.errors import PortalMovedError
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, faults
from tests.support.builders import params, secret
from tests.support.clients import connected, fake_portal
from tests.support.stores import key_of, put, stored_for

pytestmark = pytest.mark.anyio

OTHER = "another-portal"


def renewal(portal: FakePortal, **changes: Any) -> dict[str, Any]:
    """What the OAuth server answers to a renewal."""
    issued = portal.issue()
    return {
        "access_token": issued.access_token,
        "refresh_token": issued.refresh_token,
        "expires_in": 3600,
        "client_endpoint": portal.client_endpoint,
        "member_id": portal.member_id,
        "user_id": 1,
    } | changes


async def test_t13_a_renewal_of_another_portal_is_refused_and_ours_is_kept() -> None:
    portal, store = fake_portal(), MemoryStore()
    foreign = renewal(portal, member_id=OTHER, client_endpoint="https://other.example/rest/")
    portal.inject(faults.status(200, foreign), on="oauth/token")
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        before = b24.auth.get_params()
        with pytest.raises(RefreshTokenError, match=OTHER) as caught:
            await b24.actions.v2.call.make("profile")
        assert caught.value.code == "B24OAUTH_OAUTH_OTHER_PORTAL"
        assert not caught.value.needs_reauth
        assert b24.auth.get_params() is before
        assert await stored_for(store, portal) is None
        assert not portal.calls
        assert (await b24.actions.v2.call.make("profile")).is_success


@pytest.mark.parametrize("named", [OTHER, 7, ["member"], True, " " + OTHER])
async def test_t13_a_custom_refresh_of_another_portal_is_refused(named: Any) -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(lambda: renewal(portal, member_id=named))  # type: ignore[arg-type,return-value]
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make("profile")
    assert caught.value.code == "B24OAUTH_OAUTH_OTHER_PORTAL"
    assert not portal.calls


@pytest.mark.parametrize("named", ["", None, "  ", "ours"])
async def test_t13_a_renewal_that_names_no_other_portal_is_adopted(named: Any) -> None:
    portal = fake_portal()
    member_id = portal.member_id if named == "ours" else named
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(lambda: renewal(portal, member_id=member_id))  # type: ignore[arg-type,return-value]
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params().member_id == portal.member_id


async def test_t13_a_long_foreign_identifier_is_shown_in_part() -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(lambda: renewal(portal, member_id="x" * 10**6))  # type: ignore[arg-type,return-value]
        with pytest.raises(RefreshTokenError) as caught:
            await b24.actions.v2.call.make("profile")
    assert len(str(caught.value)) < 500


async def test_t13_a_stored_pair_of_another_portal_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    portal, other = fake_portal(), fake_portal(member_id=OTHER, origin="https://other.example")
    store = MemoryStore()
    await put(store, other.issue(), key=key_of(portal))  # a store that mixes portals up
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params().member_id == portal.member_id
    assert len(portal.token_requests) == 1
    assert not other.requests
    assert any(record.levelname == "ERROR" and OTHER in repr(vars(record)) for record in caplog.records)


async def test_t13_a_stored_pair_without_an_identifier_is_ours() -> None:
    portal, store = fake_portal(), MemoryStore()
    await put(store, attrs.evolve(portal.issue(), member_id=""), key=key_of(portal))
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params().member_id == portal.member_id
    assert not portal.token_requests


async def test_t13_a_renewal_after_a_redirect_that_names_another_portal_is_refused() -> None:
    portal = fake_portal()
    target = "https://renamed.example"

    async def redirect(_: Any) -> Any:
        from b24oauth.testing.messages import Answer

        return Answer(status=302, body=b"", headers=(("location", f"{target}/rest/profile"),))

    portal.inject(redirect, on="profile")
    portal.inject(
        faults.status(200, renewal(portal, member_id=OTHER, client_endpoint=f"{target}/rest/")), on="oauth/token"
    )
    async with connected(portal) as b24:
        before = b24.auth.get_params()
        with pytest.raises((RefreshTokenError, PortalMovedError)):
            await b24.actions.v2.call.make("profile")
        assert b24.auth.get_params() is before


async def test_t13_a_pair_of_another_portal_cannot_be_set() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        before = b24.auth.get_params()
        with pytest.raises(ConfigurationError, match="member_id"):
            b24.auth.set_params(attrs.evolve(before, member_id=OTHER))
        assert b24.auth.get_params() is before
        b24.auth.set_params(attrs.evolve(portal.issue(), member_id=""))
        assert b24.auth.get_params().member_id == portal.member_id


def test_t13_a_store_needs_a_pair_with_an_identifier() -> None:
    with pytest.raises(ConfigurationError, match="member_id"):
        B24OAuth(params(member_id=""), secret(), token_store=MemoryStore())


async def test_t13_two_portals_without_identifiers_never_share_a_store() -> None:
    store = MemoryStore()
    for portal in (fake_portal(), fake_portal(member_id=OTHER)):
        with pytest.raises(ConfigurationError, match="member_id"):
            async with connected(portal, attrs.evolve(portal.issue(), member_id=""), token_store=store):
                pass


async def test_empty_identifiers_are_filled_from_a_renewal() -> None:
    portal = fake_portal()
    given = attrs.evolve(portal.issue(user_id=5, expired=True), member_id="", user_id=0)
    seen: list[B24OAuthParams] = []
    async with connected(portal, given) as b24:
        b24.set_callback_refresh_auth(lambda refreshed: seen.append(refreshed.b24_oauth_params))
        await b24.actions.v2.call.make("profile")
        after = b24.auth.get_params()
    assert (after.member_id, after.user_id) == (portal.member_id, 5)
    assert seen == [after]


async def test_t13_an_identifier_that_was_filled_in_counts_from_then_on() -> None:
    portal = fake_portal()
    async with connected(portal, attrs.evolve(portal.issue(expired=True), member_id="")) as b24:
        await b24.auth.refresh_auth()
        portal.inject(faults.status(200, renewal(portal, member_id=OTHER)), on="oauth/token")
        with pytest.raises(RefreshTokenError, match=OTHER):
            await b24.auth.refresh_auth()


@pytest.mark.parametrize(
    "expires", [1_700_003_600_000, "1700003600000", 5, -1, 10**30, "soon", None, [], 1e300, 999_999_999]
)
async def test_an_implausible_expiry_of_a_renewal_is_computed(expires: Any) -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True)) as b24:
        b24.set_custom_refresh_auth(lambda: renewal(portal, expires=expires))  # type: ignore[arg-type,return-value]
        await b24.auth.refresh_auth()
        assert b24.auth.get_params().expires == int(portal.clock.now()) + 3600
