import asyncio

import httpx
import pytest

from b24oauth.testing import faults
from tests.testing.calls import error

pytestmark = pytest.mark.anyio


async def test_a_cut_before_processing_leaves_no_trace(caller, portal):
    portal.inject(faults.drop_before())
    with pytest.raises(httpx.ReadError):
        await caller.v2("crm.deal.add", {"fields": {}})
    assert portal.executed["crm.deal.add"] == 0
    assert portal.requests[0].status is None


async def test_a_cut_after_processing_leaves_the_row(caller, portal):
    portal.inject(faults.drop_after(), on="crm.deal.add")
    with pytest.raises(httpx.ReadError):
        await caller.v2("crm.deal.add", {"fields": {}})
    assert portal.executed["crm.deal.add"] == 1
    assert (await caller.v2("crm.deal.add", {"fields": {}})).json()["result"] == 122


async def test_a_lost_renewal_uses_the_refresh_token_up(caller, portal):
    portal.inject(faults.drop_after(), on="oauth/token")
    with pytest.raises(httpx.ReadError):
        await caller.renew()
    assert error(await caller.renew()) == (400, "invalid_grant")


async def test_a_refused_connection_is_a_connect_error(caller, portal):
    portal.inject(faults.refuse())
    with pytest.raises(httpx.ConnectError):
        await caller.v2("profile")


async def test_statuses_with_a_code_with_a_body_and_without_any(caller, portal):
    portal.inject(faults.status(503, error="OVERLOAD_LIMIT", description="blocked"))
    portal.inject(faults.status(500, {"error": "0"}))
    portal.inject(faults.status(504))
    answers = [await caller.v2("profile") for _ in range(3)]
    assert error(answers[0]) == (503, "OVERLOAD_LIMIT")
    assert answers[1].json() == {"error": "0"}
    assert (answers[2].status_code, answers[2].content) == (504, b"")
    assert portal.calls["profile"] == 0


async def test_pages_instead_of_json(caller, portal):
    portal.inject(faults.html(502))
    answer = await caller.v2("profile")
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert answer.text.startswith("<html>")


@pytest.mark.parametrize("fault", [faults.truncated_json(), faults.empty(), faults.garbage()])
async def test_broken_bodies_come_with_status_200_after_processing(caller, portal, fault):
    portal.inject(fault)
    answer = await caller.v2("profile")
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"."):
        answer.json()
    assert portal.executed["profile"] == 1


async def test_a_request_that_is_never_answered_runs_into_the_clients_timeout(caller, portal):
    portal.inject(faults.hang())
    with pytest.raises(httpx.ReadTimeout):
        await caller.v2("profile")
    assert portal.clock.elapsed == pytest.approx(30)


async def test_latency_delays_one_answer(caller, portal):
    portal.inject(faults.latency(20.0), on="profile")
    await asyncio.gather(caller.v2("profile"), caller.v2("app.info"))
    assert portal.clock.elapsed == pytest.approx(20)
    assert [record.method for record in portal.requests] == ["app.info", "profile"]


async def test_faults_wait_for_their_method_their_turn_and_their_number(caller, portal):
    portal.inject(faults.status(500), on="CRM.Deal.Get", after=1, times=2)
    calls = ["profile", "crm.deal.get", "crm.deal.get", "profile", "crm.deal.get", "crm.deal.get"]
    statuses = [(await caller.v2(method, {"id": 1})).status_code for method in calls]
    assert statuses == [200, 200, 500, 200, 500, 200]


async def test_a_fault_can_stay_until_it_is_cleared(caller, portal):
    portal.inject(faults.status(500), times=None)
    assert [(await caller.v2("profile")).status_code for _ in range(3)] == [500] * 3
    portal.clear_faults()
    assert (await caller.v2("profile")).status_code == 200


async def test_faults_of_ones_own(caller, portal):
    async def teapot(process):
        await process()
        return await faults.status(418)(process)

    portal.inject(teapot)
    assert (await caller.v2("profile")).status_code == 418
