"""Walks in time: slow pages, timeouts, turns of the loop, cancellation and progress."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs
import pytest

from b24oauth.errors import RequestTimeoutError
from b24oauth.lists.sizing import RequestSizing
from b24oauth.testing import FakePortal, ListShape, faults
from tests.support.clients import connected, fake_portal
from tests.support.lists import ids, rows_of

pytestmark = pytest.mark.anyio

WALKS: list[dict[str, Any]] = [
    {},
    {"concurrency": 1},
    {"descending": True},
    {"params": {"order": {"OPPORTUNITY": "ASC"}}},
    {"paging": "offset"},
]


def durations(portal: FakePortal) -> list[float]:
    """How long each request took at the portal."""
    return [len(r.params["cmd"]) if r.method == "batch" else 1.0 for r in portal.requests]


@pytest.mark.parametrize("walk", WALKS, ids=str)
@pytest.mark.parametrize("timeout", [10.0, 30.0, 200.0])
async def test_b2_slow_pages_are_asked_for_in_requests_that_end_well_inside_every_timeout(
    walk: dict[str, Any], timeout: float
) -> None:
    portal = fake_portal(rows={"crm.deal": 2_000}, command_latency=1.0)
    async with connected(portal, timeout=timeout) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", **walk)).result
    assert sorted(ids(found)) == list(range(1, 2_001))
    assert max(durations(portal)) <= min(timeout, 60.0) / 2
    assert all(request.status == 200 for request in portal.requests)


@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_b2_a_batch_that_times_out_is_asked_for_in_halves(walk: dict[str, Any]) -> None:
    # Pages that get slow in the middle, which nothing before tells.
    portal = fake_portal(rows={"crm.deal": 2_000}, command_latency=0.01)
    slow = asyncio.get_running_loop().time() + 0.05

    async def delay(process: Any) -> Any:
        answer = await process()
        commands = portal.requests[-1].params.get("cmd", ()) if portal.requests else ()
        if asyncio.get_running_loop().time() > slow and len(commands) > 12:
            await asyncio.sleep(3_600)
        return answer

    portal.inject(delay, on="batch", times=None)
    async with connected(portal, timeout=30.0) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", **walk)).result
    assert sorted(ids(found)) == list(range(1, 2_001))
    assert portal.clock.elapsed < 400


@pytest.mark.parametrize("walk", WALKS, ids=str)
@pytest.mark.parametrize("status", [408, 504])
async def test_b2_a_batch_that_the_portal_or_a_proxy_ends_is_asked_for_in_halves(
    walk: dict[str, Any], status: int
) -> None:
    portal = fake_portal(rows={"crm.deal": 4_000})
    ended = [0]

    async def end(process: Any) -> Any:
        answer = await process()
        if len(commands_in(answer)) <= 4:
            return answer
        ended[0] += 1
        return await faults.html(status, "took too long")(process)

    portal.inject(end, on="batch", times=None)
    async with connected(portal, timeout=200.0) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", pages_per_request=12, **walk)).result
    assert sorted(ids(found)) == list(range(1, 4_001))
    assert ended[0]


@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_b2_slow_pages_behind_a_patient_client_end_within_the_limit_of_the_portal(walk: dict[str, Any]) -> None:
    portal = fake_portal(rows={"crm.deal": 3_000}, command_latency=0.01)

    async def slow_down(process: Any) -> Any:
        portal.command_latency = 2.0
        return await process()

    portal.inject(slow_down, on="batch", times=1)
    async with connected(portal, timeout=200.0) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", **walk)).result
    assert sorted(ids(found)) == list(range(1, 3_001))
    assert sum(request.status == 504 for request in portal.requests) <= 1


@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_a_long_walk_survives_refusals_that_are_not_in_a_row(walk: dict[str, Any]) -> None:
    portal = fake_portal(rows={"crm.deal": 6_000})
    batches = [0]

    async def refuse(process: Any) -> Any:
        batches[0] += 1
        answer = await process()
        if batches[0] % 2:
            return answer
        body = json.loads(answer.body)
        first = commands_in(answer)[0]
        refused = {"error": "QUERY_LIMIT_EXCEEDED", "error_description": "Too many requests"}
        body["result"] |= {"result": [], "result_error": {first: refused}}
        return attrs.evolve(answer, body=json.dumps(body).encode())

    portal.inject(refuse, on="batch", times=None)
    async with connected(portal) as b24:
        found = (await b24.actions.v2.call_list.make("crm.deal.list", pages_per_request=10, **walk)).result
    assert sorted(ids(found)) == list(range(1, 6_001))


def commands_in(answer: Any) -> list[str]:
    """Names of the commands that a batch ran."""
    results = json.loads(answer.body)["result"]["result"]
    return list(results) if isinstance(results, dict) else [str(number) for number in range(len(results))]


@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_b2_a_portal_that_never_answers_ends_a_walk_soon(walk: dict[str, Any]) -> None:
    portal = fake_portal(rows={"crm.deal": 2_000})
    portal.inject(faults.hang(), times=None, after=1)
    async with connected(portal, timeout=30.0) as b24:
        with pytest.raises(RequestTimeoutError):
            await b24.actions.v2.call_list.make("crm.deal.list", **walk)
    assert portal.clock.elapsed < 300


@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_ready_pages_leave_others_their_turns(walk: dict[str, Any]) -> None:
    portal = fake_portal(rows={"crm.deal": 3_000}, latency=1.0)
    turns: list[int] = []
    async with connected(portal) as b24:
        pages = 0
        async for _ in b24.actions.v2.fetch_list.make("crm.deal.list", **walk):
            # Whoever waits for the loop gets it before the next page is handed out.
            assert len(turns) == pages
            pages += 1
            asyncio.get_running_loop().call_soon(turns.append, pages)
    assert pages >= 60


@pytest.mark.parametrize("walk", WALKS, ids=str)
async def test_a_cancellation_takes_effect_at_the_next_page(walk: dict[str, Any]) -> None:
    portal = fake_portal(rows={"crm.deal": 3_000}, latency=1.0)
    pages: list[Any] = []

    async def write(b24: Any) -> None:
        async for page in b24.actions.v2.fetch_list.make("crm.deal.list", **walk):
            pages.append(page)  # nothing that a cancellation could end
            if len(pages) == 20:
                asyncio.current_task().cancel()  # type: ignore[union-attr]

    async with connected(portal) as b24:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(write(b24))
    assert len(pages) == 20


@pytest.mark.parametrize(
    ("walk", "known_after"),
    [({}, 50), ({"paging": "offset"}, 0), ({"params": {"order": {"TITLE": "ASC"}}}, 0)],
    ids=str,
)
async def test_progress_knows_the_total_as_soon_as_the_portal_has_counted(
    walk: dict[str, Any], known_after: int
) -> None:
    told: list[tuple[int, int | None]] = []
    async with connected(fake_portal(rows={"crm.deal": 1_000}, latency=1.0)) as b24:
        await b24.actions.v2.call_list.make("crm.deal.list", on_progress=lambda *facts: told.append(facts), **walk)
    assert {total for done, total in told if done > known_after} == {1_000}
    assert told[-1] == (1_000, 1_000)


@pytest.mark.parametrize(
    ("walk", "count"), [({}, 30), ({}, 0), ({"descending": True}, 30), ({"descending": True}, 120)]
)
async def test_progress_of_a_walk_by_identifier_knows_the_total_at_its_end(walk: dict[str, Any], count: int) -> None:
    told: list[tuple[int, int | None]] = []
    async with connected(fake_portal(rows={"crm.deal": count})) as b24:
        await b24.actions.v2.call_list.make("crm.deal.list", on_progress=lambda *facts: told.append(facts), **walk)
    assert told[-1:] == [(count, count)][: len(told)]
    assert len(told) == -(-count // 50)


async def test_a_page_of_another_size_than_the_others_breaks_no_chain() -> None:
    portal = fake_portal()
    calls = [0]

    def answer(params: dict[str, Any]) -> list[Any]:
        calls[0] += 1
        after = int(params["filter"].get("<ID") or 10**6)
        size = 30 if calls[0] == 1 else 20
        return [{"ID": n} for n in range(min(after - 1, 500), max(0, min(after - 1, 500) - size), -1)]

    portal.method("my.list", answer)
    async with connected(portal) as b24:
        found = (await b24.actions.v2.call_list.make("my.list", paging="keyset", descending=True)).result
    assert ids(found) == list(range(500, 0, -1))


@pytest.mark.parametrize("form", ["numbers", "list"])
async def test_rows_in_a_mapping_are_walked_without_references(form: Any) -> None:
    portal = fake_portal()
    shape = ListShape(rows_key="templates", form=form, id_key="id", order_field="id", filter_field="id")
    portal.list_method("documentgenerator.template.list", shape, [{"id": n} for n in range(1, 331)])
    async with connected(portal) as b24:
        found = await rows_of(b24.actions.v2.fetch_list.make("documentgenerator.template.list", descending=True))
    assert ids(found, "id") == list(range(330, 0, -1))


def test_a_size_follows_the_slowest_of_late_and_recovers() -> None:
    sizing = RequestSizing(50, 30.0)
    assert sizing.most == 50
    sizing.took(10, 10.0)
    assert sizing.most == 15
    sizing.took(15, 1.5)
    assert 15 < sizing.most < 50
    for _ in range(20):
        sizing.took(sizing.most, 0.5)
    assert sizing.most == 50


def test_a_size_halves_at_each_timeout_but_not_for_those_under_way() -> None:
    sizing = RequestSizing(50, None)
    assert [sizing.timed_out(50), sizing.timed_out(50), sizing.timed_out(50)] == [True] * 3
    assert sizing.most == 25
    assert [sizing.timed_out(25), sizing.timed_out(12)] == [True] * 2
    assert not sizing.timed_out(6)
    assert not RequestSizing(50, None).timed_out(1)


def test_a_size_follows_the_bytes_of_responses() -> None:
    sizing = RequestSizing(50, None)
    sizing.took(1, 0.1, 25_000)
    assert sizing.most == 50
    sizing.took(50, 0.1, 50 * 100_000)
    assert sizing.most == 25
    sizing.took(25, 0.1, 25 * 10_000_000)
    assert sizing.most == 1


async def test_rows_that_are_large_come_in_smaller_requests() -> None:
    portal = fake_portal()
    everything = [{"ID": str(number), "COMMENTS": "x" * 4_000} for number in range(1, 3_001)]
    portal.list_method("crm.deal.list", ListShape(), everything)
    async with connected(portal) as b24:
        assert len((await b24.actions.v2.call_list.make("crm.deal.list")).result) == 3_000
    pages = [len(request.params["cmd"]) for request in portal.requests if "cmd" in request.params]
    assert max(pages) <= 12
