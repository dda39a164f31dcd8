"""The short API: values or exceptions, and defaults that a view changes."""

from __future__ import annotations

import asyncio
import pickle
from typing import Any

import attrs
import pytest

from b24oauth import (
    B24OAuth,
    BatchRefV2,
    ClientStateError,
    ConfigurationError,
    NotFoundError,
    RestrictionParams,
    SdkError,
)
from b24oauth.errors import BadResponseError, BatchError, InvalidDataError, RequestTimeoutError
from b24oauth.testing import faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio


@attrs.frozen
class Deal:
    id: int
    title: str


def quick(**options: Any) -> RestrictionParams:
    return RestrictionParams(rate_limit=UNLIMITED.rate_limit, retry_delay=0.1, **options)


# --- call ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2", "v3"])
async def test_a_call_returns_the_result(version: str) -> None:
    portal = fake_portal(rows={"crm.deal": 3, "tasks.task": 3})
    async with connected(portal) as b24:
        if version == "v2":
            assert (await b24.call("crm.deal.get", {"id": 2}))["ID"] == "2"
        else:
            assert (await b24.v3.call("tasks.task.get", {"id": 2}))["item"]["id"] == 2


async def test_a_call_builds_the_type_that_is_asked_for() -> None:
    portal = fake_portal(rows={"crm.deal": 3})
    async with connected(portal) as b24:
        deal = await b24.call("crm.deal.get", {"id": 2}, result_type=Deal)
        assert (type(deal), deal.id) == (Deal, 2)
        with pytest.raises(InvalidDataError):
            await b24.call("profile", result_type=Deal)


async def test_a_call_raises_what_the_portal_responds_with_also_inside_a_200() -> None:
    portal = fake_portal(rows={"crm.deal": 1})
    async with connected(portal) as b24:
        with pytest.raises(NotFoundError):
            await b24.call("crm.deal.get", {"id": 77})
        portal.inject(faults.status(200, {"error": "NOT_FOUND", "error_description": "gone"}), on="crm.deal.get")
        with pytest.raises(SdkError, match="gone"):
            await b24.call("crm.deal.get", {"id": 1})


@pytest.mark.parametrize("options", [{"timeout": "5"}, {"max_attempts": 0}, {"max_attempts": True}])
async def test_a_wrong_option_is_refused_by_name_and_nothing_is_sent(options: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            await b24.call("profile", **options)
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            b24.with_options(**options)
    assert not portal.requests


async def test_max_attempts_bounds_one_call_and_no_other() -> None:
    portal = fake_portal()
    portal.inject(faults.status(500, error="INTERNAL"), on="profile", times=None)
    async with connected(portal, restriction_params=quick()) as b24:
        for options, requests in (({"max_attempts": 1}, 1), ({}, 3), ({"max_attempts": 5}, 5)):
            before = len(portal.requests)
            with pytest.raises(SdkError):
                await b24.call("profile", **options)
            assert len(portal.requests) - before == requests


# --- rows and pages --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 120])
async def test_rows_come_one_after_another_and_pages_page_by_page(count: int) -> None:
    portal = fake_portal(rows={"crm.deal": count, "tasks.task": count})
    async with connected(portal) as b24:
        assert [int(row["ID"]) async for row in b24.rows("crm.deal.list")] == list(range(1, count + 1))
        pages = [page async for page in b24.pages("crm.deal.list", result_type=Deal)]
        assert [deal.id for page in pages for deal in page] == list(range(1, count + 1))
        assert [row["id"] async for row in b24.v3.rows("tasks.task.list")] == list(range(1, count + 1))
        assert sum([len(page) async for page in b24.v3.pages("tasks.task.list")]) == count


async def test_leaving_early_ends_the_requests_under_way() -> None:
    portal = fake_portal(rows={"crm.deal": 5000}, latency=1)
    async with connected(portal) as b24:
        async with b24.rows("crm.deal.list") as rows:
            async for row in rows:
                assert row["ID"] == "1"
                break
        sent = len(portal.requests)
        await asyncio.sleep(100)
        assert len(portal.requests) == sent
        with pytest.raises(StopAsyncIteration):
            await anext(rows)


@pytest.mark.parametrize("kind", ["rows", "pages"])
async def test_an_error_is_raised_as_its_own_class(kind: str) -> None:
    portal = fake_portal(rows={"crm.deal": 200})
    portal.inject(faults.status(200, {"error": "NOT_FOUND", "error_description": "gone"}), on="crm.deal.list")
    async with connected(portal) as b24:
        with pytest.raises(NotFoundError):
            await anext(getattr(b24, kind)("crm.deal.list"))


async def test_a_tail_yields_rows_and_an_aggregate_is_a_mapping() -> None:
    portal = fake_portal(rows={"tasks.task": 120})
    async with connected(portal) as b24:
        assert [row["id"] async for row in b24.v3.tail("tasks.task.tail")] == list(range(1, 121))
        counted = await b24.v3.aggregate("tasks.task.aggregate", select={"count": ["id"]})
    assert counted["count"]["id"] == 120


# --- batch -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 50, 120])
async def test_a_batch_of_any_size_returns_the_results_in_the_callers_order(count: int) -> None:
    portal = fake_portal(rows={"crm.deal": 200})
    async with connected(portal) as b24:
        calls = [("crm.deal.get", {"id": i + 1}) for i in range(count)]
        if not count:
            assert (await b24.batch(calls), await b24.batch({})) == ([], {})
            return
        assert [deal["ID"] for deal in await b24.batch(calls)] == [str(i + 1) for i in range(count)]
        named = await b24.batch({f"n{i}": call for i, call in reversed(list(enumerate(calls)))})
        assert list(named) == [f"n{i}" for i in reversed(range(count))]


@pytest.mark.parametrize("named", [False, True])
async def test_b3_a_failed_command_hides_no_result(named: bool) -> None:
    portal = fake_portal(rows={"crm.deal": 10})
    portal.method("test.nothing", lambda _: None)
    rows = [("crm.deal.get", {"id": 1}), ("crm.deal.get", {"id": 99}), ("test.nothing",), ("crm.deal.get", {"id": 2})]
    calls: Any = {f"n{i}": row for i, row in enumerate(rows)} if named else rows
    keys = list(calls) if named else list(range(4))
    async with connected(portal) as b24:
        with pytest.raises(BatchError, match="1 of 4 commands failed") as caught:
            await b24.batch(calls)
        error = caught.value
        assert list(error.results) == [keys[0], keys[2], keys[3]]
        assert error.results[keys[2]] is None
        assert {key: type(reason) for key, reason in error.errors.items()} == {keys[1]: NotFoundError}
        mixed = await b24.batch(calls, return_errors=True)
        values = list(mixed.values()) if named else mixed
        assert [isinstance(value, NotFoundError) for value in values] == [False, True, False, False]
        assert pickle.loads(pickle.dumps(error)).results == {}


async def test_a_batch_may_refer_to_earlier_commands_and_stop_at_a_failure() -> None:
    portal = fake_portal(rows={"crm.deal": 10})
    async with connected(portal) as b24:
        both = await b24.batch(
            {"first": ("crm.deal.get", {"id": 3}), "again": ("crm.deal.get", {"id": BatchRefV2.ref("first", "ID")})}
        )
        assert both["first"] == both["again"]
        with pytest.raises(BatchError) as caught:
            await b24.batch([("crm.deal.get", {"id": 99}), ("profile",)], is_halt_on_error=True)
    assert (caught.value.results, list(caught.value.errors)) == ({}, [0])


async def test_v3_batches_return_values_too() -> None:
    portal = fake_portal(rows={"tasks.task": 10})
    async with connected(portal) as b24:
        both = await b24.v3.batch([("tasks.task.get", {"id": 1}), ("tasks.task.get", {"id": 2})])
    assert [one["item"]["id"] for one in both] == [1, 2]


# --- with_options ----------------------------------------------------------------------------------------------------


async def test_a_view_has_other_defaults_and_shares_everything_else() -> None:
    portal = fake_portal(rows={"crm.deal": 120}, latency=3)
    async with connected(portal) as b24:
        hasty = b24.with_options(timeout=1, descending=True, max_items=3)
        with pytest.raises(RequestTimeoutError):
            await hasty.call("profile")
        with pytest.raises(RequestTimeoutError):
            await hasty.v3.call("profile")
        patient = hasty.with_options(timeout=100)
        assert [row["ID"] async for row in patient.rows("crm.deal.list")] == ["120", "119", "118"]
        assert [row["ID"] async for row in patient.rows("crm.deal.list", max_items=1)] == ["120"]
        assert (await patient.batch([("profile",)]))[0]
        assert (await b24.call("profile", timeout=100))["ID"] == "1"


async def test_the_attempts_of_a_view_hold_for_lists_and_batches_too() -> None:
    portal = fake_portal()
    portal.inject(faults.status(500, error="INTERNAL"), times=None)
    async with connected(portal, restriction_params=quick()) as b24:
        once = b24.with_options(max_attempts=1)
        for use in (
            lambda: once.call("profile"),
            lambda: once.v3.call("profile"),
            lambda: anext(once.rows("crm.deal.list")),
            lambda: once.batch([("profile",)]),
        ):
            before = len(portal.requests)
            with pytest.raises(SdkError):
                await use()
            assert len(portal.requests) - before == 1


async def test_a_view_owns_nothing() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        view = b24.with_options(timeout=5)
        with pytest.raises(ClientStateError, match="with_options"):
            await view.aclose()
        assert await view.call("profile")
    with pytest.raises(ClientStateError):
        await view.call("profile")


async def test_an_unknown_default_is_refused() -> None:
    portal = fake_portal()
    b24 = B24OAuth(portal.issue(), portal.secret)
    with pytest.raises(TypeError, match="concurency"):
        b24.with_options(concurency=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["call", "rows", "pages", "batch"])
async def test_an_unknown_option_is_named_with_the_method_that_was_called(name: str) -> None:
    async with connected(fake_portal()) as b24:
        what: Any = [("profile",)] if name == "batch" else "crm.deal.list"

        async def used() -> None:
            await getattr(b24, name)(what, id=1)

        with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument 'id'"):
            await used()


@pytest.mark.parametrize("method", ["crm.deal.get", "crm.contact.get"])
async def test_b1_one_record_is_not_taken_for_rows(method: str) -> None:
    portal = fake_portal(rows={"crm.deal": 3, "crm.contact": 3})
    async with connected(portal) as b24:
        with pytest.raises(BadResponseError, match="returns one record instead of rows: read it with a plain call"):
            [row async for row in b24.rows(method, {"id": 1})]
