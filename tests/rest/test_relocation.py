"""A portal that redirects: followed when the OAuth server confirms the new address, never otherwise."""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from b24oauth import AjaxError, RefreshTokenError
from b24oauth.errors import PortalMovedError
from b24oauth.testing import faults
from tests.support.clients import UNLIMITED, fake_portal
from tests.support.spies import SpyStore, Watched, redirect, watched

pytestmark = pytest.mark.anyio

OLD, NEW, EVIL = "https://portal.example", "https://renamed.example", "https://evil.example"
OAUTH = "https://oauth.bitrix.info"
CALLS = 200


async def storm(client: Watched, calls: int = CALLS) -> list[Any]:
    """Writes at once, half of them v2, half v3."""

    def call(number: int) -> Any:
        actions = client.b24.actions.v2 if number % 2 else client.b24.actions.v3
        return actions.call.make("crm.deal.add", {"fields": {"TITLE": f"deal {number}"}})

    return await asyncio.gather(*map(call, range(calls)), return_exceptions=True)


# --- a portal that was renamed ----------------------------------------------------------------------------------------


async def test_two_hundred_calls_to_a_renamed_portal_share_one_renewal_and_each_runs_once() -> None:
    portal = fake_portal(refresh_latency=0.2)
    async with watched(portal) as client:
        portal.rename(NEW)
        results = await storm(client)
        client.assert_secrets_stayed_home(NEW)
    assert all(not isinstance(result, BaseException) and result.is_success for result in results)
    assert len(portal.token_requests) == 1
    assert portal.executed["crm.deal.add"] == CALLS


async def test_a_renamed_portal_gets_the_same_post_with_the_new_token() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        portal.rename(NEW)
        await client.b24.actions.v3.call.make("crm.deal.add", {"fields": {"TITLE": "Grüße"}}, idempotency_key="key-1")
        (refused,), (repeated,) = client.wire.sent_to(OLD), client.wire.sent_to(NEW)
        old, new = (pair.access_token.encode() for pair in client.pairs)
    assert repeated.method == "POST"
    assert repeated.content == refused.content.replace(old, new) != refused.content
    assert repeated.url.raw_path == refused.url.raw_path
    assert repeated.headers["idempotency-key"] == refused.headers["idempotency-key"] == "key-1"
    assert repeated.headers["content-type"] == "application/json"


async def test_the_batch_of_v3_follows_with_the_new_token_in_its_header() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        portal.rename(NEW)
        assert (await client.b24.actions.v3.batch.make([("profile", {})])).is_success
        (repeated,) = client.wire.sent_to(NEW)
        assert repeated.headers["authorization"] == f"Bearer {client.pairs[1].access_token}"


async def test_the_new_address_is_saved_and_used_from_then_on() -> None:
    portal, store = fake_portal(), SpyStore()
    async with watched(portal, token_store=store) as client:
        portal.rename(NEW)
        await client.b24.actions.v2.call.make("profile")
        await client.b24.actions.v3.call.make("profile")
        assert len(client.wire.sent_to(OLD)) == 1
        assert client.b24.get_target_origin() == NEW
    assert [pair.client_endpoint for pair in store.saved] == [f"{NEW}/rest/"]


async def test_a_portal_may_be_renamed_again_and_back() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        for number, origin in enumerate((NEW, "https://third.example", OLD), start=1):
            portal.rename(origin)
            assert (await client.b24.actions.v2.call.make("profile")).is_success
            assert client.b24.get_target_origin() == origin
            assert len(portal.token_requests) == number


async def test_a_call_that_meets_the_redirect_after_another_followed_it_renews_nothing() -> None:
    portal = fake_portal()
    slow = redirect(302, f"{NEW}/rest/server.time")

    async def late(process: Any) -> Any:
        await asyncio.sleep(5)
        return await slow(process)

    portal.inject(late, on="server.time")
    async with watched(portal) as client:
        under_way = asyncio.create_task(client.b24.actions.v2.call.make("server.time"))
        await asyncio.sleep(1)
        portal.rename(NEW)
        await client.b24.actions.v2.call.make("profile")
        assert (await under_way).is_success
    assert len(portal.token_requests) == 1


async def test_an_expired_pair_of_a_renamed_portal_is_renewed_once() -> None:
    portal = fake_portal()
    async with watched(portal, portal.issue(expired=True)) as client:
        portal.rename(NEW)
        assert (await client.b24.actions.v2.call.make("profile")).is_success
        assert not client.wire.sent_to(OLD)
    assert len(portal.token_requests) == 1


async def test_a_renewal_that_fails_sends_nothing_to_the_new_address() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        portal.rename(NEW)
        portal.revoke_all()
        with pytest.raises(RefreshTokenError):
            await client.b24.actions.v2.call.make("profile")
        assert not client.wire.sent_to(NEW)


async def test_a_new_address_that_redirects_again_ends_the_call() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        portal.rename(NEW)
        portal.inject(redirect(302, f"{EVIL}/rest/profile"), on="profile", after=1)
        with pytest.raises(AjaxError) as caught:
            await client.b24.actions.v2.call.make("profile")
        assert caught.value.status == 302
        assert set(client.wire.heard) == {OLD, NEW, OAUTH}


async def test_a_call_that_is_repeated_at_the_new_address_follows_no_second_redirect() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        portal.rename(NEW)
        portal.inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile", after=1)
        portal.inject(redirect(302, f"{EVIL}/rest/profile"), on="profile", after=1)
        with pytest.raises(AjaxError) as caught:
            await client.b24.actions.v2.call.make("profile")
        assert caught.value.status == 302
        assert set(client.wire.heard) == {OLD, NEW, OAUTH}
    assert len(portal.token_requests) == 1


async def test_a_write_that_was_redirected_and_then_lost_is_sent_to_the_new_address_once() -> None:
    portal = fake_portal()
    params = attrs.evolve(UNLIMITED, retry_on_network_error=False)
    async with watched(portal, restriction_params=params) as client:
        portal.rename(NEW)
        portal.inject(faults.drop_after(), on="crm.deal.add", after=1)
        with pytest.raises(AjaxError, match="may have been executed"):
            await client.b24.actions.v2.call.make("crm.deal.add", {"fields": {"TITLE": "x"}})
    assert portal.executed["crm.deal.add"] == 1


# --- a redirect that nobody confirms ----------------------------------------------------------------------------------


async def test_a_redirect_to_a_host_that_is_not_confirmed_costs_one_renewal_for_all_calls() -> None:
    portal = fake_portal(refresh_latency=0.2)
    portal.inject(redirect(302, f"{EVIL}/rest/crm.deal.add"), on="crm.deal.add", times=None)
    async with watched(portal) as client:
        first = await storm(client)
        again = await storm(client)
        assert set(client.wire.heard) == {OLD, OAUTH}
        client.assert_secrets_stayed_home()
    assert all(isinstance(error, PortalMovedError) and "evil.example" in str(error) for error in first + again)
    assert len({id(error) for error in first + again}) == 2 * CALLS
    assert len(portal.token_requests) == 1


async def test_another_host_that_is_not_confirmed_costs_another_renewal() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        for host in ("one.example", "two.example", "one.example", "two.example"):
            portal.inject(redirect(302, f"https://{host}/rest/profile"), on="profile")
            with pytest.raises(PortalMovedError, match=host):
                await client.b24.actions.v2.call.make("profile")
    assert len(portal.token_requests) == 2


async def test_other_calls_go_on_while_one_method_is_redirected() -> None:
    portal = fake_portal()
    portal.inject(redirect(307, f"{EVIL}/rest/profile"), on="profile", times=None)
    async with watched(portal) as client:
        with pytest.raises(PortalMovedError):
            await client.b24.actions.v2.call.make("profile")
        assert (await client.b24.actions.v2.call.make("server.time")).is_success


@pytest.mark.parametrize("location", [None, "", "/rest/profile", "profile", f"{OLD}/rest/profile", "http://[broken/"])
async def test_a_redirect_that_names_no_other_host_fails_without_a_renewal(location: str | None) -> None:
    portal = fake_portal()
    portal.inject(redirect(302, location), on="profile")
    async with watched(portal) as client:
        with pytest.raises(PortalMovedError, match=r"portal\.example redirects profile") as caught:
            await client.b24.actions.v2.call.make("profile")
    assert caught.value.status == 302
    assert not portal.token_requests


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@pytest.mark.parametrize("spell", [str, str.upper])
async def test_t12_a_redirect_to_a_host_that_is_named_by_a_token_shows_none(name: str, spell: Any) -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        before = getattr(client.pairs[0], name)
        portal.inject(redirect(302, f"https://{spell(before)}.evil.example/rest/profile"), on="profile")
        with pytest.raises(
            PortalMovedError, match=r"redirects profile to \*\*\*REDACTED\*\*\*\.evil\.example"
        ) as caught:
            await client.b24.actions.v2.call.make("profile")
        after = getattr(client.b24.auth.get_params(), name)
        assert after != before
        portal.inject(redirect(302, f"https://{spell(after)}.evil.example/rest/profile"), on="profile")
        with pytest.raises(PortalMovedError, match=r"redirects profile to \*\*\*REDACTED\*\*\*\.evil\.example"):
            await client.b24.actions.v2.call.make("profile")
    assert before.lower() not in f"{caught.value!r} {vars(caught.value)}".lower()


async def test_an_answer_304_is_no_redirect() -> None:
    portal = fake_portal()
    portal.inject(redirect(304, f"{EVIL}/rest/profile"), on="profile")
    async with watched(portal) as client:
        with pytest.raises(AjaxError) as caught:
            await client.b24.actions.v2.call.make("profile")
    assert not isinstance(caught.value, PortalMovedError)
    assert not portal.token_requests


async def test_a_portal_that_names_ever_new_hosts_gets_no_renewal_for_each() -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        for number in range(20):
            portal.inject(redirect(302, f"https://evil{number}.example/rest/profile"), on="profile")
            with pytest.raises(PortalMovedError):
                await client.b24.actions.v2.call.make("profile")
        client.assert_secrets_stayed_home()
        assert (await client.b24.actions.v2.call.make("profile")).is_success
    assert len(portal.token_requests) == 8
