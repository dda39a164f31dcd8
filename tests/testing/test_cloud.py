"""Several fake portals with one OAuth server."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from b24oauth import B24OAuth
from b24oauth.errors import RefreshTokenError
from b24oauth.testing import FakeCloud, VirtualClock
from tests.support.clients import UNLIMITED

pytestmark = pytest.mark.anyio


async def test_the_tokens_of_a_portal_are_good_there_only() -> None:
    cloud = FakeCloud(3, clock=VirtualClock())
    async with httpx.AsyncClient(transport=cloud.transport()) as http:
        pairs = [portal.issue() for portal in cloud]
        assert len({pair.access_token for pair in pairs}) == len({pair.member_id for pair in pairs}) == 3
        assert len({pair.server_endpoint for pair in pairs}) == 1
        for portal, pair in zip(cloud, pairs, strict=True):
            options: dict[str, Any] = {"http_client": http, "restriction_params": UNLIMITED, "clock": portal.clock.now}
            async with B24OAuth(pair, cloud.secret, **options) as b24:
                assert (await b24.call("app.info"))["INSTALLED"] is True
                portal.expire_tokens()
                await b24.call("profile")
                assert b24.auth.get_params().client_endpoint == portal.client_endpoint
            assert len(portal.token_requests) == 1
        response = await http.post(f"{cloud[0].origin}/rest/profile", json={"auth": pairs[1].access_token})
        assert response.status_code == 401
        answer = await http.post(f"{pairs[2].server_endpoint}app.info", data={"auth": cloud[2].issue().access_token})
        assert answer.json()["result"]["install"]["member_id"] == cloud[2].member_id


async def test_a_code_belongs_to_its_portal_and_an_unknown_token_to_none() -> None:
    cloud = FakeCloud(2, clock=VirtualClock())
    form = {
        "grant_type": "authorization_code", "client_id": cloud.secret.client_id,
        "client_secret": cloud.secret.client_secret, "code": cloud[1].authorization_code(7),
    }  # fmt: skip
    async with httpx.AsyncClient(transport=cloud.transport()) as http:
        url = "https://oauth.bitrix.info/oauth/token/"
        assert (await http.post(url, data=form)).json()["member_id"] == cloud[1].member_id
        assert (await http.post(url, data=form)).json()["error"] == "invalid_grant"
        cloud[0].revoke_all()
        async with B24OAuth(cloud[0].issue(expired=True), cloud.secret, http_client=http) as b24:
            cloud[0].revoke_all()
            with pytest.raises(RefreshTokenError):
                await b24.call("profile")


async def test_each_portal_and_the_oauth_server_have_an_address_of_their_own() -> None:
    cloud = FakeCloud(2, clock=time.time)
    async with cloud.serve():
        assert len(cloud.trusted_oauth_hosts) == 3
        for portal in cloud:
            pair = portal.issue(expired=True)
            async with B24OAuth(pair, cloud.secret, trusted_oauth_hosts=cloud.trusted_oauth_hosts) as b24:
                assert (await b24.call("app.info"))["INSTALLED"] is True
    assert cloud.trusted_oauth_hosts == {"oauth.bitrix.info"}
