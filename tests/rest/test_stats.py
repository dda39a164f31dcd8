from __future__ import annotations

from typing import Any

from b24oauth.rest.stats import CallCounter, MethodStats

LIMITS: Any = object()  # passed through as it is


def counted() -> CallCounter:
    counter = CallCounter()
    counter.count("crm.deal.get", 0.5)
    counter.count("crm.deal.get", 1.0, "Too many requests")
    counter.count("user.current", 2.0)
    return counter


def test_attempts_are_counted_by_outcome_and_method() -> None:
    stats = counted().stats(LIMITS)
    assert (stats.total_requests, stats.successful_requests, stats.failed_requests) == (3, 2, 1)
    assert stats.by_method == {"crm.deal.get": MethodStats(2, 1.5), "user.current": MethodStats(1, 2.0)}
    assert stats.last_errors == (("crm.deal.get", "Too many requests"),)
    assert stats.limits is LIMITS


def test_counts_that_were_handed_out_do_not_change() -> None:
    counter = counted()
    stats = counter.stats(LIMITS)
    counter.count("crm.deal.get", 9.0, "again")
    counter.reset()
    assert stats.by_method["crm.deal.get"] == MethodStats(2, 1.5)
    assert len(stats.last_errors) == 1


def test_only_the_last_hundred_errors_are_kept() -> None:
    counter = CallCounter()
    for number in range(250):
        counter.count("m", 0.0, str(number))
    stats = counter.stats(LIMITS)
    assert stats.last_errors == tuple(("m", str(number)) for number in range(150, 250))
    assert stats.failed_requests == 250


def test_a_reset_begins_from_nothing() -> None:
    counter = counted()
    counter.reset()
    assert counter.stats(LIMITS) == CallCounter().stats(LIMITS)
