"""Reading offline events: what is confirmed, what comes again, and who may read."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from b24oauth import ConfigurationError
from b24oauth.apps import FeatureMissingError, LeaseLostError, OfflineBatch, OfflineEvents, Runner, turn_is_over
from b24oauth.apps.leasing import work_key
from b24oauth.errors import (
    AccessDeniedError,
    AmbiguousResultError,
    ClientStateError,
    InvalidDataError,
    NetworkError,
    SdkError,
    UnknownPortalError,
)
from b24oauth.stores import TokenKey
from b24oauth.testing import faults
from tests.apps.desk import Desk, desk

pytestmark = pytest.mark.anyio

UPDATE = "ONCRMDEALUPDATE"


@asynccontextmanager
async def channel(*deals: int, **options: Any) -> AsyncIterator[Desk]:
    """An installed application that has subscribed to changes of deals, which have happened."""
    async with desk(**options) as here:
        await here.install()
        here.portal.offline.bind(UPDATE)
        change(here, *deals)
        yield here


def change(here: Desk, *deals: int, **options: Any) -> None:
    for deal in deals:
        here.portal.offline.add(UPDATE, {"FIELDS": {"ID": str(deal)}}, **options)


def events(here: Desk, **options: Any) -> OfflineEvents:
    return here.app.offline_events(here.portal.member_id, **options)


async def read(here: Desk, **options: Any) -> list[list[str]]:
    """The objects of each batch, until the queue is empty."""
    return [[event.object_id for event in batch] async for batch in events(here, **options)]


async def read_noting_repetitions(here: Desk, **options: Any) -> list[tuple[list[str], bool]]:
    return [([event.object_id for event in batch], batch.is_repeated) async for batch in events(here, **options)]


async def fail(here: Desk, **options: Any) -> None:
    """Reads until the processing of the first batch raises."""

    async def process() -> None:
        async for _ in events(here, **options):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await process()


def queued(here: Desk) -> list[tuple[str, bool, bool]]:
    """Each row: the object, whether it is reserved, and whether it has failed."""
    return [(row.data["FIELDS"]["ID"], bool(row.process_id), row.has_failed) for row in here.portal.offline.rows]


# --- batches ----------------------------------------------------------------------------------------------------------


async def test_events_come_in_batches_and_are_confirmed_after_the_body_of_the_loop() -> None:
    async with channel(1, 2, 3, 4, 5) as here:
        seen: list[list[str]] = []
        async for batch in events(here, limit=2):
            seen.append([event.object_id for event in batch])
            assert len(here.portal.offline.open_processes) == 1
            assert (len(batch), batch.is_repeated) == (len(seen[-1]), False)
        assert seen == [["1", "2"], ["3", "4"], ["5"]]
        assert here.portal.offline.rows == []


async def test_an_event_has_its_name_data_user_time_and_identifiers() -> None:
    async with channel() as here:
        change(here, 7, user_id=42)
        here.portal.offline.bind("ONAPPTEST")
        here.portal.offline.add("ONAPPTEST", user_id=None)
        row = here.portal.offline.rows[0]
        async for batch in events(here):
            first, second = batch
            assert (first.name, first.data, first.user_id) == (UPDATE, {"FIELDS": {"ID": "7"}}, 42)
            assert (first.id, first.message_id, first.object_id) == (row.id, row.message_id, "7")
            assert first.changed_at == datetime.fromtimestamp(int(row.changed_at), UTC)
            assert (second.name, second.data, second.user_id, second.object_id) == ("ONAPPTEST", None, 0, "")


async def test_a_change_during_processing_is_delivered_again() -> None:
    async with channel(1) as here:
        seen = []
        async for batch in events(here):
            if not seen:
                change(here, 1)
            seen.append([event.object_id for event in batch])
        assert seen == [["1"], ["1"]]


async def test_a_batch_can_be_confirmed_early_and_in_parts() -> None:
    async with channel(1, 2, 3) as here:
        async for batch in events(here):
            await batch.confirm([batch.events[1]])
            assert queued(here) == [("1", True, False), ("3", True, False)]
            await batch.confirm([batch.events[1]])
            await batch.confirm([batch.events[1], batch.events[0]])
            assert [event.object_id for event in batch.unsettled] == ["3"]
            await batch.confirm()
            assert queued(here) == []
            cleared = here.portal.calls["event.offline.clear"]
            await batch.confirm()
        assert here.portal.calls["event.offline.clear"] == cleared == 3


async def test_events_of_another_batch_are_not_confirmed() -> None:
    async with channel(1, 2) as here:
        before: OfflineBatch | None = None
        async for batch in events(here, limit=1):
            if before is not None:
                with pytest.raises(ConfigurationError, match="of this batch"):
                    await batch.confirm(before)
            before = batch


@pytest.mark.parametrize("leaves", ["raises", "breaks"])
async def test_events_of_a_loop_that_was_left_early_come_again_with_the_next_start(leaves: str) -> None:
    async with channel(1, 2, 3) as here:
        if leaves == "raises":
            await fail(here, limit=2)
        else:
            async for _ in events(here, limit=2):
                break
        assert queued(here) == [("1", True, False), ("2", True, False), ("3", False, False)]
        seen = await read_noting_repetitions(here, limit=2)
        assert seen == [(["1", "2"], True), (["3"], False)]
        assert here.portal.offline.rows == []


async def test_all_open_reservations_are_finished_first_whatever_their_size() -> None:
    async with channel(*range(1, 200)) as here:
        b24 = await here.app.portals.get(here.portal.member_id)
        for limit in (70, 1, 60):
            await b24.call("event.offline.get", {"clear": 0, "limit": limit})
        batches = await read(here, limit=50)
        assert sorted(int(deal) for batch in batches for deal in batch) == list(range(1, 200))
        assert [len(batch) for batch in batches] == [50, 20, 1, 50, 10, 50, 18]
        assert here.portal.offline.open_processes == set()


async def test_a_message_identifier_that_the_portal_would_refuse_is_not_sent() -> None:
    async with channel() as here:
        rows = [{"ID": str(number), "EVENT_NAME": UPDATE, "MESSAGE_ID": f"{number}"} for number in (5, 6)]
        answers = iter([rows, []])
        here.portal.method("event.offline.get", lambda _: {"process_id": "p", "events": next(answers)})
        assert await read(here) == [["", ""]]
        cleared = [request.params for request in here.portal.requests if request.method == "event.offline.clear"]
        assert cleared == [{"process_id": "p", "id": [5, 6]}]


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_failed_events_come_to_a_reader_of_failed_events_only() -> None:
    async with channel(1, 2, 3) as here:
        async for batch in events(here):
            await batch.fail([batch.events[1]])
        assert queued(here) == [("2", False, True)]
        assert await read(here) == []
        change(here, 2)
        assert await read(here) == []
        assert await read(here, failed=True) == [["2"]]
        assert queued(here) == []


async def test_events_that_fail_again_stay_for_the_next_start() -> None:
    async with channel(1, 2, 3) as here:
        async for batch in events(here):
            await batch.fail()
        for expected in (["1", "2", "3"], ["1"], ["1"]):
            seen: list[list[str]] = []
            async for batch in events(here, failed=True):
                seen.append([event.object_id for event in batch])
                await batch.fail([batch.events[0]])
            assert seen == [expected]
        assert queued(here) == [("1", True, True)]
        # Readers of the other events leave them alone.
        assert await read(here) == []
        assert await read(here, failed=True) == [["1"]]


async def test_events_that_fail_again_do_not_come_again_and_again_in_one_loop() -> None:
    async with channel(1, 2, 3) as here:
        async for batch in events(here):
            await batch.fail()
        await fail(here, failed=True)
        seen: list[list[str]] = []
        async for batch in events(here, failed=True, limit=2):
            seen.append([event.object_id for event in batch])
            await batch.fail()
        assert seen == [["1", "2"], ["3"]]
        assert queued(here) == [("1", True, True), ("2", True, True), ("3", True, True)]


async def test_a_response_to_a_mark_that_is_lost_is_asked_for_again() -> None:
    async with channel(1, 2) as here:
        here.portal.inject(faults.drop_after(), on="event.offline.error")
        async for batch in events(here):
            await batch.fail([batch.events[0]])
        assert queued(here) == [("1", False, True)]


# --- the network ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [faults.drop_after(), faults.truncated_json(), faults.empty(), faults.break_off(30), faults.garbage()]
)
async def test_events_whose_reservation_got_lost_are_found_again(fault: faults.Fault) -> None:
    async with channel(1, 2, 3) as here:
        here.portal.inject(fault, on="event.offline.get", after=1)
        seen = await read_noting_repetitions(here, limit=2)
        assert seen == [(["1", "2"], False), (["3"], True)]
        assert here.portal.offline.rows == []


async def test_a_reservation_is_not_asked_for_again_by_itself() -> None:
    async with channel(1, 2, 3) as here:
        here.portal.inject(faults.hang(), on="event.offline.get")
        seen = await read(here, limit=2)
        assert seen == [["1", "2"], ["3"]]
        reserved = [
            request
            for request in here.portal.requests
            if request.method == "event.offline.get" and "process_id" not in request.params
        ]
        assert len(reserved) == 3


async def test_a_lost_response_with_the_rest_of_a_reservation_is_asked_for_again() -> None:
    async with channel(1, 2) as here:
        await fail(here)
        here.portal.inject(faults.drop_after(), on="event.offline.get")
        assert await read_noting_repetitions(here) == [(["1", "2"], True)]


async def test_a_lost_reservation_of_nothing_is_told() -> None:
    async with channel() as here:
        here.portal.inject(faults.drop_after(), on="event.offline.get", times=None)
        with pytest.raises(AmbiguousResultError):
            await read(here)
        here.portal.clear_faults()
        assert await read(here) == []


@pytest.mark.parametrize("method", ["event.offline.clear", "event.offline.list", "feature.get"])
@pytest.mark.parametrize("fault", [faults.drop_after(), faults.drop_before(), faults.status(502)])
async def test_other_calls_are_repeated(method: str, fault: faults.Fault) -> None:
    async with channel(1, 2, 3) as here:
        here.portal.inject(fault, on=method, times=2)
        assert await read(here, limit=2) == [["1", "2"], ["3"]]
        assert here.portal.offline.rows == []


async def test_a_reservation_that_has_not_been_sent_is_repeated() -> None:
    async with channel(1) as here:
        here.portal.inject(faults.refuse(), on="event.offline.get")
        assert await read(here) == [["1"]]


async def test_a_confirmation_that_fails_brings_the_events_again() -> None:
    async with channel(1, 2) as here:
        here.portal.inject(faults.drop_before(), on="event.offline.clear", times=None)
        with pytest.raises(NetworkError):
            await read(here)
        here.portal.clear_faults()
        assert await read(here) == [["1", "2"]]


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"process_id": "p"},
        {"process_id": "p", "events": {"a": 1}},
        {"process_id": "p", "events": [7]},
        {"process_id": None, "events": [{"ID": "1", "EVENT_NAME": "A"}]},
        {"process_id": "p", "events": [{"ID": "x", "EVENT_NAME": "A"}]},
        {"process_id": "p", "events": [{"EVENT_NAME": "A"}]},
        {"process_id": "p", "events": [{"ID": "1"}]},
    ],
)
async def test_an_answer_that_is_none_is_refused(answer: Any) -> None:
    async with channel(1) as here:
        here.portal.method("event.offline.get", lambda _: answer)
        with pytest.raises(InvalidDataError, match=r"event\.offline\.get|The request"):
            await read(here)


# --- the portal's plan ------------------------------------------------------------------------------------------------


async def test_a_plan_that_cannot_reserve_is_named_before_anything_is_read() -> None:
    async with channel(1, features=[]) as here:
        with pytest.raises(FeatureMissingError, match="rest_offline_extended.*at_most_once") as caught:
            await read(here)
        assert (caught.value.member_id, caught.value.feature) == (here.portal.member_id, "rest_offline_extended")
        assert here.portal.calls["event.offline.get"] == 0
        assert queued(here) == [("1", False, False)]


async def test_a_refusal_for_the_plan_is_named_even_if_the_feature_was_told_to_be_there() -> None:
    async with channel(1, features=[]) as here:
        here.portal.method("feature.get", lambda _: {"value": "Y"})
        with pytest.raises(FeatureMissingError):
            await read(here)


async def test_at_most_once_needs_no_feature_and_loses_what_is_not_processed() -> None:
    async with channel(1, 2, 3, features=[]) as here:
        await fail(here, limit=2, at_most_once=True)
        assert await read(here, at_most_once=True) == [["3"]]
        assert here.portal.offline.rows == []
        assert here.portal.calls["event.offline.clear"] == here.portal.calls["event.offline.list"] == 0


async def test_at_most_once_tells_that_a_response_with_events_was_lost() -> None:
    async with channel(1, 2, 3, features=[]) as here:
        here.portal.inject(faults.drop_after(), on="event.offline.get")
        with pytest.raises(AmbiguousResultError):
            await read(here, limit=2, at_most_once=True)
        assert await read(here, limit=2, at_most_once=True) == [["3"]]


async def test_events_that_left_the_queue_cannot_be_marked() -> None:
    async with channel(1) as here:
        async for batch in events(here, at_most_once=True):
            with pytest.raises(ConfigurationError, match="at_most_once"):
                await batch.fail()
            await batch.confirm()


async def test_a_user_who_is_no_administrator_reads_nothing() -> None:
    async with channel(1) as here:
        here.portal.inject(faults.status(403, error="ACCESS_DENIED"), on="event.offline.list")
        with pytest.raises(AccessDeniedError):
            await read(here)


async def test_an_unknown_portal_is_named() -> None:
    async with channel() as here:
        with pytest.raises(UnknownPortalError):
            async for _ in here.app.offline_events("unknown"):
                pass


# --- connectors -------------------------------------------------------------------------------------------------------


async def test_the_connector_is_in_every_call_of_the_channel() -> None:
    async with channel(1) as here:
        here.portal.offline.bind(UPDATE, connector="sync")
        change(here, 2, 3)
        change(here, 4, source="sync")
        await fail(here, auth_connector="sync")
        async for batch in events(here, auth_connector="sync"):
            assert [event.object_id for event in batch] == ["2", "3"]
            await batch.fail([batch.events[0]])
        assert await read(here, auth_connector="sync", failed=True) == [["2"]]
        assert await read(here) == [["1", "2", "3", "4"]]
        assert here.portal.offline.rows == []


# --- one reader -------------------------------------------------------------------------------------------------------


async def test_a_second_reader_gets_nothing_that_the_first_one_processes() -> None:
    async with channel(1, 2, 3, 4) as here:
        seen: list[tuple[str, list[str]]] = []

        async def worker(name: str) -> None:
            async for batch in events(here, limit=1, lease=15):
                seen.append((name, [event.object_id for event in batch]))
                await asyncio.sleep(10)

        await asyncio.gather(worker("a"), worker("b"), return_exceptions=True)
        # The second one has waited for the first one and found an empty queue, or has given up.
        assert [deals for _, deals in seen] == [["1"], ["2"], ["3"], ["4"]]
        assert len({name for name, _ in seen}) == 1


async def test_a_reader_that_waits_in_vain_says_so() -> None:
    async with channel(1) as here, events(here) as first:
        await anext(first)
        with pytest.raises(SdkError, match="read by another loop or process"):
            await read(here)
        # Those of another queue are not concerned.
        assert await read(here, failed=True) == []
        assert await read(here, auth_connector="sync") == []


async def test_a_reader_that_polls_waits_for_the_lease_as_long_as_it_takes() -> None:
    async with channel(1, 2) as here:
        seen: list[str] = []

        async def stand_by() -> None:
            async for batch in events(here, poll=5):
                seen.extend(event.object_id for event in batch)

        standing_by = asyncio.create_task(stand_by())
        async with events(here) as first:
            pass
        async with events(here, limit=1) as first:
            await anext(first)
            await asyncio.sleep(200)
        await asyncio.sleep(5)
        standing_by.cancel()
        await asyncio.wait({standing_by})
        assert sorted(seen) == ["1", "2"]


@pytest.mark.parametrize("closes", [True, False])
async def test_a_loop_that_was_left_early_gives_the_lease_back(closes: bool) -> None:
    async with channel(1) as here:
        for _ in range(3):
            if closes:
                async with events(here) as batches:
                    async for _batch in batches:
                        break
            else:
                await fail(here)
            gc.collect()
        await asyncio.sleep(1)
        assert not here.store._lines


async def test_two_tasks_cannot_wait_for_a_batch_of_one_loop() -> None:
    async with channel() as here, events(here, poll=60) as reading:
        first = asyncio.ensure_future(anext(reading))
        await asyncio.sleep(1)
        with pytest.raises(ClientStateError, match="in one task"):
            await anext(reading)
        change(here, 1)
        assert [event.object_id for event in await first] == ["1"]


async def test_the_lease_ends_with_the_task_that_has_left_the_loop() -> None:
    kept: list[OfflineEvents] = []

    async def leave(here: Desk) -> None:
        kept.append(events(here))
        await anext(kept[0])

    async with channel(1) as here:
        await asyncio.create_task(leave(here))
        await asyncio.sleep(1)
        assert not here.store._lines
        with pytest.raises(LeaseLostError):
            await anext(kept[0])
        assert await read(here) == [["1"]]


async def test_a_lease_is_held_for_as_long_as_a_batch_takes() -> None:
    async with channel(1, 2) as here:
        key = work_key(here.portal.secret.client_id, here.portal.member_id, "events:waiting")
        async for _ in events(here, limit=1, lease=15):
            await asyncio.sleep(100)
            assert len(here.store._lines[key]) == 1
            assert here.store._lines[key][0].until > asyncio.get_running_loop().time()


async def test_nothing_is_confirmed_under_a_lost_lease() -> None:
    async with channel(1, 2) as here:

        async def process() -> None:
            async for _ in events(here, limit=1, lease=15):
                here.store._lines.popitem()[1].clear()
                await asyncio.sleep(6)

        with pytest.raises(LeaseLostError):
            await process()
        assert queued(here) == [("1", True, False), ("2", False, False)]
        assert await read(here, limit=1) == [["1"], ["2"]]


async def test_the_lease_of_a_channel_blocks_no_renewal() -> None:
    async with channel(1) as here:
        async for _ in events(here):
            here.portal.expire_tokens()
            b24 = await here.app.portals.get(here.portal.member_id)
            assert await b24.call("profile")
            assert len(here.portal.token_requests) == 1
        assert [key async for key in here.store.keys(here.portal.secret.client_id)] == [
            TokenKey(here.portal.secret.client_id, here.portal.member_id)
        ]


@pytest.mark.parametrize("moment", [0.0, 0.05, 0.15, 0.25, 0.35, 0.45, 0.6, 1.2])
async def test_a_cancelled_reader_leaves_no_lease_and_loses_no_event(moment: float) -> None:
    async with channel(*range(1, 6), latency=0.1) as here:
        seen: list[list[str]] = []

        async def work() -> None:
            async for batch in events(here, limit=2):
                names = [event.object_id for event in batch]
                seen.append(names)

        working = asyncio.create_task(work())
        await asyncio.sleep(moment)
        working.cancel()
        await asyncio.wait({working})
        assert not here.store._lines
        rest = await read(here, limit=2)
        assert {deal for batch in (*seen, *rest) for deal in batch} == {"1", "2", "3", "4", "5"}
        assert here.portal.offline.rows == []


# --- waiting ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def polling(here: Desk, **options: Any) -> AsyncIterator[list[tuple[float, str]]]:
    loop, seen = asyncio.get_running_loop(), list[tuple[float, str]]()
    began = loop.time()

    async def work() -> None:
        async for batch in events(here, **options):
            seen.extend((round(loop.time() - began, 1), event.object_id) for event in batch)

    task = asyncio.create_task(work())
    yield seen
    task.cancel()
    await asyncio.wait({task})


async def test_an_empty_queue_is_read_again_after_a_while() -> None:
    async with channel(1) as here, polling(here, poll=30) as seen:
        await asyncio.sleep(40)
        change(here, 2)
        await asyncio.sleep(40)
        assert seen == [(0.0, "1"), (60.0, "2")]


async def test_a_signal_of_the_portal_ends_the_wait() -> None:
    async with channel() as here, polling(here, poll=1000) as seen:
        await asyncio.sleep(10)
        change(here, 2)
        assert (await here.app.handle(here.event("ONOFFLINEEVENT"))).status == 200
        await asyncio.sleep(10)
        change(here, 3)
        here.app.signals.wake("another portal")
        await asyncio.sleep(10)
        assert seen == [(10.0, "2")]


async def test_a_reservation_that_was_lost_without_notice_is_found_at_the_next_look() -> None:
    async with channel() as here, polling(here, poll=30) as seen:
        await asyncio.sleep(10)
        change(here, 1)
        b24 = await here.app.portals.get(here.portal.member_id)
        await b24.call("event.offline.get", {"clear": 0})
        await asyncio.sleep(30)
        assert seen == [(30.0, "1")]
        assert here.portal.offline.rows == []


# --- in a runner ------------------------------------------------------------------------------------------------------


async def test_a_runner_is_woken_by_the_portal() -> None:
    async with channel() as here:
        seen: list[str] = []

        async def consume(b24: Any) -> None:
            async for batch in events(here):
                seen.extend(event.object_id for event in batch)

        async with Runner(here.app, consume, name="offline", poll=1000):
            await asyncio.sleep(10)
            change(here, 5)
            await here.app.handle(here.event("ONOFFLINEEVENT"))
            await asyncio.sleep(1)
            assert seen == ["5"]


async def test_a_consumer_that_raises_reads_the_same_events_again_after_a_pause() -> None:
    async with channel(1, 2) as here:
        attempts: list[list[str]] = []

        async def consume(b24: Any) -> None:
            async for batch in events(here):
                attempts.append([event.object_id for event in batch])
                if len(attempts) < 3:
                    raise ZeroDivisionError

        async with Runner(here.app, consume, name="offline", on_error=lambda *_: None):
            await asyncio.sleep(20)
        assert attempts == [["1", "2"]] * 3
        assert here.portal.offline.rows == []


async def test_a_runner_that_stops_lets_a_reader_finish_its_batch() -> None:
    async with channel(*range(1, 10)) as here:
        processed: list[str] = []

        async def consume(b24: Any) -> None:
            async for batch in events(here, limit=2):
                await asyncio.sleep(3)
                processed.extend(event.object_id for event in batch)

        async with Runner(here.app, consume, name="offline", drain=20) as runner:
            await asyncio.sleep(4)
            runner.stop()
        assert processed == ["1", "2", "3", "4"]
        assert [deal for deal, *_ in queued(here)] == ["5", "6", "7", "8", "9"]
        assert here.portal.offline.open_processes == set()


async def test_a_reader_with_much_to_do_lets_other_portals_go_on() -> None:
    async with channel() as here:
        turns: list[str] = []
        for name in ("a", "b"):
            await here.app.portals.install(attrs.evolve(here.portal.issue(), member_id=name))

        async def consume(b24: Any) -> None:
            turns.append(b24.auth.get_params().member_id)
            for _ in range(1000):
                if turn_is_over():
                    return
                await asyncio.sleep(1)

        async with Runner(here.app, consume, name="offline", concurrency=1, poll=1000):
            await asyncio.sleep(100)
        assert {turns.count(name) for name in ("a", "b", here.portal.member_id)} <= {3, 4}
        assert not turn_is_over()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"limit": 0}, "limit"),
        ({"poll": 0}, "poll"),
        ({"poll": "5"}, "poll"),
        ({"auth_connector": 7}, "auth_connector"),
        ({"failed": 1}, "failed"),
        ({"at_most_once": "yes"}, "at_most_once"),
        ({"lease": -1}, "lease"),
    ],
)
async def test_a_wrong_option_is_named(options: dict[str, Any], named: str) -> None:
    async with channel() as here:
        with pytest.raises(ConfigurationError, match=named):
            events(here, **options)
        with pytest.raises(ConfigurationError, match="member_id"):
            here.app.offline_events("")
