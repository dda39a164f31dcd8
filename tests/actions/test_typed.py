"""Results as people's own types, from every action."""

from __future__ import annotations

import copy
from datetime import time
from decimal import Decimal
from typing import Any

import attrs
import pytest

from b24oauth import ConfigurationError
from b24oauth.errors import InvalidDataError
from tests.support.clients import connected, fake_portal
from tests.support.lists import rows_of

pytestmark = pytest.mark.anyio


@attrs.frozen
class Deal:
    id: int
    title: str
    opportunity: Decimal | None = None


@attrs.frozen
class Task:
    id: int
    title: str


@attrs.frozen
class Severe:
    severity: str


class Odd:
    """Tells nothing about its fields."""


@attrs.frozen
class Event:
    id: int


async def test_every_action_builds_the_type_it_is_asked_for() -> None:
    portal = fake_portal(rows={"crm.deal": 130, "main.eventlog": 30, "tasks.task": 30})
    async with connected(portal) as b24:
        v2, v3 = b24.actions.v2, b24.actions.v3
        one = await v2.call.make("crm.deal.get", {"id": 7}, result_type=Deal)
        some = await v2.call_list.make("crm.deal.list", result_type=Deal)
        more = await rows_of(v2.fetch_list.make("crm.deal.list", result_type=Deal))
        named = await v2.batch.make({"a": ("crm.deal.get", {"id": 1})}, result_type=Deal)
        listed = await v2.batch_by_chunk.make([("crm.deal.get", {"id": 2})], result_type=Deal, return_ajax_result=True)
        tasks = await v3.call_list.make("tasks.task.list", result_type=Event)
        events = await rows_of(v3.fetch_tail.make("main.eventlog.tail", result_type=Event))
        tail = await v3.call_tail.make("main.eventlog.tail", result_type=Event)
        pages = await rows_of(v3.fetch_list.make("tasks.task.list", result_type=Event))
    assert one.result.id == 7
    data = one.get_data()
    assert data is not None
    assert data.result is one.result
    assert [deal.id for deal in some.result] == list(range(1, 131))
    assert more == some.result
    assert named.result["a"].id == 1
    row: Any = listed.result[0]
    assert row.result == copy.deepcopy(row).result == some.result[1]
    assert tasks.result == pages
    assert events == tail.result
    assert len(events) == 30


async def test_what_does_not_fit_names_method_row_and_field() -> None:
    async with connected(fake_portal(rows={"crm.deal": 60})) as b24:
        with pytest.raises(InvalidDataError, match=r"crm\.deal\.list.*row 0: title is missing"):
            await b24.actions.v2.call_list.make("crm.deal.list", {"select": ["ID"]}, result_type=Deal)


async def test_a_row_that_does_not_fit_is_counted_over_the_whole_list() -> None:
    portal = fake_portal(rows={"crm.deal": 180, "tasks.task": 120, "main.eventlog": 120})
    portal.rows("crm.deal").update(158, {"OPPORTUNITY": "SECRET"})
    portal.rows("tasks.task").update(101, {"title": []})
    portal.rows("main.eventlog").update(77, {"severity": None})
    async with connected(portal) as b24:
        v2, v3 = b24.actions.v2, b24.actions.v3
        for options in ({}, {"concurrency": 1}, {"pages_per_request": 1}, {"start_after": 100}):
            place = 57 if "start_after" in options else 157
            with pytest.raises(InvalidDataError, match=f"crm.deal.list.*: row {place}: opportunity must be a number"):
                await v2.call_list.make("crm.deal.list", result_type=Deal, **options)
            with pytest.raises(InvalidDataError, match=f"row {place}: opportunity"):
                await rows_of(v2.fetch_list.make("crm.deal.list", result_type=Deal, **options))
        with pytest.raises(InvalidDataError, match="row 100: title must be text"):
            await v3.call_list.make("tasks.task.list", result_type=Task)
        with pytest.raises(InvalidDataError, match="row 76: severity is missing or empty"):
            await v3.call_tail.make("main.eventlog.tail", result_type=Severe)


async def test_what_does_not_fit_names_the_request() -> None:
    async with connected(fake_portal(rows={"crm.deal": 60})) as b24:
        v2 = b24.actions.v2
        for make in (
            lambda: v2.call.make("crm.deal.get", {"id": 1}, result_type=int, request_id="r1"),
            lambda: v2.call_list.make("crm.deal.list", result_type=int, request_id="r1"),
        ):
            with pytest.raises(InvalidDataError) as caught:
                await make()
            assert caught.value.request_info is not None
            assert caught.value.request_info.request_id == "r1"
            assert "request r1" in str(caught.value)
        result = await v2.batch.make([("crm.deal.get", {"id": 1})], result_type=int, request_id="r2")
        (error,) = result.get_errors()
        assert "[crm.deal.get, request r2]" in str(error)
        with pytest.raises(InvalidDataError) as caught:
            await v2.call.make("crm.deal.get", {"id": 1}, result_type=list[int])
        assert caught.value.problems == ("must be a list",)


async def test_an_unknown_option_is_refused_as_python_does() -> None:
    async with connected(fake_portal()) as b24:
        for make in (b24.actions.v2.call.make, b24.actions.v2.call_list.make, b24.actions.v3.fetch_tail.make):
            with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
                await make("profile", nope=1)  # type: ignore[call-overload]


@pytest.mark.parametrize("odd", [bytes, time, Odd])
async def test_a_type_that_nothing_can_be_built_as_is_refused_before_anything_is_sent(odd: Any) -> None:
    portal = fake_portal(rows={"crm.deal": 5})
    async with connected(portal) as b24:
        v2, v3 = b24.actions.v2, b24.actions.v3
        for ask in (
            lambda: v2.call.make("crm.deal.get", {"id": 1}, result_type=odd),
            lambda: v3.call.make("crm.deal.get", {"id": 1}, result_type=odd),
            lambda: v2.batch.make([("crm.deal.get", {"id": 1})], result_type=odd),
            lambda: v2.batch_by_chunk.make([("crm.deal.get", {"id": 1})], result_type=odd),
            lambda: v2.call_list.make("crm.deal.list", result_type=odd),
            lambda: v3.call_list.make("tasks.task.list", result_type=odd),
            lambda: v3.call_tail.make("main.eventlog.tail", result_type=odd),
        ):
            with pytest.raises(ConfigurationError, match="is not a supported row type"):
                await ask()
        for stream in (v2.fetch_list, v3.fetch_list, v3.fetch_tail):
            with pytest.raises(ConfigurationError, match="is not a supported row type"):
                await anext(stream.make("crm.deal.list", result_type=odd))
    assert not portal.requests


@pytest.mark.parametrize("params", ["x", [1], 5])
async def test_params_of_lists_that_have_no_names_are_refused_before_anything_is_sent(params: Any) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        v2, v3 = b24.actions.v2, b24.actions.v3
        for lists in (v2.call_list, v3.call_list, v3.call_tail):
            with pytest.raises(ConfigurationError, match="must be a mapping"):
                await lists.make("my.list", params)
    assert not portal.requests
