"""Long lists in several requests at once: every row once, in order, with little asked for in vain."""

from __future__ import annotations

import asyncio
import json
import random
from bisect import bisect_right
from collections.abc import Callable
from contextlib import aclosing
from itertools import accumulate, count
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b24oauth import ConfigurationError, ParamsFactory, RateLimitConfig, RestrictionParams, SdkError
from b24oauth.errors import ExpiredTokenError
from b24oauth.lists.keyset import KeysetPager
from b24oauth.lists.pages import UnorderedRowsError
from b24oauth.testing import FakePortal, Reply, RestError, faults, run_virtual
from tests.support.clients import connected, fake_portal
from tests.support.lists import ids, rows_of

pytestmark = pytest.mark.anyio

SEED = random.Random(7)
SHAPES: dict[str, list[int]] = {
    "dense": list(range(1, 20_001)),
    "sparse": sorted(SEED.sample(range(1, 2_000_000), 20_000)),
    "two blocks far apart": [*range(1, 10_001), *range(5_000_001, 5_010_001)],
    "two blocks close by": [*range(1, 10_001), *range(30_001, 40_001)],
    "one far at the end": [*range(1, 20_001), 10**9],
    "all far from the start": list(range(10**9, 10**9 + 20_000)),
    "small clusters": [100_000 * cluster + row for cluster in range(500) for row in range(1, 41)],
    "large clusters": [1_000_000 * cluster + row for cluster in range(10) for row in range(1, 2_001)],
    "ever sparser": [number * number for number in range(1, 20_001)],
    "a tenth power": [int((number / 20_000) ** 10 * 2_000_000) + number for number in range(1, 20_001)],
    "exponential": [int(1.001**number) + number for number in range(20_000)],
    "gaps of every size": list(accumulate(int(SEED.paretovariate(0.7)) for _ in range(20_000))),
    "sparse, then dense in a small place": [*range(1, 400_000, 40), *range(400_001, 410_001)],
}
# More than the portal is asked to count: 120,000 rows.
LONG_SHAPES: dict[str, list[int]] = {
    "dense": list(range(1, 120_001)),
    "sparse": sorted(SEED.sample(range(1, 2_000_000), 120_000)),
    "sparse, then dense in a small place": [*range(1, 2_400_000, 40), *range(2_400_001, 2_460_001)],
    "small clusters": [1_000 * cluster + row for cluster in range(4_000) for row in range(1, 31)],
    "large clusters": [1_000_000 * cluster + row for cluster in range(30) for row in range(1, 4_001)],
    "ever sparser": [number * number for number in range(1, 120_001)],
}


def commands(portal: FakePortal) -> int:
    return portal.calls["crm.deal.list"]


async def export(portal: FakePortal, **options: Any) -> tuple[list[int], float]:
    """The identifiers that a walk gives, and how long it takes by the portal's clock."""
    async with connected(portal, **options.pop("client", {})) as b24:
        begun = portal.clock.now()
        rows = (await b24.actions.v2.call_list.make("crm.deal.list", {"select": ["ID"]}, **options)).result
        return ids(rows), portal.clock.now() - begun


@pytest.mark.parametrize("shape", SHAPES)
async def test_b1_every_row_comes_once_in_order_and_little_is_asked_in_vain(shape: str) -> None:
    portal = fake_portal(latency=0.05)
    portal.rows("crm.deal", ids=SHAPES[shape])
    seen, _ = await export(portal)
    assert seen == SHAPES[shape]
    assert commands(portal) <= 1.05 * len(seen) / 50


@pytest.mark.parametrize("shape", LONG_SHAPES)
async def test_b1_very_long_lists_come_as_fast_with_as_little_in_vain(shape: str) -> None:
    portal = fake_portal(latency=0.05, command_latency=0.02)
    portal.rows("crm.deal", ids=LONG_SHAPES[shape])
    seen, seconds = await export(portal)
    assert seen == LONG_SHAPES[shape]
    assert commands(portal) <= 1.1 * len(seen) / 50
    assert len([request for request in portal.requests if request.method == "batch"]) <= 1.6 * len(seen) / 2_500
    assert len(seen) / seconds >= 15_000


@pytest.mark.parametrize(("command", "rows_a_second"), [(0.0, 80_000), (0.02, 16_000)])
@pytest.mark.parametrize("shape", SHAPES)
async def test_l3_a_long_list_comes_as_fast_as_the_portal_gives_it_without_a_refusal(
    shape: str, command: float, rows_a_second: int
) -> None:
    portal = fake_portal(latency=0.05, command_latency=command, burst=50, drain=20)
    portal.rows("crm.deal", ids=SHAPES[shape])
    limits = RestrictionParams(rate_limit=RateLimitConfig(burst_limit=50, drain_rate=20))
    seen, seconds = await export(portal, client={"restriction_params": limits})
    assert seen == SHAPES[shape]
    assert len(seen) / seconds >= rows_a_second  # of the virtual clock
    assert portal.refused == 0


@pytest.mark.parametrize("turns", [4, 7])
async def test_the_rest_is_spread_over_all_requests_that_ended_in_one_turn(turns: int) -> None:
    portal = fake_portal(latency=0.05, command_latency=0.02)
    portal.rows("crm.deal", ids=sorted(random.Random(24).sample(range(1, 100_000), 20_000)))

    answers = count()

    async def a_few_turns_later(process: Any) -> Any:
        answer = await process()
        for _ in range(next(answers) % turns):
            await asyncio.sleep(0)
        return answer

    portal.inject(a_few_turns_later, times=None)
    seen, seconds = await export(portal)
    assert len(seen) == 20_000
    pages = [len(request.params["cmd"]) for request in portal.requests if "cmd" in request.params]
    assert max(pages) <= 42
    assert seconds <= 1.2


some_ids = st.one_of(
    st.lists(st.integers(1, 10**6), max_size=300, unique=True).map(sorted),
    st.tuples(st.integers(0, 9000), st.integers(1, 40)).map(lambda of: list(range(1, of[0] * of[1] + 1, of[1]))),
    st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 1500)), max_size=8).map(
        lambda blocks: sorted({start + row for start, size in blocks for row in range(1, size + 1)})
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    present=some_ids,
    concurrency=st.sampled_from([None, 1, 2, 7]),
    most=st.sampled_from([None, 3]),
    limit=st.one_of(st.none(), st.integers(1, 9000)),
    seed=st.randoms(use_true_random=False),
)
def test_b1_whatever_the_identifiers_and_the_order_of_the_answers(
    present: list[int], concurrency: int | None, most: int | None, limit: int | None, seed: Any
) -> None:
    async def walk() -> None:
        portal = fake_portal()

        async def late(process: Any) -> Any:
            answer = await process()
            await asyncio.sleep(seed.random())
            return answer

        portal.rows("crm.deal", ids=present)
        portal.inject(late, times=None)
        options = {"concurrency": concurrency, "pages_per_request": most, "max_items": limit}
        seen, _ = await export(portal, **options)
        assert seen == present[:limit]

    run_virtual(walk())


async def test_b1_rows_that_stay_come_once_while_others_come_and_go() -> None:
    portal = fake_portal(latency=0.05)
    table = portal.rows("crm.deal", ids=list(range(1, 60_000, 3)))
    doomed = SEED.sample(list(table.ids), 300)
    stay = set(table.ids) - set(doomed)
    seen: list[int] = []
    async with connected(portal) as b24:
        async for page in b24.actions.v2.fetch_list.make("crm.deal.list", {"select": ["ID"]}):
            seen += ids(page)
            if doomed:
                table.delete(doomed.pop())
                table.add(row_id=60_000 + len(doomed))
    assert seen == sorted(set(seen))
    assert stay <= set(seen)
    assert max(seen) >= 60_000  # what came behind the end meanwhile


async def test_concurrency_of_one_is_a_plain_chain() -> None:
    portal = fake_portal(latency=0.05)
    portal.rows("crm.deal", ids=SHAPES["sparse"])
    seen, seconds = await export(portal, concurrency=1)
    assert seen == SHAPES["sparse"]
    # Nobody counts: 1, 1, 2, 4, 8, 16 and 32 pages, then 50 pages a request, one after another, and an empty page.
    assert {request.params.get("start") for request in portal.requests if "cmd" not in request.params} == {-1}
    assert len(portal.requests) == 15
    assert seconds == pytest.approx(15 * 0.05, abs=0.001)


async def test_a_short_list_is_not_asked_for_in_several_requests_at_once() -> None:
    portal = fake_portal(latency=0.05, rows={"crm.deal": 2_000})
    await export(portal)
    assert len(portal.requests) <= 6


def answering(
    present: list[int], *, ignored: str = "", total: Callable[[int], Any] = lambda total: total
) -> Callable[[dict[str, Any]], Reply]:
    """A list method that does not know one of the parameters, or counts in its own way."""

    def answer(params: dict[str, Any]) -> Reply:
        after = int(params["filter"][">ID"] or 0)
        until = int(params["filter"].get("<=ID", 10**18)) if ignored != "<=ID" else 10**18
        fitting = present[bisect_right(present, after) : bisect_right(present, until)]
        if params["order"]["ID"] == "DESC" and ignored != "DESC":
            fitting = fitting[::-1]
        start = int(params["start"])
        skipped = max(0, start) if ignored != "start" else 0
        return Reply(
            result=[{"ID": str(number)} for number in fitting[skipped : skipped + 50]],
            total=total(len(fitting)) if start >= 0 else None,
        )

    return answer


@pytest.mark.parametrize("ignored", ["<=ID", "DESC", "start"])
@pytest.mark.parametrize("shape", ["sparse", "large clusters"])
async def test_b1_a_portal_that_ignores_a_parameter_loses_and_repeats_no_row(ignored: str, shape: str) -> None:
    portal = fake_portal(latency=0.05)
    portal.method("my.list", answering(SHAPES[shape], ignored=ignored))
    async with connected(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("my.list", paging="keyset")).result
    assert ids(rows) == SHAPES[shape]


@pytest.mark.parametrize(
    "total",
    [lambda _: None, lambda _: 0, str, lambda _: 10**30, lambda total: total // 2, lambda _: -1],
    ids=["none", "zero", "text", "far too many", "half", "negative"],
)
@pytest.mark.parametrize("shape", ["sparse", "large clusters", "ever sparser"])
async def test_b1_a_portal_that_counts_wrongly_or_not_at_all_loses_and_repeats_no_row(
    total: Callable[[int], Any], shape: str
) -> None:
    portal = fake_portal(latency=0.05)
    portal.method("my.list", answering(SHAPES[shape], total=total))
    async with connected(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("my.list", paging="keyset")).result
    assert ids(rows) == SHAPES[shape]
    assert portal.calls["my.list"] <= 1.25 * 400


@pytest.mark.parametrize("moved", [-2_400, -50, 50, 1_000])
async def test_b1_a_portal_that_passes_over_other_numbers_of_rows_loses_and_repeats_no_row(moved: int) -> None:
    counting = answering(SHAPES["large clusters"])

    def answer(params: dict[str, Any]) -> Reply:
        start = int(params["start"])
        return counting({**params, "start": max(0, start + moved) if start > 0 else start})

    portal = fake_portal(latency=0.05)
    portal.method("my.list", answer)
    async with connected(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("my.list", paging="keyset")).result
    assert ids(rows) == SHAPES["large clusters"]


async def test_b1_where_passing_over_rows_is_refused_the_list_is_walked_as_a_chain() -> None:
    counting = answering(SHAPES["large clusters"])

    def answer(params: dict[str, Any]) -> Reply:
        if int(params["start"]) > 0:
            raise RestError("WRONG_START", "start is not allowed here", status=400)
        return counting(params)

    portal = fake_portal(latency=0.05)
    portal.method("my.list", answer)
    async with connected(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("my.list", paging="keyset")).result
    assert ids(rows) == SHAPES["large clusters"]


@pytest.mark.parametrize("limit", [4_000, 9_000, 19_999])
@pytest.mark.parametrize("shape", ["sparse", "large clusters"])
async def test_little_more_is_asked_for_than_the_caller_wants(limit: int, shape: str) -> None:
    portal = fake_portal(latency=0.05)
    portal.rows("crm.deal", ids=SHAPES[shape])
    seen, _ = await export(portal, max_items=limit)
    assert seen == SHAPES[shape][:limit]
    assert commands(portal) <= 1.1 * limit / 50 + 10


async def test_the_callers_own_bounds_are_kept() -> None:
    portal = fake_portal(latency=0.05, rows={"crm.deal": 20_000})
    async with connected(portal) as b24:
        for own, last in (({"<=ID": 15_000}, 15_000), ({"<=ID": "15000"}, 15_000), ({"<ID": 15_001}, 15_000)):
            rows = (await b24.actions.v2.call_list.make("crm.deal.list", {"filter": own, "select": ["ID"]})).result
            assert ids(rows) == list(range(1, last + 1))


async def test_b1_an_error_is_raised_behind_the_rows_before_it() -> None:
    portal = fake_portal(latency=0.05)
    portal.rows("crm.deal", ids=SHAPES["dense"])
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="batch", after=4, times=None)
    seen: list[int] = []
    async with connected(portal) as b24:
        walk = b24.actions.v2.fetch_list.make("crm.deal.list", {"select": ["ID"]})
        with pytest.raises(SdkError, match="ACCESS_DENIED"):
            [seen.extend(ids(page)) async for page in walk]
    assert seen == SHAPES["dense"][: len(seen)]
    assert len(seen) >= 150


@pytest.mark.parametrize("shape", ["dense", "large clusters"])
@pytest.mark.parametrize("concurrency", [1, 2, None])
async def test_b2_no_more_waits_than_is_said_and_a_slow_reader_stops_the_walk(
    shape: str, concurrency: int | None
) -> None:
    portal = fake_portal(latency=0.05)
    portal.rows("crm.deal", ids=[round_ * 10**9 + number for round_ in range(8) for number in SHAPES[shape]])
    async with (
        connected(portal) as b24,
        aclosing(b24.actions.v2.fetch_list.make("crm.deal.list", {"select": ["ID"]}, concurrency=concurrency)) as pages,
    ):
        for read, pause in enumerate([1.0] * 200 + [600.0], 1):
            await anext(pages)
            await asyncio.sleep(pause)
            in_vain = 10 + 0.1 * commands(portal)
            assert commands(portal) <= read + 2 * 50 * (concurrency or 10) + in_vain
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "b24oauth list walk"]


@pytest.mark.parametrize("concurrency", [1, 4, None])
async def test_l4_a_walk_goes_on_when_its_method_has_execution_time_again(concurrency: int | None) -> None:
    portal = fake_portal(latency=0.05, command_latency=0.02, operating={"crm.deal.list": 1.0})
    portal.rows("crm.deal", ids=list(range(1, 60_001)))
    seen, seconds = await export(portal, concurrency=concurrency)
    assert seen == list(range(1, 60_001))
    assert seconds <= 3 * 620  # twelve hundred pages, of which 480 may come in ten minutes


async def test_a_walk_goes_on_when_all_of_its_requests_are_refused_together() -> None:
    portal = fake_portal(latency=0.05)
    counting = answering(SHAPES["sparse"])
    refused_until = 0.0

    def answer(params: dict[str, Any]) -> Reply:
        nonlocal refused_until
        if portal.calls["my.list"] > 150 and not refused_until:
            refused_until = portal.clock.elapsed + 0.5
        if portal.clock.elapsed < refused_until:
            raise RestError("QUERY_LIMIT_EXCEEDED", "for a moment", status=503)
        return counting(params)

    portal.method("my.list", answer)
    async with connected(portal) as b24:
        rows = (await b24.actions.v2.call_list.make("my.list", paging="keyset")).result
    assert ids(rows) == SHAPES["sparse"]


async def test_t5_a_walk_whose_renewed_token_is_refused_too_renews_nothing_more() -> None:
    portal = fake_portal(latency=0.05)
    portal.method("my.list", answering(SHAPES["sparse"]))

    async def expired(process: Any) -> Any:
        answer = await process()
        body = json.loads(answer.body)
        results = body["result"]["result"]
        for name in list(results)[1:]:
            del results[name]
        body["result"]["result_error"] = {"p1": {"error": "expired_token", "error_description": ""}}
        return attrs.evolve(answer, body=json.dumps(body).encode())

    portal.inject(expired, on="batch", times=None)
    async with connected(portal) as b24:
        with pytest.raises(ExpiredTokenError):
            await b24.actions.v2.call_list.make("my.list", paging="keyset")
    assert len(portal.token_requests) == 1


@pytest.mark.parametrize("rows", [60, 5_000, 20_000])
@pytest.mark.parametrize("concurrency", [1, None])
async def test_what_is_asked_for_behind_the_last_page_may_fail(rows: int, concurrency: int | None) -> None:
    counting = answering(list(range(1, rows + 1)), total=lambda _: None)

    def answer(params: dict[str, Any]) -> Reply:
        if params["filter"][">ID"] == "":
            raise RestError("WRONG_FILTER", "an identifier is missing", status=400)
        return counting(params)

    portal = fake_portal(latency=0.05)
    portal.method("my.list", answer)
    async with connected(portal) as b24:
        seen = (await b24.actions.v2.call_list.make("my.list", paging="keyset", concurrency=concurrency)).result
    assert len(seen) == rows


async def test_l2_a_long_walk_leaves_others_their_turn_when_the_bucket_is_full() -> None:
    portal = fake_portal(latency=0.05, command_latency=0.02, burst=50, drain=2)
    portal.rows("crm.deal", ids=list(range(1, 250_001)))
    waits: list[float] = []
    async with connected(portal, restriction_params=ParamsFactory.get_default()) as b24:
        walk = asyncio.create_task(rows_of(b24.actions.v2.fetch_list.make("crm.deal.list", {"select": ["ID"]})))
        while not walk.done():
            await asyncio.sleep(1)
            begun = portal.clock.now()
            await b24.actions.v2.call.make("crm.deal.get", {"id": 1})
            waits.append(portal.clock.now() - begun)
        assert len(await walk) == 250_000
        others = len(waits)
    assert portal.clock.elapsed >= 30  # the bucket was full for a while
    assert max(waits) <= 2.0
    # Nothing of the portal's rate is lost by that: all but the burst came at two a second.
    assert len(portal.requests) - others >= 100
    assert portal.clock.elapsed <= (len(portal.requests) - 50) / 2 * 1.05 + 3


async def test_a_walk_goes_on_after_refusals_of_the_bucket() -> None:
    portal = fake_portal(latency=0.05, burst=8, drain=2)
    portal.rows("crm.deal", ids=SHAPES["sparse"])
    seen, _ = await export(portal, client={"restriction_params": ParamsFactory.get_default()})
    assert seen == SHAPES["sparse"]


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, True, "2"])
async def test_a_concurrency_that_is_none_is_refused_before_anything_is_sent(concurrency: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match="concurrency must be a whole number"):
            await b24.actions.v2.call_list.make("crm.deal.list", concurrency=concurrency)
    assert not portal.requests


async def test_streams_and_rows_of_types_are_the_same_at_once() -> None:
    portal = fake_portal(latency=0.05, rows={"crm.deal": 20_000})
    async with connected(portal) as b24:
        streamed = await rows_of(b24.actions.v2.fetch_list.make("crm.deal.list", {"select": ["ID"]}))
    assert ids(streamed) == list(range(1, 20_001))


async def test_b1_a_page_of_a_survey_that_fails_is_asked_for_again_by_the_chain() -> None:
    portal = fake_portal(latency=0.05)
    portal.rows("crm.deal", ids=SHAPES["sparse"])
    # The first request is a page, the second a batch; the survey's pages are calls of their own.
    portal.inject(faults.status(403, error="ACCESS_DENIED"), on="crm.deal.list", after=5)
    seen, _ = await export(portal)
    assert seen == SHAPES["sparse"]


def starts(portal: FakePortal) -> list[Any]:
    """The `start` of each page that was requested by a call of its own."""
    return [request.params.get("start") for request in portal.requests if "cmd" not in request.params]


async def test_a_list_whose_counting_was_slow_is_not_counted_again() -> None:
    portal = fake_portal(rows={"crm.deal": 5_000}, count_latency=1.0, command_latency=0.002)
    async with connected(portal) as b24:
        for filter_ in ({}, {}, {"CATEGORY_ID": 0}):
            params = {"filter": filter_, "select": ["ID"]}
            assert ids((await b24.actions.v2.call_list.make("crm.deal.list", params)).result) == list(range(1, 5_001))
    # Another filter is another question.
    assert [start for start in starts(portal) if start != -1] == [0, 0]


async def test_a_first_page_that_takes_too_long_to_count_is_requested_without_counting() -> None:
    portal = fake_portal(rows={"crm.deal": 5_000}, count_latency=20.0)
    async with connected(portal) as b24:
        seen = ids((await b24.actions.v2.call_list.make("crm.deal.list", {"select": ["ID"]})).result)
    assert seen == list(range(1, 5_001))
    assert starts(portal) == [0, -1, -1]


@pytest.mark.parametrize("count_latency", [0.0, 0.0005, 0.005, 0.02])
async def test_a_walk_is_never_slower_than_a_chain_while_counting_is_quick(count_latency: float) -> None:
    seconds: list[float] = []
    for concurrency in (None, 1):
        portal = fake_portal(
            rows={"crm.deal": 20_000}, latency=0.05, command_latency=0.002, count_latency=count_latency
        )
        seconds.append((await export(portal, concurrency=concurrency))[1])
    walk, chain = seconds
    assert walk <= 1.1 * chain


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("concurrency", [None, 1])
async def test_b1_references_that_lead_nowhere_never_end_a_list_early(
    descending: bool, concurrency: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A portal that reads an empty identifier as 0 selects nothing behind it when the greatest come first."""
    monkeypatch.setattr(KeysetPager, "reference", lambda *_: "$result[nowhere][0][ID]")
    present = list(range(1, 5_001))
    operator = "<ID" if descending else ">ID"

    def answer(params: dict[str, Any]) -> Reply:
        bound = params["filter"].get(operator)
        number = None if bound is None else int(bound or 0)
        fit = [n for n in present if number is None or (n < number if descending else n > number)]
        start = int(params["start"])
        found = sorted(fit, reverse=descending)[max(0, start) :][:50]
        return Reply(result=[{"ID": str(n)} for n in found], total=len(fit) if start >= 0 else None)

    portal = fake_portal()
    portal.method("my.list", answer)
    async with connected(portal) as b24:
        walk = b24.actions.v2.call_list.make("my.list", paging="keyset", descending=descending, concurrency=concurrency)
        try:
            assert ids((await walk).result) == sorted(present, reverse=descending)
        except UnorderedRowsError:
            assert (descending, concurrency) == (False, 1)  # the first page again, which is refused
