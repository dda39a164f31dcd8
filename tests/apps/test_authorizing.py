"""Authorization by a code: a state is good once, for one session and for a while, and so is a code."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from b24oauth import ConfigurationError, RefreshTokenError
from b24oauth.apps import B24App, NotGenuineError
from b24oauth.errors import InvalidDataError, SdkError, UntrustedHostError
from b24oauth.stores import MemoryStore, TokenKey
from b24oauth.testing import FakePortal, VirtualClock, faults
from tests.support.clients import UNLIMITED
from tests.support.stores import CLIENT_ID

pytestmark = pytest.mark.anyio


class Browser:
    """A user at the authorization page of a portal."""

    def __init__(self, app: B24App, portal: FakePortal, store: MemoryStore) -> None:
        self.app, self.portal, self.store = app, portal, store

    def returned(self, *, session: str = "session", user_id: int = 1, **changes: str) -> str:
        url = self.app.authorization_url("Portal.Example ", session=session)
        state = parse_qs(urlsplit(url).query)["state"][0]
        fields = {
            "code": self.portal.authorization_code(user_id), "state": state, "domain": "portal.example",
            "member_id": self.portal.member_id, "scope": "crm", "server_domain": "oauth.bitrix.info",
        }  # fmt: skip
        return urlencode(fields | changes)


@asynccontextmanager
async def browser(**options: Any) -> AsyncIterator[Browser]:
    portal, store = FakePortal(clock=VirtualClock(), **options), MemoryStore()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        app = B24App(
            portal.secret, store, session_key="a long random text", http_client=http, clock=portal.clock.now,
            restriction_params=UNLIMITED,
        )  # fmt: skip
        async with app:
            yield Browser(app, portal, store)


async def test_an_administrator_who_authorizes_brings_the_default_pair() -> None:
    async with browser() as user:
        url = urlsplit(user.app.authorization_url("portal.example", session="s"))
        assert (url.scheme, url.netloc, url.path) == ("https", "portal.example", "/oauth/authorize/")
        assert parse_qs(url.query)["client_id"] == [CLIENT_ID]
        b24 = await user.app.exchange_code(user.returned(), session="session")
        assert (await b24.call("profile"))["ID"] == "1"
        stored = await user.store.load(TokenKey(CLIENT_ID, user.portal.member_id))
        assert stored is not None
        assert (stored.params.user_id, stored.params.domain) == (1, "portal.example")
        assert await user.app.portals.get(user.portal.member_id) is b24


async def test_further_users_have_pairs_of_their_own() -> None:
    async with browser() as user:
        await user.app.exchange_code(user.returned(), session="session")
        b24 = await user.app.exchange_code(user.returned(user_id=7), session="session")
        assert (await b24.call("profile"))["ID"] == "7"
        keys = {key.user_id async for key in user.store.keys(CLIENT_ID)}
        assert keys == {None, 7}


async def test_a_user_without_rights_does_not_bring_the_default_pair() -> None:
    async with browser(is_admin=False) as user:
        await user.app.exchange_code(user.returned(user_id=7), session="session")
        assert {key.user_id async for key in user.store.keys(CLIENT_ID)} == {7}


@pytest.mark.parametrize("state", ["", "x", "x.y", "e30.e30", "\u0000.\ud800".encode("utf-8", "replace").decode()])
async def test_a_forged_state_is_refused_before_anything_is_sent(state: str) -> None:
    async with browser() as user:
        with pytest.raises(NotGenuineError, match="forged"):
            await user.app.exchange_code(user.returned(state=state), session="session")
        assert not user.portal.requests


async def test_a_state_of_another_session_is_refused() -> None:
    async with browser() as user:
        for session in ("other", ""):
            with pytest.raises(NotGenuineError, match="forged, or of another session"):
                await user.app.exchange_code(user.returned(), session=session)
        assert not user.portal.requests


async def test_a_state_is_good_once() -> None:
    async with browser() as user:
        query = user.returned()
        await user.app.exchange_code(query, session="session")
        before = len(user.portal.requests)
        with pytest.raises(NotGenuineError, match="used before"):
            await user.app.exchange_code(query, session="session")
        assert len(user.portal.requests) == before


async def test_a_state_is_good_for_a_quarter_of_an_hour() -> None:
    async with browser() as user:
        query = user.returned()
        user.portal.clock.advance(901)
        with pytest.raises(NotGenuineError, match="too old"):
            await user.app.exchange_code(query, session="session")


async def test_a_state_that_another_process_has_used_is_refused_and_forgotten_when_it_is_too_old() -> None:
    async with browser() as user, httpx.AsyncClient(transport=user.portal.transport()) as http:
        other = B24App(
            user.portal.secret, user.store, session_key="a long random text", http_client=http,
            clock=user.portal.clock.now, restriction_params=UNLIMITED,
        )  # fmt: skip
        async with other:
            query = user.returned()
            await user.app.exchange_code(query, session="session")
            with pytest.raises(NotGenuineError, match="used before"):
                await other.exchange_code(query, session="session")
            user.portal.clock.advance(901)
            await other.exchange_code(user.returned(), session="session")
            left = [key async for key in user.store.values(CLIENT_ID)]
            assert len(left) == 1


async def test_a_code_that_is_refused_says_what_to_do() -> None:
    async with browser() as user:
        with pytest.raises(RefreshTokenError, match="invalid_grant. Let the user authorize again") as raised:
            await user.app.exchange_code(user.returned(code="used"), session="session")
        assert raised.value.needs_reauth
        assert len(user.portal.token_requests) == 1


async def test_a_code_whose_response_is_lost_is_not_asked_for_again() -> None:
    async with browser() as user:
        user.portal.inject(faults.drop_after(), on="oauth/token")
        with pytest.raises(SdkError, match="did not respond.*authorize again") as raised:
            await user.app.exchange_code(user.returned(), session="session")
        assert raised.value.code == "B24OAUTH_NO_RESPONSE"
        assert len(user.portal.token_requests) == 1
        assert await user.store.load(TokenKey(CLIENT_ID, user.portal.member_id)) is None


async def test_the_secret_is_sent_to_known_servers_only() -> None:
    async with browser() as user:
        with pytest.raises(UntrustedHostError):
            await user.app.exchange_code(user.returned(server_domain="evil.example"), session="session")
        assert not user.portal.requests


@pytest.mark.parametrize("domain", ["", "https://portal.example", "portal.example/x", "a b.c", "portal", "x.y@evil.z"])
async def test_what_is_no_host_is_refused(domain: str) -> None:
    async with browser() as user:
        with pytest.raises(ConfigurationError, match="domain must be the host"):
            user.app.authorization_url(domain, session="session")


async def test_wrong_arguments_are_named() -> None:
    async with browser() as user:
        with pytest.raises(ConfigurationError, match="session must"):
            user.app.authorization_url("portal.example", session="")
        with pytest.raises(InvalidDataError):
            await user.app.exchange_code("state=x", session="session")
        app = B24App(user.portal.secret, user.store)
        with pytest.raises(ConfigurationError, match="session_key"):
            app.authorization_url("portal.example", session="session")
