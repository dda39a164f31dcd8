from urllib.parse import quote

import pytest

from b24oauth.testing import FakePortal, VirtualClock
from tests.testing.calls import Caller, error

pytestmark = pytest.mark.anyio


async def test_a_list_of_commands_answers_lists(caller, portal):
    answer = await caller.batch(["crm.deal.get?id=3", "profile"])
    assert [row["ID"] for row in answer["result"]] == ["3", "1"]
    assert answer["result_error"] == answer["result_total"] == answer["result_next"] == []
    assert len(answer["result_time"]) == 2
    assert portal.calls == {"batch": 1, "crm.deal.get": 1, "profile": 1}


async def test_a_map_of_commands_answers_maps(caller):
    answer = await caller.batch({"deals": "crm.deal.list?filter[%3EID]=60", "me": "profile"})
    assert set(answer["result"]) == {"deals", "me"}
    assert (answer["result_total"], answer["result_next"]) == ({"deals": 60}, {"deals": 50})


async def test_a_form_carries_commands_too(caller, portal):
    form = {"cmd[a]": "crm.deal.get?id=3", "halt": "0", "auth": caller.pair.access_token}
    answer = await caller.http.post(portal.client_endpoint + "batch", data=form)
    assert answer.json()["result"]["result"]["a"]["ID"] == "3"


async def test_a_failure_leaves_a_gap_and_hides_nothing_else(caller):
    answer = await caller.batch(["crm.deal.get?id=1", "no.such", "crm.deal.get?id=2"])
    assert list(answer["result"]) == ["0", "2"]
    assert answer["result_error"] == {
        "1": {"error": "ERROR_METHOD_NOT_FOUND", "error_description": "Method not found!"}
    }


@pytest.mark.parametrize(("halt", "ran"), [(0, 2), ("0", 2), (False, 2), (1, 1), ("1", 1), (True, 1), ("false", 1)])
async def test_halt_is_read_as_php_reads_it(caller, portal, halt, ran):
    await caller.batch(["crm.deal.get?id=1", "no.such", "crm.deal.get?id=2"], halt=halt)
    assert portal.executed["crm.deal.get"] == ran


async def test_references_follow_earlier_results(caller):
    page = "crm.deal.list?start=-1&order[ID]=ASC&filter[%3EID]="
    answer = await caller.batch({"a": page + "0", "b": page + "$result[a][49][ID]", "c": page + "$result[b][49][ID]"})
    assert [rows[0]["ID"] for rows in answer["result"].values()] == ["1", "51", "101"]


@pytest.mark.parametrize(
    ("written", "title"),
    [
        ("Task $result[0][tasks][0][id]", "Task 120"),
        ("$result[0][tasks][0][id] is a task", "120 is a task"),
        ("Task $result[0][tasks][0][id]! really", "Task 120 really"),
        ("$total[0] tasks", "120 tasks"),
        ("$result.anything[0][tasks][0][id] is read too", "120 is read too"),
        ("Of 5 $result[0][tasks] rows", "Of 5 $result[0][tasks] rows"),
        ("$result[nothing][id] is left", "$result[nothing][id] is left"),
        ("$RESULT[0][tasks][0][id] is left", "$RESULT[0][tasks][0][id] is left"),
        ("$result is a word, and $5[net] a price", "$result is a word, and $5[net] a price"),
    ],
)
async def test_a_reference_inside_a_text_is_read_up_to_the_next_space(caller, written, title):
    add = f"crm.deal.add?fields[TITLE]={quote(written)}"
    answer = await caller.batch(["tasks.task.list?order[ID]=DESC", add, "crm.deal.get?id=$result[1]"])
    assert answer["result"][2]["TITLE"] == title


async def test_a_missing_reference_is_an_empty_string_and_so_selects_from_the_start(caller):
    answer = await caller.batch({"a": "crm.deal.list?start=-1&filter[%3EID]=$result[nothing][49][ID]"})
    assert answer["result"]["a"][0]["ID"] == "1"


async def test_too_many_no_and_nested_commands_are_refused(caller):
    assert error(await caller.v2("batch", {"cmd": ["profile"] * 51})) == (400, "ERROR_BATCH_LENGTH_EXCEEDED")
    assert error(await caller.v2("batch", {"cmd": []})) == (400, "ERROR_ARGUMENT")
    nested = await caller.batch(["batch?cmd[]=profile"])
    assert nested["result_error"][0]["error"] == "ERROR_BATCH_METHOD_NOT_ALLOWED"


async def test_a_batch_is_one_request_for_the_bucket_and_its_commands_use_their_own_time():
    portal = FakePortal(clock=VirtualClock(), burst=1, drain=1, operating={"crm.deal.list": 200.0})
    async with Caller(portal) as caller:
        body = (await caller.v2("batch", {"cmd": ["crm.deal.list"] * 4 + ["profile"]})).json()
    assert body["time"]["operating"] == 0
    assert body["result"]["result_time"]["2"]["operating"] == 600
    assert body["result"]["result_error"]["3"]["error"] == "OPERATION_TIME_LIMIT"
    assert body["result"]["result"]["4"]["ID"] == "1"


async def test_v3_takes_an_array_and_answers_one(caller):
    commands = [
        {"method": "tasks.task.get", "query": {"id": 3}, "as": "task"},
        {"method": "profile", "parallel": True},
    ]
    answer = (await caller.v3("batch", commands)).json()
    assert [answer["result"][0]["item"]["id"], answer["result"][1]["ID"]] == [3, "1"]


async def test_v3_needs_the_bearer_header_and_an_array(caller, portal):
    url = portal.client_endpoint + "api/batch"
    assert error(await caller.http.post(url, json=[{"method": "profile"}])) == (401, "NO_AUTH_FOUND")
    body = {"0": {"method": "profile"}, "auth": caller.pair.access_token}
    assert error(await caller.http.post(url, json=body))[0] == 400


async def test_v3_references_an_item_and_all_items(caller):
    commands = [
        {"method": "tasks.task.list", "query": {"pagination": {"limit": 3}}, "as": "tasks"},
        {"method": "tasks.task.get", "query": {"id": {"$ref": "tasks.items.1.id"}}, "as": "one"},
        {"method": "tasks.task.get", "query": {"id": {"$ref": "one.id"}}},
        {"method": "tasks.task.get", "query": {"id": {"$ref": "2.item.id"}}},
        {"method": "crm.deal.list", "query": {"filter": [["id", "in", {"$refArray": "tasks.id"}]]}},
    ]
    results = (await caller.v3("batch", commands)).json()["result"]
    assert [result["item"]["id"] for result in results[1:4]] == [2, 2, 2]
    assert [row["id"] for row in results[4]["items"]] == [1, 2, 3]


async def test_v3_is_all_or_nothing(caller, portal):
    commands = [
        {"method": "tasks.task.add", "query": {"fields": {"title": "new"}}},
        {"method": "tasks.task.get", "query": {"id": 99999}},
    ]
    answer = await caller.v3("batch", commands)
    assert error(answer) == (404, "BITRIX_REST_V3_EXCEPTION_ENTITYNOTFOUNDEXCEPTION")
    assert len(portal.rows("tasks.task")) == 120


@pytest.mark.parametrize(
    "command",
    [
        {},
        5,
        {"method": "batch"},
        {"method": "tasks.task.get", "query": {"id": {"$ref": "no.id"}}},
        {"method": "tasks.task.get", "query": {"id": {"$refArray": "no.id"}}},
    ],
)
async def test_v3_refuses_broken_commands(caller, command):
    assert error(await caller.v3("batch", [command]))[0] == 400


async def test_v3_refuses_more_than_fifty_commands(caller):
    answer = await caller.v3("batch", [{"method": "profile"}] * 51)
    assert error(answer) == (400, "ERROR_BATCH_LENGTH_EXCEEDED")
