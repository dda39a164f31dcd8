from urllib.parse import parse_qs, urlsplit

import pytest

from b24oauth.testing import FakePortal, VirtualClock
from tests.testing.calls import Caller, error

pytestmark = pytest.mark.anyio


async def test_a_renewal_answers_a_new_pair_that_works(caller, portal):
    answer = (await caller.renew()).json()
    assert answer["refresh_token"] != caller.pair.refresh_token
    assert (await caller.v2("profile", token=answer["access_token"])).status_code == 200
    assert (answer["expires_in"], answer["expires"]) == (3600, int(portal.clock.now()) + 3600)
    assert answer["domain"] == "oauth.bitrix.info"
    assert answer["client_endpoint"] == "https://portal.example/rest/"


async def test_a_refresh_token_is_good_once(caller):
    await caller.renew()
    assert error(await caller.renew()) == (400, "invalid_grant")


async def test_a_refresh_token_may_be_good_for_ever():
    portal = FakePortal(clock=VirtualClock(), single_use=False)
    async with Caller(portal) as caller:
        answers = [await caller.renew(), await caller.renew()]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json()["refresh_token"] != answers[1].json()["refresh_token"]


async def test_the_documented_get_works_too(caller, portal):
    secret = portal.secret
    query = {
        "grant_type": "refresh_token",
        "client_id": secret.client_id,
        "client_secret": secret.client_secret,
        "refresh_token": caller.pair.refresh_token,
    }
    assert (await caller.http.get("https://oauth.bitrix.info/oauth/token/", params=query)).status_code == 200
    assert portal.token_requests[0].query["client_secret"] == "***"


async def test_a_code_is_good_once_and_for_half_a_minute(caller, portal):
    code = portal.authorization_code(user_id=4)
    answer = (await caller.token(grant_type="authorization_code", code=code)).json()
    assert not answer.keys() & {"expires", "user_id"}
    assert (await caller.v2("profile", token=answer["access_token"])).json()["result"]["ID"] == "4"
    assert error(await caller.token(grant_type="authorization_code", code=code)) == (400, "invalid_grant")
    late = portal.authorization_code()
    portal.clock.advance(30)
    assert error(await caller.token(grant_type="authorization_code", code=late)) == (400, "invalid_grant")


async def test_the_authorization_page_sends_the_browser_back_with_a_code(caller, portal):
    url = f"{portal.origin}/oauth/authorize/"
    answer = await caller.http.get(url, params={"client_id": portal.secret.client_id, "state": "s1"})
    location = urlsplit(answer.headers["location"])
    query = {name: values[0] for name, values in parse_qs(location.query).items()}
    assert (answer.status_code, location.netloc) == (302, "application.example")
    assert (query["state"], query["domain"], query["server_domain"]) == ("s1", "portal.example", "oauth.bitrix.info")
    assert (await caller.token(grant_type="authorization_code", code=query["code"])).status_code == 200
    assert error(await caller.http.get(url, params={"client_id": "other"})) == (401, "invalid_client")


async def test_strangers_and_incomplete_requests_are_refused(caller):
    assert error(await caller.token(grant_type="refresh_token", client_secret="wrong")) == (401, "invalid_client")
    assert error(await caller.token(grant_type="password")) == (400, "invalid_request")
    assert error(await caller.token(grant_type="refresh_token")) == (400, "invalid_request")
    assert error(await caller.renew("made up")) == (400, "invalid_grant")


async def test_revoked_tokens_renew_nothing(caller, portal):
    other = portal.issue()
    portal.revoke(caller.pair.refresh_token)
    assert error(await caller.renew()) == (400, "invalid_grant")
    assert (await caller.renew(other.refresh_token)).status_code == 200
    third = portal.issue()
    portal.revoke_all()
    assert error(await caller.renew(third.refresh_token)) == (400, "invalid_grant")
    with pytest.raises(KeyError, match="did not issue"):
        portal.revoke("made up")


async def test_an_expired_pair_can_be_renewed(caller, portal):
    pair = portal.issue(expired=True)
    assert pair.expires < portal.clock.now()
    assert error(await caller.v2("profile", token=pair.access_token)) == (401, "expired_token")
    assert (await caller.renew(pair.refresh_token)).status_code == 200


async def test_an_issued_pair_names_portal_and_server(portal):
    pair = portal.issue(user_id=3)
    assert (pair.client_endpoint, pair.server_endpoint) == (portal.client_endpoint, portal.server_endpoint)
    assert (pair.domain, pair.user_id, pair.member_id) == ("portal.example", 3, portal.member_id)


async def test_after_a_rename_the_old_address_redirects_and_renewals_name_the_new_one(caller, portal):
    old = portal.client_endpoint
    portal.rename("https://new.example")
    body = {"auth": caller.pair.access_token}
    moved = await caller.http.post(old + "profile?bx24_sdk_ver=1", json=body)
    assert moved.status_code == 302
    assert moved.headers["location"] == "https://new.example/rest/profile?bx24_sdk_ver=1"
    assert (await caller.http.post(moved.headers["location"], json=body)).status_code == 200
    assert (await caller.renew()).json()["client_endpoint"] == "https://new.example/rest/"


async def test_a_redirect_followed_blindly_loses_the_call(caller, portal):
    old = portal.client_endpoint
    portal.rename("https://new.example")
    answer = await caller.http.post(old + "profile", json={"auth": caller.pair.access_token}, follow_redirects=True)
    assert error(answer) == (401, "NO_AUTH_FOUND")
