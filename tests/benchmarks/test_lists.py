import pytest

from benchmarks.tables.lists import CHAIN, FLOOR, Figures, Reading
from benchmarks.workers import JobError


class Served:
    """Says what a portal did: ten requests more than the list needs."""

    def use(self):
        return Use


class Use:
    requests, refused, cpu = 21, 0, 0.1


def figures(*readings):
    found = Figures()
    for reading, seconds in readings:
        answer = {"rows": 100, "wall": seconds, "cpu": 0.1, "rss_kb": 2048, "in_order": True}
        found.add(str(reading), answer, Served(), rows=100, warmup=10)
    return found


def reading(client, **changes):
    return Reading(client=client, row_bytes=500, **({"warm": True} | changes))


def test_a_reading_is_compared_with_the_floor_under_the_same_conditions():
    found = figures(
        (reading("ours"), 2.0),
        (reading("ours", warm=False), 4.0),
        (reading("ours", counting=0.05), 2.0),
        (reading(FLOOR), 1.0),
        (reading(FLOOR, warm=False), 3.0),
    )
    assert found.floor_ratio(reading("ours")) == 0.5
    assert found.floor_ratio(reading("ours", warm=False)) == 0.75
    assert found.floor_ratio(reading("ours", counting=0.05)) is None
    assert found.ratio(reading("ours"), reading(CHAIN)) is None


def test_calls_that_warm_a_client_are_no_requests_of_the_list():
    found = figures((reading("ours"), 2.0))
    row = found.row(reading("ours"), [None, 0.5], extra=["5"])
    assert row[:7] == ["ours", "500", "warm", "5", "50", "", "0.50"]
    assert row[8:] == ["11", "0", "0.10", "0.100", "yes", "2"]


def test_a_list_that_is_not_whole_is_a_failure():
    with pytest.raises(JobError, match="read 99 of 100 rows"):
        Figures().add("ours", {"rows": 99}, Served(), rows=100, warmup=0)
