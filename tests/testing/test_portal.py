import asyncio
import json
import time

import httpx
import pytest

from b24oauth.testing import FakePortal, VirtualClock
from tests.testing.calls import Caller

pytestmark = pytest.mark.anyio


async def test_requests_are_recorded_without_secrets(caller, portal):
    await caller.v2("crm.deal.get", {"id": 1}, query="?bx24_request_id=r1")
    await caller.renew()
    call, renewal = portal.requests
    assert (call.method, call.version, call.params, call.token) == ("crm.deal.get", "v2", {"id": 1}, "access-1")
    assert (call.query, call.host, call.status) == ({"bx24_request_id": "r1"}, "portal.example", 200)
    assert (renewal.method, renewal.token, renewal.version) == ("oauth/token", "refresh-1", "oauth")
    assert portal.token_requests == [renewal]
    text = repr(portal.requests)
    for secret in (caller.pair.access_token, caller.pair.refresh_token, portal.secret.client_secret):
        assert secret not in text


async def test_headers_are_recorded_but_the_token_in_them(caller, portal):
    await caller.v3("profile", headers={"Idempotency-Key": "k"})
    record = portal.requests[0]
    assert record.headers["idempotency-key"] == "k"
    assert "authorization" not in record.headers
    assert record.token == "access-1"


@pytest.mark.parametrize(("record", "kept"), [(True, 5), (2, 2), (False, 0)])
async def test_records_can_be_bounded_and_turned_off(record, kept):
    portal = FakePortal(clock=VirtualClock(), record=record)
    async with Caller(portal) as caller:
        for _ in range(5):
            await caller.v2("profile")
    assert len(portal.requests) == kept
    assert portal.calls["profile"] == 5


async def test_latency_passes_on_the_virtual_clock_for_each_side(caller):
    portal = FakePortal(clock=VirtualClock(), latency=40.0, refresh_latency=5.0)
    async with Caller(portal, timeout=100) as caller:
        await caller.v2("profile")
        assert portal.clock.elapsed == pytest.approx(40)
        await caller.renew()
        assert portal.clock.elapsed == pytest.approx(45)


async def test_each_command_takes_its_time_and_those_of_a_batch_add_up():
    portal = FakePortal(clock=VirtualClock(), latency=1.0, command_latency=10.0)
    async with Caller(portal, timeout=1000) as caller:
        await caller.v2("crm.deal.list")
        assert portal.clock.elapsed == pytest.approx(11)
        await caller.batch([f"crm.deal.get?id={number}" for number in range(1, 6)])
        assert portal.clock.elapsed == pytest.approx(11 + 51)
        await caller.v3("batch", [{"method": "crm.deal.get", "query": {"id": number}} for number in (1, 2)])
        assert portal.clock.elapsed == pytest.approx(11 + 51 + 21)


async def test_what_was_not_run_takes_no_time_of_a_command():
    portal = FakePortal(clock=VirtualClock(), burst=3, latency=1.0, command_latency=10.0, refresh_latency=2.0)
    async with Caller(portal, timeout=1000) as caller:
        await caller.v2("profile", token="unknown")
        await caller.v2("none.such")
        assert portal.clock.elapsed == pytest.approx(2)
        await caller.batch({"a": "crm.deal.get?id=1", "b": "none.such", "c": "crm.deal.get?id=2"}, halt=1)
        assert portal.clock.elapsed == pytest.approx(2 + 11)
        assert (await caller.v2("profile")).status_code == 503
        await caller.renew()
        assert portal.clock.elapsed == pytest.approx(2 + 11 + 1 + 2)


async def test_batches_at_once_take_the_time_of_the_longest():
    portal = FakePortal(clock=VirtualClock(), command_latency=1.0)
    async with Caller(portal, timeout=1000) as caller:
        await asyncio.gather(*[caller.batch(["profile"] * size) for size in (3, 50, 20)])
    assert portal.clock.elapsed == pytest.approx(50)


async def test_answers_are_written_by_the_function_that_was_given():
    def dumps(value):
        return json.dumps(value).replace("Deal", "Affaire").encode()

    portal = FakePortal(clock=VirtualClock(), dumps=dumps)
    async with Caller(portal) as caller:
        assert (await caller.result("crm.deal.get", {"id": 7}))["TITLE"] == "Affaire 7"
        assert (await caller.v2("none.such")).json()["error"] == "ERROR_METHOD_NOT_FOUND"


async def test_a_client_that_gives_up_does_not_undo_what_was_done():
    portal = FakePortal(clock=VirtualClock(), latency=40.0)
    async with Caller(portal, timeout=10) as caller:
        with pytest.raises(httpx.ReadTimeout):
            await caller.v2("crm.deal.add", {"fields": {}})
    assert portal.executed["crm.deal.add"] == 1
    assert portal.requests[0].status is None


async def test_calls_at_once_are_answered_at_once():
    portal = FakePortal(clock=VirtualClock(), latency=1.0)
    async with Caller(portal) as caller:
        await asyncio.gather(*[caller.v2("profile") for _ in range(100)])
    assert portal.clock.elapsed == pytest.approx(1)


async def test_any_function_serves_as_clock():
    portal = FakePortal(clock=time.time)
    assert portal.issue().expires == pytest.approx(time.time() + 3600, abs=60)
    portal = FakePortal()
    assert portal.issue().expires == pytest.approx(time.time() + 3600, abs=60)


async def test_doubled_slashes_and_json_endings_are_read_over(caller, portal):
    for path in ("/rest//profile", "/rest/profile.json", "/rest//api/profile"):
        body = {"auth": caller.pair.access_token}
        assert (await caller.http.post(portal.origin + path, json=body)).status_code == 200


async def test_other_pages_do_not_exist(caller, portal):
    assert (await caller.http.get(portal.origin + "/company/")).status_code == 404


async def test_what_to_trust_follows_the_oauth_origin():
    assert FakePortal().trusted_oauth_hosts == {"oauth.bitrix.info"}
    assert FakePortal(oauth_origin="https://oauth.bitrix24.tech").trusted_oauth_hosts == {"oauth.bitrix24.tech"}
