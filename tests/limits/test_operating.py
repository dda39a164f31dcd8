from __future__ import annotations

import math
from typing import Any

import pytest

from b24oauth.limits import OperatingLimitConfig, OperatingLimiter

NOW = 1_700_000_000.0
METHOD = "crm.deal.list"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def limiter(clock: Clock | None = None, **config: float) -> OperatingLimiter:
    return OperatingLimiter(OperatingLimitConfig(**config), wall_clock=(made := clock or Clock()), loop_time=made)


def spent(operating: Any, reset_in: float | None = 100.0) -> dict[str, Any]:
    return {"operating": operating} | ({} if reset_in is None else {"operating_reset_at": NOW + reset_in})


def test_an_unknown_method_is_free() -> None:
    assert limiter().time_to_free(METHOD) == 0.0


@pytest.mark.parametrize(("operating", "wait"), [(0, 0.0), (474.9, 0.0), (475, 101.0), (480, 101.0), (600.5, 101.0)])
def test_l4_a_used_up_method_waits_until_a_second_after_its_reset(operating: float, wait: float) -> None:
    limits = limiter()
    limits.observe(METHOD, spent(operating))
    assert limits.time_to_free(METHOD) == wait


def test_l4_only_the_used_up_method_waits() -> None:
    limits = limiter()
    limits.observe(METHOD, spent(480))
    limits.observe("crm.deal.get", spent(1))
    assert limits.time_to_free("crm.deal.get") == limits.time_to_free("other") == 0.0


@pytest.mark.parametrize("reset_in", [None, -10.0, 0.0])
def test_without_a_reset_ahead_a_used_up_method_waits_a_little(reset_in: float | None) -> None:
    limits = limiter()
    limits.observe(METHOD, spent(480, reset_in))
    assert limits.time_to_free(METHOD) == 5.0


def test_a_tiny_limit_still_admits_the_first_call() -> None:
    limits = limiter(limit=2)
    limits.observe(METHOD, spent(0.9))
    assert limits.time_to_free(METHOD) == 0.0
    limits.observe(METHOD, spent(1.0))
    assert limits.time_to_free(METHOD) > 0


def test_the_last_answer_counts_and_keeps_the_known_reset() -> None:
    limits = limiter()
    limits.observe(METHOD, spent(480))
    limits.observe(METHOD, spent(479, None))
    assert limits.time_to_free(METHOD) == 101.0
    limits.observe(METHOD, spent(3, 700))
    assert limits.time_to_free(METHOD) == 0.0


def test_l4_an_answer_that_was_overtaken_by_others_takes_back_nothing() -> None:
    clock = Clock()
    limits = limiter(clock)
    limits.observe(METHOD, spent(480, 300))
    limits.observe(METHOD, spent(474, 300))
    limits.observe(METHOD, spent(12, 240))
    assert limits.time_to_free(METHOD) == 301.0
    clock.now += 300
    limits.observe(METHOD, spent(12, 300))
    assert limits.time_to_free(METHOD) == 0.0


def test_l4_no_wait_is_longer_than_the_window() -> None:
    limits = limiter()
    limits.observe(METHOD, spent(480, 1e10))
    assert limits.time_to_free(METHOD) == limits.refused(METHOD) == 601.0


@pytest.mark.parametrize(
    "time",
    [
        None,
        {},
        [],
        "text",
        {"operating": None},
        {"operating": "480"},
        {"operating": True},
        {"operating": math.nan},
        {"operating": math.inf},
        {"operating": 10**400},
    ],
)
def test_an_answer_that_does_not_tell_changes_nothing(time: Any) -> None:
    limits = limiter()
    limits.observe(METHOD, time)
    assert limits.use_of(METHOD) is None
    assert limits.stats() == {}


@pytest.mark.parametrize("reset_at", [math.inf, math.nan, 10**400, "soon", None])
def test_a_senseless_reset_makes_nobody_wait_for_ever(reset_at: Any) -> None:
    limits = limiter()
    limits.observe(METHOD, {"operating": 480, "operating_reset_at": reset_at})
    assert limits.time_to_free(METHOD) == 5.0


def test_a_reset_that_no_window_reaches_is_corrected_by_the_next_answer() -> None:
    limits = limiter()
    limits.observe(METHOD, spent(480, 1e10))
    limits.observe(METHOD, spent(3, 100))
    assert limits.time_to_free(METHOD) == 0.0


def test_a_refused_method_waits_until_its_reset() -> None:
    limits = limiter()
    limits.observe(METHOD, spent(480))
    assert limits.refused(METHOD) == 101.0


def test_a_refused_method_waits_until_its_reset_even_if_it_used_little() -> None:
    # Calls under way use what their answers have not told yet.
    limits = limiter()
    limits.observe(METHOD, spent(420, 200))
    assert limits.refused(METHOD) == limits.time_to_free(METHOD) == 201.0


def test_a_refused_method_of_which_nothing_is_known_waits_ten_seconds() -> None:
    clock = Clock()
    limits = limiter(clock)
    assert limits.refused(METHOD) == 10.0
    assert limits.time_to_free(METHOD) == 10.0
    clock.now += 10
    assert limits.time_to_free(METHOD) == 0.0


def test_a_second_refusal_does_not_shorten_the_wait() -> None:
    clock = Clock()
    limits = limiter(clock)
    limits.observe(METHOD, spent(480, 300))
    assert limits.refused(METHOD) == 301.0
    clock.now += 100
    assert limits.refused(METHOD) == 201.0


def test_a_success_ends_a_refusal() -> None:
    limits = limiter()
    limits.refused(METHOD)
    limits.observe(METHOD, spent(3))
    assert limits.time_to_free(METHOD) == 0.0


def test_a_success_of_a_call_that_was_sent_before_a_refusal_does_not_end_it() -> None:
    clock = Clock()
    limits = limiter(clock)
    limits.observe(METHOD, spent(400, 200))
    limits.refused(METHOD)
    clock.now += 1
    limits.observe(METHOD, spent(410, 200), sent_ago=3.0)
    assert limits.time_to_free(METHOD) == 200.0
    limits.observe(METHOD, spent(410, 200), sent_ago=0.5)
    assert limits.time_to_free(METHOD) == 0.0


def test_what_is_older_than_the_window_is_forgotten() -> None:
    clock = Clock()
    limits = limiter(clock)
    limits.observe(METHOD, spent(480, 9999))
    clock.now += 610
    assert limits.time_to_free(METHOD) > 0
    clock.now += 0.1
    assert limits.time_to_free(METHOD) == 0.0
    assert limits.stats() == {}


@pytest.mark.parametrize(("operating", "heavy"), [(384, 0), (384.1, 1)])
def test_calls_beyond_the_heavy_share_are_counted(operating: float, heavy: int) -> None:
    limits = limiter()
    limits.observe(METHOD, spent(operating))
    assert limits.heavy_requests == heavy


def test_stats_tell_what_each_method_used_and_a_reset_forgets_it() -> None:
    limits = limiter()
    limits.observe(METHOD, spent(400.126))
    assert limits.stats() == {METHOD: 400.13}
    limits.reset()
    assert limits.stats() == {}
    assert limits.heavy_requests == 0


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0, -1e9])
def test_l4_a_wall_clock_that_is_set_blocks_no_method_for_longer_than_the_window(jump: float) -> None:
    wall, loop = Clock(), Clock()
    limits = OperatingLimiter(OperatingLimitConfig(), wall_clock=wall, loop_time=loop)
    limits.observe(METHOD, spent(480, 300))
    wall.now += jump
    limits.refused(METHOD)
    limits.observe(METHOD, spent(480, 300), sent_ago=1)
    waited = 0.0
    while (seconds := limits.time_to_free(METHOD)) > 0:
        waited += seconds
        loop.now += seconds
        wall.now += seconds
        assert waited <= 601
    assert waited > 0


def test_l4_a_wall_clock_that_is_set_while_a_method_waits_changes_nothing() -> None:
    wall, loop = Clock(), Clock()
    limits = OperatingLimiter(OperatingLimitConfig(), wall_clock=wall, loop_time=loop)
    limits.observe(METHOD, spent(480, 300))
    wall.now -= 86_400
    assert limits.time_to_free(METHOD) == 301
    loop.now += 100
    assert limits.time_to_free(METHOD) == 201
