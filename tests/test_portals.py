"""`B24Portals`: one client for each portal, made once, let go when idle."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest

from b24oauth import (
    B24OAuth,
    B24OAuthParams,
    B24Portals,
    ConfigurationError,
    RateLimitConfig,
    RestrictionManager,
    RestrictionParams,
)
from b24oauth.errors import (
    ClientStateError,
    NotFoundError,
    StoreError,
    TokenPersistenceError,
    UnknownPortalError,
)
from b24oauth.events import PortalMoved
from b24oauth.installations import InstallationState
from b24oauth.stores import MemoryStore, TokenKey, ValueKey
from b24oauth.testing import FakePortal, VirtualClock, faults
from tests.support.clients import UNLIMITED
from tests.support.stores import CLIENT_ID, key_of, put

pytestmark = pytest.mark.anyio


class Country(httpx.AsyncBaseTransport):
    """Many portals, each with an OAuth server of its own, behind one client of httpx."""

    def __init__(self, number: int, **options: Any) -> None:
        self.clock = VirtualClock()
        self.portals = [
            FakePortal(
                clock=self.clock,
                member_id=f"member-{index}",
                origin=f"https://p{index}.example",
                oauth_origin=f"https://oauth{index}.example",
                **options,
            )
            for index in range(number)
        ]
        self.transports = {portal.member_id: portal.transport() for portal in self.portals}
        self.hosts = frozenset().union(*(portal.trusted_oauth_hosts for portal in self.portals))
        self.secret = self.portals[0].secret

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        number = "".join(letter for letter in request.url.host if letter.isdigit())
        return await self.transports[f"member-{number}"].handle_async_request(request)

    @asynccontextmanager
    async def open(self, store: Any = None, **options: Any) -> AsyncIterator[tuple[B24Portals, Any]]:
        if store is None:
            store = MemoryStore()
            for portal in self.portals:
                await put(store, portal.issue(), key=key_of(portal))
        options.setdefault("restriction_params", UNLIMITED)
        async with httpx.AsyncClient(transport=self) as http:
            portals = B24Portals(
                self.secret,
                store,
                http_client=http,
                trusted_oauth_hosts=self.hosts,
                clock=self.clock.now,
                **options,
            )
            async with portals:
                yield portals, store


async def test_each_portal_has_one_client_however_many_ask_for_it() -> None:
    country = Country(3)
    async with country.open() as (portals, _):
        clients = await asyncio.gather(*(portals.get(f"member-{index % 3}") for index in range(30)))
        assert len({id(client) for client in clients}) == 3
        assert len({id(client) for client in clients[::3]}) == 1
        names = [(await client.call("profile"))["ID"] for client in clients[:3]]
    assert len(names) == 3
    assert all(portal.executed["profile"] == 1 for portal in country.portals)


async def test_a_caller_that_is_cancelled_leaves_the_client_to_the_others() -> None:
    class SlowStore(MemoryStore):
        async def load(self, key: TokenKey) -> Any:
            await asyncio.sleep(1)
            return await super().load(key)

    country, store = Country(1), SlowStore()
    await put(store, country.portals[0].issue(), key=key_of(country.portals[0]))
    async with country.open(store) as (portals, _):
        first, second = (asyncio.create_task(portals.get("member-0")) for _ in range(2))
        await asyncio.sleep(0.5)
        first.cancel()
        assert (await second) is await portals.get("member-0")


async def test_the_clients_of_a_portals_users_share_its_limits_and_have_pairs_of_their_own() -> None:
    country = Country(1)
    async with country.open() as (portals, store):
        await put(store, country.portals[0].issue(user_id=42), key=key_of(country.portals[0], 42))
        working, mine = await portals.get("member-0"), await portals.get("member-0", user_id=42)
        assert working is not mine
        assert working.auth.get_params() != mine.auth.get_params()
        assert working._limits is mine._limits


async def test_a_portal_that_is_not_stored_is_named() -> None:
    async with Country(1).open() as (portals, _):
        with pytest.raises(UnknownPortalError, match="portal unknown"):
            await portals.get("unknown")


async def test_idle_portals_are_let_go_and_come_back_from_the_store() -> None:
    country = Country(4)
    async with country.open(max_portals=2) as (portals, _):
        for index in range(4):
            await (await portals.get(f"member-{index}")).call("profile")
            await asyncio.sleep(100)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            gc.collect()
        assert set(portals._portals) == {"member-2", "member-3"}
        assert not portals._let_go
        await (await portals.get("member-0")).call("profile")
    assert country.portals[0].executed["profile"] == 2


async def test_a_client_that_is_let_go_and_still_held_works_and_is_the_same_one_when_it_is_asked_for() -> None:
    country = Country(3)
    async with country.open(max_portals=1) as (portals, _):
        held = await portals.get("member-0")
        for index in (1, 2):
            await asyncio.sleep(100)
            await portals.get(f"member-{index}")
        assert "member-0" not in portals._portals
        assert (await held.call("profile"))["ID"]
        assert await portals.get("member-0") is held


async def test_a_client_with_a_call_under_way_is_not_let_go() -> None:
    country = Country(2, latency=500, request_limit=1000)
    async with country.open(max_portals=1, timeout=None) as (portals, _):
        calling = asyncio.create_task((await portals.get("member-0")).call("profile"))
        await asyncio.sleep(100)
        await portals.get("member-1")
        assert "member-0" in portals._portals
        await calling


async def test_what_was_not_used_for_long_is_let_go() -> None:
    country = Country(2)
    async with country.open(idle_seconds=300) as (portals, _):
        await portals.get("member-0")
        await asyncio.sleep(301)
        await portals.get("member-1")
        assert list(portals._portals) == ["member-1"]


async def test_a_slow_or_refusing_portal_delays_no_other() -> None:
    country = Country(20, latency=0.1)
    for _ in range(3):
        country.portals[0].inject(faults.status(503, error="QUERY_LIMIT_EXCEEDED"), on="profile")
    async with country.open() as (portals, _):
        before = country.clock.elapsed
        times: dict[str, float] = {}

        async def call(b24: B24OAuth) -> None:
            await b24.call("profile")
            times[b24.auth.get_params().member_id] = country.clock.elapsed - before

        outcomes = await portals.for_each(call, concurrency=20)
    assert len(outcomes) == 20
    assert max(seconds for member, seconds in times.items() if member != "member-0") < 0.2


async def test_for_each_tells_what_became_of_each_portal() -> None:
    country = Country(3)
    async with country.open() as (portals, store):
        await store.delete(key_of(country.portals[2]))
        await put(store, country.portals[2].issue(), key=key_of(country.portals[2]))

        async def work(b24: B24OAuth) -> str:
            match b24.auth.get_params().member_id:
                case "member-0":
                    await b24.call("no.such.method")
                case "member-1":
                    await asyncio.sleep(3600)
            return "done"

        outcomes = await portals.for_each(work, concurrency=2, timeout=60)
        named = await portals.for_each(work, member_ids=["member-2", "gone"])
    assert isinstance(outcomes["member-0"].error, NotFoundError)
    assert isinstance(outcomes["member-1"].error, TimeoutError)
    assert outcomes["member-2"].result == "done"
    assert isinstance(named["gone"].error, UnknownPortalError)
    assert set(named) == {"member-2", "gone"}


async def test_for_each_that_is_cancelled_leaves_no_task_behind() -> None:
    country = Country(3, latency=100)
    async with country.open(timeout=None) as (portals, _):
        before = asyncio.all_tasks()
        running = asyncio.create_task(portals.for_each(lambda b24: b24.call("profile")))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait({running})
        assert running.cancelled()
        assert asyncio.all_tasks() == before


async def test_the_portals_are_those_of_the_store_each_once() -> None:
    country = Country(3)
    async with country.open() as (portals, store):
        await put(store, country.portals[0].issue(user_id=7), key=key_of(country.portals[0], 7))
        assert sorted([member async for member in portals]) == ["member-0", "member-1", "member-2"]


async def test_an_installation_is_stored_and_used_by_the_running_client() -> None:
    country = Country(1)
    async with country.open(MemoryStore()) as (portals, store):
        first = await portals.install(country.portals[0].issue())
        assert await portals.get("member-0") is first
        newer = attrs.evolve(country.portals[0].issue(), application_token="second")
        assert await portals.install(newer) is first
        assert first.auth.get_params() == newer
        stored = await store.load(key_of(country.portals[0]))
        assert stored.params == newer
        record = (await store.load_installation(CLIENT_ID, "member-0")).installation
    assert record.state is InstallationState.ACTIVE
    assert record.application_tokens[-1] == "second"
    assert record.client_endpoint == "https://p0.example/rest/"


async def test_an_uninstalled_portal_leaves_a_record_without_secrets_and_no_client() -> None:
    country = Country(2)
    async with country.open(MemoryStore()) as (portals, store):
        b24 = await portals.install(country.portals[0].issue())
        await portals.install(country.portals[0].issue(user_id=42), user_id=42)
        assert await portals.uninstall("member-0") == 2
        with pytest.raises(ClientStateError):
            await b24.call("profile")
        with pytest.raises(UnknownPortalError):
            await portals.get("member-0")
        record = (await store.load_installation(CLIENT_ID, "member-0")).installation
        assert (record.state, record.application_tokens) == (InstallationState.UNINSTALLED, ())
        assert await portals.uninstall("member-1") == 0


async def test_a_portal_is_uninstalled_even_if_its_new_pair_cannot_be_saved() -> None:
    class Full(MemoryStore):
        async def save(self, key: TokenKey, params: B24OAuthParams, *, expected: str | None) -> str:
            if expected is not None:
                raise StoreError("the disk is full")
            return await super().save(key, params, expected=expected)

    country = Country(1)
    async with country.open(Full()) as (portals, store):
        b24 = await portals.install(country.portals[0].issue())
        country.portals[0].expire_tokens()
        with pytest.raises(TokenPersistenceError):
            await b24.call("profile")
        assert await portals.uninstall("member-0") == 1
        assert [key async for key in store.keys(CLIENT_ID)] == []


async def test_an_uninstalled_portal_leaves_no_named_values() -> None:
    country = Country(2)
    async with country.open(MemoryStore()) as (portals, store):
        for index in (0, 1):
            await portals.install(country.portals[index].issue())
            await store.save_value(ValueKey(CLIENT_ID, f"member-{index}", "bot:1:offset"), "5", expected=None)
        await portals.uninstall("member-0")
        assert [key.member_id async for key in store.values(CLIENT_ID)] == ["member-1"]


async def test_a_closed_object_says_so_and_has_closed_its_clients() -> None:
    country = Country(1)
    async with country.open() as (portals, _):
        b24 = await portals.get("member-0")
    for refused in (portals.get("member-0"), portals.uninstall("member-0"), b24.call("profile")):
        with pytest.raises(ClientStateError, match="closed"):
            await refused
    await portals.aclose()


async def test_a_close_that_drains_lets_calls_end() -> None:
    country = Country(2, latency=5)
    async with country.open() as (portals, _):
        calls = [asyncio.create_task((await portals.get(f"member-{index}")).call("profile")) for index in range(2)]
        await asyncio.sleep(1)
        await portals.aclose(drain=30)
        assert all([(await call)["ID"] for call in calls])


async def test_limits_may_be_made_for_each_portal() -> None:
    made: list[str] = []

    def limits_for(member_id: str) -> RestrictionManager:
        made.append(member_id)
        return RestrictionManager(RestrictionParams(rate_limit=RateLimitConfig(burst_limit=1, drain_rate=1)))

    country = Country(2)
    async with country.open(limits_for=limits_for) as (portals, store):
        await put(store, country.portals[0].issue(user_id=7), key=key_of(country.portals[0], 7))
        for member, user in (("member-0", None), ("member-0", 7), ("member-1", None)):
            await (await portals.get(member, user)).call("profile")
    assert made == ["member-0", "member-1"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"oauth_secret": "secret"}, "oauth_secret must be"),
        ({"store": object()}, "store must be"),
        ({"max_portals": 0}, "max_portals"),
        ({"idle_seconds": -1}, "idle_seconds"),
        ({"limits_for": 7}, "limits_for"),
        ({"restriction_manager": RestrictionManager()}, "limits_for"),
    ],
)
def test_wrong_arguments_are_named(options: dict[str, Any], named: str) -> None:
    given = {"oauth_secret": Country(1).secret, "store": MemoryStore(), **options}
    with pytest.raises(ConfigurationError, match=named):
        B24Portals(given.pop("oauth_secret"), given.pop("store"), **given)


async def test_a_renamed_portal_moves_all_of_its_pairs_and_clients_with_one_renewal_and_one_event() -> None:
    country, seen = Country(1), list[Any]()
    (portal,) = country.portals
    async with country.open(observers=[seen.append]) as (portals, store):
        for user in (7, 8):
            await put(store, portal.issue(user_id=user), key=key_of(portal, user))
        working, seven = await portals.get("member-0"), await portals.get("member-0", 7)
        for client in (working, seven):
            await client.call("profile")
        portal.rename("https://renamed0.example")
        for client in (working, seven, await portals.get("member-0", 8)):
            assert (await client.call("profile"))["ID"]
        stored = [(await store.load(key)).params async for key in store.keys(CLIENT_ID, "member-0")]
        assert len(stored) == 3
    assert {pair.client_endpoint for pair in stored} == {"https://renamed0.example/rest/"}
    assert [event.after for event in seen if isinstance(event, PortalMoved)] == ["renamed0.example"]
    assert len(portal.token_requests) == 1
