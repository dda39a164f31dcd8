"""What callers write beside the walk: names in any case, filters with OR, orders, starts, selects and options."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from b24oauth import ConfigurationError, InvalidParamsError, ListChangedError
from b24oauth.errors import BadResponseError
from b24oauth.testing import FakePortal, ListShape
from tests.support.clients import connected, fake_portal
from tests.support.lists import ids, pages_of

pytestmark = pytest.mark.anyio


def bodies(portal: FakePortal, method: str) -> list[Any]:
    return [request.params for request in portal.requests if request.method == method.lower()]


async def rows(portal: FakePortal, method: str, params: Any = None, **options: Any) -> list[Any]:
    async with connected(portal) as b24:
        return (await b24.actions.v2.call_list.make(method, params, **options)).result


# --- case of names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["filter", "FILTER", "Filter"])
async def test_b1_a_filter_counts_in_any_case_of_its_name(name: str) -> None:
    portal = fake_portal(rows={"crm.contact": 200})
    found = await rows(portal, "crm.contact.list", {name: {"ASSIGNED_BY_ID": "3"}})
    assert ids(found) == [number for number in range(1, 201) if number % 7 == 2]
    assert [sorted(body) for body in bodies(portal, "crm.contact.list")] == [["filter", "order", "start"]]


async def test_b1_each_name_is_sent_once_in_the_documented_case() -> None:
    portal = fake_portal()
    shape = ListShape(filter="FILTER", order="ORDER", select="SELECT", parameter="START")
    portal.list_method("bizproc.task.list", shape, [{"ID": str(n), "STATUS": n % 2} for n in range(1, 91)])
    found = await rows(portal, "bizproc.task.list", {"filter": {"STATUS": 1}, "Select": ["STATUS"]})
    assert ids(found) == list(range(1, 91, 2))
    assert [sorted(body) for body in bodies(portal, "bizproc.task.list")] == [["FILTER", "ORDER", "SELECT", "START"]]


async def test_an_undocumented_method_gets_the_callers_spelling() -> None:
    portal = fake_portal()
    portal.list_method("my.list", ListShape(filter="FILTER"), [{"ID": str(n)} for n in range(1, 131)])
    assert ids(await rows(portal, "my.list", {"FILTER": {">ID": 10}})) == list(range(11, 131))


@pytest.mark.parametrize("twice", [{"filter": {}, "FILTER": {}}, {"Order": {}, "order": {}}, {"START": 0, "start": 50}])
@pytest.mark.parametrize("method", ["crm.deal.list", "user.get", "my.list"])
async def test_b1_one_name_in_two_spellings_is_refused_unsent(twice: dict[str, Any], method: str) -> None:
    portal = fake_portal()
    with pytest.raises(InvalidParamsError, match="are one parameter"):
        await rows(portal, method, twice)
    assert portal.requests == []


@pytest.mark.parametrize("name", ["Filter", "SELECT", "Order", "paginatION"])
async def test_b1_a_v3_name_in_another_case_is_refused_unsent(name: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(InvalidParamsError, match=f"`{name}`.*`{name.lower()}`"):
            await b24.actions.v3.call_list.make("tasks.task.list", {name: []})
    assert portal.requests == []


# --- filters with logic ----------------------------------------------------------------------------------------------

ALTERNATIVES = {"logic": "OR", "0": {"=stageId": "DT128_1:NEW"}, "1": {"=assignedById": "3"}}
EITHER = [number for number in range(1, 301) if number % 5 == 0 or number % 7 == 2]


@pytest.mark.parametrize(
    "filter_", [ALTERNATIVES, {"0": ALTERNATIVES}, [ALTERNATIVES], {**ALTERNATIVES, "logic": "or"}]
)
async def test_b1_alternatives_stay_alternatives_beside_the_cursor(filter_: Any) -> None:
    portal = fake_portal(rows={"crm.item": 300})
    found = await rows(portal, "crm.item.list", {"entityTypeId": 128, "filter": filter_})
    assert ids(found, "id") == EITHER
    assert len(portal.requests) == 2


async def test_b1_a_bound_inside_alternatives_is_not_the_start_of_the_walk() -> None:
    portal = fake_portal(rows={"crm.item": 300})
    own = {"logic": "OR", ">id": 290, "=assignedById": "3"}
    found = await rows(portal, "crm.item.list", {"entityTypeId": 128, "filter": own})
    assert ids(found, "id") == [number for number in range(1, 301) if number > 290 or number % 7 == 2]


async def test_a_plain_filter_stays_flat() -> None:
    portal = fake_portal(rows={"crm.item": 300})
    await rows(portal, "crm.item.list", {"entityTypeId": 128, "filter": {"=stageId": "DT128_1:NEW"}})
    assert bodies(portal, "crm.item.list")[0]["filter"] == {"=stageId": "DT128_1:NEW", ">id": 0}


@pytest.mark.parametrize("logic", ["LOGIC", "logic"])
async def test_b1_logic_elsewhere_is_sent_untouched_and_read_by_position(logic: str) -> None:
    portal = fake_portal()
    own = {logic: "OR", "0": {"NAME": "a"}, "1": {"NAME": "b"}}
    everything = [{"ID": str(n), "NAME": "abc"[n % 3]} for n in range(1, 301)]
    portal.list_method("crm.deal.list", ListShape(groups=True), everything)
    found = await rows(portal, "crm.deal.list", {"filter": own})
    assert found == [row for row in everything if row["NAME"] != "c"]
    sent = portal.requests[0].params
    assert sent["filter"] == own
    assert "order" not in sent
    with pytest.raises(ConfigurationError, match="logic"):
        await rows(portal, "crm.deal.list", {"filter": own}, paging="keyset")


# --- the end of a walk by position -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 30, 49, 50, 51, 99, 100, 130])
@pytest.mark.parametrize("total", ["right", None, 0, -1, 50])
@pytest.mark.parametrize("following", [True, False])
@pytest.mark.parametrize("whole_pages", [True, False])
async def test_b1_a_walk_by_position_ends_where_the_rows_end(
    count: int, total: Any, following: bool, whole_pages: bool
) -> None:
    portal = fake_portal()
    shape = ListShape(total=total, following=following, whole_pages=whole_pages)
    everything = [{"TYPE_ID": str(n), "ENTITY_ID": str(n)} for n in range(count)]
    portal.list_method("crm.address.list", shape, everything)
    assert await rows(portal, "crm.address.list") == everything


@pytest.mark.parametrize("size", [10, 20, 100])
@pytest.mark.parametrize("count", [30, 130, 200])
async def test_b1_pages_of_an_undocumented_size_are_read_to_the_end(size: int, count: int) -> None:
    portal = fake_portal()
    portal.list_method("my.list", ListShape(page_size=size, total=None, following=False), list(range(count)))
    assert await rows(portal, "my.list") == list(range(count))


async def test_b1_a_page_that_comes_again_is_an_error_when_more_is_announced() -> None:
    portal = fake_portal()
    portal.list_method("my.list", ListShape(parameter="offset"), [{"ID": n} for n in range(130)])
    with pytest.raises(BadResponseError, match="the same 50 rows again"):
        await rows(portal, "my.list")


async def test_b1_a_repeated_full_page_without_a_total_is_not_the_whole_list() -> None:
    portal = fake_portal()
    shape = ListShape(paging="page", parameter="page", total=None, following=False)
    portal.list_method("my.list", shape, [{"ID": n} for n in range(130)])
    with pytest.raises(BadResponseError, match="its own paging parameters"):
        await rows(portal, "my.list")


@pytest.mark.parametrize("count", [7, 130])
async def test_a_method_that_answers_everything_at_once_is_read_whole(count: int) -> None:
    portal = fake_portal()
    portal.method("my.list", lambda _: [{"ID": n} for n in range(count)])
    assert len(await rows(portal, "my.list")) == count


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ({"items": [{"a": 1}], "users": {}}, [{"a": 1}]),
        ({"items": [{"a": 1}], "names": ["x"], "more": []}, [{"a": 1}]),
        ({"items": []}, []),
        ([], []),
        ({"7": {"a": 1}, "9": {"a": 2}}, [{"a": 1}, {"a": 2}]),
    ],
)
async def test_rows_are_the_only_list_of_mappings(result: Any, expected: Any) -> None:
    portal = fake_portal()
    portal.method("my.list", lambda _: result)
    assert await rows(portal, "my.list") == expected


@pytest.mark.parametrize(
    "result", [{"a": [{"x": 1}], "b": [{"y": 1}]}, {"a": 1}, None, True, "text", {"a": [], "b": []}]
)
async def test_rows_that_cannot_be_told_are_refused_with_the_remedy(result: Any) -> None:
    portal = fake_portal()
    portal.method("my.list", lambda _: result)
    with pytest.raises(BadResponseError, match="custom_key_for_result"):
        await rows(portal, "my.list")


# --- order and start -------------------------------------------------------------------------------------------------


def newest(count: int) -> list[dict[str, Any]]:
    return [{"ID": str(n), "DATE_CREATE": f"2024-01-01T00:{count - n:06}"} for n in range(1, count + 1)]


@pytest.mark.parametrize("name", ["order", "ORDER"])
async def test_b1_another_order_is_honoured_by_position_in_batches(name: str) -> None:
    portal = fake_portal(rows={"crm.deal": 300})
    found = await rows(portal, "crm.deal.list", {name: {"STAGE_ID": "DESC", "ID": "DESC"}})
    stages = [row["STAGE_ID"] for row in found]
    assert stages == sorted(stages, reverse=True)
    assert sorted(ids(found)) == list(range(1, 301))
    assert [request.method for request in portal.requests] == ["crm.deal.list", "batch"]


async def test_b1_the_first_rows_of_an_order_are_its_first() -> None:
    portal = fake_portal(rows={"crm.deal": 300})
    found = await rows(portal, "crm.deal.list", {"order": {"OPPORTUNITY": "DESC"}}, max_items=3)
    assert ids(found) == [300, 299, 298]


@pytest.mark.parametrize(
    ("method", "params", "shape"),
    [
        ("lists.element.get", {"ELEMENT_ORDER": {"NAME": "DESC"}}, ListShape(order="ELEMENT_ORDER", filter="FILTER")),
        ("lists.get", {"iblock_order": {"NAME": "DESC"}}, ListShape(order="IBLOCK_ORDER")),
        ("entity.item.get", {"SORT": {"NAME": "DESC"}}, ListShape(order="SORT", filter="FILTER")),
        ("voximplant.statistic.get", {"SORT": "NAME", "ORDER": "DESC"}, ListShape(sort="SORT", order="ORDER")),
        ("user.get", {"sort": "NAME", "order": "DESC"}, ListShape(sort="sort", order="order", filter="FILTER")),
        ("my.list", {"sort": {"NAME": "DESC"}}, ListShape(order="sort")),
    ],
)
async def test_b1_an_order_counts_under_whatever_name_the_method_has_for_it(
    method: str, params: dict[str, Any], shape: ListShape
) -> None:
    portal = fake_portal()
    portal.list_method(method, shape, [{"ID": str(n), "NAME": f"{n * 7 % 131:03}"} for n in range(1, 131)])
    found = [row["NAME"] for row in await rows(portal, method, params)]
    assert found == sorted(found, reverse=True)
    assert len(found) == 130


@pytest.mark.parametrize(
    ("method", "name", "right"),
    [
        ("lists.element.get", "order", "ELEMENT_ORDER"),
        ("lists.get", "Order", "IBLOCK_ORDER"),
        ("entity.item.get", "order", "SORT"),
        ("crm.deal.list", "sort", "order"),
    ],
)
async def test_b1_an_order_under_a_name_that_the_method_ignores_is_refused(method: str, name: str, right: str) -> None:
    portal = fake_portal()
    for way in ({"NAME": "ASC"}, {"ID": "DESC"}):
        with pytest.raises(InvalidParamsError, match=f"`{name}`.*`{right}`"):
            await rows(portal, method, {name: way})
    assert portal.requests == []


@pytest.mark.parametrize("way", ["ASC", "asc"])
async def test_an_ascending_order_by_the_identifier_is_the_walk_itself(way: str) -> None:
    portal = fake_portal(rows={"tasks.task": 130})
    found = await rows(portal, "tasks.task.list", {"order": {"id": way, "TITLE": "DESC"}})
    assert ids(found, "id") == list(range(1, 131))
    assert portal.requests[0].params["order"] == {"ID": "ASC"}


@pytest.mark.parametrize("count", [0, 3, 50, 130, 1000])
@pytest.mark.parametrize("asked", [{"descending": True}, {"params": {"order": {"ID": "DESC"}}}])
async def test_b1_the_newest_come_first_by_identifier(count: int, asked: dict[str, Any]) -> None:
    portal = fake_portal(rows={"crm.deal": count})
    found = await rows(portal, "crm.deal.list", **asked)
    assert ids(found) == list(range(count, 0, -1))
    starts = [request.params.get("start") for request in portal.requests if "cmd" not in request.params]
    assert starts == ([0, -1] if count == 50 else [0])


async def test_b1_a_descending_walk_continues_and_keeps_the_callers_bounds() -> None:
    portal = fake_portal(rows={"crm.deal": 1000})
    found = await rows(portal, "crm.deal.list", {"filter": {">ID": 300}}, descending=True, start_after="900")
    assert ids(found) == list(range(899, 300, -1))
    v3 = fake_portal(rows={"crm.deal": 1000})
    async with connected(v3) as b24:
        got = await b24.actions.v3.call_list.make("crm.deal.list", descending=True, start_after=100)
    assert [row["id"] for row in got.result] == list(range(99, 0, -1))


@pytest.mark.parametrize("start", [1, 20, 50, "70"])
async def test_b1_a_start_is_where_the_walk_starts(start: Any) -> None:
    portal = fake_portal(rows={"crm.deal": 300})
    assert ids(await rows(portal, "crm.deal.list", {"START": start})) == list(range(int(start) + 1, 301))


@pytest.mark.parametrize("start", [-1, "-1"])
async def test_a_start_without_a_count_leaves_the_walk_by_identifier(start: Any) -> None:
    portal = fake_portal(rows={"crm.deal": 30})
    await rows(portal, "crm.deal.list", {"start": start})
    assert portal.requests[0].params == {"filter": {">ID": 0}, "order": {"ID": "ASC"}, "start": 0}


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({"order": {"TITLE": "ASC"}}, {"paging": "keyset"}),
        ({"start": 20}, {"paging": "keyset"}),
        ({"order": {"TITLE": "ASC"}}, {"start_after": 5}),
        ({"start": 20}, {"descending": True}),
        ({"order": {"ID": "ASC"}}, {"descending": True}),
        ({}, {"paging": "offset", "descending": True}),
        ({"start": "abc"}, {}),
        ({"start": 1.5}, {}),
        ({"start": -7}, {}),
    ],
)
async def test_b1_what_a_walk_cannot_honour_is_refused_unsent(params: dict[str, Any], options: dict[str, Any]) -> None:
    portal = fake_portal()
    with pytest.raises((ConfigurationError, InvalidParamsError)):
        await rows(portal, "crm.deal.list", params, **options)
    assert portal.requests == []


async def test_b1_v3_lists_honour_an_order_and_a_page() -> None:
    portal = fake_portal(rows={"crm.deal": 130})
    async with connected(portal) as b24:
        v3 = b24.actions.v3
        ordered = (await v3.call_list.make("crm.deal.list", {"order": {"opportunity": "DESC"}})).result
        paged = (await v3.call_list.make("crm.deal.list", {"pagination": {"page": 3, "limit": 20}})).result
        by_id = (await v3.call_list.make("crm.deal.list", {"order": {"id": "DESC"}}, limit=7)).result
    assert [row["id"] for row in ordered] == list(range(130, 0, -1))
    assert [row["id"] for row in paged] == list(range(41, 131))
    assert [row["id"] for row in by_id] == list(range(130, 0, -1))


# --- rows that change while they are read by position ----------------------------------------------------------------


@pytest.mark.parametrize("change", ["delete", "add", "delete and add"])
async def test_b1_rows_that_change_before_the_front_are_noticed(change: str) -> None:
    portal = fake_portal(rows={"crm.deal": 300})
    table, seen = portal.rows("crm.deal"), list[Any]()
    async with connected(portal) as b24:
        pages = b24.actions.v2.fetch_list.make("crm.deal.list", {"order": {"OPPORTUNITY": "ASC"}}, pages_per_request=1)
        seen += await anext(pages)
        if "delete" in change:
            table.delete(7)
        if "add" in change:
            table.add({"OPPORTUNITY": "0.00" if change == "add" else "99999999.00"})
        with pytest.raises(ListChangedError, match="allow_changes"):
            await anext(pages)
    assert ids(seen) == list(range(1, 51))


async def test_b1_what_was_read_comes_with_the_error_of_an_eager_list() -> None:
    portal = fake_portal(rows={"crm.deal": 300})

    def tell(done: int, _total: int | None) -> None:
        if done == 50:
            portal.rows("crm.deal").delete(7)

    async with connected(portal) as b24:
        with pytest.raises(ListChangedError) as raised:
            await b24.actions.v2.call_list.make("crm.deal.list", {"start": 50}, on_progress=tell, pages_per_request=1)
    assert ids(raised.value.rows) == list(range(51, 101))
    assert raised.value.method == "crm.deal.list"


async def test_changes_may_be_allowed() -> None:
    portal = fake_portal(rows={"crm.deal": 300})
    seen = list[Any]()
    async with connected(portal) as b24:
        async for page in b24.actions.v2.fetch_list.make(
            "crm.deal.list", {"order": {"OPPORTUNITY": "ASC"}}, pages_per_request=1, allow_changes=True
        ):
            seen += page
            if len(seen) == 50:
                portal.rows("crm.deal").delete(7)
                portal.rows("crm.deal").add({"OPPORTUNITY": "-1.00"})
                portal.rows("crm.deal").add({"OPPORTUNITY": "-2.00"})
    assert set(range(1, 301)) == {number for number in ids(seen) if number <= 300}
    assert len(ids(seen)) == len(set(ids(seen)))


# --- select ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("select", [["TITLE"], ("TITLE",), ["TITLE", "ID"], ["*"], []])
async def test_b1_a_select_without_the_cursors_field_gets_it(select: Any) -> None:
    portal = fake_portal(rows={"crm.deal": 130})
    found = await rows(portal, "crm.deal.list", {"SELECT": select})
    assert ids(found) == list(range(1, 131))


async def test_b1_v3_selects_get_the_cursors_field() -> None:
    portal = fake_portal(rows={"crm.deal": 130, "main.eventlog": 130})
    async with connected(portal) as b24:
        v3 = b24.actions.v3
        deals = (await v3.call_list.make("crm.deal.list", {"select": ["title"]})).result
        events = (await v3.call_tail.make("main.eventlog.tail", {"select": ["auditTypeId"]})).result
    assert [row["id"] for row in deals] == [row["id"] for row in events] == list(range(1, 131))
    assert set(events[0]) == {"auditTypeId", "id"}


async def test_a_single_complete_page_needs_no_identifiers() -> None:
    portal = fake_portal()
    portal.method("crm.deal.list", lambda _: [{"TITLE": "a"}, {"TITLE": "b"}])
    portal.method("my.v3.list", lambda call: {"items": [{"name": "a"}] if "offset" not in call["pagination"] else []})
    assert len(await rows(portal, "crm.deal.list")) == 2
    async with connected(portal) as b24:
        assert (await b24.actions.v3.call_list.make("my.v3.list")).result == [{"name": "a"}]


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_items", -1),
        ("max_items", "10"),
        ("max_items", 1.5),
        ("max_items", True),
        ("pages_per_request", -1),
        ("pages_per_request", 0),
        ("pages_per_request", 51),
        ("pages_per_request", "3"),
        ("concurrency", 0),
        ("start_after", "abc"),
        ("start_after", -5),
        ("start_after", 1.5),
        ("paging", "cursor"),
        ("id_key", ""),
        ("custom_key_for_result", 5),
    ],
)
async def test_an_option_that_no_list_can_honour_is_refused_unsent_by_its_name(name: str, value: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match=name):
            await b24.actions.v2.call_list.make("crm.deal.list", **{name: value})
        with pytest.raises(ConfigurationError, match=name):
            await pages_of(b24.actions.v2.fetch_list.make("crm.deal.list", **{name: value}))
    assert portal.requests == []


@pytest.mark.parametrize("name", ["limit", "max_items"])
async def test_v3_options_are_checked_too(name: str) -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(ConfigurationError, match=name):
            await b24.actions.v3.call_list.make("crm.deal.list", **{name: -1})
        with pytest.raises(ConfigurationError, match=name):
            await b24.actions.v3.call_tail.make("main.eventlog.tail", **{name: -1})


@pytest.mark.parametrize("start_after", [100, "100"])
async def test_a_walk_continues_after_an_identifier_as_number_or_text(start_after: Any) -> None:
    portal = fake_portal(rows={"crm.deal": 130})
    assert ids(await rows(portal, "crm.deal.list", start_after=start_after)) == list(range(101, 131))


async def test_no_rows_wanted_is_no_request() -> None:
    portal = fake_portal()
    assert await rows(portal, "crm.deal.list", max_items=0) == []
    assert portal.requests == []


# --- portals that do not follow identifiers --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [30, 130])
@pytest.mark.parametrize("ignored", ["filter", "order"])
async def test_b1_a_portal_that_ignores_the_cursor_is_read_by_position(count: int, ignored: str) -> None:
    portal = fake_portal()
    shape = ListShape(rows_key="prices", id_key="id", order_field="id", filter_field="id", newest_first=True)
    changes = {"filter_field": ""} if ignored == "filter" else {"order": "sorting"}
    portal.list_method("catalog.price.list", attrs.evolve(shape, **changes), [{"id": n} for n in range(1, count + 1)])
    found = await rows(portal, "catalog.price.list")
    assert sorted(ids(found, "id")) == list(range(1, count + 1))


@pytest.mark.parametrize("options", [{"paging": "keyset"}, {"start_after": 3}])
async def test_b1_who_insists_on_identifiers_gets_an_error_there(options: dict[str, Any]) -> None:
    portal = fake_portal()
    shape = ListShape(rows_key="prices", id_key="id", order_field="id", filter_field="")
    portal.list_method("catalog.price.list", shape, [{"id": n} for n in range(1, 131)])
    with pytest.raises(BadResponseError, match=r"does not advance|order of `id`"):
        await rows(portal, "catalog.price.list", **options)


async def test_b1_a_field_that_filters_everything_away_is_not_an_empty_list() -> None:
    portal = fake_portal(rows={"crm.deal": 130})
    assert len(await rows(portal, "crm.deal.list", id_key="NOPE")) == 130
    with pytest.raises(BadResponseError, match="returns none when they are filtered by `NOPE`"):
        await rows(portal, "crm.deal.list", id_key="NOPE", paging="keyset")
