"""The queue of offline events of the fake portal."""

from __future__ import annotations

import pytest

from b24oauth.testing import FakePortal, VirtualClock
from b24oauth.testing.offline import AUTH_CONNECTOR
from tests.testing.calls import Caller, error

pytestmark = pytest.mark.anyio

DEAL_1 = {"FIELDS": {"ID": "1"}}


async def get(caller: Caller, **params):
    return await caller.result("event.offline.get", params)


def ids(events):
    return [event["EVENT_DATA"]["FIELDS"]["ID"] for event in events]


async def reserved(caller: Caller, **params):
    answer = await get(caller, clear=0, **params)
    return answer["process_id"], answer["events"]


async def test_only_events_that_were_bound_are_queued(portal, caller):
    assert await caller.result("event.bind", {"event": "onCrmDealUpdate", "event_type": "offline"}) is True
    assert error(await caller.v2("event.bind", {"event": "ONCRMDEALUPDATE", "event_type": "offline"})) == (
        400,
        "ERROR_CORE",
    )
    await caller.result("crm.deal.update", {"id": 5, "fields": {"TITLE": "x"}})
    await caller.result("crm.deal.add", {"fields": {"TITLE": "y"}})
    assert [(row.event, row.data, row.user_id) for row in portal.offline.rows] == [
        ("ONCRMDEALUPDATE", {"FIELDS": {"ID": "5"}}, 1)
    ]
    assert await caller.result("event.unbind", {"event": "ONCRMDEALUPDATE", "event_type": "offline"}) == {"count": 1}
    await caller.result("crm.deal.update", {"id": 6, "fields": {"TITLE": "x"}})
    assert len(portal.offline.rows) == 1


@pytest.mark.parametrize(
    ("calls", "events"),
    [
        (
            [("crm.contact.add", {"fields": {}}), ("crm.contact.delete", {"id": 2})],
            [("ONCRMCONTACTADD", {"FIELDS": {"ID": "101"}}), ("ONCRMCONTACTDELETE", {"FIELDS": {"ID": "2"}})],
        ),
        (
            [("crm.item.update", {"entityTypeId": 147, "id": 3, "fields": {"title": "x"}})],
            [("ONCRMDYNAMICITEMUPDATE", {"FIELDS": {"ID": "3", "ENTITY_TYPE_ID": "147"}})],
        ),
        (
            [("tasks.task.add", {"fields": {"TITLE": "x"}}), ("tasks.task.update", {"taskId": 4, "fields": {}})],
            [
                ("ONTASKADD", {"FIELDS_BEFORE": "undefined", "FIELDS_AFTER": {"ID": "101"}}),
                ("ONTASKUPDATE", {"FIELDS_BEFORE": {"ID": "4"}, "FIELDS_AFTER": {"ID": "4"}}),
            ],
        ),
    ],
)
async def test_changes_by_rest_are_events(calls, events):
    portal = FakePortal(clock=VirtualClock(), rows={"crm.contact": 100, "crm.item": 100, "tasks.task": 100})
    for event, _ in events:
        portal.offline.bind(event)
    async with Caller(portal) as caller:
        for method, params in calls:
            await caller.result(method, params)
    assert [(row.event, row.data) for row in portal.offline.rows] == events


async def test_changes_in_batches_and_by_v3_are_events_and_failures_are_none(portal, caller):
    portal.offline.bind("ONTASKUPDATE")
    portal.offline.bind("ONCRMDEALUPDATE")
    await caller.batch({"a": "crm.deal.update?id=1&fields[TITLE]=x", "b": "crm.deal.update?id=0&fields[TITLE]=x"})
    await caller.v3("tasks.task.update", {"id": 2, "fields": {"title": "x"}})
    await caller.v2("crm.deal.update", {"id": 10**9, "fields": {}})
    assert [row.event for row in portal.offline.rows] == ["ONCRMDEALUPDATE", "ONTASKUPDATE"]


async def test_the_queue_holds_the_last_state_in_the_order_of_the_last_change(portal, caller):
    portal.offline.bind("ONCRMDEALUPDATE")
    for deal in (1, 2, 3, 1):
        portal.offline.add("ONCRMDEALUPDATE", {"FIELDS": {"ID": str(deal)}})
        portal.clock.advance(10)
    events = (await get(caller))["events"]
    assert ids(events) == ["2", "3", "1"]
    assert [event["ID"] for event in events] == ["2", "3", "1"]
    assert events[0]["EVENT_ADDITIONAL"] == {"user_id": 1}
    assert len({event["MESSAGE_ID"] for event in events}) == 3
    assert all(len(event["MESSAGE_ID"]) == 32 for event in events)


async def test_reading_with_clear_empties_the_queue_and_names_no_process(portal, caller):
    portal.offline.bind("ONCRMDEALADD")
    portal.offline.add("ONCRMDEALADD", DEAL_1, user_id=None)
    portal.offline.bind("ONAPPTEST")
    portal.offline.add("ONAPPTEST")
    answer = await get(caller)
    assert answer["process_id"] is None
    assert [(event["EVENT_DATA"], event["EVENT_ADDITIONAL"]) for event in answer["events"]] == [
        (DEAL_1, False),
        (False, {"user_id": 1}),
    ]
    assert portal.offline.rows == []


async def test_reservations_are_disjoint_and_come_back_by_their_identifier_only(portal, caller):
    portal.offline.bind("ONCRMDEALADD")
    for deal in range(5):
        portal.offline.add("ONCRMDEALADD", {"FIELDS": {"ID": str(deal)}})
    first, of_first = await reserved(caller, limit=2)
    second, of_second = await reserved(caller, limit=2)
    third, of_third = await reserved(caller)
    empty, nothing = await reserved(caller)
    assert [ids(events) for events in (of_first, of_second, of_third, nothing)] == [["0", "1"], ["2", "3"], ["4"], []]
    assert len({first, second, third, empty}) == 4
    assert (await reserved(caller, process_id=first)) == (first, of_first)
    assert portal.offline.open_processes == {first, second, third}
    portal.offline.add("ONCRMDEALADD", DEAL_1)
    portal.clock.advance(35 * 86_400)
    caller.pair = portal.issue()
    assert (await reserved(caller, process_id=first))[1] == []
    assert [row.process_id for row in portal.offline.rows] == [""]


async def test_a_change_of_a_reserved_event_makes_a_new_row(portal, caller):
    portal.offline.bind("ONCRMDEALUPDATE")
    portal.offline.add("ONCRMDEALUPDATE", DEAL_1)
    first, _ = await reserved(caller)
    portal.offline.add("ONCRMDEALUPDATE", DEAL_1)
    portal.offline.add("ONCRMDEALUPDATE", DEAL_1)
    second, events = await reserved(caller)
    assert len(events) == 1
    assert len(portal.offline.rows) == 2
    assert await caller.result("event.offline.clear", {"process_id": first}) is True
    assert portal.offline.open_processes == {second}


async def test_parts_of_a_reservation_are_cleared_by_message_or_by_id(portal, caller):
    portal.offline.bind("ONCRMDEALADD")
    for deal in range(4):
        portal.offline.add("ONCRMDEALADD", {"FIELDS": {"ID": str(deal)}})
    process_id, events = await reserved(caller)
    done = {"process_id": process_id, "message_id": [events[0]["MESSAGE_ID"]], "id": [events[3]["ID"]]}
    assert await caller.result("event.offline.clear", done) is True
    assert ids((await reserved(caller, process_id=process_id))[1]) == ["1", "2", "3"]
    assert await caller.result("event.offline.clear", {"process_id": process_id, "id": [events[1]["ID"], "77"]})
    assert ids((await reserved(caller, process_id=process_id))[1]) == ["2", "3"]
    assert await caller.result("event.offline.clear", {"process_id": "other"}) is True
    assert len(portal.offline.rows) == 2


async def test_a_failed_event_is_freed_and_comes_only_with_error(portal, caller):
    portal.offline.bind("ONCRMDEALUPDATE")
    portal.offline.add("ONCRMDEALUPDATE", DEAL_1)
    process_id, events = await reserved(caller)
    portal.offline.add("ONCRMDEALUPDATE", DEAL_1)
    marked = {"process_id": process_id, "message_id": [events[0]["MESSAGE_ID"]]}
    assert await caller.result("event.offline.error", marked) is True
    # The newer row of the same message is gone.
    assert [(row.process_id, row.has_failed) for row in portal.offline.rows] == [("", True)]
    assert (await reserved(caller))[1] == []
    # A change of it goes into this row.
    portal.offline.add("ONCRMDEALUPDATE", DEAL_1)
    assert (await reserved(caller))[1] == []
    again, failed = await reserved(caller, error=1)
    assert [event["ID"] for event in failed] == [events[0]["ID"]]
    assert (await reserved(caller, process_id=again))[1] == []
    # It cannot fail a second time: it stays reserved.
    assert await caller.result("event.offline.error", {**marked, "process_id": again}) is True
    assert (await reserved(caller, process_id=again, error=1)) == (again, failed)
    assert await caller.result("event.offline.clear", {"process_id": again}) is True
    assert portal.offline.rows == []


async def test_the_list_shows_reservations_and_failures_and_changes_nothing(portal, caller):
    portal.offline.bind("ONCRMDEALADD")
    for deal in range(120):
        portal.offline.add("ONCRMDEALADD", {"FIELDS": {"ID": str(deal)}})
    process_id, _ = await reserved(caller, limit=1)
    answer = (await caller.v2("event.offline.list")).json()
    assert (len(answer["result"]), answer["total"], answer["next"]) == (50, 120, 50)
    assert answer["result"][0]["PROCESS_ID"] == process_id
    assert answer["result"][1]["PROCESS_ID"] == ""
    last = (await caller.v2("event.offline.list", {"start": 100})).json()
    assert len(last["result"]) == 20
    assert "next" not in last
    found = await caller.result("event.offline.list", {"filter": {">PROCESS_ID": ""}, "order": {"ID": "DESC"}})
    assert ids(found) == ["0"]
    backwards = await caller.result("event.offline.list", {"order": {"ID": "DESC"}})
    assert ids(backwards)[:2] == ["119", "118"]


async def test_a_connector_has_its_own_queue_without_its_own_changes(portal, caller):
    portal.offline.bind("ONCRMDEALUPDATE", connector="sync")
    portal.offline.bind("ONCRMDEALUPDATE")
    update = {"id": 1, "fields": {"TITLE": "x"}}
    await caller.result("crm.deal.update", {**update, "auth_connector": "sync"})
    assert [row.connector for row in portal.offline.rows] == [""]
    await caller.result("crm.deal.update", update)
    assert sorted(row.connector for row in portal.offline.rows) == ["", "sync"]
    process_id, events = await reserved(caller, auth_connector="sync")
    assert len(events) == 1
    # Without the connector another queue is meant.
    assert await caller.result("event.offline.clear", {"process_id": process_id}) is True
    assert len(await caller.result("event.offline.list", {"auth_connector": "sync"})) == 1
    assert await caller.result("event.offline.clear", {"process_id": process_id, "auth_connector": "sync"}) is True
    assert await caller.result("event.offline.list", {"auth_connector": "sync"}) == []


@pytest.mark.parametrize(
    ("method", "params", "refusal"),
    [
        ("event.offline.get", {"limit": 0}, (400, "ERROR_ARGUMENT")),
        ("event.offline.get", {"filter": {"!ID": 1}}, (400, "ERROR_ARGUMENT")),
        ("event.offline.get", {"filter": {"PROCESS_ID": "p"}}, (400, "ERROR_ARGUMENT")),
        ("event.offline.list", {"filter": {"!PROCESS_ID": ""}}, (400, "ERROR_ARGUMENT")),
        ("event.offline.clear", {}, (400, "ERROR_ARGUMENT")),
        ("event.offline.clear", {"process_id": "p", "message_id": ["1"]}, (400, "ERROR_ARGUMENT")),
        ("event.offline.clear", {"process_id": "p", "message_id": "0" * 32}, (400, "ERROR_ARGUMENT")),
        ("event.offline.error", {"process_id": "p"}, (400, "ERROR_ARGUMENT")),
        ("event.offline.error", {"message_id": ["0" * 32]}, (400, "ERROR_ARGUMENT")),
        ("event.bind", {"event": "ONOFFLINEEVENT", "event_type": "offline"}, (400, "ERROR_ARGUMENT")),
        ("event.bind", {"event_type": "offline"}, (400, "ERROR_ARGUMENT")),
        ("feature.get", {}, (400, "ERROR_ARGUMENT")),
    ],
)
async def test_wrong_arguments_are_refused(caller, method, params, refusal):
    assert error(await caller.v2(method, params)) == refusal


async def test_a_plan_without_the_features_refuses_reservations_and_connectors():
    portal = FakePortal(clock=VirtualClock(), features=[])
    async with Caller(portal) as caller:
        assert await caller.result("feature.get", {"CODE": AUTH_CONNECTOR}) == {"value": "N"}
        assert error(await caller.v2("event.offline.get", {"clear": 0})) == (403, "WRONG_LICENSE")
        assert (await get(caller))["events"] == []
        bind = {"event": "ONCRMDEALADD", "event_type": "offline", "auth_connector": "sync"}
        assert error(await caller.v2("event.bind", bind)) == (403, "WRONG_LICENSE")


async def test_only_administrators_within_an_application_read_the_queue(portal):
    async with Caller(FakePortal(clock=VirtualClock(), is_admin=False)) as caller:
        for method in ("event.offline.get", "event.offline.list", "event.offline.clear", "event.offline.error"):
            assert error(await caller.v2(method, {"process_id": "p"})) == (403, "ACCESS_DENIED")
        assert error(await caller.v2("event.bind", {"event": "A", "event_type": "offline"})) == (403, "ACCESS_DENIED")
    async with Caller(portal) as caller:
        answer = await caller.http.post(f"{portal.webhook()}event.offline.get", json={})
        assert error(answer) == (403, "WRONG_AUTH_TYPE")
