"""`Runner` on virtual time: who is served, when, and by how many at a time."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from b24oauth import B24OAuth, B24Portals, ConfigurationError
from b24oauth.apps import Runner
from b24oauth.apps.leasing import LeaseLostError, keep, work_key
from b24oauth.errors import ClientStateError, StoreError, UnknownPortalError
from b24oauth.stores import Lease, MemoryStore, TokenKey
from b24oauth.testing import FakePortal, VirtualClock
from tests.support.stores import CLIENT_ID, put

pytestmark = pytest.mark.anyio


def portal_of(b24: B24OAuth) -> str:
    return b24.auth.get_params().member_id


class Office:
    """Portals in a store, and runners that serve them."""

    def __init__(self, portal: FakePortal, store: MemoryStore) -> None:
        self.portal, self.store = portal, store
        self.calls: defaultdict[str, list[float]] = defaultdict(list)
        self.running: Counter[str] = Counter()
        self.most = 0
        self.most_of_one = 0

    async def install(self, *names: str) -> None:
        for name in names:
            await put(self.store, attrs.evolve(self.portal.issue(), member_id=name))

    async def remove(self, name: str) -> None:
        await self.store.delete(TokenKey(CLIENT_ID, name))

    def portals(self) -> B24Portals:
        return B24Portals(
            self.portal.secret,
            self.store,
            http_client=None,
            trusted_oauth_hosts=self.portal.trusted_oauth_hosts,
            clock=self.portal.clock.now,
        )

    def consumer(self, work: Callable[[str], Awaitable[Any]] | None = None) -> Callable[[B24OAuth], Awaitable[Any]]:
        """A consumer that notes its calls."""

        async def consume(b24: B24OAuth) -> Any:
            name = portal_of(b24)
            self.calls[name].append(asyncio.get_running_loop().time())
            self.running[name] += 1
            self.most = max(self.most, self.running.total())
            self.most_of_one = max(self.most_of_one, self.running[name])
            try:
                return await work(name) if work else await asyncio.sleep(0.01)
            finally:
                self.running[name] -= 1

        return consume

    def runner(self, portals: B24Portals, work: Any = None, **options: Any) -> Runner:
        options = {"name": "work", "clock": self.portal.clock.now, "random": lambda: 0.5, **options}
        return Runner(portals, self.consumer(work), **options)


@asynccontextmanager
async def office(*names: str, store: MemoryStore | None = None) -> AsyncIterator[Office]:
    here = Office(FakePortal(clock=VirtualClock()), store or MemoryStore())
    await here.install(*names)
    yield here


@asynccontextmanager
async def serving(here: Office, work: Any = None, **options: Any) -> AsyncIterator[Runner]:
    async with here.portals() as portals, here.runner(portals, work, **options) as runner:
        yield runner


async def test_each_portal_is_served_again_and_again() -> None:
    async with office("a", "b", "c") as here:
        async with serving(here, poll=10):
            await asyncio.sleep(45)
        assert {name: len(calls) for name, calls in here.calls.items()} == {"a": 5, "b": 5, "c": 5}
        assert here.most_of_one == 1


async def test_no_more_portals_are_served_at_once_than_allowed_and_all_get_their_turn() -> None:
    names = [f"portal-{number}" for number in range(20)]

    async def work(name: str) -> None:
        await asyncio.sleep(1)

    async with office(*names) as here:
        async with serving(here, work, concurrency=3, poll=1):
            await asyncio.sleep(30)
        assert here.most == 3
        counts = [len(here.calls[name]) for name in names]
        assert min(counts) >= 4
        assert max(counts) - min(counts) <= 1


async def test_a_consumer_that_asks_for_more_at_once_lets_the_others_go_first() -> None:
    async def work(name: str) -> float | None:
        await asyncio.sleep(1)
        return 0 if name == "busy" else None

    async with office("a", "b", "busy") as here:
        async with serving(here, work, concurrency=1, poll=5):
            await asyncio.sleep(60)
        assert min(len(here.calls["a"]), len(here.calls["b"])) >= 8
        assert len(here.calls["busy"]) >= 25


async def test_a_failing_portal_waits_longer_and_longer_and_delays_no_other() -> None:
    async def work(name: str) -> None:
        if name == "bad":
            raise RuntimeError("no")

    async with office("bad", "good") as here:
        async with serving(here, work, poll=10, on_error=lambda *_: None):
            await asyncio.sleep(100)
        assert len(here.calls["good"]) == 10
        gaps = [b - a for a, b in zip(here.calls["bad"], here.calls["bad"][1:], strict=False)]
        assert gaps == pytest.approx([0.75 * 2**n for n in range(len(gaps))], abs=0.01)
        assert len(gaps) == 7


async def test_a_success_ends_the_back_off() -> None:
    outcomes = iter([RuntimeError(), RuntimeError(), RuntimeError(), None, RuntimeError(), None])

    async def work(name: str) -> None:
        outcome = next(outcomes, None)
        if outcome is not None:
            raise outcome

    async with office("a") as here:
        async with serving(here, work, poll=10, on_error=lambda *_: None):
            await asyncio.sleep(17)
        gaps = [b - a for a, b in zip(here.calls["a"], here.calls["a"][1:], strict=False)]
        assert gaps == pytest.approx([0.75, 1.5, 3.0, 10.0, 0.75], abs=0.01)


async def test_a_portal_that_hangs_delays_no_other() -> None:
    async def work(name: str) -> None:
        if name == "hangs":
            await asyncio.Event().wait()

    async with office("hangs", "good") as here:
        async with serving(here, work, poll=10, drain=1):
            await asyncio.sleep(100)
        assert len(here.calls["good"]) == 10


async def test_a_call_that_takes_too_long_is_cancelled_and_fails() -> None:
    async def work(name: str) -> None:
        await asyncio.Event().wait()

    def fail(error: Exception, member_id: str) -> None:
        errors.append(f"{member_id}: {error}")

    errors: list[str] = []
    async with office("a") as here, serving(here, work, timeout=5, drain=0.1, on_error=fail):
        await asyncio.sleep(7)
    assert len(errors) == 1
    assert "a: " in errors[0]
    assert "longer than 5 s" in errors[0]


async def test_new_portals_are_picked_up_and_removed_ones_dropped_while_they_are_served() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(name)

    async with office("a") as here, serving(here, work, discover=5, drain=0.1) as runner:
        await asyncio.sleep(1)
        await here.install("b")
        await asyncio.sleep(5)
        assert here.running == Counter({"a": 1, "b": 1})
        await here.remove("a")
        await asyncio.sleep(6)
        assert ended == ["a"]
        assert [portal.member_id for portal in runner.health().portals] == ["b"]
        await here.install("a")
        await asyncio.sleep(6)
        assert here.running["a"] == 1


async def test_a_portal_that_is_gone_before_its_next_turn_is_dropped_quietly(caplog: pytest.LogCaptureFixture) -> None:
    class Gone(B24Portals):
        async def get(self, member_id: str, user_id: int | None = None) -> B24OAuth:
            raise UnknownPortalError

    async with (
        office("a") as here,
        Gone(here.portal.secret, here.store) as portals,
        here.runner(portals, discover=5) as runner,
    ):
        await asyncio.sleep(1)
        assert runner.health().portals == ()
    assert not here.calls
    assert not caplog.records


async def test_a_signal_calls_the_consumer_at_once_and_one_during_its_work_calls_it_again() -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(2)

    async with office("a", "b") as here:
        async with serving(here, work, poll=100) as runner:
            await asyncio.sleep(10)
            runner.wake("a")
            await asyncio.sleep(1)
            runner.wake("a")
            runner.wake("unknown")
            await asyncio.sleep(10)
        assert here.calls["a"] == pytest.approx([0, 10, 12], abs=0.1)
        assert len(here.calls["b"]) == 1


async def test_signals_do_not_shorten_the_wait_after_an_error() -> None:
    async def work(name: str) -> None:
        raise RuntimeError

    async with office("a") as here:
        async with serving(here, work, on_error=lambda *_: None) as runner:
            for _ in range(200):
                await asyncio.sleep(0.1)
                runner.wake("a")
        assert len(here.calls["a"]) <= 6


# --- several processes ------------------------------------------------------------------------------------------------


async def test_two_runners_never_serve_a_portal_at_the_same_time() -> None:
    names = [f"portal-{number}" for number in range(6)]

    async def work(name: str) -> None:
        await asyncio.sleep(3)

    async with office(*names) as here:
        async with serving(here, work, poll=1), serving(here, work, poll=1):
            await asyncio.sleep(100)
        assert here.most_of_one == 1
        assert all(len(here.calls[name]) >= 20 for name in names)


async def test_runners_of_other_names_are_apart() -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(3)

    async with office("a") as here, serving(here, work, name="one"), serving(here, work, name="other"):
        await asyncio.sleep(1)
        assert here.running["a"] == 2


async def test_a_runner_without_free_turns_leaves_its_portals_to_another_one() -> None:
    names = [f"portal-{number}" for number in range(8)]
    served_by: defaultdict[int, set[str]] = defaultdict(set)

    def work_of(number: int) -> Any:
        async def work(name: str) -> float:
            served_by[number].add(name)
            await asyncio.sleep(10)
            return 0

        return work

    async with office(*names) as here, serving(here, work_of(1), concurrency=4, drain=1):
        await asyncio.sleep(5)
        async with serving(here, work_of(2), concurrency=4, drain=1):
            await asyncio.sleep(300)
            assert here.running.total() == 8
    assert here.most_of_one == 1
    assert len(served_by[2]) >= 4


async def test_the_portals_of_a_stopped_runner_are_taken_over() -> None:
    async with office("a") as here, serving(here, poll=1) as first:
        await asyncio.sleep(5)
        async with serving(here, poll=1) as second:
            await asyncio.sleep(5)
            assert second.health().portals[0].state == "standby"
            first.stop()
            calls = len(here.calls["a"])
            await asyncio.sleep(20)
            assert second.health().portals[0].state == "idle"
            assert len(here.calls["a"]) > calls


async def test_a_lease_of_work_blocks_no_renewal_of_a_token() -> None:
    async with office("a") as here:
        async with here.store.lease(work_key(CLIENT_ID, "a", "runner:work"), seconds=1000):
            for user_id in (None, 1):
                async with asyncio.timeout(1), here.store.lease(TokenKey(CLIENT_ID, "a", user_id), seconds=1):
                    pass
        assert [key async for key in here.store.keys(CLIENT_ID)] == [TokenKey(CLIENT_ID, "a")]


class Forgetful(MemoryStore):
    """A store whose leases end before their time."""

    def __init__(self) -> None:
        super().__init__()
        self.forgets = self.fails = False
        self.when_asked: Callable[[], object] = lambda: None

    @asynccontextmanager
    async def try_lease(self, key: TokenKey, *, seconds: float) -> AsyncGenerator[Lease | None]:
        async with super().try_lease(key, seconds=seconds) as lease:
            yield None if lease is None else _Watched(self, lease)


class _Watched:
    def __init__(self, store: Forgetful, lease: Lease) -> None:
        self.store, self.lease = store, lease

    async def extend(self) -> bool:
        self.store.when_asked()
        if self.store.fails:
            raise StoreError("The store does not answer")
        return not self.store.forgets and await self.lease.extend()


async def test_a_lost_lease_cancels_the_consumer_at_once(caplog: pytest.LogCaptureFixture) -> None:
    ended: list[float] = []

    async def work(name: str) -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append(asyncio.get_running_loop().time())

    store = Forgetful()
    async with office("a", store=store) as here, serving(here, work, lease=15, drain=0.1) as runner:
        await asyncio.sleep(31)
        store.forgets = True
        await asyncio.sleep(5)
        assert ended == pytest.approx([34.125], abs=0.1)
        assert runner.health().portals[0].state == "standby"
        store.forgets = False
        await asyncio.sleep(20)
        assert here.running["a"] == 1


async def test_a_lease_that_cannot_be_extended_is_given_up_when_it_ends() -> None:
    store = Forgetful()
    async with office("a", store=store) as here:
        async with store.try_lease(work_key(CLIENT_ID, "a", "runner:work"), seconds=15) as lease:
            assert lease is not None
            began = asyncio.get_running_loop().time()
            store.fails = True
            with pytest.raises(LeaseLostError, match="StoreError"):
                await keep(lease, seconds=15)
            assert asyncio.get_running_loop().time() - began == pytest.approx(15, abs=0.1)
        assert not here.calls


async def test_a_store_that_fails_for_a_while_stops_nobody() -> None:
    class Failing(MemoryStore):
        fails = False
        searches = 0

        async def keys(self, client_id: str, member_id: str | None = None) -> AsyncIterator[TokenKey]:  # type: ignore[override]
            self.searches += 1
            if self.fails:
                raise StoreError("The store does not answer")
            async for key in super().keys(client_id, member_id):
                yield key

        def try_lease(self, key: TokenKey, *, seconds: float) -> Any:
            if self.fails:
                raise StoreError("The store does not answer")
            return super().try_lease(key, seconds=seconds)

    store = Failing()
    store.fails = True
    async with office("a", store=store) as here, serving(here, poll=1):
        await asyncio.sleep(5)
        assert not here.calls
        store.fails = False
        await asyncio.sleep(10)
        assert here.calls["a"]


async def test_a_store_of_ones_own_needs_no_try_lease() -> None:
    class Own:
        def __init__(self, store: MemoryStore) -> None:
            self.load, self.save, self.delete = store.load, store.save, store.delete
            self.keys, self.lease = store.keys, store.lease

    async with office("a") as here:
        here.store = Own(here.store)  # type: ignore[assignment]
        async with serving(here, poll=1), serving(here, poll=1):
            await asyncio.sleep(50)
        assert here.most_of_one == 1
        assert len(here.calls["a"]) > 20


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_a_runner_that_stops_lets_consumers_end_and_begins_no_other() -> None:
    ended: list[str] = []

    async def work(name: str) -> None:
        await asyncio.sleep(8)
        ended.append(name)

    async with office("a", "b", "c") as here:
        async with serving(here, work, concurrency=2, drain=10) as runner:
            await asyncio.sleep(5)
            runner.stop()
            assert not runner.health().is_running
        assert len(ended) == 2
        assert asyncio.get_running_loop().time() == pytest.approx(8, abs=0.1)
        assert sum(map(len, here.calls.values())) == 2


async def test_consumers_that_take_too_long_are_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(1000)

    async with office("a", "b") as here:
        async with serving(here, work, drain=10):
            await asyncio.sleep(5)
        assert asyncio.get_running_loop().time() == pytest.approx(15, abs=0.1)
        assert here.running.total() == 0
    assert "took longer than 10 s to end were cancelled: 2" in caplog.text


@pytest.mark.parametrize("moment", [0, 0.005, 0.5, 9, 12])
async def test_a_cancelled_runner_leaves_no_task_and_no_lease(moment: float) -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(3)

    async with office("a", "b", "c") as here, here.portals() as portals:
        before = asyncio.all_tasks()
        runner = here.runner(portals, work, concurrency=2, poll=6)
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(moment)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert asyncio.all_tasks() == before
        assert not runner.health().is_running
        assert not here.store._lines


async def test_a_cancellation_is_not_lost_when_the_lease_is_lost_at_the_same_time() -> None:
    async def work(name: str) -> None:
        await asyncio.sleep(1000)

    store = Forgetful()
    async with office("a", store=store) as here, here.portals() as portals:
        running = asyncio.create_task(here.runner(portals, work, lease=15).run())
        store.forgets, store.when_asked = True, running.cancel
        _, left = await asyncio.wait({running}, timeout=60)
        assert not left


async def test_a_consumer_that_raises_a_cancellation_by_itself_has_failed() -> None:
    async def work(name: str) -> None:
        raise asyncio.CancelledError

    async with office("a") as here, serving(here, work) as runner:
        await asyncio.sleep(2)
        health = runner.health().portals[0]
        assert (health.state, health.failures) == ("failing", 2)
        assert health.last_error is not None
        assert "CancelledError" in health.last_error


async def test_a_consumer_that_is_no_coroutine_function_is_told_so() -> None:
    async with office("a") as here, here.portals() as portals:
        consume: Any = lambda b24: None  # noqa: E731
        async with Runner(portals, consume, name="work", on_error=lambda *_: None) as runner:
            await asyncio.sleep(0.2)
            assert "coroutine function" in (runner.health().portals[0].last_error or "")


async def test_a_runner_runs_once() -> None:
    async with office() as here, here.portals() as portals:
        runner = here.runner(portals)
        async with runner:
            await asyncio.sleep(1)
        with pytest.raises(ClientStateError, match="new Runner"):
            await runner.run()


# --- reports ----------------------------------------------------------------------------------------------------------


async def test_the_health_report_says_what_each_portal_does_and_is_json() -> None:
    async def work(name: str) -> None:
        if name == "bad":
            raise StoreError("the database is down")
        if name == "secret":
            raise RuntimeError("token abc")

    async with (
        office("bad", "good", "secret") as here,
        serving(here, work, poll=10, on_error=lambda *_: None) as runner,
    ):
        await asyncio.sleep(5)
        health = runner.health()
        portals = {portal.member_id: portal for portal in health.portals}
        assert (health.name, health.is_running, health.failing) == ("work", True, 2)
        assert (portals["good"].state, portals["good"].last_error) == ("idle", None)
        assert portals["good"].last_success == pytest.approx(here.portal.clock.now() - 5, abs=0.1)
        assert portals["good"].age == pytest.approx(5, abs=0.1)
        assert (portals["bad"].state, portals["bad"].failures, portals["bad"].last_success) == ("failing", 3, None)
        assert "the database is down" in (portals["bad"].last_error or "")
        assert portals["secret"].last_error == "RuntimeError"
        assert json.loads(json.dumps(health.to_dict()))["portals"][0]["member_id"] == "bad"


async def test_errors_are_logged_without_the_text_of_other_libraries(caplog: pytest.LogCaptureFixture) -> None:
    async def work(name: str) -> None:
        raise RuntimeError("token abc")

    async with office("a") as here, serving(here, work):
        await asyncio.sleep(0.5)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    # The place is shown in place of the text.
    assert re.fullmatch(r"work: portal a failed: RuntimeError at \S+test_runner.py:\d+ in work", record.message)


async def test_a_handler_of_errors_that_fails_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    async def work(name: str) -> None:
        raise RuntimeError

    def fail(error: Exception, member_id: str) -> None:
        raise ValueError

    async with office("a", "b") as here:
        async with serving(here, work, on_error=fail):
            await asyncio.sleep(2)
        assert len(here.calls["a"]) == len(here.calls["b"]) == 2
    assert "The handler of errors failed: ValueError" in caplog.text
    assert "work: portal a failed before: RuntimeError" in caplog.text


async def test_an_asynchronous_handler_of_errors_is_awaited() -> None:
    async def work(name: str) -> None:
        raise RuntimeError

    found = list[tuple[str, str]]()

    async def failed(error: Exception, member_id: str) -> None:
        await asyncio.sleep(0.1)
        found.append((type(error).__name__, member_id))

    async with office("a") as here, serving(here, work, on_error=failed):
        await asyncio.sleep(0.5)
    assert found == [("RuntimeError", "a")]


async def test_a_runner_is_entered_only_once() -> None:
    async with office("a") as here, here.portals() as portals:
        runner = here.runner(portals, None)
        async with runner:
            with pytest.raises(ClientStateError, match="runs once"):
                async with runner:
                    pass
        with pytest.raises(ClientStateError, match="runs once"):
            async with runner:
                pass


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"concurrency": 0}, "concurrency"),
        ({"poll": -1}, "poll"),
        ({"poll": "1"}, "poll"),
        ({"discover": 0}, "discover"),
        ({"drain": None}, "drain"),
        ({"lease": float("inf")}, "lease"),
        ({"timeout": 0}, "timeout"),
        ({"on_error": 1}, "on_error"),
        ({"consume": None}, "consume"),
    ],
)
async def test_a_wrong_argument_is_named(arguments: dict[str, Any], named: str) -> None:
    async with office() as here, here.portals() as portals:
        consume = arguments.pop("consume", here.consumer())
        with pytest.raises(ConfigurationError, match=f"^.*{named} must"):
            Runner(portals, consume, **{"name": "work", **arguments})


async def test_a_consumer_that_returns_something_else_than_seconds_has_failed() -> None:
    async def work(name: str) -> Any:
        return {"a": True, "b": -1.0, "c": "soon", "d": float("nan")}[name]

    async with office("a", "b", "c", "d") as here, serving(here, work, on_error=lambda *_: None) as runner:
        await asyncio.sleep(0.5)
        assert runner.health().failing == 4
