"""Lists that are read by position, at portals that are awkward about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from b24oauth import ListChangedError
from b24oauth.errors import BadResponseError
from b24oauth.testing import FakePortal, ListShape
from tests.support.clients import connected, fake_portal
from tests.support.lists import ids

pytestmark = pytest.mark.anyio

METHOD = "crm.deal.list"


def deals(count: int) -> list[dict[str, Any]]:
    return [{"ID": str(n), "STAGE_ID": "NEW", "TITLE": f"{n * 7 % 131:03}"} for n in range(1, count + 1)]


async def read(portal: FakePortal, method: str, params: dict[str, Any], **options: Any) -> list[Any]:
    async with connected(portal) as b24:
        return (await b24.actions.v2.call_list.make(method, params, **options)).result


@pytest.mark.parametrize("total", ["right", None, 50])
@pytest.mark.parametrize("following", [True, False])
@pytest.mark.parametrize("whole_pages", [True, False])
async def test_b1_equal_rows_are_told_apart_by_an_identifier_that_select_leaves_out(
    total: Any, following: bool, whole_pages: bool
) -> None:
    portal = fake_portal()
    shape = ListShape(select="select", total=total, following=following, whole_pages=whole_pages)
    portal.list_method(METHOD, shape, deals(200))
    found = await read(portal, METHOD, {"order": {"TITLE": "ASC"}, "select": ["STAGE_ID"]})
    assert len(found) == 200


@pytest.mark.parametrize("start", [1, 20, 49, 51, 120, 199, 200, 260])
@pytest.mark.parametrize("whole_pages", [True, False])
@pytest.mark.parametrize(("method", "size"), [(METHOD, 50), ("my.list", 50), ("my.list", 20), ("my.list", 100)])
async def test_b1_a_start_between_two_pages_is_honoured_where_the_portal_rounds_it_down(
    start: int, whole_pages: bool, method: str, size: int
) -> None:
    portal = fake_portal()
    portal.list_method(method, ListShape(whole_pages=whole_pages, page_size=size), deals(200))
    found = await read(portal, method, {"start": start})
    assert ids(found) == list(range(start + 1, 201))


@pytest.mark.parametrize("size", [10, 20, 25, 100])
@pytest.mark.parametrize("following", [True, False])
async def test_b1_pages_of_any_size_are_read_where_the_portal_counts_in_whole_pages(size: int, following: bool) -> None:
    portal = fake_portal()
    portal.list_method("my.list", ListShape(page_size=size, whole_pages=True, following=following), deals(130))
    assert ids(await read(portal, "my.list", {})) == list(range(1, 131))


@pytest.mark.parametrize("count", [50, 51, 130])
async def test_b1_a_total_that_is_always_the_same_ends_no_walk_of_small_pages(count: int) -> None:
    portal = fake_portal()
    shape = ListShape(page_size=10, whole_pages=True, total=50, following=False)
    portal.list_method("my.list", shape, deals(count))
    assert ids(await read(portal, "my.list", {})) == list(range(1, count + 1))


@pytest.mark.parametrize(
    ("params", "count", "told"),
    [({}, 30, (30, 30)), ({"start": 100}, 250, (150, 150)), ({"start": 20}, 250, (230, 230)), ({}, 120, (120, 120))],
)
async def test_progress_ends_with_as_many_rows_as_it_announces(
    params: dict[str, Any], count: int, told: tuple[int, int]
) -> None:
    portal, calls = fake_portal(rows={"crm.deal": count}), list[tuple[int, int | None]]()
    await read(portal, METHOD, params, paging="offset", on_progress=lambda *facts: calls.append(facts))
    assert calls[-1] == told
    assert {total for _, total in calls} == {told[1]}


@pytest.mark.parametrize("total", ["right", None, 50])
@pytest.mark.parametrize("whole_pages", [True, False])
async def test_b1_rows_that_cannot_be_told_apart_are_all_read_or_refused(total: Any, whole_pages: bool) -> None:
    portal = fake_portal()
    shape = ListShape(
        select="select", filter_field="", total=total, following=total == "right", whole_pages=whole_pages
    )
    equal = [{"TYPE_ID": 1 + (n > 120), "CITY": f"c{n}"} for n in range(200)]
    portal.list_method("crm.address.list", shape, equal)
    with pytest.raises(BadResponseError, match=r"Add fields to `select`"):
        await read(portal, "crm.address.list", {"select": ["TYPE_ID"]})
    different = [{"TYPE_ID": 1, "CITY": f"c{n // 49}"} for n in range(200)]
    portal.list_method("crm.address.list", shape, different)
    assert len(await read(portal, "crm.address.list", {"select": ["CITY"]})) == 200


async def read_while(portal: FakePortal, change: Callable[[], object], **options: Any) -> list[Any]:
    """Reads the deals in another order, page by page, and changes them behind the first page."""

    def tell(done: int, _total: int | None) -> None:
        if done == 50:
            change()

    params = {"order": {"OPPORTUNITY": "ASC"}}
    return await read(portal, METHOD, params, pages_per_request=1, on_progress=tell, **options)


async def test_b1_a_row_that_is_deleted_behind_the_front_changes_the_total() -> None:
    portal = fake_portal(rows={"crm.deal": 300})
    with pytest.raises(ListChangedError) as raised:
        await read_while(portal, lambda: portal.rows("crm.deal").delete(250))
    assert ids(raised.value.rows) == list(range(1, 51))


async def test_b1_a_list_that_ends_before_the_front_has_changed() -> None:
    portal = fake_portal(rows={"crm.deal": 300})

    def shrink() -> None:
        portal.rows("crm.deal", ids=range(1, 10))

    with pytest.raises(ListChangedError):
        await read_while(portal, shrink)
    portal.rows("crm.deal", ids=range(1, 301))
    assert ids(await read_while(portal, shrink, allow_changes=True)) == list(range(1, 51))


async def test_a_flag_for_no_more_rows_ends_a_walk() -> None:
    portal = fake_portal()
    portal.method("my.list", lambda _: {"items": deals(20), "hasNextPage": False})
    assert ids(await read(portal, "my.list", {})) == list(range(1, 21))
    assert portal.calls["my.list"] == 1


async def test_pages_of_one_row_are_read_without_repeating_it() -> None:
    portal = fake_portal()
    portal.list_method("my.list", ListShape(page_size=1, total=None, following=False), deals(7))
    assert ids(await read(portal, "my.list", {})) == list(range(1, 8))


async def test_b1_a_page_that_is_shorter_than_one_other_ends_no_walk() -> None:
    rows, sizes = deals(200), iter([30, 20, 20, 20, 20])
    portal = fake_portal()

    def answer(params: dict[str, Any]) -> list[Any]:
        start = int(params.get("start", 0))
        return rows[start : start + next(sizes, 50)]

    portal.method("my.list", answer)
    assert ids(await read(portal, "my.list", {})) == list(range(1, 201))
