import pytest

from b24oauth.testing import RestError
from b24oauth.testing.bucket import LeakyBucket, OperatingBudget


class Time:
    def __init__(self):
        self.now = 1_700_000_040.0

    def __call__(self):
        return self.now


def admitted(bucket, attempts):
    count = 0
    for _ in range(attempts):
        try:
            bucket.admit()
            count += 1
        except RestError:
            continue
    return count


def test_exactly_the_burst_passes_at_once():
    bucket = LeakyBucket(burst=50, drain=2, now=Time())
    assert admitted(bucket, 60) == 50
    assert bucket.refused == 10
    with pytest.raises(RestError) as refusal:
        bucket.admit()
    assert (refusal.value.status, refusal.value.code) == (503, "QUERY_LIMIT_EXCEEDED")


def test_it_drains_at_its_rate_and_refused_requests_do_not_fill_it():
    time = Time()
    bucket = LeakyBucket(burst=50, drain=2, now=time)
    admitted(bucket, 500)
    time.now += 3
    assert admitted(bucket, 10) == 6


def test_it_does_not_drain_below_empty():
    time = Time()
    bucket = LeakyBucket(burst=5, drain=2, now=time)
    time.now += 1000
    assert admitted(bucket, 10) == 5


def test_without_a_burst_everything_passes():
    assert admitted(LeakyBucket(burst=None, drain=None, now=Time()), 1000) == 1000


def test_a_method_is_refused_when_its_seconds_are_used_up_and_no_other_one():
    budget = OperatingBudget(costs={"slow": 240.0}, limit=480.0, now=Time())
    budget.charge("slow")
    budget.admit("slow")
    budget.charge("slow")
    budget.admit("other")
    with pytest.raises(RestError) as refusal:
        budget.admit("slow")
    assert (refusal.value.status, refusal.value.code) == (429, "OPERATION_TIME_LIMIT")


def test_seconds_come_back_basket_by_basket_at_the_announced_moment():
    time = Time()
    budget = OperatingBudget(costs={"slow": 300.0}, limit=480.0, now=time)
    budget.charge("slow")
    time.now += 60
    budget.charge("slow")
    reset = budget.reset_at("slow")
    time.now = reset - 1
    assert budget.used("slow") == 600
    time.now = reset
    assert budget.used("slow") == 300
    assert budget.reset_at("slow") == reset + 60
