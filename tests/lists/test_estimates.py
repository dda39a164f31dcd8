"""What is known of a list, and what follows for its segments."""

from __future__ import annotations

import pytest

from b24oauth.lists.estimates import Estimates
from b24oauth.lists.segments import Density, Segment


def test_where_the_portal_counted_one_page_more_shows_the_end() -> None:
    known = Estimates(greatest=10_000)
    assert [known.pages_left(Segment(cursor=0, left=left)) for left in (0, 49, 50, 51, 2_500)] == [1, 1, 2, 2, 51]


def test_where_rows_lie_evenly_identifiers_tell_how_many_there_are() -> None:
    known = Estimates(greatest=10_000)
    density = Density(covered=400, rows=100)
    assert known.pages_left(Segment(cursor=0, density=density)) == 50
    assert known.pages_left(Segment(cursor=0, end=1_000, density=density)) == 5
    assert known.pages_left(Segment(cursor=9_000, end=20_000, density=density)) == 5


def test_densities_are_not_trusted_any_more_when_too_much_was_asked_for_in_vain() -> None:
    segment = Segment(cursor=0, density=Density(covered=4, rows=1))
    assert Estimates(useful=100, wasted=15).is_even(segment)
    assert not Estimates(useful=100, wasted=16).is_even(segment)
    assert not Estimates().is_even(Segment(cursor=0))


@pytest.mark.parametrize(
    ("rows", "counted"), [(None, None), (-1, None), (0, 0), (100, 100), (101, None), (10**30, None)]
)
def test_a_count_that_cannot_be_true_is_no_count(rows: int | None, counted: int | None) -> None:
    assert Estimates(greatest=600).counted(Segment(cursor=500), rows) == counted


@pytest.mark.parametrize(
    ("total", "as_counted"), [(None, True), (10_000, True), (12_000, True), (15_000, False), (6_000, False)]
)
def test_estimates_are_held_against_the_number_of_rows(total: int | None, as_counted: bool) -> None:
    even = Density(covered=2, rows=1)
    segments = [
        Segment(cursor=500, end=500, done=True),
        Segment(cursor=0, end=10_000, density=even),
        Segment(cursor=10_000, density=even),
    ]
    assert Estimates(greatest=20_000, total=total).is_as_counted(segments) is as_counted
