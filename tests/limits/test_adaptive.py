from __future__ import annotations

import pytest

from b24oauth.limits import AdaptiveConfig, AdaptiveDelayer, OperatingLimitConfig, OperatingLimiter

NOW = 1_700_000_000.0
METHOD = "crm.deal.list"


def delayer(operating: float | None = None, reset_in: float = 300.0, **config: float | bool) -> AdaptiveDelayer:
    limiter = OperatingLimiter(OperatingLimitConfig(), wall_clock=lambda: NOW, loop_time=lambda: NOW)
    if operating is not None:
        limiter.observe(METHOD, {"operating": operating, "operating_reset_at": NOW + reset_in})
    return AdaptiveDelayer(AdaptiveConfig(**config), limiter)  # type: ignore[arg-type]  # both kinds


def test_a_method_of_which_nothing_is_known_does_not_pause() -> None:
    assert delayer().delay_for(METHOD) == 0.0


@pytest.mark.parametrize(("operating", "pause"), [(0, 0.0), (384, 0.0), (384.1, 3.0), (480, 3.0)])
def test_beyond_the_threshold_a_call_pauses_a_share_of_the_time_until_the_reset(operating: float, pause: float) -> None:
    assert delayer(operating).delay_for(METHOD) == pytest.approx(pause)


def test_other_methods_do_not_pause() -> None:
    assert delayer(480).delay_for("crm.deal.get") == 0.0


def test_a_pause_has_a_longest() -> None:
    assert delayer(480, coefficient=1, max_delay=2.5).delay_for(METHOD) == 2.5


@pytest.mark.parametrize(("longest", "pause"), [(10, 7.0), (3, 3)])
def test_without_a_reset_ahead_the_pause_is_seven_seconds_at_most(longest: float, pause: float) -> None:
    assert delayer(480, -1, max_delay=longest).delay_for(METHOD) == pause


def test_switched_off_nothing_pauses() -> None:
    assert delayer(480, enabled=False).delay_for(METHOD) == 0.0


def test_pauses_are_counted_until_a_reset() -> None:
    adaptive = delayer()
    adaptive.paused(1.5)
    adaptive.paused(2)
    assert (adaptive.delays, adaptive.total_delay) == (2, 3.5)
    adaptive.reset()
    assert (adaptive.delays, adaptive.total_delay) == (0, 0.0)
