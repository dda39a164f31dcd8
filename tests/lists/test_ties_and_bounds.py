"""Rows that are lost or doubled without a word: ties in tails, bounds in two spellings, conditions beside a filter."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import InvalidParamsError, ListChangedError
from b24oauth.errors import BadResponseError
from b24oauth.testing import FakePortal, Reply
from tests.support.clients import connected, fake_portal

pytestmark = pytest.mark.anyio


# --- tails -----------------------------------------------------------------------------------------------------------


def tail_of(rows: list[dict[str, Any]], field: str) -> FakePortal:
    """A portal whose tail gives the rows after a value of the field, which need not differ."""
    portal = fake_portal()

    def answer(params: dict[str, Any]) -> dict[str, Any]:
        assert portal.calls["my.tail"] < 200
        cursor = params["cursor"]
        sign = -1 if cursor["order"] == "DESC" else 1
        found = [row for row in rows if (row[field] - cursor["value"]) * sign > 0]
        found.sort(key=lambda row: row[field] * sign)
        return {"items": found[: cursor["limit"]]}

    portal.method("my.tail", answer)
    return portal


@pytest.mark.parametrize("limit", [2, 3, 5, 50])
@pytest.mark.parametrize("order", ["ASC", "DESC"])
@pytest.mark.parametrize(
    "values", [[1, 2, 3, 4, 5], [1, 1, 2, 3, 3], [1, 2, 2, 3, 3, 4, 4, 5, 5], [7], [], [1, 1], [5, 4, 4, 3, 3, 2, 1, 1]]
)
async def test_b1_rows_with_the_same_value_are_neither_lost_nor_doubled(
    values: list[int], order: str, limit: int
) -> None:
    rows = [{"id": number, "time": value} for number, value in enumerate(values)]
    start = 100 if order == "DESC" else 0
    options: Any = {"cursor_field": "time", "initial_value": start, "order": order, "limit": limit}
    async with connected(tail_of(rows, "time")) as b24:
        make = b24.actions.v3.call_tail.make
        if max((values.count(value) for value in values), default=0) >= limit:
            # A page may hold rows of one value only, and nothing tells whether more of them follow.
            with pytest.raises(BadResponseError, match="same `time`"):
                await make("my.tail", **options)
            return
        found = (await make("my.tail", **options)).result
    assert found == sorted(rows, key=lambda row: row["time"] * (-1 if order == "DESC" else 1))


async def test_b1_equal_rows_of_a_tail_count_as_often_as_they_are_there() -> None:
    rows = [{"time": value} for value in (1, 2, 2, 2, 3, 3, 4)]
    async with connected(tail_of(rows, "time")) as b24:
        make = b24.actions.v3.call_tail.make
        found = (await make("my.tail", cursor_field="time", initial_value=0, limit=5)).result
    assert found == rows


async def test_b1_a_page_of_one_value_is_refused_with_the_remedy() -> None:
    rows = [{"id": number, "time": 1} for number in range(10)] + [{"id": 10, "time": 2}]
    async with connected(tail_of(rows, "time")) as b24:
        make = b24.actions.v3.call_tail.make
        with pytest.raises(BadResponseError, match="greater limit"):
            await make("my.tail", cursor_field="time", initial_value=0, limit=5)
        assert len((await make("my.tail", cursor_field="time", initial_value=0, limit=50)).result) == 11


# --- positional lists -----------------------------------------------------------------------------------------------


def positional(count: int, size: int, *, total: int | None) -> FakePortal:
    """A portal that gives pages of a size of its own, whatever it is asked for, and the last one again at the end."""
    portal = fake_portal()
    rows = [{"ID": str(number)} for number in range(1, count + 1)]

    def answer(params: dict[str, Any]) -> Reply:
        assert portal.calls["task.item.list"] < 100
        values = list(params.values())
        page = int(values[2]["NAV_PARAMS"]["iNumPage"])
        page = min(page, max(1, -(-count // size)))
        return Reply(result=rows[(page - 1) * size : page * size], total=total)

    portal.method("task.item.list", answer)
    return portal


@pytest.mark.parametrize("size", [10, 20, 50])
@pytest.mark.parametrize("count", [0, 1, 20, 49, 50, 51, 100, 120])
async def test_b1_a_portal_with_smaller_pages_gives_every_row(count: int, size: int) -> None:
    async with connected(positional(count, size, total=count)) as b24:
        rows = (await b24.actions.v2.call_list.make("task.item.list", [{}, {}, {}])).result
    assert [int(row["ID"]) for row in rows] == list(range(1, count + 1))


async def test_b1_fewer_rows_than_the_total_are_noticed() -> None:
    async with connected(positional(120, 50, total=130)) as b24:
        make = b24.actions.v2.call_list.make
        with pytest.raises(ListChangedError) as caught:
            await make("task.item.list", [{}, {}, {}])
        assert len(caught.value.rows) == 120
        assert len((await make("task.item.list", [{}, {}, {}], allow_changes=True)).result) == 120


# --- bounds and conditions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paging", [None, "keyset"])
@pytest.mark.parametrize(
    ("bound", "wanted"),
    [({">id": 100}, range(101, 201)), ({">Id": "100"}, range(101, 201)), ({"<=id": 60}, range(1, 61))],
)
async def test_b1_a_bound_of_the_callers_in_another_case_is_kept(bound: Any, wanted: range, paging: Any) -> None:
    portal = fake_portal()
    rows = [{"ID": str(number)} for number in range(1, 201)]

    def answer(params: dict[str, Any]) -> Reply:
        # As Bitrix24 does: names in any case are one condition, of which the last counts.
        conditions = {str(name).upper(): int(value) for name, value in dict(params.get("filter") or {}).items()}
        found = [
            row
            for row in rows
            if int(row["ID"]) > conditions.get(">ID", 0) and int(row["ID"]) <= conditions.get("<=ID", 10**9)
        ]
        return Reply(result=found[:50], total=len(found))

    portal.method("crm.deal.list", answer)
    async with connected(portal) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", {"filter": bound}, paging=paging)).result
    assert [int(row["ID"]) for row in found] == list(wanted)


async def test_b1_a_bound_in_two_spellings_is_refused_unsent() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(InvalidParamsError, match="two spellings"):
            await b24.actions.v2.call_list.make("crm.deal.list", {"filter": {">id": 1, ">ID": 2}})
    assert not portal.requests


@pytest.mark.parametrize(
    "conditions", [{"ACTIVE": True}, {"ACTIVE": True, "sort": "ID", "order": "ASC"}, {"ADMIN_MODE": True}]
)
async def test_b1_conditions_beside_the_filter_are_not_lost_to_a_cursor(conditions: dict[str, Any]) -> None:
    portal = fake_portal()
    rows = [{"ID": str(number), "ACTIVE": number % 2 == 0} for number in range(1, 201)]

    def answer(params: dict[str, Any]) -> Reply:
        # With a filter, the conditions beside it are ignored.
        filter_ = next((value for name, value in params.items() if name.lower() == "filter"), None)
        found = rows
        if filter_ is None and "ACTIVE" in params:
            found = [row for row in rows if row["ACTIVE"]]
        after = int((filter_ or {}).get(">ID", 0))
        start = max(0, int(params.get("start", 0)))
        found = [row for row in found if int(row["ID"]) > after]
        return Reply(result=found[start : start + 50], total=len(found))

    portal.method("user.get", answer)
    async with connected(portal) as b24:
        found = (await b24.actions.v2.call_list.make("user.get", conditions)).result
    assert [int(row["ID"]) for row in found] == list(range(2, 201, 2) if "ACTIVE" in conditions else range(1, 201))


@pytest.mark.parametrize("following", [True, False])
async def test_b1_a_short_page_does_not_end_a_list_that_says_there_is_more(following: bool) -> None:
    portal = fake_portal()
    rows = [{"ID": str(number)} for number in range(1, 121)]

    def answer(params: dict[str, Any]) -> Reply:
        assert portal.calls["crm.deal.list"] < 20
        after = int(params["filter"].get(">ID", 0))
        found = [row for row in rows if int(row["ID"]) > after]
        # Rows that the user may not see are taken off a page after it was read.
        return Reply(result=found[:40], next=50 if len(found) > 40 else None)

    portal.method("crm.deal.list", answer)
    async with connected(portal) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", pages_per_request=1 if following else 50)).result
    assert [int(row["ID"]) for row in found] == list(range(1, 121))
