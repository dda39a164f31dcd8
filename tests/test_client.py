"""The entry: how a client is made, opened and closed, what it leaves behind, and which arguments it refuses."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import warnings
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import attrs
import httpx
import httpx2
import pytest

from b24oauth import (
    AmbiguousResultError,
    ApiVersion,
    B24OAuth,
    ClientStateError,
    ConfigurationError,
    ParamsFactory,
    RestrictionManager,
    SdkError,
)
from b24oauth.stores import MemoryStore
from b24oauth.testing import FakePortal, VirtualClockLoop, faults
from b24oauth.wire import Wire
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.spies import SpyStore, redirect, renewal_says, watched
from tests.support.stores import stored_for

pytestmark = pytest.mark.anyio


def made(**options: Any) -> B24OAuth:
    portal = fake_portal()
    return B24OAuth(portal.issue(), portal.secret, **options)


def tasks() -> set[asyncio.Task[Any]]:
    """What runs in the loop: beside the test's own, that of its runner."""
    return asyncio.all_tasks()


def timers() -> list[asyncio.TimerHandle]:
    """What the running loop still means to do later."""
    scheduled: list[asyncio.TimerHandle] = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    return [timer for timer in scheduled if not timer.cancelled()]


# --- opening ----------------------------------------------------------------------------------------------------------


def test_a_client_may_be_made_before_any_loop_runs() -> None:
    portal = fake_portal()

    async def use(b24: B24OAuth) -> bool:
        try:
            return (await b24.actions.v2.call.make("profile")).is_success
        finally:
            await b24.aclose()

    http = httpx.AsyncClient(transport=portal.transport())
    b24 = B24OAuth(portal.issue(), portal.secret, http_client=http, clock=portal.clock.now)
    assert b24.is_init
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        assert runner.run(use(b24))
        runner.run(http.aclose())


async def test_async_with_gives_the_client_itself() -> None:
    b24 = made()
    async with b24 as entered:
        assert entered is b24


async def test_entering_twice_is_refused_and_the_client_goes_on() -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(ClientStateError, match="already open") as caught:
            await b24.__aenter__()
        assert caught.value.code == "B24OAUTH_ENTERED_TWICE"
        assert (await b24.actions.v2.call.make("profile")).is_success


def test_a_second_event_loop_is_refused() -> None:
    portal = fake_portal()
    http = httpx.AsyncClient(transport=portal.transport())
    b24 = B24OAuth(portal.issue(), portal.secret, http_client=http, clock=portal.clock.now)

    async def call() -> bool:
        return (await b24.actions.v3.call.make("profile")).is_success

    with asyncio.Runner(loop_factory=VirtualClockLoop) as first:
        assert first.run(call())
    with asyncio.Runner(loop_factory=VirtualClockLoop) as second:
        for use in (call, b24.__aenter__, b24.auth.refresh_auth, b24.auth.get_access_token):
            with pytest.raises(ClientStateError, match="another event loop") as caught:
                second.run(_awaited(use))
            assert caught.value.code == "B24OAUTH_OTHER_EVENT_LOOP"


async def _awaited(use: Callable[[], Awaitable[Any]]) -> Any:
    return await use()


# --- closing ----------------------------------------------------------------------------------------------------------


async def _first_page(b24: B24OAuth) -> Any:
    async with aclosing(b24.actions.v2.fetch_list.make("crm.deal.list")) as pages:
        return await anext(pages)


USES: list[Callable[[B24OAuth], Awaitable[Any]]] = [
    lambda b24: b24.__aenter__(),
    lambda b24: b24.actions.v2.call.make("profile"),
    lambda b24: b24.actions.v3.call.make("profile"),
    lambda b24: b24.actions.v2.batch.make([("profile", {})]),
    lambda b24: b24.actions.v2.call_list.make("crm.deal.list"),
    _first_page,
    lambda b24: b24.auth.refresh_auth(),
    lambda b24: b24.auth.get_access_token(),
    lambda b24: b24.init_is_admin(),
    lambda b24: b24.discover_v3_methods(),
]


@pytest.mark.parametrize("use", USES)
async def test_a_closed_client_says_so_whatever_is_asked(use: Callable[[B24OAuth], Awaitable[Any]]) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        await b24.aclose()
        with pytest.raises(ClientStateError, match="closed: make a new one") as caught:
            await use(b24)
    assert caught.value.code == "B24OAUTH_CLIENT_CLOSED"
    assert not portal.requests


async def test_the_three_states_have_codes_of_their_own() -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(ClientStateError) as twice:
            await b24.__aenter__()
        await b24.aclose()
        with pytest.raises(ClientStateError) as closed:
            await b24.__aenter__()
    assert (twice.value.code, closed.value.code) == ("B24OAUTH_ENTERED_TWICE", "B24OAUTH_CLIENT_CLOSED")


async def test_closing_twice_and_closing_what_was_never_used_is_fine() -> None:
    b24 = made()
    await b24.aclose()
    await b24.aclose()
    await b24.destroy()


async def test_a1_nothing_runs_and_no_timer_waits_after_close() -> None:
    portal = fake_portal(refresh_latency=3, rows={"crm.deal": 400})
    async with connected(portal, portal.issue(expired=True), restriction_params=ParamsFactory.get_default()) as b24:
        before = tasks()
        abandoned = asyncio.create_task(b24.actions.v2.call.make("profile", timeout=60))
        await asyncio.sleep(1)
        abandoned.cancel()
        await b24.actions.v2.call_list.make("crm.deal.list")
        await asyncio.gather(*(b24.actions.v3.call.make("profile") for _ in range(60)))
        await _first_page(b24)
        await b24.auth.refresh_auth()
        await b24.aclose()
        assert tasks() == before
        assert not timers()


async def test_a1_closing_waits_for_a_renewal_under_way_and_saves_it() -> None:
    portal, store = fake_portal(refresh_latency=3), SpyStore()
    async with connected(portal, portal.issue(expired=True), token_store=store) as b24:
        before = tasks()
        abandoned = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(1)
        abandoned.cancel()
        await b24.aclose()
        assert [pair.access_token for pair in store.saved] == [b24.auth.get_params().access_token]
        assert tasks() == before


async def test_a1_a_call_that_waited_while_the_client_was_closed_is_not_sent() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=ParamsFactory.get_default()) as b24:
        await asyncio.gather(*(b24.actions.v2.call.make("profile") for _ in range(50)))
        waiting = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0.01)
        await b24.aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await waiting
    assert portal.calls["profile"] == 50


async def test_a1_a_call_whose_token_expires_while_it_waits_renews_nothing_after_close() -> None:
    portal = fake_portal()
    async with connected(portal, restriction_params=ParamsFactory.get_default()) as b24:
        await asyncio.gather(*(b24.actions.v2.call.make("profile") for _ in range(50)))
        waiting = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0.01)
        b24.auth.set_params(portal.issue(expired=True))
        asked: list[str] = []
        b24.set_custom_refresh_auth(lambda: asked.append("custom refresh"))  # type: ignore[arg-type, func-returns-value]
        await b24.aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await waiting
    assert not asked


async def test_a1_a_call_that_is_repeated_ends_when_the_client_is_closed() -> None:
    portal = fake_portal()
    portal.inject(faults.drop_before(), on="profile", times=None)
    async with connected(portal) as b24:
        repeating = asyncio.create_task(b24.actions.v2.call.make("profile"))
        await asyncio.sleep(0.01)
        await b24.aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await repeating
    assert portal.calls["profile"] <= 1


async def test_a_close_that_is_refused_closes_nothing() -> None:
    portal = fake_portal()
    async with connected(portal, portal.issue(expired=True)) as b24:

        async def close(_: object) -> None:
            with pytest.raises(ClientStateError, match="a deadlock"):
                await b24.aclose()

        b24.set_callback_refresh_auth(close)
        for _ in range(2):
            assert (await b24.actions.v2.call.make("profile")).is_success


async def test_a_client_that_was_given_stays_open_and_works() -> None:
    portal = fake_portal()
    async with httpx.AsyncClient(transport=portal.transport()) as http:
        for _ in range(2):
            async with B24OAuth(portal.issue(), portal.secret, http_client=http, clock=portal.clock.now) as b24:
                assert (await b24.actions.v2.call.make("profile")).is_success
        assert not http.is_closed


async def test_leaving_with_an_error_closes_and_lets_it_through() -> None:
    b24 = made()
    with pytest.raises(ZeroDivisionError):
        async with b24:
            raise ZeroDivisionError
    with pytest.raises(ClientStateError):
        await b24.auth.refresh_auth()


# --- connections ------------------------------------------------------------------------------------------------------

REAL = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["real time"])


@pytest.fixture
def all_installed(transport: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every library is here, whatever the run chooses."""
    monkeypatch.undo()


@pytest.fixture(params=["httpx", "httpx2", "aiohttp"])
def transport_name(request: pytest.FixtureRequest, all_installed: None) -> str:
    """Each transport."""
    name: str = request.param
    return name


@REAL
async def test_clients_of_many_portals_share_the_connections_of_a_wire(transport_name: Any, anyio_backend: Any) -> None:
    one, other = FakePortal(), FakePortal()
    async with one.serve(), other.serve(), Wire(transport=transport_name) as wire:
        hosts = {*one.trusted_oauth_hosts, *other.trusted_oauth_hosts}
        clients = [B24OAuth(p.issue(), p.secret, wire=wire, trusted_oauth_hosts=hosts) for p in (one, other)]
        for b24 in clients:
            assert (await b24.actions.v2.call.make("profile")).is_success
        await clients[0].aclose()
        with pytest.raises(ClientStateError, match="closed"):
            await clients[0].actions.v2.call.make("profile")
        assert (await clients[1].actions.v2.call.make("profile")).is_success
        await clients[1].aclose()


@pytest.mark.parametrize("wire", ["wire", object(), {}])
def test_a_shared_wire_must_be_one(wire: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"wire must be a b24oauth\.wire\.Wire"):
        made(wire=wire)


@pytest.mark.parametrize(
    "options",
    [
        {"proxy": "ftp://x"},
        {"timeout": 0},
        {"connect_timeout": "3"},
        {"max_response_size": 0},
        {"transport": "curl"},
        {"max_concurrency": 0},
        {"max_concurrency": True},
        {"max_concurrency": 2.5},
        {"http_client": "https://portal.example"},
        {"wire": Wire(), "transport": "httpx"},
        {"http_client": httpx.AsyncClient(), "transport": "httpx"},
        {"http_client": httpx.AsyncClient(), "proxy": "http://proxy:1"},
    ],
    ids=" ".join,
)
def test_what_does_not_fit_together_is_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        made(**options)


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize("package", [httpx, httpx2])
async def test_a_client_of_either_httpx_is_used_as_it_is(package: Any) -> None:
    portal = fake_portal()
    async with package.AsyncClient(transport=portal.transport(), headers={"X-Mine": "yes"}) as http:
        options: dict[str, Any] = {"http_client": http, "clock": portal.clock.now, "restriction_params": UNLIMITED}
        async with B24OAuth(portal.issue(expired=True), portal.secret, **options) as b24:
            assert (await b24.actions.v2.call.make("profile")).is_success
            portal.inject(faults.refuse(), on="crm.deal.add")
            assert (await b24.actions.v2.call.make("crm.deal.add", {"fields": {}})).is_success
            portal.inject(faults.drop_after(), on="crm.deal.add")
            with pytest.raises(AmbiguousResultError):
                await b24.actions.v2.call.make("crm.deal.add", {"fields": {}})
    assert {request.headers["x-mine"] for request in portal.requests} == {"yes"}


@REAL
@pytest.mark.usefixtures("all_installed")
async def test_a_session_of_aiohttp_is_used_as_it_is(anyio_backend: Any) -> None:
    import aiohttp

    portal = FakePortal()
    async with portal.serve(), aiohttp.ClientSession(headers={"X-Mine": "yes"}) as http:
        options: dict[str, Any] = {"http_client": http, "trusted_oauth_hosts": portal.trusted_oauth_hosts}
        async with B24OAuth(portal.issue(expired=True), portal.secret, **options) as b24:
            assert (await b24.actions.v2.call.make("profile")).is_success
        assert not http.closed
    assert {request.headers["x-mine"] for request in portal.requests} == {"yes"}


def test_a_second_loop_is_refused_and_nothing_is_changed(transport_name: Any) -> None:
    portal = FakePortal()

    async def use() -> B24OAuth:
        async with portal.serve():
            hosts = portal.trusted_oauth_hosts
            b24 = B24OAuth(portal.issue(), portal.secret, trusted_oauth_hosts=hosts, transport=transport_name)
            assert (await b24.actions.v2.call.make("profile")).is_success
            refused: list[str] = []

            def elsewhere() -> None:
                for attempt in (lambda: b24.actions.v2.call.make("profile"), b24.aclose, b24.auth.refresh_auth):
                    with contextlib.suppress(ClientStateError):
                        asyncio.run(attempt())
                        refused.append("nothing")

            await asyncio.to_thread(elsewhere)
            assert refused == []
            assert (await b24.actions.v2.call.make("profile")).is_success
            await b24.aclose()
        return b24

    b24 = asyncio.run(use())
    with pytest.raises(ClientStateError, match=r"another event loop.* loop_scope.* TestClient"):
        asyncio.run(b24.aclose())


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({"restriction_params": {}}, r"RestrictionParams, or None"),
        ({"restriction_manager": ParamsFactory.get_default()}, r"RestrictionManager, or None"),
        (
            {"restriction_params": ParamsFactory.get_default(), "restriction_manager": RestrictionManager()},
            r"give one of the two",
        ),
        ({"http_client": httpx.Client}, r"httpx\.AsyncClient, or None"),
        ({"trusted_oauth_hosts": "oauth.bitrix.info"}, r"a collection of hosts, not one string"),
        ({"refresh_http_method": "get"}, r'"POST" or "GET"'),
    ],
)
def test_arguments_of_a_wrong_kind_are_refused_with_the_remedy(options: dict[str, Any], remedy: str) -> None:
    with pytest.raises(ConfigurationError, match=remedy):
        made(**options)


def test_mappings_are_refused_with_the_name_of_what_reads_them() -> None:
    portal = fake_portal()
    pair = portal.issue()
    with pytest.raises(ConfigurationError, match=r"use B24OAuthParams\.from_dict\(\)"):
        B24OAuth(pair.to_dict(), portal.secret)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"use B24OAuthSecret\.from_dict\(\)"):
        B24OAuth(pair, portal.secret.to_dict())  # type: ignore[arg-type]


def test_all_but_the_pair_and_the_secret_goes_by_keyword() -> None:
    portal = fake_portal()
    with pytest.raises(TypeError, match="positional"):
        B24OAuth(portal.issue(), portal.secret, ParamsFactory.get_default())  # type: ignore[misc]


# --- what it tells ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://portal.example/rest/", "https://portal.example"),
        ("https://Portal.Example/rest", "https://portal.example"),
        ("https://portal.example:8443/rest/", "https://portal.example:8443"),
        ("https://company.example/b24/rest/", "https://company.example/b24"),
    ],
)
def test_the_portals_address_is_told_with_and_without_the_path(endpoint: str, origin: str) -> None:
    portal = fake_portal()
    b24 = B24OAuth(attrs.evolve(portal.issue(), client_endpoint=endpoint), portal.secret)
    assert b24.get_target_origin() == b24.auth.get_target_origin() == origin
    assert b24.get_target_origin_with_path() == {
        ApiVersion.V2: f"{origin}/rest",
        ApiVersion.V3: f"{origin}/rest/api",
    }


async def test_limits_can_be_read_replaced_and_shared() -> None:
    manager = RestrictionManager()
    async with made(restriction_manager=manager) as one, made(restriction_manager=manager) as other:
        params = attrs.evolve(one.get_restriction_manager_params(), max_retries=7)
        await one.set_restriction_manager_params(params)
        assert other.get_restriction_manager_params() is manager.get_params() is params


# --- parts that can be replaced ---------------------------------------------------------------------------------------


class Notebook:
    """A logger that is no `logging.Logger`, and what it was told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def debug(self, msg: str, /, *, extra: dict[str, Any]) -> None:
        assert isinstance(extra, dict)
        self.told.append(msg)

    info = warning = error = debug


async def test_a_logger_that_is_set_reaches_every_part() -> None:
    portal = fake_portal()
    portal.inject(renewal_says(server_endpoint="https://evil.example/rest/"), on="oauth/token")
    before, after = Notebook(), Notebook()
    uses: dict[str, Callable[[B24OAuth], Awaitable[Any]]] = {
        "v2": lambda b24: b24.actions.v2.call.make("profile"),
        "v3": lambda b24: b24.actions.v3.call.make("profile"),
        "batch": lambda b24: b24.actions.v2.batch.make([("profile", {})]),
        "list": lambda b24: b24.actions.v2.call_list.make("crm.deal.list", {"order": {"ID": "ASC"}}),
        "tools": lambda b24: b24.tools.ping.make(),
        "renewal": lambda b24: b24.auth.refresh_auth(),
    }
    async with connected(portal, logger=before) as b24:
        assert b24.get_logger() is before
        b24.set_logger(after)
        assert b24.get_logger() is after
        for part, use in uses.items():
            after.told.clear()
            await use(b24)
            assert after.told, part
    assert not before.told


async def test_another_http_client_makes_the_calls_of_its_version_and_of_no_other() -> None:
    here, there = fake_portal(), fake_portal()
    async with connected(here) as b24, connected(there) as other:
        b24.set_http_client(ApiVersion.V2, other.get_http_client(ApiVersion.V2))
        assert b24.get_http_client(ApiVersion.V2) is other.get_http_client(ApiVersion.V2)
        await b24.actions.v2.call.make("crm.deal.list")
        await b24.tools.health_check.make()
        await b24.init_is_admin()
        await b24.actions.v3.call.make("crm.deal.list")
    assert [request.method for request in there.requests] == ["crm.deal.list", "server.time", "profile"]
    assert [request.method for request in here.requests] == ["crm.deal.list"]


async def test_a_version_may_be_named_as_text_and_an_unknown_one_is_refused() -> None:
    b24 = made()
    assert b24.get_http_client("v3") is b24.get_http_client(ApiVersion.V3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="version must be"):
        b24.get_http_client("v4")  # type: ignore[arg-type]


# --- renewals ---------------------------------------------------------------------------------------------------------


async def test_a_token_store_gets_each_renewed_pair_and_gives_it_to_the_next_client() -> None:
    portal, store = fake_portal(), MemoryStore()
    old = portal.issue(expired=True)
    async with connected(portal, old, token_store=store) as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success
        renewed = b24.auth.get_params()
    assert await stored_for(store, old) == renewed
    async with connected(portal, old, token_store=store) as b24:
        assert (await b24.actions.v2.call.make("profile")).is_success
        assert b24.auth.get_params() == renewed
    assert len(portal.token_requests) == 1


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_pair_is_renewed_with_the_http_method_that_was_chosen(method: Any) -> None:
    portal = fake_portal()
    async with watched(portal, portal.issue(expired=True), refresh_http_method=method) as client:
        assert (await client.b24.actions.v2.call.make("profile")).is_success
        (renewal,) = client.wire.sent_to("https://oauth.bitrix.info")
        client.assert_secrets_stayed_home()
    assert renewal.method == method
    assert bool(renewal.url.query) is (method == "GET")
    assert bool(renewal.content) is (method == "POST")


async def test_a_renewal_by_get_is_not_redirected_either() -> None:
    portal = fake_portal()
    portal.inject(redirect(302, "https://evil.example/oauth/token/"), on="oauth/token", times=None)
    options: dict[str, Any] = {"refresh_http_method": "GET", "http_options": {"follow_redirects": True}}
    async with watched(portal, portal.issue(expired=True), **options) as client:
        with pytest.raises(SdkError, match=r"evil\.example"):
            await client.b24.auth.refresh_auth()
        assert set(client.wire.heard) == {"https://oauth.bitrix.info"}


@pytest.mark.parametrize(
    ("method", "error"), [("crm.deal.add", AmbiguousResultError), ("crm.deal.list", ClientStateError)]
)
async def test_a1_a_call_under_way_when_the_client_closes_ends_and_leaves_no_connection(
    method: str, error: type[SdkError]
) -> None:
    portal = fake_portal()
    async with portal.serve():
        b24 = B24OAuth(portal.issue(), portal.secret, trusted_oauth_hosts=portal.trusted_oauth_hosts)
        await b24.actions.v2.call.make("profile")
        portal.inject(faults.hang(), on=method)
        under_way = asyncio.create_task(b24.actions.v2.call.make(method))
        await asyncio.sleep(0.05)
        await b24.aclose()
        with pytest.raises(error):
            await under_way
        assert b24._wire._exchanges is not None
        assert not b24._wire._exchanges.under_way


@pytest.mark.parametrize("params", [{}, None, "pair"])
async def test_another_pair_must_be_one(params: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match=r"B24OAuthParams\.from_dict"):
            b24.auth.set_params(params)
        assert (await b24.actions.v2.call.make("profile")).is_success


@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_a1_a_write_that_is_ended_by_a_close_says_that_it_may_have_been_executed(version: str) -> None:
    portal = fake_portal(latency=60)
    async with connected(portal) as b24:
        add = getattr(b24.actions, version).call.make("crm.deal.add", {"fields": {"TITLE": "x"}})
        call = asyncio.create_task(add)
        await asyncio.sleep(1)
        await b24.aclose()
        with pytest.raises((AmbiguousResultError, ClientStateError)) as caught:
            await call
    told = f"{caught.value} {getattr(caught.value, '__notes__', '')}"
    assert "may have been executed" in told
    assert len(portal.requests) == 1


@pytest.mark.parametrize("closes", [True, False])
@pytest.mark.parametrize("used", [True, False])
def test_a_client_that_is_dropped_open_warns(closes: bool, used: bool) -> None:
    portal = FakePortal()

    async def use() -> None:
        async with httpx.AsyncClient(transport=portal.transport()) as http:
            b24 = B24OAuth(portal.issue(), portal.secret, http_client=http)
            if used:
                await b24.call("profile")
            if closes:
                await b24.aclose()

    async def main() -> None:
        await use()
        gc.collect()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        gc.collect()
    unclosed = [
        str(one.message) for one in caught if one.category is ResourceWarning and "B24OAuth" in str(one.message)
    ]
    assert len(unclosed) == (used and not closes)
