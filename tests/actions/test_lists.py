"""Walks: every row once, in order, or an error; whatever the pages, gaps, faults and consumers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import aclosing
from pathlib import Path
from typing import Any

import anyio
import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b24oauth import AccessDeniedError, AjaxError, InvalidParamsError, ParamsFactory, RateLimitConfig, SdkError
from b24oauth.errors import BadResponseError, RequestTimeoutError
from b24oauth.testing import FakePortal, RestError, faults, run_virtual
from tests.support.clients import UNLIMITED, connected, fake_portal
from tests.support.examples import examples
from tests.support.lists import ids, pages_of, rows_of

pytestmark = pytest.mark.anyio


def asked(portal: FakePortal) -> int:
    """Requests but those for tokens."""
    return sum(request.method != "oauth/token" for request in portal.requests)


def walks_left() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() == "b24oauth list walk"]


# --- the same rows, however they are asked for -----------------------------------------------------------------------

ids_with_gaps = st.one_of(
    st.integers(0, 420).map(lambda count: list(range(1, count + 1))),
    st.lists(st.integers(1, 10**9), max_size=260, unique=True).map(sorted),
    st.tuples(st.integers(0, 6), st.integers(1, 4)).map(
        lambda size: list(range(1, 50 * size[0] * size[1] + 1, size[1]))
    ),
)


@pytest.mark.slow
@settings(max_examples=examples(100, 500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(present=ids_with_gaps, cap=st.sampled_from([7, 50, 500]), most=st.sampled_from([None, 2, 5, 50]))
def test_b1_every_kind_of_walk_gives_the_same_rows(present: list[int], cap: int, most: int | None) -> None:
    async def compare() -> None:
        portal = fake_portal(page_caps={"crm.deal.list": cap})
        portal.rows("crm.deal", ids=present)
        async with connected(portal) as b24:
            v2, v3 = b24.actions.v2, b24.actions.v3
            plain = await rows_of(v2.fetch_list.make("crm.deal.list", pages_per_request=1))
            chained = await rows_of(v2.fetch_list.make("crm.deal.list", pages_per_request=most))
            offset = (await v2.call_list.make("crm.deal.list", {"order": {"ID": "ASC"}}, paging="offset")).result
            newer = (await v3.call_list.make("crm.deal.list", limit=1000)).result
        assert ids(plain) == present
        assert chained == plain
        assert offset == plain
        assert [int(row["id"]) for row in newer] == present

    run_virtual(compare())


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 600), holes=st.sets(st.integers(1, 600)), seed=st.randoms(use_true_random=False))
def test_b1_rows_that_stay_are_given_once_while_others_are_deleted_and_added(
    count: int, holes: set[int], seed: Any
) -> None:
    async def walk() -> None:
        portal = fake_portal(rows={"crm.deal": count})
        table = portal.rows("crm.deal")
        doomed = [row for row in holes if row <= count]
        seen: list[int] = []
        async with connected(portal) as b24:
            async for page in b24.actions.v2.fetch_list.make("crm.deal.list"):
                seen += ids(page)
                for _ in range(seed.randint(0, 3)):
                    if doomed:
                        table.delete(doomed.pop())
        assert seen == sorted(set(seen))
        assert set(range(1, count + 1)) - holes <= set(seen)

    run_virtual(walk())


# --- traffic and memory ----------------------------------------------------------------------------------------------


async def test_a_hundred_thousand_rows_take_at_most_forty_three_requests() -> None:
    portal = fake_portal(rows={"crm.deal": 100_000})
    async with connected(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("crm.deal.list", {"select": ["ID"]})).result
    assert ids(rows) == list(range(1, 100_001))
    assert asked(portal) <= 43


@pytest.mark.parametrize(("count", "requests"), [(0, 1), (3, 1), (50, 2), (51, 2), (149, 2), (150, 2)])
async def test_a_short_list_costs_nothing_extra(count: int, requests: int) -> None:
    portal = fake_portal(rows={"crm.deal": count})
    async with connected(portal) as b24:
        assert len((await b24.actions.v2.call_list.make("crm.deal.list")).result) == count
    assert asked(portal) == requests


async def test_one_page_a_request_gives_the_references_traffic() -> None:
    portal = fake_portal(rows={"crm.deal": 130})
    async with connected(portal) as b24:
        await b24.actions.v2.call_list.make("crm.deal.list", pages_per_request=1)
    assert [request.method for request in portal.requests] == ["crm.deal.list"] * 3


MILLION = """
import asyncio, resource, sys
from tests.support.clients import connected, fake_portal

def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)

async def main() -> None:
    seen = first = 0
    async with connected(fake_portal(rows={"crm.deal": 1_000_000}, record=False)) as b24:
        async for page in b24.actions.v2.fetch_list.make("crm.deal.list", {"select": ["ID"]}):
            first = first or peak()
            seen += len(page)
    print(seen, peak() - first)

asyncio.run(main())
"""


@pytest.mark.slow
def test_b2_a_million_rows_are_streamed_in_the_memory_of_a_few_requests() -> None:
    root = Path(__file__).parents[2]
    run = subprocess.run([sys.executable, "-c", MILLION], cwd=root, capture_output=True, text=True, check=True)
    seen, rate_backoff_factor = map(int, run.stdout.split())
    assert seen == 1_000_000
    assert rate_backoff_factor < 30 * 2**20


async def test_the_next_request_is_on_its_way_while_the_caller_works() -> None:
    portal = fake_portal(rows={"crm.deal": 500}, latency=1.0)
    async with connected(portal) as b24:
        async for _ in b24.actions.v2.fetch_list.make("crm.deal.list"):
            await asyncio.sleep(1.0)
    # Ten pages worked on for a second each, and only the first wait is not hidden.
    assert portal.clock.elapsed < 13


# --- options ---------------------------------------------------------------------------------------------------------


async def test_a_cap_progress_and_a_start_are_obeyed() -> None:
    portal = fake_portal(rows={"crm.deal": 1000})
    told: list[tuple[int, int | None]] = []
    async with connected(portal) as b24:
        rows = await b24.actions.v2.call_list.make(
            "crm.deal.list", start_after=100, max_items=120, on_progress=lambda done, total: told.append((done, total))
        )
    assert ids(rows.result) == list(range(101, 221))
    assert told == [(50, None), (100, 900), (120, 900)]
    assert asked(portal) == 2


async def test_progress_of_an_offset_walk_knows_the_total_and_may_be_awaited() -> None:
    told: list[tuple[int, int | None]] = []

    async def tell(done: int, total: int | None) -> None:
        told.append((done, total))

    async with connected(fake_portal(rows={"crm.deal": 70})) as b24:
        await b24.actions.v2.call_list.make("crm.deal.list", paging="offset", on_progress=tell)
    assert told == [(50, 70), (70, 70)]


async def test_b1_the_callers_own_lower_bound_is_the_start_of_the_walk() -> None:
    async with connected(fake_portal(rows={"crm.deal": 300})) as b24:
        own = {"filter": {">ID": "200", "<=ID": 290}}
        assert ids((await b24.actions.v2.call_list.make("crm.deal.list", own)).result) == list(range(201, 291))
        with pytest.raises(InvalidParamsError, match=r"filter\.>ID"):
            await b24.actions.v2.call_list.make("crm.deal.list", {"filter": {">ID": "abc"}})


@pytest.mark.parametrize(
    ("method", "table", "params", "key"),
    [
        ("crm.item.list", "crm.item", {"entityTypeId": 2}, "id"),
        ("tasks.task.list", "tasks.task", {}, "id"),
        ("crm.type.list", "crm.type", {}, "id"),
        ("user.get", "user", {}, "ID"),
        ("department.get", "department", {}, "ID"),
        ("task.elapseditem.getlist", "task.elapseditem", [7], "ID"),
    ],
)
async def test_known_exceptions_need_no_knowledge(method: str, table: str, params: Any, key: str) -> None:
    portal = fake_portal()
    rows = portal.rows(table, ids=range(1, 131))
    expected = list(rows.ids)
    if method.startswith("task."):
        for row in expected:
            rows.update(row, {"TASK_ID": "7"})
    async with connected(portal) as b24:
        found = ids(await rows_of(b24.actions.v2.fetch_list.make(method, params)), key)
    assert sorted(found) == expected
    assert len(found) == len(expected)


# --- things that go wrong --------------------------------------------------------------------------------------------

FAULTS = {
    "429": faults.status(429, error="OPERATION_TIME_LIMIT"),
    "503": faults.status(503, error="QUERY_LIMIT_EXCEEDED"),
    "401": faults.status(401, error="expired_token"),
    "drop before": faults.drop_before(),
    "drop after": faults.drop_after(),
    "html": faults.html(502),
    "cut off": faults.truncated_json(),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("most", [1, None])
async def test_b1_a_fault_in_the_middle_of_a_walk_loses_and_repeats_no_row(
    fault: faults.Fault, most: int | None
) -> None:
    portal = fake_portal(rows={"crm.deal": 400})
    portal.inject(fault, after=2)
    async with connected(portal) as b24:
        rows = await rows_of(b24.actions.v2.fetch_list.make("crm.deal.list", pages_per_request=most))
    assert ids(rows) == list(range(1, 401))
    assert not walks_left()


@pytest.mark.parametrize("most", [1, None])
async def test_b1_an_error_in_the_middle_is_raised_after_the_rows_before_it(most: int | None) -> None:
    portal = fake_portal(rows={"crm.deal": 4_000})
    portal.inject(faults.status(403, error="ACCESS_DENIED"), after=2, times=None)
    seen: list[Any] = []
    async with connected(portal) as b24:

        async def consume() -> None:
            async for page in b24.actions.v2.fetch_list.make("crm.deal.list", pages_per_request=most):
                seen.extend(page)

        with pytest.raises(AjaxError, match="ACCESS_DENIED"):
            await consume()
        before = asked(portal)
        await asyncio.sleep(60)
    assert ids(seen) == list(range(1, len(seen) + 1))
    assert len(seen) >= 100
    assert asked(portal) == before <= 6
    assert not walks_left()


async def test_a_soft_error_in_the_middle_keeps_the_rows_of_an_eager_list() -> None:
    portal = fake_portal(rows={"crm.deal": 400})
    portal.inject(faults.status(400, error="ERROR_ENTITY_NOT_FOUND", description="gone"), after=1)
    async with connected(portal) as b24:
        result = await b24.actions.v2.call_list.make("crm.deal.list")
        portal.inject(faults.status(400, error="ERROR_ENTITY_NOT_FOUND", description="gone"), after=1)
        with pytest.raises(SdkError, match="API Error: gone"):
            await rows_of(b24.actions.v2.fetch_list.make("crm.deal.list"))
    assert not result.is_success
    assert len(result.get_data() or ()) == 50


@pytest.mark.parametrize("code", ["QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT", "expired_token"])
async def test_b1_a_page_refused_inside_of_a_batch_is_asked_for_again(code: str) -> None:
    portal = fake_portal(rows={"crm.deal": 400})
    refusals = [code]

    async def refuse_second_page(process: Any) -> Any:
        answer = await process()
        if b'"p1"' in answer.body and refusals:
            body = json.loads(answer.body)
            body["result"]["result_error"] = {"p1": {"error": refusals.pop(), "error_description": ""}}
            body["result"]["result"] = {"p0": body["result"]["result"]["p0"]}
            return attrs.evolve(answer, body=json.dumps(body).encode())
        return answer

    portal.inject(refuse_second_page, on="batch", times=None)
    async with connected(portal) as b24:
        rows = await rows_of(b24.actions.v2.fetch_list.make("crm.deal.list"))
    assert ids(rows) == list(range(1, 401))
    assert not refusals


async def test_a_method_that_batch_refuses_is_walked_plainly() -> None:
    portal = fake_portal(rows={"crm.deal": 400})

    async def refuse(process: Any) -> Any:
        answer = await process()
        body = json.loads(answer.body)
        body["result"] = {"result": [], "result_error": {"p0": {"error": "ERROR_BATCH_METHOD_NOT_ALLOWED"}}}
        return attrs.evolve(answer, body=json.dumps(body).encode())

    portal.inject(refuse, on="batch", times=None)
    async with connected(portal) as b24:
        rows = await rows_of(b24.actions.v2.fetch_list.make("crm.deal.list"))
    assert ids(rows) == list(range(1, 401))
    assert sum(request.method == "batch" for request in portal.requests) == 1


@pytest.mark.parametrize("leave", ["break", "cancel", "scope"])
async def test_a_walk_that_is_left_early_fetches_nothing_more_and_leaves_no_task(leave: str) -> None:
    portal = fake_portal(rows={"crm.deal": 4000}, latency=1.0)
    async with connected(portal) as b24:

        async def consume() -> None:
            async with aclosing(b24.actions.v2.fetch_list.make("crm.deal.list")) as walk:
                async for _ in walk:
                    if leave == "break":
                        break
                    await asyncio.sleep(0.5)

        if leave == "cancel":
            task = asyncio.create_task(consume())
            await asyncio.sleep(3.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            with anyio.move_on_after(3.2):
                await consume()
        assert not walks_left()
        await asyncio.sleep(5)
        before = asked(portal)
        await asyncio.sleep(60)
        assert asked(portal) == before


@pytest.mark.parametrize("order", [[3, 2, 1], [1, 3, 2], [2, 2, 3], [0, 1, 2]])
async def test_b1_rows_that_do_not_come_in_the_order_of_their_identifiers_raise(order: list[int]) -> None:
    # The newest first, or anyhow: a walk by identifiers would give some twice and others not at all.
    ids = [100 + 3 * place + offset for place in range(16) for offset in order] + [900, 901]
    portal = fake_portal()
    portal.method("my.list", lambda _: [{"ID": str(number)} for number in ids])
    portal.method("my.v3.list", lambda _: {"items": [{"id": number} for number in ids]})
    async with connected(portal) as b24:
        with pytest.raises(BadResponseError, match="order of `ID`"):
            await b24.actions.v2.call_list.make("my.list", start_after=100, paging="keyset")
        with pytest.raises(BadResponseError, match="order of `id`"):
            await b24.actions.v3.call_list.make("my.v3.list", start_after=100)


async def test_b1_only_the_last_row_of_a_page_needs_an_identifier() -> None:
    portal = fake_portal()
    portal.method("my.list", lambda _: [{"TITLE": "no identifier"}, {"ID": "7"}])
    async with connected(portal) as b24:
        assert len((await b24.actions.v2.call_list.make("my.list")).result) == 2


@pytest.mark.parametrize("cap", [None, 3])
async def test_b1_a_cursor_that_cannot_be_read_or_does_not_advance_raises(cap: int | None) -> None:
    portal = fake_portal(rows={"crm.deal": 120})
    portal.method("stuck.list", lambda params: [{"ID": str(number)} for number in range(1, 51)])
    async with connected(portal) as b24:
        v2, v3 = b24.actions.v2, b24.actions.v3
        with pytest.raises(BadResponseError, match="no usable `TITLE`"):
            await v2.call_list.make("crm.deal.list", id_key="TITLE", cursor_id_key="ID", paging="keyset")
        with pytest.raises(BadResponseError, match="does not advance"):
            await v2.call_list.make("stuck.list", pages_per_request=cap, paging="keyset")
        with pytest.raises(BadResponseError, match="no single list of rows under `tasks`"):
            await v2.call_list.make("crm.deal.list", custom_key_for_result="tasks")
        with pytest.raises(BadResponseError, match="it has items"):
            await v2.call_list.make("crm.item.list", {"entityTypeId": 2}, custom_key_for_result="tasks")
        with pytest.raises(BadResponseError, match="no usable `comments`"):
            await v3.call_tail.make("crm.deal.tail", cursor_field="comments", initial_value=-1, limit=50)


async def test_a2_an_eager_list_is_read_within_its_timeout() -> None:
    portal = fake_portal(rows={"crm.deal": 100_000}, latency=1.0)
    async with connected(portal) as b24:
        with pytest.raises(RequestTimeoutError, match=r"crm\.deal\.list"):
            await b24.actions.v2.call_list.make("crm.deal.list", timeout=3.5)
    assert portal.clock.elapsed == pytest.approx(3.5)


async def test_l3_a_long_walk_fits_the_portals_bucket() -> None:
    portal = fake_portal(rows={"crm.deal": 20_000}, burst=2, drain=1)
    limits = attrs.evolve(ParamsFactory.get_default(), rate_limit=RateLimitConfig(burst_limit=2, drain_rate=1))
    async with connected(portal, restriction_params=limits) as b24:
        assert len((await b24.actions.v2.call_list.make("crm.deal.list")).result) == 20_000
    assert portal.refused == 0
    assert UNLIMITED.rate_limit.burst_limit > 2


# --- v3 --------------------------------------------------------------------------------------------------------------


async def test_v3_lists_pass_a_servers_cap_and_keep_the_callers_filter() -> None:
    portal = fake_portal(rows={"tasks.task": 260}, page_caps={"tasks.task.list": 50})
    async with connected(portal) as b24:
        call = b24.actions.v3.call_list.make
        assert len((await call("tasks.task.list", limit=1000)).result) == 260
        some = await call("tasks.task.list", {"filter": [["id", "<=", 120]]}, limit=1000)
        assert [int(row["id"]) for row in some.result] == list(range(1, 121))
        with pytest.raises(SdkError, match="must be a list in v3"):
            await call("tasks.task.list", {"filter": {"id": 1}})


async def test_v3_tails_walk_by_their_cursor_in_both_directions() -> None:
    portal = fake_portal(rows={"main.eventlog": 250})
    async with connected(portal) as b24:
        up = await pages_of(b24.actions.v3.fetch_tail.make("main.eventlog.tail", limit=100))
        down = await b24.actions.v3.call_tail.make("main.eventlog.tail", order="DESC", initial_value=10**9, limit=100)
        with pytest.raises(SdkError, match="initial_value"):
            await pages_of(b24.actions.v3.fetch_tail.make("main.eventlog.tail", order="DESC"))
    assert list(map(len, up)) == [100, 100, 50]
    assert [int(row["id"]) for row in down.result] == list(range(250, 0, -1))


async def test_v3_aggregates_are_made_by_the_portal() -> None:
    async with connected(fake_portal(rows={"main.eventlog": 250})) as b24:
        counted = await b24.actions.v3.aggregate.make("main.eventlog.aggregate", select={"count": ["id"]})
    assert counted.result["count"]["id"] == 250


@pytest.mark.parametrize(
    ("select", "code"),
    [
        ({"median": ["id"]}, "FUNCTION"),
        ({"count": ["id"], "COUNT": ["id"]}, "FUNCTION"),
        ({"": ["id"]}, "FUNCTION"),
        ({1: ["id"]}, "FUNCTION"),
        ({"sum": "amount"}, "SELECT"),
        ({"sum": None}, "SELECT"),
        ({"sum": 5}, "SELECT"),
        ({"sum": [1]}, "SELECT"),
        ({"sum": [""]}, "SELECT"),
        ({"sum": {"amount": 5}}, "SELECT"),
        ({"sum": {"": "total"}}, "SELECT"),
        (["count"], "SELECT"),
        ("count", "SELECT"),
        (None, "SELECT"),
    ],
)
async def test_an_aggregate_that_the_portal_would_refuse_is_not_sent(select: Any, code: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(
            InvalidParamsError, match=r"^\[InvalidParamsError\] .* main\.eventlog\.aggregate: "
        ) as caught:
            await b24.actions.v3.aggregate.make("main.eventlog.aggregate", select=select)
    assert (caught.value.code, caught.value.status) == (f"B24OAUTH_AGGREGATE_V3_INVALID_{code}", 400)
    assert not portal.requests


@pytest.mark.parametrize("name", ["Filter", "FILTER"])
async def test_b1_a_filter_of_an_aggregate_in_another_case_is_refused(name: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(InvalidParamsError, match=name):
            await b24.actions.v3.aggregate.make("main.eventlog.aggregate", {name: []}, select={"count": ["id"]})
    assert portal.requests == []


@pytest.mark.parametrize(
    "select",
    [
        {name: ["id"] for name in ("sum", "avg", "min", "max", "count", "countDistinct")},
        {"sum": {"id": "total"}},
        {"count": ("id",)},
    ],
)
async def test_every_function_and_both_shapes_of_an_aggregate_are_sent(select: Any) -> None:
    async with connected(fake_portal(rows={"main.eventlog": 3})) as b24:
        counted = await b24.actions.v3.aggregate.make("main.eventlog.aggregate", select=select)
    assert set(counted.result) == set(select)


# --- what errors name -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, None])
@pytest.mark.parametrize(
    "rows", [{"wrong": []}, [{"NAME": "no identifier"}] * 50, [{"ID": number} for number in range(50, 0, -1)]]
)
async def test_an_error_of_a_walk_names_method_and_request(rows: Any, most: int | None) -> None:
    portal = fake_portal()
    portal.method("crm.deal.list", lambda _: rows)
    options: Any = {"pages_per_request": most, "paging": "keyset"}
    async with connected(portal) as b24:
        with pytest.raises(BadResponseError) as eager:
            await b24.actions.v2.call_list.make("crm.deal.list", request_id="request-9", **options)
        with pytest.raises(BadResponseError) as lazy:
            async for _ in b24.actions.v2.fetch_list.make("crm.deal.list", request_id="request-8", paging="keyset"):
                pass
    assert str(eager.value).endswith("[crm.deal.list, request request-9]")
    assert str(lazy.value).endswith("[crm.deal.list, request request-8]")


@pytest.mark.parametrize("most", [1, None])
async def test_a_list_without_a_code_in_its_error_has_a_class_and_names_its_request(most: int | None) -> None:
    portal = fake_portal(rows={"crm.deal": 500})

    def refuse(_: Any) -> Any:
        raise RestError("", "Access denied")

    portal.method("crm.deal.list", refuse)
    async with connected(portal) as b24:
        with pytest.raises(AccessDeniedError, match="request request-9") as caught:
            await b24.actions.v2.call_list.make("crm.deal.list", request_id="request-9", pages_per_request=most)
    assert caught.value.message == "Access denied"
