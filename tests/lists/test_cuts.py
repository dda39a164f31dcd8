"""Where long lists are cut: surveys judge how evenly rows lie, marks are held against what the portal cannot mean."""

from __future__ import annotations

import pytest

from b24oauth.lists.cuts import Mark, Marks, Survey, are_alike, in_requests, spread
from b24oauth.lists.segments import Ask, Segment


@pytest.mark.parametrize(
    ("spans", "alike"),
    [((1.0,), True), ((1.0, 2.0), True), ((1.0, 2.1), False), ((1.0, 1.5, 3.1), False), ((3.0, 2.0, 4.0, 1.6), True)],
)
def test_rows_lie_evenly_when_no_page_spans_more_or_less_than_twice_the_usual(
    spans: tuple[float, ...], alike: bool
) -> None:
    assert are_alike(*spans) is alike


def surveyed(*pages: list[int]) -> Survey:
    segments = [Segment(cursor=100 * number, end=100 * number + 99) for number in range(len(pages) + 1)]
    survey = Survey(segments, usual=2.0)
    survey.waiting.update(segments[1:])
    for segment, page in zip(segments[1:], pages, strict=True):
        survey.note(segment, page)
    assert not survey.waiting
    return survey


def test_a_survey_of_even_pages_tells_their_density() -> None:
    density = surveyed([110, 120], [202, 206], [304, 308]).density()
    assert density is None  # ten, three and four identifiers to a row
    density = surveyed([102, 104], [202, 206], [304, 308]).density()
    assert density is not None
    assert density.span == pytest.approx((2 + 2 + 3 + 4) / 4)


@pytest.mark.parametrize("page", [[], [1000, 1002]])
def test_a_page_that_is_lost_or_shows_nothing_in_its_segment_is_not_even(page: list[int]) -> None:
    assert surveyed([102, 104], page).density() is None


@pytest.mark.parametrize(
    ("pages", "expected"),
    [
        (None, (49, 30)),
        (5_000, (49, 30)),
        (1_000, (49, 20)),
        (499, (49, 10)),
        (490, (49, 10)),
        (489, (49, 9)),  # ten segments, the last of which is what is left
        (397, (40, 9)),
        (60, (20, 2)),
        (51, (26, 1)),
    ],
)
def test_each_segment_of_a_list_fits_into_a_request_with_its_end(pages: int | None, expected: tuple[int, int]) -> None:
    assert spread(pages, most=50, concurrency=10, at_once=30) == expected


def test_single_pages_are_shared_out_over_the_requests_that_may_begin() -> None:
    asks = [Ask(Segment(cursor=0), mark=number) for number in range(9)]
    assert [len(part) for part in in_requests(asks, 50, 10)] == [1] * 9
    assert [len(part) for part in in_requests(asks, 50, 4)] == [3, 3, 3]
    assert [len(part) for part in in_requests(asks, 50, 1)] == [9]
    assert [len(part) for part in in_requests(asks, 4, 1)] == [4, 4, 1]


def mark(first: int, last: int | None = None) -> Mark:
    return Mark(first, first + 49 if last is None else last, [{"ID": str(first)}])


def usable(*found: Mark | None, cursor: int = 7) -> tuple[list[int], int]:
    marks = Marks(Segment(cursor=cursor), 100, len(found))
    for rows_before, one in reversed(list(zip(list(marks.waiting), found, strict=True))):
        marks.note(rows_before, one, 1_000)
    assert marks.waiting == []
    assert marks.total == 1_000
    return [one.first for one in marks.usable()], marks.wasted


def test_marks_come_in_their_order_whatever_the_order_of_the_answers() -> None:
    assert usable(mark(108), mark(208), mark(5_000)) == ([108, 208, 5_000], 0)


def test_marks_behind_the_end_are_counted_as_wasted() -> None:
    assert usable(mark(108), None, None) == ([108], 2)


@pytest.mark.parametrize(
    "found",
    [
        (mark(8), mark(8), mark(8)),  # the portal passes over nothing
        (mark(107), mark(500), mark(900)),  # so many rows do not fit before it
        (None, mark(208), mark(308)),
    ],
)
def test_b1_marks_of_a_portal_that_does_not_count_are_not_used(found: tuple[Mark | None, ...]) -> None:
    assert usable(*found) == ([], 3)


def test_b1_marks_whose_rows_overlap_are_not_used() -> None:
    assert usable(mark(108, last=900), mark(500), mark(2_000)) == ([108], 2)
