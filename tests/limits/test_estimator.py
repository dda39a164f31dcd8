"""What refusals tell about the portal's bucket: numbers alone."""

from __future__ import annotations

import pytest

from b24oauth import RateLimitConfig
from b24oauth.limits import Admission
from b24oauth.limits.estimator import RateEstimator, State


def found(burst: float = 100, drain: float = 4, *, adaptive: bool = True) -> RateEstimator:
    return RateEstimator(RateLimitConfig(burst_limit=burst, drain_rate=drain, adaptive_enabled=adaptive))


def sent(rate: RateEstimator, times: list[float], *, empty: bool = False) -> list[Admission]:
    """Calls sent at these times, the first of them into an empty bucket when told so."""
    return [rate.admitted(at, empty=empty and n == 0, waited=not empty) for n, at in enumerate(times)]


def refuse(rate: RateEstimator, place: Admission | None, now: float) -> bool:
    return rate.refused(place, now=now)


def wall_met(rate: RateEstimator, accepted: int = 50, more: int = 0) -> None:
    """A burst into an empty bucket of which the portal accepts so many calls and refuses one and some more."""
    places = sent(rate, [0.0] * (accepted + 1 + more), empty=True)
    for place in places[accepted:]:
        refuse(rate, place, 0.1)


def test_the_first_refusal_scales_the_rate_by_the_burst_that_was_accepted() -> None:
    rate = found()
    wall_met(rate)
    assert (rate.drain_rate, rate.burst_limit) == (2, 49)


def test_what_drained_during_a_slow_burst_is_no_part_of_it() -> None:
    rate = found()
    # A bucket of 50 that drains by 2 a second takes 60 calls in 5 seconds.
    places = sent(rate, [n / 12.2 for n in range(61)], empty=True)
    refuse(rate, places[-1], 6)
    assert rate.drain_rate == pytest.approx(2, rel=0.01)
    assert rate.burst_limit == pytest.approx(49, rel=0.01)


def test_calls_under_way_at_the_first_refusal_are_one_event_in_any_order() -> None:
    rate = found()
    places = sent(rate, [0.0] * 60, empty=True)
    for place in reversed(places[50:]):
        refuse(rate, place, 0.1)
    assert rate.taken == 50
    assert rate.burst_limit == pytest.approx(58)
    assert rate.drain_rate == pytest.approx(4 * 59 / 100)


def test_a_second_refusal_measures_the_rate_whatever_the_burst_made_of_it() -> None:
    rate = found(250, 10)
    wall_met(rate, more=9)
    assert rate.drain_rate == 2
    # 30 calls and 20 seconds after the bucket was full it is full again.
    places = sent(rate, [n * 20 / 31 for n in range(1, 32)])
    refuse(rate, places[-1], 20.1)
    assert rate.drain_rate == pytest.approx(29 / 20)
    assert rate.burst_limit == 49


def test_a_call_that_was_not_sent_does_not_count_as_accepted() -> None:
    rate = found()
    places = sent(rate, [0.0] * 61, empty=True)
    for place in places[:10]:
        rate.not_sent(place)
    assert rate.taken == 51
    wall = sent(rate, [0.0])[0]
    assert wall.taken == 52


def test_refusals_without_an_accepted_call_lower_the_rate_by_a_fifth_after_five() -> None:
    rate = found(50, 2)
    for attempt in range(5):
        assert rate.drain_rate == 2
        refuse(rate, sent(rate, [2.0 * attempt], empty=attempt == 0)[0], 2.0 * attempt)
    assert (rate.drain_rate, rate.burst_limit) == (1.6, 40)


def test_too_few_calls_between_two_refusals_halve_the_rate_at_most() -> None:
    rate = found()
    wall_met(rate)
    places = sent(rate, [1, 1.5])
    refuse(rate, places[-1], 1.5)
    assert rate.drain_rate == 1


def test_the_worked_example_of_the_docstring_is_true() -> None:
    rate = found(250, 5)
    assert rate.state is State.CONFIGURED
    times = [n / 14.5 for n in range(59)]
    refuse(rate, sent(rate, times, empty=True)[-1], times[-1])
    assert rate.state is State.GUESSED
    assert (rate.burst_limit, rate.drain_rate) == (pytest.approx(52.7, rel=0.02), pytest.approx(1.1, rel=0.03))
    now, taken = times[-1], rate.taken
    while rate.taken < taken + 90:
        now += 45 / 91
        rate.succeeded(rate.admitted(now, empty=False, waited=True), now=now)
    assert rate.state is State.CLIMBING
    refuse(rate, sent(rate, [now + 45 / 91])[0], now + 1)
    assert rate.state is State.MEASURED
    assert rate.drain_rate == pytest.approx(1.98, abs=0.01)
    needed = 0
    while rate.state is State.MEASURED:
        now, needed = now + 1, needed + 1
        rate.succeeded(rate.admitted(now, empty=False, waited=True), now=now)
    assert needed == pytest.approx(80, abs=2)


def test_a_guess_is_raised_by_a_tenth_and_then_by_more() -> None:
    rate = found()
    wall_met(rate)
    rates = list[float]()
    for n in range(1, 200):
        place = rate.admitted(n / 2, empty=False, waited=True)
        if rate.succeeded(place, now=n / 2):
            rates.append(rate.drain_rate)
    assert rates == [2.2, 2.64, 3.7, 4]


def test_a_measured_rate_is_probed_when_it_can_be_measured_four_times_better() -> None:
    rate = found()
    wall_met(rate)
    places = sent(rate, [n / 2 for n in range(1, 27)])
    refuse(rate, places[-1], 13)
    measured, successes = rate.drain_rate, 0
    assert measured == pytest.approx(24 / 13)
    while rate.drain_rate == measured:
        successes += 1
        rate.succeeded(rate.admitted(13 + successes / 2, empty=False, waited=True), now=0)
    assert successes == 100


def test_successes_that_nobody_waited_for_do_not_raise_a_rate_that_was_found() -> None:
    rate = found()
    wall_met(rate)
    for n in range(1, 500):
        rate.succeeded(rate.admitted(float(n), empty=False, waited=False), now=0)
    assert rate.drain_rate == 2


def test_successes_of_calls_sent_before_the_refusal_say_nothing() -> None:
    rate = found()
    places = sent(rate, [0.0] * 51, empty=True)
    refuse(rate, places[-1], 0.1)
    for place in places[:50]:
        rate.succeeded(place, now=0)
    assert (rate.drain_rate, rate.successes) == (2, 0)


def test_an_unproven_raise_is_taken_back_when_the_bucket_was_empty() -> None:
    rate = found()
    wall_met(rate)
    for n in range(1, 30):
        rate.succeeded(rate.admitted(n / 2, empty=False, waited=True), now=0)
    assert rate.drain_rate > 2
    rate.admitted(200, empty=True, waited=False)
    assert (rate.drain_rate, rate.burst_limit) == (2, 49)


def test_idle_time_between_two_refusals_does_not_pass_for_a_low_rate() -> None:
    rate = found()
    wall_met(rate)
    burst = sent(rate, [600.0] * 48, empty=True)
    assert burst[-1].taken == 98
    refuse(rate, rate.admitted(600, empty=False, waited=False), 600.1)
    assert rate.drain_rate >= 1.9


def test_a_refused_command_of_a_batch_tells_nothing_of_the_rate() -> None:
    rate = found()
    sent(rate, [0.0] * 50, empty=True)
    assert refuse(rate, None, 0.1)
    assert (rate.drain_rate, rate.burst_limit) == (4, 100)


def test_without_adapting_nothing_changes() -> None:
    rate = found(adaptive=False)
    wall_met(rate, more=9)
    for at in range(1, 40):
        refuse(rate, sent(rate, [float(at), at + 0.5])[-1], at + 0.6)
    assert (rate.drain_rate, rate.burst_limit) == (4, 100)
