import pytest

from b24oauth.testing import FakePortal, VirtualClock
from tests.testing.calls import Caller, error

pytestmark = pytest.mark.anyio


def ids(rows, key="ID"):
    return [int(row[key]) for row in rows]


async def test_pages_of_fifty_with_total_and_next(caller):
    pages = [(await caller.v2("crm.deal.list", {"start": start})).json() for start in (0, 50, 100)]
    assert [len(page["result"]) for page in pages] == [50, 50, 20]
    assert [page.get("next") for page in pages] == [50, 100, None]
    assert {page["total"] for page in pages} == {120}


async def test_start_minus_one_counts_nothing(caller):
    answer = (await caller.v2("crm.deal.list", {"start": -1, "filter": {">ID": 118}, "order": {"ID": "ASC"}})).json()
    assert ids(answer["result"]) == [119, 120]
    assert not answer.keys() & {"total", "next"}


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ({"ID": 5}, [5]),
        ({"=ID": "5"}, [5]),
        ({"ID": [7, 5, 999]}, [5, 7]),
        ({"@ID": ["5", "6"]}, [5, 6]),
        ({">ID": 118}, [119, 120]),
        ({">=ID": "119"}, [119, 120]),
        ({"<ID": 3}, [1, 2]),
        ({"<=ID": 2}, [1, 2]),
        ({">ID": 5, "<ID": 9, "!ID": 7}, [6, 8]),
        ({"<=ID": 5, "!@ID": [1, 2]}, [3, 4, 5]),
        ({"<=ID": 10, "STAGE_ID": "NEW"}, [5, 10]),
        ({"<=ID": 4, "!STAGE_ID": ["PREPARATION", "WON"]}, [2, 4]),
        ({"%TITLE": "deal 11", "<ID": 112}, [11, 110, 111]),
        ({"<ID": 13, "!%TITLE": "deal 1"}, [2, 3, 4, 5, 6, 7, 8, 9]),
        ({"><OPPORTUNITY": [300, 500]}, [3, 4, 5]),
        ({">OPPORTUNITY": "11850.00"}, [119, 120]),
        ({"COMMENTS": "x"}, []),
    ],
)
async def test_v2_filters(caller, filter_, expected):
    assert ids(await caller.result("crm.deal.list", {"filter": filter_})) == expected


async def test_an_empty_bound_selects_from_the_start(caller):
    assert ids(await caller.result("crm.deal.list", {"filter": {">ID": ""}, "start": -1}))[:2] == [1, 2]


async def test_order_and_select_are_honoured(caller):
    params = {"order": {"STAGE_ID": "ASC", "ID": "DESC"}, "filter": {"<=ID": 10}, "select": ["ID", "STAGE_ID"]}
    rows = await caller.result("crm.deal.list", params)
    assert ids(rows) == [7, 2, 9, 4, 10, 5, 6, 1, 8, 3]
    assert set(rows[0]) == {"ID", "STAGE_ID"}


async def test_items_and_types_are_wrapped_and_have_small_ids(caller):
    items = await caller.result("crm.item.list", {"filter": {">id": 118}, "order": {"id": "DESC"}})
    assert ids(items["items"], "id") == [120, 119]
    assert ids((await caller.result("crm.type.list"))["types"], "id") == [1, 2, 3]


async def test_tasks_are_filtered_by_capital_names_and_answer_small_ones(caller):
    params = {"filter": {">ID": 118}, "order": {"ID": "DESC"}, "select": ["ID", "RESPONSIBLE_ID"]}
    tasks = (await caller.result("tasks.task.list", params))["tasks"]
    assert tasks == [{"id": "120", "responsibleId": "2"}, {"id": "119", "responsibleId": "1"}]


async def test_users_and_departments_take_top_level_filters_sort_and_order(caller):
    users = await caller.result("user.get", {"SORT": "ID", "ORDER": "DESC", "UF_DEPARTMENT": [1], "start": 0})
    assert users == []
    assert ids(await caller.result("user.get", {"SORT": "ID", "ORDER": "DESC", ">ID": 5})) == [7, 6]
    assert ids(await caller.result("user.get", {"filter": {">ID": 5}})) == [6, 7]
    assert ids(await caller.result("department.get", {"PARENT": "2"})) == [4, 5]


async def test_rows_of_a_test_have_gaps_and_may_change_between_pages(caller, portal):
    portal.rows("crm.deal", ids=range(10, 1000, 10))
    first = ids(await caller.result("crm.deal.list", {"start": -1}))
    portal.rows("crm.deal").delete(510)
    second = ids(await caller.result("crm.deal.list", {"start": -1, "filter": {">ID": first[-1]}}))
    assert (first[-1], second[0]) == (500, 520)


async def test_a_million_rows_are_paged_at_once():
    portal = FakePortal(clock=VirtualClock(), rows={"crm.deal": 1_000_000})
    async with Caller(portal) as caller:
        answer = (await caller.v2("crm.deal.list", {"start": 999_950})).json()
    assert (len(answer["result"]), answer["total"], answer.get("next")) == (50, 1_000_000, None)


async def test_unknown_tables_are_refused_by_name(portal):
    with pytest.raises(KeyError, match=r"crm\.deals"):
        portal.rows("crm.deals")
    with pytest.raises(ValueError, match=r"crm\.deals"):
        FakePortal(rows={"crm.deals": 1})


async def test_positional_lists_page_by_nav_params(caller, portal):
    portal.rows("task.elapseditem", ids=range(10, 1010, 10))
    nav = {"NAV_PARAMS": {"nPageSize": 50, "iNumPage": 2}}
    body = {"TASKID": 1, "ORDER": {"ID": "ASC"}, "FILTER": {}, "SELECT": ["ID"], "PARAMS": nav}
    answer = (await caller.v2("task.elapseditem.getlist", body)).json()
    assert (answer["result"][0], len(answer["result"]), answer["total"]) == ({"ID": "510"}, 50, 100)


async def test_positional_lists_break_on_telemetry_and_on_another_order(caller):
    assert error(await caller.v2("task.elapseditem.getlist", {"TASKID": 1}, query="?bx24_sdk_ver=1")) == (
        400,
        "WRONG_ARGUMENTS",
    )
    assert error(await caller.v2("task.elapseditem.getlist", {"ORDER": {}, "TASKID": 1}))[1] == "WRONG_ARGUMENTS"


@pytest.mark.parametrize(
    ("filter_", "expected"),
    [
        ([["id", "=", 5]], [5]),
        ([["id", 5]], [5]),
        ([["id", ">", 118]], [119, 120]),
        ([["id", "in", [3, 1]]], [1, 3]),
        ([["id", "between", [3, 5]]], [3, 4, 5]),
        ([["id", "<", 10], ["priority", "!=", "0"], ["status", ">=", 4]], [4, 8]),
        ([{"logic": "or", "conditions": [["id", "=", 1], ["id", ">=", 120]]}], [1, 120]),
        ([{"logic": "and", "conditions": [["id", ">", 2]], "negative": True}], [1, 2]),
        ([["id", "<", 9], {"logic": "or", "conditions": [{"conditions": [["id", "=", 4]]}, ["id", 6]]}], [4, 6]),
    ],
)
async def test_v3_filters(caller, filter_, expected):
    assert ids(await caller.items("tasks.task.list", {"filter": filter_}), "id") == expected


@pytest.mark.parametrize("filter_", [{"id": 1}, [["id", "~", 1]], [5], ["id"]])
async def test_v3_refuses_filters_of_another_shape(caller, filter_):
    assert error(await caller.v3("tasks.task.list", {"filter": filter_}))[0] == 400


async def test_v3_pages_by_page_and_by_offset(caller):
    async def page(**pagination):
        return ids(await caller.items("main.eventlog.list", {"pagination": pagination}), "id")

    assert await page(page=1, limit=3) == await page(page=0, limit=3) == [1, 2, 3]
    assert await page(page=2, limit=3) == [4, 5, 6]
    assert await page(limit=2, offset=10) == [11, 12]
    assert len(await page()) == 50


async def test_v3_pages_are_capped_by_method_and_limits_refused_beyond_a_thousand(caller):
    big = {"pagination": {"limit": 1000}}
    assert len(await caller.items("tasks.task.list", big)) == 50
    assert len(await caller.items("main.eventlog.list", big)) == 120
    assert error(await caller.v3("main.eventlog.list", {"pagination": {"limit": 1001}}))[0] == 400


async def test_v3_orders_and_selects(caller):
    params = {"order": {"id": "DESC"}, "select": ["id"], "pagination": {"limit": 2}}
    assert await caller.items("tasks.task.list", params) == [{"id": 120}, {"id": 119}]


async def test_v3_deals_are_filtered_by_modern_names(caller):
    items = await caller.items("crm.deal.list", {"filter": [["stageId", "=", "NEW"]], "select": ["id", "stageId"]})
    assert items[:2] == [{"id": 5, "stageId": "NEW"}, {"id": 10, "stageId": "NEW"}]


async def test_tails_follow_a_cursor_in_both_directions(caller):
    async def tail(**cursor):
        return ids(await caller.items("main.eventlog.tail", {"cursor": {"field": "id", "limit": 2, **cursor}}), "id")

    assert await tail(value=0) == [1, 2]
    assert await tail(value=118, order="ASC", limit=5) == [119, 120]
    assert await tail(order="DESC") == [120, 119]
    assert await tail(order="DESC", value=3) == [2, 1]


async def test_the_field_of_a_cursor_must_not_be_filtered(caller):
    body = {"cursor": {"field": "id", "value": 0}, "filter": [["id", ">", 5]]}
    assert error(await caller.v3("main.eventlog.tail", body))[0] == 400


async def test_aggregates(caller):
    select = {
        "count": ["id"],
        "countDistinct": ["severity"],
        "sum": ["id"],
        "min": ["id"],
        "max": ["id"],
        "avg": ["id"],
    }
    body = {"select": select, "filter": [["id", "<=", 4]]}
    result = (await caller.v3("main.eventlog.aggregate", body)).json()["result"]["result"]
    assert result == {
        "count": {"id": 4},
        "countDistinct": {"severity": 3},
        "sum": {"id": 10},
        "min": {"id": 1},
        "max": {"id": 4},
        "avg": {"id": 2.5},
    }
    assert error(await caller.v3("main.eventlog.aggregate", {"select": {"median": ["id"]}}))[0] == 400


async def test_the_event_log_cannot_be_written(caller):
    assert error(await caller.v3("main.eventlog.add", {"fields": {}}))[0] == 404


async def test_counting_takes_time_for_the_rows_that_are_counted_and_skipped():
    portal = FakePortal(clock=VirtualClock(), rows={"crm.deal": 10_000}, count_latency=0.1)
    caller = Caller(portal)
    for start, seconds in ((-1, 0.0), (0, 1.0), (5_000, 1.5)):
        begun = portal.clock.now()
        answer = (await caller.v2("crm.deal.list", {"start": start})).json()
        assert portal.clock.now() - begun == pytest.approx(seconds)
        assert answer["time"]["duration"] == pytest.approx(seconds)
