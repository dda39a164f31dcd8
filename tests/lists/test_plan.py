"""What is requested of a long list, and which rows are given on, without an event loop."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b24oauth.error_codes import error_for
from b24oauth.lists.keyset import KeysetPager
from b24oauth.lists.pages import RowsReader
from b24oauth.lists.parameters import read_parameters
from b24oauth.lists.plan import Plan, SegmentRequest
from tests.support.examples import examples

PAGE = 50


def pager(*, descending: bool = False) -> KeysetPager:
    return KeysetPager(
        method="crm.deal.list",
        parameters=read_parameters("crm.deal.list", {}, {}),
        reader=RowsReader("crm.deal.list", ""),
        id_key="ID",
        field="ID",
        descending=descending,
        cursor=None if descending else 0,
    )


def rows(ids: list[int]) -> list[dict[str, str]]:
    return [{"ID": str(number)} for number in ids]


class Table:
    """The identifiers of a list that may change while it is read."""

    def __init__(self, ids: list[int], *, descending: bool = False) -> None:
        self.ids = sorted(ids)
        self.descending = descending
        self.pages_by_distance = 0

    def page(self, after: int | None, skip: int) -> list[int]:
        if self.descending:
            end = len(self.ids) if after is None else bisect_left(self.ids, after)
            return self.ids[max(0, end - skip - PAGE) : max(0, end - skip)][::-1]
        begin = 0 if after is None else bisect_right(self.ids, after)
        return self.ids[begin + skip : begin + skip + PAGE]

    def respond(self, request: SegmentRequest) -> list[list[Any]]:
        """The pages of a request, each behind the last row of the page before it."""
        after, skip = request.segment.next_page
        self.pages_by_distance += skip > 0
        pages: list[list[Any]] = []
        for _ in range(request.count):
            found = self.page(after, skip)
            pages.append(rows(found))
            # A reference to the last row of a page that is not full is empty, which selects from the beginning.
            after, skip = (found[-1] if len(found) == PAGE else None if self.descending else 0), 0
        return pages


def planned(table: Table, **options: Any) -> tuple[Plan, list[int]]:
    """A plan and the rows of the first page."""
    first = table.page(None, 0)
    options = {"most": 50, "concurrency": 10, **options}
    return Plan(pager(descending=table.descending), rows(first), len(table.ids), **options), first


def given_on(plan: Plan) -> list[int]:
    return [int(row["ID"]) for page in plan.pages() for row in page]


def walk(
    table: Table,
    *,
    pick: Callable[[int], int] = lambda _: 0,
    meanwhile: Callable[[], None] = lambda: None,
    seconds: Callable[[SegmentRequest], float | None] = lambda _: None,
    **options: Any,
) -> tuple[list[int], list[SegmentRequest]]:
    """Reads the whole list; `pick` chooses which response comes next, `meanwhile` changes the list before each."""
    plan, seen = planned(table, **options)
    sent: list[SegmentRequest] = []
    under_way: list[SegmentRequest] = []
    most = options.get("concurrency", 10)
    while not plan.finished:
        new = plan.requests(most - len(under_way))
        sent += new
        under_way += new
        assert under_way, "nothing is under way, and the list is not read"
        assert len(sent) < 2_000
        request = under_way.pop(pick(len(under_way)))
        meanwhile()
        plan.received(request, table.respond(request), seconds(request))
        seen += given_on(plan)
        if plan.error is not None:
            raise plan.error
    return seen, sent


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(("count", "requests"), [(51, 1), (100, 1), (2_450, 3), (20_000, 10), (100_000, 41)])
def test_the_list_is_read_in_as_few_requests_as_fill_it(count: int, requests: int, descending: bool) -> None:
    table = Table(list(range(1, count + 1)), descending=descending)
    seen, sent = walk(table)
    assert seen == sorted(table.ids, reverse=descending)
    assert len(sent) == requests
    assert sum(request.count for request in sent) <= 1.03 * count / PAGE + 2


def test_a_segment_begins_behind_the_row_that_is_known_furthest() -> None:
    table = Table(list(range(1, 100_001)))
    plan, _ = planned(table)
    first = plan.requests(10)
    assert [request.segment.next_page for request in first[:3]] == [(50, 0), (50, 2_450), (50, 4_900)]
    for request in first:
        plan.received(request, table.respond(request))
    second = plan.requests(10)
    # The furthest one goes on; the next one begins behind it.
    assert (second[0].segment, second[0].counts) == (first[-1].segment, False)
    assert all(request.segment.skip <= 10 * 2_450 for request in second)


def test_b1_rows_that_vanish_leave_no_gap() -> None:
    table = Table(list(range(1, 20_001)))
    plan, seen = planned(table)
    requests = plan.requests(10)
    # The pages by distance find rows that were further behind when the list was divided.
    table.ids = [number for number in table.ids if not 100 <= number < 400]
    waiting = list(requests)
    while not plan.finished:
        request = waiting.pop(0)
        plan.received(request, table.respond(request))
        seen += given_on(plan)
        waiting += plan.requests(10 - len(waiting))
    assert seen == table.ids


def test_b1_a_list_that_became_shorter_ends_where_it_ends() -> None:
    table = Table(list(range(1, 20_001)))
    plan, seen = planned(table)
    waiting = plan.requests(10)
    table.ids = table.ids[:9_000]
    while not plan.finished:
        request = waiting.pop()
        plan.received(request, table.respond(request))
        seen += given_on(plan)
        waiting += plan.requests(10 - len(waiting))
    assert seen == table.ids


def test_b1_a_list_that_became_longer_is_read_to_its_end() -> None:
    table = Table(list(range(1, 5_001)))
    grown = iter([True])

    def grow() -> None:
        if next(grown, False):
            table.ids = list(range(1, 9_001))

    seen, _ = walk(table, meanwhile=grow)
    assert seen == list(range(1, 9_001))


@pytest.mark.parametrize("total", [60, 1_000, 10**6])
def test_b1_a_wrong_count_only_divides_the_work_badly(total: int) -> None:
    table = Table(list(range(1, 20_001)))
    plan = Plan(pager(), rows(table.ids[:PAGE]), total, most=50, concurrency=10)
    seen, waiting = table.ids[:PAGE], plan.requests(10)
    while not plan.finished:
        request = waiting.pop(0)
        plan.received(request, table.respond(request))
        seen += given_on(plan)
        waiting += plan.requests(10 - len(waiting))
    assert seen == table.ids


def test_b1_a_portal_that_ignores_distances_is_read_as_a_chain() -> None:
    table = Table(list(range(1, 20_001)))
    answer = table.page
    table.page = lambda after, _: answer(after, 0)  # type: ignore[method-assign]
    seen, sent = walk(table)
    assert seen == table.ids
    assert len(sent) <= 10 + 15


def test_b1_short_pages_in_the_midst_do_not_end_the_list() -> None:
    table = Table(list(range(1, 5_001)))
    answer = table.page

    def page(after: int | None, skip: int) -> list[int]:
        found = answer(after, skip)
        return found[:49] if 1_000 in found else found

    table.page = page  # type: ignore[method-assign]
    seen, _ = walk(table)
    assert seen == table.ids


def test_counting_that_takes_long_is_compared_to_a_request_by_identifier() -> None:
    table = Table(list(range(1, 100_001)))
    plan, _ = planned(table, counting=1.4)
    [front] = plan.requests(10)
    assert not front.counts
    plan.received(front, table.respond(front), 0.5)
    assert not plan.counting_is_slow
    # Three requests take longer than counting does: each page by distance is made for so many.
    following = [request.segment for request in plan.requests(4)]
    assert [segment.end - segment.start for segment in following[1:]] == [7_450, 7_450, 7_450]


def test_where_counting_is_slow_the_list_is_read_as_a_chain() -> None:
    table = Table(list(range(1, 100_001)))
    seen, sent = walk(table, counting=5.0, seconds=lambda request: 0.01 * request.count)
    assert seen == table.ids
    assert not table.pages_by_distance
    assert [request.count for request in sent[:2]] == [50, 50]


def test_where_counting_proves_slow_no_more_pages_are_found_by_distance() -> None:
    table = Table(list(range(1, 100_001)))
    seen, _ = walk(table, seconds=lambda request: 10.0 if request.counts else 0.1)
    assert seen == table.ids
    assert table.pages_by_distance <= 11


def test_a_segment_that_timed_out_is_read_by_the_one_before_it() -> None:
    table = Table(list(range(1, 20_001)))
    plan, seen = planned(table)
    waiting = plan.requests(10)
    plan.timed_out(waiting.pop())
    while not plan.finished:
        request = waiting.pop(0)
        plan.received(request, table.respond(request))
        seen += given_on(plan)
        waiting += plan.requests(10 - len(waiting))
    assert seen == table.ids


def test_an_error_is_told_behind_the_rows_before_it() -> None:
    table = Table(list(range(1, 20_001)))
    plan, seen = planned(table)
    [front, second, *_] = plan.requests(10)
    plan.received(second, table.respond(second))
    error = error_for("ACCESS_DENIED", 403, "no")
    plan.failed(second, error)
    assert plan.error is None
    plan.received(front, table.respond(front))
    seen += given_on(plan)
    assert plan.error is error
    assert seen == table.ids[: len(seen)]


def test_a_caller_who_wants_few_rows_costs_few_pages() -> None:
    table = Table(list(range(1, 100_001)))
    plan, _ = planned(table, wanted=3_000)
    assert sum(request.count for request in plan.requests(10)) <= 3_000 / PAGE + 3
    assert plan.requests(10) == []


def test_b2_what_waits_to_be_given_on_is_bounded() -> None:
    table = Table(list(range(1, 500_001)))
    plan, _ = planned(table)
    held = 0
    while requests := plan.requests(10):
        for request in requests:
            plan.received(request, table.respond(request))
            held += request.count
    assert held <= 2 * 10 * 50


changes = st.lists(st.tuples(st.sampled_from(["add", "delete", "append"]), st.integers(0, 10**6)), max_size=40)


@settings(max_examples=examples(100, 2_000), deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(51, 9_000),
    most=st.sampled_from([2, 5, 50]),
    concurrency=st.sampled_from([2, 3, 10]),
    descending=st.booleans(),
    steps=st.lists(changes, max_size=30),
)
def test_b1_rows_that_are_there_all_the_time_come_once_in_order(
    seed: int, count: int, most: int, concurrency: int, descending: bool, steps: list[list[tuple[str, int]]]
) -> None:
    chance = random.Random(seed)
    table = Table(chance.sample(range(1, 20 * count), count), descending=descending)
    everything, always, todo = set(table.ids), set(table.ids), iter(steps)

    def change() -> None:
        present = set(table.ids)
        for kind, where in next(todo, []):
            if kind == "delete" and table.ids:
                # A stretch of rows, wherever it lies: behind, at or before the front.
                begin = where % len(table.ids)
                gone = set(table.ids[begin : begin + where % 90])
                present -= gone
                always.difference_update(gone)
            else:
                added = where % (20 * count) + (20 * count if kind == "append" else 1)
                if added not in everything:
                    present.add(added)
                    everything.add(added)
        table.ids = sorted(present)

    seen, _ = walk(
        table,
        pick=lambda waiting: chance.randrange(waiting) if waiting else 0,
        meanwhile=change,
        most=most,
        concurrency=concurrency,
    )
    assert seen == sorted(set(seen), reverse=descending)
    assert always <= set(seen) <= everything
