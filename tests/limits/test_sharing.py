"""The state of shared limits: as a table, and the script for Redis does the same."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b24oauth.limits.redis import RedisLimits
from b24oauth.sharing import Budget, Reserve, SharedState, refuse, reserve
from tests.support.examples import examples
from tests.support.servers import Valkey, valkey

WANTED = Reserve(burst=10, rate=2, margin=1)
NUMBERS = itertools.count()


def test_a_burst_is_admitted_at_once_and_the_rest_at_the_rate() -> None:
    state = SharedState()
    waits = [reserve(state, WANTED, 1000.0).wait for _ in range(12)]
    assert waits[:9] == [0] * 9
    assert waits[9:] == [0.5, 1.0, 1.5]
    assert reserve(state, WANTED, 1006.0).wait == 0


def test_what_is_given_back_is_for_the_next_one() -> None:
    state = SharedState()
    for _ in range(12):
        reserve(state, WANTED, 1000.0)
    assert reserve(state, attrs.evolve(WANTED, given_back=3), 1000.0).wait == 0.5


@pytest.mark.parametrize(("burst", "margin"), [(1, 0.25), (1, 5), (2, 1.9)])
def test_a_bucket_that_is_smaller_than_its_margin_still_admits_one(burst: float, margin: float) -> None:
    state, wanted = SharedState(), Reserve(burst=burst, rate=2, margin=margin)
    assert reserve(state, wanted, 1000.0).wait == 0
    assert reserve(state, wanted, 1000.0).wait == 0.5


def test_after_a_refusal_nobody_sends_until_the_bucket_has_drained() -> None:
    state = SharedState()
    refused = reserve(state, WANTED, 1000.0)
    refuse(state, WANTED, 1000.0, level=10, sent_epoch=refused.epoch, retry_after=0, adapts=False)
    again = reserve(state, WANTED, 1000.0)
    assert again.epoch == refused.epoch + 1
    assert again.wait == 1.0


def test_refusals_of_one_burst_count_once() -> None:
    state = SharedState()
    for _ in range(5):
        refuse(state, WANTED, 1000.0, level=10, sent_epoch=0, retry_after=0, adapts=True)
    assert (state.epoch, state.rate) == (1, 1.5)


def test_a_refusal_of_a_nearly_full_bucket_lowers_the_rate_and_any_other_the_burst() -> None:
    state = SharedState()
    refuse(state, WANTED, 1000.0, level=9, sent_epoch=0, retry_after=0, adapts=True)
    assert (state.rate, state.burst) == (1.5, 0)
    refuse(state, WANTED, 1000.0, level=5, sent_epoch=1, retry_after=0, adapts=True)
    assert (state.rate, state.burst) == (1.5, 4)


def test_what_was_lowered_is_raised_step_by_step_until_it_is_as_configured() -> None:
    state = SharedState(rate=0.5, burst=1, changed_at=1000.0)
    assert reserve(state, WANTED, 1029.0).rate == 0.5
    assert reserve(state, WANTED, 1031.0).rate == pytest.approx(0.55)
    assert reserve(state, WANTED, 1032.0).rate == pytest.approx(0.55)
    now = 1032.0
    for _ in range(20):
        now += 31
        last = reserve(state, WANTED, now)
    assert (last.rate, last.burst, state.rate, state.burst) == (2, 10, 0, 0)


def test_a_time_that_the_portal_named_holds_everybody() -> None:
    state = SharedState()
    refuse(state, WANTED, 1000.0, level=10, sent_epoch=0, retry_after=30, adapts=False)
    assert reserve(state, WANTED, 1000.0).wait > 30
    refuse(state, WANTED, 1000.0, level=10, sent_epoch=0, retry_after=60, adapts=False)
    assert reserve(state, WANTED, 1000.0).wait > 60


def test_a_clock_that_is_set_back_makes_nobody_wait_for_long() -> None:
    state = SharedState()
    for _ in range(30):
        reserve(state, WANTED, 100_000.0)
    refuse(state, WANTED, 100_000.0, level=10, sent_epoch=0, retry_after=60, adapts=True)
    assert reserve(state, WANTED, 10_000.0).wait <= 10
    assert reserve(state, WANTED, 10_060.0).wait == 0
    assert state.changed_at < 10_100


def test_budgets_reach_processes_that_do_not_know_them() -> None:
    state = SharedState()
    told = attrs.evolve(WANTED, budgets={"crm.deal.list": Budget(400, 100, 20)})
    version = reserve(state, told, 1000.0).budgets_version
    heard = reserve(state, WANTED, 1010.0)
    assert heard.budgets == {"crm.deal.list": Budget(400, 90, 10)}
    assert reserve(state, attrs.evolve(WANTED, known_budgets=version), 1010.0).budgets is None


def test_budgets_that_are_too_old_are_forgotten() -> None:
    state = SharedState()
    reserve(state, attrs.evolve(WANTED, budgets={"old": Budget(400)}), 1000.0)
    reserve(state, attrs.evolve(WANTED, budgets={"new": Budget(400)}), 2000.0)
    assert set(state.budgets) == {"new"}


BUDGETS = st.dictionaries(
    st.sampled_from(["crm.deal.list", "profile", "задача"]),
    st.builds(Budget, st.floats(0, 480), st.sampled_from([0.0, 100.5]), st.sampled_from([0.0, 20.25])),
    max_size=2,
)
RESERVES = st.builds(
    Reserve,
    burst=st.sampled_from([1.0, 50.0, 250.0]),
    rate=st.sampled_from([0.5, 2.0, 20.0]),
    margin=st.sampled_from([0.25, 2.2]),
    given_back=st.integers(0, 3),
    resets=st.sampled_from([False] * 9 + [True]),
    budgets=BUDGETS,
    known_budgets=st.integers(0, 3),
)
REFUSALS = st.fixed_dictionaries(
    {
        "level": st.sampled_from([1.0, 5.5, 45.0, 1e9]),
        "sent_epoch": st.integers(0, 4),
        "retry_after": st.sampled_from([0.0, 2.5]),
        "adapts": st.booleans(),
    }
)
STEPS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.01, 1.0, 40.0, 700.0, -5000.0]), RESERVES, st.none() | REFUSALS), max_size=15
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


def test_the_script_does_what_the_functions_do(server: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    @settings(max_examples=examples(60, 1000))
    @given(STEPS)
    def same(steps: list[Any]) -> None:
        asyncio.run(compare(steps))

    async def compare(steps: list[Any]) -> None:
        limits = RedisLimits(server.url, f"limits-{next(NUMBERS)}")
        limits._has_time = False
        state, now = SharedState(), 1_900_000_000.0
        for pause, wanted, refusal in steps:
            now += pause
            monkeypatch.setattr("b24oauth.limits.redis.time.time", lambda now=now: now)
            expected, got = reserve(state, wanted, now), await limits.reserve(wanted)
            assert attrs.astuple(got, recurse=False)[:5] == pytest.approx(attrs.astuple(expected, recurse=False)[:5])
            assert got.budgets_version == expected.budgets_version
            assert (got.budgets is None) == (expected.budgets is None)
            for method, budget in (expected.budgets or {}).items():
                assert got.budgets is not None
                assert attrs.astuple(got.budgets[method]) == pytest.approx(attrs.astuple(budget), abs=1e-3)
            if refusal is not None:
                refuse(state, wanted, now, **refusal)
                await limits.refuse(wanted, **refusal)
        assert await limits.epoch() == state.epoch
        await limits.aclose()

    same()
