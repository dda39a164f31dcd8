from urllib.parse import urlencode

import pytest

from b24oauth.testing import FakePortal, Reply, RestError, VirtualClock
from tests.testing.calls import Caller, error

pytestmark = pytest.mark.anyio


async def test_v2_answers_with_result_and_time(caller, portal):
    answer = (await caller.v2("crm.deal.get", {"id": 7})).json()
    assert answer["result"]["ID"] == "7"
    assert answer["time"]["start"] == portal.clock.now()
    assert answer["time"].keys() >= {"finish", "duration", "date_start", "operating", "operating_reset_at"}


async def test_a_form_and_a_bearer_header_are_accepted_too(caller, portal):
    url = portal.client_endpoint + "crm.deal.get"
    form = await caller.http.post(url, data={"ID": "7", "auth": caller.pair.access_token})
    bearer = await caller.http.post(
        url, json={"id": 7}, headers={"Authorization": f"Bearer {caller.pair.access_token}"}
    )
    assert form.json()["result"] == bearer.json()["result"]


async def test_a_token_in_the_query_is_not_accepted(caller, portal):
    url = f"{portal.client_endpoint}profile?auth={caller.pair.access_token}"
    assert error(await caller.http.post(url, json={})) == (401, "NO_AUTH_FOUND")


async def test_bad_tokens_are_refused_in_the_shape_of_their_version(caller, portal):
    assert error(await caller.v2("profile", token="made up")) == (401, "invalid_token")
    portal.expire_tokens()
    assert error(await caller.v2("profile")) == (401, "expired_token")
    answer = await caller.v3("profile")
    assert answer.json()["error"]["code"] == "expired_token"
    assert answer.status_code == 401


async def test_tokens_expire_with_the_clock(caller, portal):
    portal.clock.advance(3599)
    assert (await caller.v2("profile")).status_code == 200
    portal.clock.advance(2)
    assert error(await caller.v2("profile")) == (401, "expired_token")


async def test_an_unknown_method_is_404(caller):
    assert error(await caller.v2("crm.nothing.get")) == (404, "ERROR_METHOD_NOT_FOUND")
    assert error(await caller.v3("crm.nothing.get")) == (404, "ERROR_METHOD_NOT_FOUND")


async def test_a_body_that_is_no_json_object_is_refused(caller, portal):
    for body in (b"{", b"[]", b'"text"'):
        assert error(await caller.http.post(portal.client_endpoint + "profile", content=body))[0] == 400


async def test_the_bucket_refuses_with_503_and_lets_pass_what_has_drained():
    portal = FakePortal(clock=VirtualClock(), burst=3, drain=2)
    async with Caller(portal) as caller:
        statuses = [(await caller.v2("profile")).status_code for _ in range(5)]
        portal.clock.advance(1)
        statuses += [(await caller.v3("profile")).status_code for _ in range(3)]
    assert statuses == [200, 200, 200, 503, 503, 200, 200, 503]
    assert portal.refused == 3


async def test_a_method_over_its_operating_time_is_429_until_the_announced_moment():
    portal = FakePortal(clock=VirtualClock(), operating={"crm.deal.list": 250.0})
    async with Caller(portal) as caller:
        used = [(await caller.v2("crm.deal.list")).json()["time"]["operating"] for _ in range(2)]
        answer = await caller.v2("crm.deal.list")
        assert error(answer) == (429, "OPERATION_TIME_LIMIT")
        assert (await caller.v2("profile")).status_code == 200
        portal.clock.advance(answer.json()["time"]["operating_reset_at"] - portal.clock.now())
        assert (await caller.v2("crm.deal.list")).status_code == 200
    assert used == [250, 500]


async def test_writes_can_be_read_back(caller, portal):
    deal = await caller.result("crm.deal.add", {"fields": {"TITLE": "new"}})
    await caller.result("crm.deal.update", {"id": deal, "fields": {"STAGE_ID": "WON"}})
    row = await caller.result("crm.deal.get", {"id": deal})
    assert (deal, row["TITLE"], row["STAGE_ID"]) == (121, "new", "WON")
    assert await caller.result("crm.deal.delete", {"id": deal}) is True
    assert error(await caller.v2("crm.deal.get", {"id": deal}))[0] == 400
    assert portal.executed["crm.deal.add"] == 1


async def test_v3_writes_use_the_modern_spelling_of_the_same_rows(caller, portal):
    item = (await caller.v3("crm.deal.add", {"fields": {"title": "new", "stageId": "WON"}})).json()["result"]["item"]
    assert (item["id"], item["stageId"]) == (121, "WON")
    assert portal.rows("crm.deal").get(121)["STAGE_ID"] == "WON"
    await caller.v3("crm.deal.update", {"id": 121, "fields": {"title": "newer"}})
    assert (await caller.v3("crm.deal.get", {"id": 121})).json()["result"]["item"]["title"] == "newer"
    await caller.v3("crm.deal.delete", {"id": 121})
    assert error(await caller.v3("crm.deal.get", {"id": 121})) == (
        404,
        "BITRIX_REST_V3_EXCEPTION_ENTITYNOTFOUNDEXCEPTION",
    )


@pytest.mark.parametrize(
    ("method", "params", "code", "text"),
    [
        ("crm.deal.get", {"id": 10**6}, "", "Not found"),
        ("crm.deal.get", {"id": "seven"}, "", "ID is not defined or invalid"),
        ("crm.deal.add", {}, "", "Parameter 'fields' must be array."),
        ("crm.contact.delete", {"id": 10**6}, "", "Not found"),
        ("crm.item.get", {"entityTypeId": 2, "id": 10**6}, "NOT_FOUND", "Item not found"),
        ("crm.item.get", {"entityTypeId": 2}, "100", "Could not find value for parameter {id}"),
        ("tasks.task.get", {"taskId": "seven"}, "0", "wrong task id"),
    ],
)
async def test_each_family_of_methods_refuses_in_its_own_words(caller, method, params, code, text):
    answer = await caller.v2(method, params)
    assert answer.status_code == 400
    assert answer.json() == {"error": code, "error_description": text}
    in_batch = await caller.batch({"a": f"{method}?{urlencode(params)}"})
    assert in_batch["result_error"]["a"] == {"error": code, "error_description": text}


async def test_v3_writes_without_fields_or_id_are_refused_with_the_name_of_the_field(caller):
    for method, field in (("tasks.task.add", "fields"), ("tasks.task.get", "id")):
        refusal = (await caller.v3(method)).json()["error"]
        assert refusal["code"] == "BITRIX_REST_V3_EXCEPTION_VALIDATION_REQUESTVALIDATIONEXCEPTION"
        assert refusal["validation"][0]["field"] == field


async def test_who_and_where_methods(caller, portal):
    profile = await caller.result("profile")
    assert (profile["ID"], profile["ADMIN"]) == ("1", True)
    assert (await caller.result("user.current"))["ID"] == "1"
    assert (await caller.result("app.info"))["INSTALLED"] is True
    assert (await caller.result("server.time")).startswith("2023-11-14T22:13:20")


async def test_the_openapi_document_has_no_envelope(caller):
    document = (await caller.v3("rest.documentation.openapi")).json()
    assert document["openapi"] == "3.0.0"
    assert "/tasks.task.list" in document["paths"]


async def test_an_idempotency_key_replays_the_answer_and_does_not_run_again(caller, portal):
    key = {"Idempotency-Key": "k1"}
    first = await caller.v3("tasks.task.add", {"fields": {"title": "a"}}, headers=key)
    second = await caller.v3("tasks.task.add", {"fields": {"title": "a"}}, headers=key)
    assert first.json() == second.json()
    assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")
    assert portal.executed["tasks.task.add"] == 1


async def test_an_idempotency_key_with_another_body_is_refused(caller):
    key = {"Idempotency-Key": "k1"}
    await caller.v3("tasks.task.add", {"fields": {"title": "a"}}, headers=key)
    answer = await caller.v3("tasks.task.add", {"fields": {"title": "b"}}, headers=key)
    assert error(answer) == (422, "BITRIX_REST_V3_EXCEPTION_IDEMPOTENCYKEYREUSEDEXCEPTION")


async def test_an_idempotency_key_is_forgotten_after_a_day_and_must_be_readable(caller, portal):
    key = {"Idempotency-Key": "k1"}
    await caller.v3("tasks.task.add", {"fields": {"title": "a"}}, headers=key)
    portal.clock.advance(24 * 3600)
    caller.pair = portal.issue()
    await caller.v3("tasks.task.add", {"fields": {"title": "a"}}, headers=key)
    assert portal.executed["tasks.task.add"] == 2
    assert error(await caller.v3("tasks.task.add", {}, headers={"Idempotency-Key": "x" * 256}))[0] == 400


async def test_a_failed_write_leaves_its_key_free(caller, portal):
    key = {"Idempotency-Key": "k1"}
    assert (await caller.v3("tasks.task.add", {}, headers=key)).status_code == 400
    assert (await caller.v3("tasks.task.add", {"fields": {}}, headers=key)).status_code == 200


async def test_own_methods_may_tell_a_total(caller, portal):
    portal.method("my.list", lambda _: Reply(result=[1, 2], total=200, next=50))
    answer = (await caller.v2("my.list")).json()
    assert (answer["result"], answer["total"], answer["next"]) == ([1, 2], 200, 50)


async def test_own_methods_answer_in_both_versions_and_may_refuse(caller, portal):
    def double(params):
        if "n" not in params:
            raise RestError("NO_NUMBER", "n is missing", status=403)
        return params["n"] * 2

    portal.method("My.Double", double)
    assert await caller.result("my.double", {"n": 4}) == 8
    assert (await caller.v3("my.double", {"n": 4})).json()["result"] == 8
    assert error(await caller.v2("my.double")) == (403, "NO_NUMBER")
    assert (portal.calls["my.double"], portal.executed["my.double"]) == (3, 2)
