"""Batches: each result and each error under its own key, whatever the form, the size and the faults."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import attrs
import pytest

from b24oauth import (
    AjaxError,
    AjaxResult,
    AmbiguousResultError,
    B24OAuth,
    BatchRefV2,
    BatchRefV3,
    InvalidParamsError,
    NotFoundError,
    RefreshTokenError,
)
from b24oauth.errors import IncompleteBatchError, InvalidDataError, OperatingLimitError
from b24oauth.limits import OperatingLimitConfig
from b24oauth.testing import FakePortal, RestError, faults
from tests.support.clients import UNLIMITED, connected, fake_portal

pytestmark = pytest.mark.anyio

MISSING = {30, 51, 99, 119}


def gets(count: int, *, named: bool) -> Any:
    """Commands that read deals; those in MISSING do not exist."""
    commands = [("crm.deal.get", {"id": number + 1 if number not in MISSING else 10**6}) for number in range(count)]
    return {f"deal {number}": command for number, command in enumerate(commands)} if named else commands


def batches(portal: FakePortal) -> int:
    return sum(request.method == "batch" for request in portal.requests)


def key(number: int, *, named: bool) -> str:
    return f"deal {number}" if named else str(number)


def value(data: Any, number: int, *, named: bool) -> Any:
    return data.get(f"deal {number}") if named else data[number]


@pytest.mark.parametrize("named", [True, False])
async def test_b3_every_result_and_every_error_of_120_commands_is_under_its_own_key(named: bool) -> None:
    portal = fake_portal(rows={"crm.deal": 200})
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(gets(120, named=named), is_halt_on_error=False)
    data = result.get_data()
    assert set(result.errors) == {key(number, named=named) for number in MISSING}
    assert all(isinstance(error, NotFoundError) for error in result.errors.values())
    for number in range(120):
        row = value(data, number, named=named)
        assert row is None if number in MISSING else row["ID"] == str(number + 1)
    assert batches(portal) == 3
    if named:
        assert list(data) == [f"deal {number}" for number in range(120) if number not in MISSING]


@pytest.mark.parametrize("portal_error", [("", "Not found"), ("0", "Not found"), ("ERROR_NOT_FOUND", "")])
async def test_errors_of_commands_name_method_and_request_and_have_their_class(portal_error: tuple[str, str]) -> None:
    portal = fake_portal()

    def refuse(_: Any) -> Any:
        raise RestError(*portal_error)

    portal.method("my.thing.get", refuse)
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make([("my.thing.get", {"id": 1})], request_id="request-9")
        rows = await b24.actions.v2.batch.make(
            {"a": ("my.thing.get",)}, request_id="request-8", return_ajax_result=True, is_halt_on_error=False
        )
    error = result.errors["0"]
    assert type(error) is NotFoundError
    assert str(error).endswith("[my.thing.get, request request-9]")
    with pytest.raises(NotFoundError, match="request request-8"):
        _ = rows.result


@pytest.mark.parametrize("named", [True, False])
async def test_b3_a_halt_really_stops_later_requests(named: bool) -> None:
    portal = fake_portal(rows={"crm.deal": 200})
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(gets(120, named=named))
    data = result.get_data()
    assert set(result.errors) == {key(30, named=named)}
    assert value(data, 29, named=named)["ID"] == "30"
    assert all(value(data, number, named=named) is None for number in range(30, 120))
    assert batches(portal) == 1
    assert portal.calls["crm.deal.get"] == 31
    if not named:
        assert len(data) == 120


@pytest.mark.parametrize("halt", [True, False])
@pytest.mark.parametrize("named", [True, False])
async def test_b3_a_request_that_fails_as_a_whole_hides_no_other_result(halt: bool, named: bool) -> None:
    portal = fake_portal(rows={"crm.deal": 200})
    portal.inject(faults.status(403, error="insufficient_scope"), on="batch", after=1)
    calls = {f"deal {n}": ("crm.deal.get", {"id": n + 1}) for n in range(120)}
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch_by_chunk.make(
            calls if named else list(calls.values()), is_halt_on_error=halt, concurrency=1
        )
    failed = {key(number, named=named) for number in range(50, 100)}
    assert set(result.errors) == failed
    assert value(result.get_data(), 49, named=named)["ID"] == "50"
    assert (value(result.get_data(), 100, named=named) is None) is halt
    assert batches(portal) == (2 if halt else 3)


async def test_requests_are_under_way_at_once_when_nothing_halts() -> None:
    portal = fake_portal(rows={"crm.deal": 500}, latency=1.0)
    async with connected(portal) as b24:
        calls = [("crm.deal.get", {"id": number}) for number in range(1, 201)]
        assert (await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False)).is_success
        assert portal.clock.elapsed == pytest.approx(1, abs=0.1)
        assert (await b24.actions.v2.batch_by_chunk.make(calls)).is_success
    assert portal.clock.elapsed == pytest.approx(5, abs=0.1)


async def test_rows_come_as_results_of_their_own_on_request() -> None:
    portal = fake_portal(rows={"crm.deal": 120})
    calls = {
        "page": ("crm.deal.list", {}),
        "last": ("crm.deal.list", {"start": 100}),
        "gone": ("crm.deal.get", {"id": 999}),
    }
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make(calls, return_ajax_result=True, is_halt_on_error=False, request_id="r")
    rows: dict[str, AjaxResult[Any]] = result.get_data() or {}
    assert (rows["page"].is_more(), rows["page"].get_total()) == (True, 120)
    assert not rows["last"].is_more()
    assert isinstance(next(rows["gone"].get_errors()), NotFoundError)
    assert rows["page"].get_query().method == "crm.deal.list"
    assert rows["page"].get_query().request_id == "r"


async def test_commands_of_one_batch_can_refer_to_each_other() -> None:
    portal = fake_portal(rows={"crm.deal": 120})
    async with connected(portal) as b24:
        v2 = await b24.actions.v2.batch.make(
            {
                "first": ("crm.deal.list", {"order": {"ID": "ASC"}}),
                "again": ("crm.deal.get", {"id": BatchRefV2.ref("first", 3, "ID")}),
            }
        )
        v3 = await b24.actions.v3.batch.make(
            {
                "one": ("tasks.task.get", {"id": 1}),
                "same": ("tasks.task.get", {"id": BatchRefV3.ref("one.item.id")}),
            }
        )
    assert v2.result["again"]["ID"] == "4"
    assert v3.result["same"] == v3.result["one"]


async def test_t11_the_token_of_a_v3_batch_travels_in_a_header() -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        assert (await b24.actions.v3.batch.make([("profile",), ("server.time",)])).is_success
    assert b24.auth.get_params().access_token not in repr(portal.requests)


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        ([], "at least one"),
        ({}, "at least one"),
        ([("profile",)] * 51, "too large"),
        ([("profile", {}, 1)], "Command 0"),
        (["profile"], "Command 0"),
        ([{"params": {}}], "method"),
        ([("profile", 5)], "params"),
        ([("crm.deal.get", {"id": object()})], "id"),
        ([{"method": "a", "as": "x"}, {"method": "b", "as": "x"}], "same name"),
        ([{"method": "a", "as": "x"}, {"method": "b"}], "`as`"),
        ({1: ("profile",)}, "names"),
        (None, "a list or a mapping"),
        (5, "a list or a mapping"),
        ("profile", "a list or a mapping"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_anything_is_sent(calls: Any, problem: str) -> None:
    portal = fake_portal()
    async with connected(portal) as b24:
        with pytest.raises(InvalidParamsError, match=problem):
            await b24.actions.v2.batch.make(calls)
        if calls != [("profile",)] * 51 and calls not in ([], {}):
            with pytest.raises(InvalidParamsError, match=problem):
                await b24.actions.v2.batch_by_chunk.make(calls)
    assert not portal.requests


async def test_l5_after_a_lost_response_a_batch_is_repeated_only_when_it_just_reads() -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    portal.inject(faults.drop_after(), on="batch")
    async with connected(portal) as b24:
        assert (await b24.actions.v2.batch.make([("crm.deal.get", {"id": 1}), ("profile",)])).is_success
        portal.inject(faults.drop_after(), on="batch")
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.batch.make([("crm.deal.get", {"id": 1}), ("crm.deal.add", {"fields": {"TITLE": "x"}})])
    assert portal.executed["crm.deal.add"] == 1


async def test_l4_inner_methods_use_up_their_own_time_in_every_form() -> None:
    for calls in ([("crm.deal.list",)], {"name": ("crm.deal.list",)}):
        portal = fake_portal(operating={"crm.deal.list": 480.0})
        async with connected(portal) as b24:
            await b24.actions.v2.batch.make(calls)
            before = portal.clock.elapsed
            await b24.actions.v2.batch.make([("profile",)])
            assert portal.clock.elapsed == before
            await b24.actions.v2.call.make("crm.deal.list")
            assert portal.clock.elapsed > before + 60
        assert all(request.status == 200 for request in portal.requests)


def refuse_once(portal: FakePortal, command: str, code: str) -> None:
    """The portal refuses one command of the next batch."""
    left = [code]

    async def fault(process: Any) -> Any:
        answer = await process()
        body = json.loads(answer.body)
        results = body["result"]["result"]
        if left and command in results:
            del results[command]
            body["result"]["result_error"] = {command: {"error": left.pop(), "error_description": ""}}
        return attrs.evolve(answer, body=json.dumps(body).encode())

    portal.inject(fault, on="batch", times=None)


@pytest.mark.parametrize("code", ["QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT", "expired_token"])
async def test_a_command_that_was_refused_for_now_is_sent_again_alone(code: str) -> None:
    portal = fake_portal(rows={"crm.deal": 9})
    refuse_once(portal, "b", code)
    calls = {name: ("crm.deal.get", {"id": number}) for number, name in enumerate("abc", 1)}
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make(calls, is_halt_on_error=False)
        once = fake_portal(rows={"crm.deal": 9})
    assert [row["ID"] for row in result.result.values()] == ["1", "2", "3"]
    assert list(result.result) == ["a", "b", "c"]
    assert portal.calls["crm.deal.get"] == 4
    assert len(portal.token_requests) == (code == "expired_token")
    refuse_once(once, "b", code)
    async with connected(once) as b24:
        result = await b24.actions.v2.batch.make(calls, is_halt_on_error=False, repeat_refused=False)
    assert set(result.errors) == {"b"}


def adding(portal: FakePortal, answers: dict[str, list[str]]) -> list[str]:
    """`my.add` answers each title with a code as long as there is one for it, else it adds; the titles added."""
    added: list[str] = []

    def add(params: dict[str, Any]) -> int:
        if codes := answers.get(params["title"]):
            raise RestError(codes.pop(0), "not now")
        added.append(params["title"])
        return len(added)

    portal.method("my.add", add)
    return added


ADDS: dict[str, Any] = {name: ("my.add", {"title": name}) for name in "abcde"}


@pytest.mark.parametrize("by_chunk", [False, True])
@pytest.mark.parametrize("fault", [faults.status(502), faults.drop_after(), faults.status(403, error="ACCESS_DENIED")])
async def test_b3_what_was_executed_is_told_when_the_repeat_of_a_refused_command_fails(
    by_chunk: bool, fault: faults.Fault
) -> None:
    portal = fake_portal()
    added = adding(portal, {"c": ["QUERY_LIMIT_EXCEEDED"]})
    portal.inject(fault, on="batch", after=1, times=None)
    async with connected(portal) as b24:
        batch = b24.actions.v2.batch_by_chunk if by_chunk else b24.actions.v2.batch
        result = await batch.make(ADDS, is_halt_on_error=False)
    assert result.get_data() == {"a": 1, "b": 2, "d": 3, "e": 4}
    assert set(result.errors) == {"c"}
    assert added[:4] == ["a", "b", "d", "e"]


async def test_b3_a_pair_that_cannot_be_renewed_for_a_repeat_hides_no_result() -> None:
    portal = fake_portal()
    adding(portal, {"c": ["expired_token"]})
    portal.inject(faults.status(400, error="invalid_grant"), on="oauth/token", times=None)
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make(ADDS, is_halt_on_error=False)
    assert set(result.get_data()) == set("abde")
    assert isinstance(result.errors["c"], RefreshTokenError)


async def test_a_pair_that_cannot_be_renewed_is_raised_when_all_commands_wait_for_it() -> None:
    portal = fake_portal()
    added = adding(portal, {name: ["expired_token"] for name in ADDS})
    portal.inject(faults.status(400, error="invalid_grant"), on="oauth/token", times=None)
    async with connected(portal) as b24:
        with pytest.raises(RefreshTokenError):
            await b24.actions.v2.batch.make(ADDS, is_halt_on_error=False)
    assert not added


@pytest.mark.parametrize("halt", [True, False])
async def test_l5_a_batch_whose_repeat_is_lost_is_ambiguous_as_a_whole(halt: bool) -> None:
    portal = fake_portal()
    adding(portal, {name: ["QUERY_LIMIT_EXCEEDED"] for name in ADDS})
    portal.inject(faults.drop_after(), on="batch", after=1, times=None)
    async with connected(portal) as b24:
        with pytest.raises(AmbiguousResultError):
            await b24.actions.v2.batch.make(ADDS, is_halt_on_error=halt)


async def test_a2_a_timeout_covers_the_wait_for_refused_commands() -> None:
    portal = fake_portal()
    adding(portal, {"c": ["OPERATION_TIME_LIMIT", "OPERATION_TIME_LIMIT"]})
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make(ADDS, is_halt_on_error=False, timeout=5)
        assert portal.clock.elapsed < 5
    assert set(result.get_data()) == set("abde")
    assert isinstance(result.errors["c"], OperatingLimitError)


async def test_a2_a_timeout_covers_the_renewal_for_refused_commands() -> None:
    portal = fake_portal()
    adding(portal, {"c": ["expired_token"]})
    portal.inject(faults.latency(12), on="oauth/token")
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make(ADDS, is_halt_on_error=False, timeout=5)
        assert portal.clock.elapsed == pytest.approx(5, abs=0.1)
    assert set(result.errors) == {"c"}


@pytest.mark.parametrize("retries", [3, 8])
async def test_t5_a_command_whose_renewed_token_is_refused_too_renews_nothing_more(retries: int) -> None:
    portal = fake_portal()
    adding(portal, {"c": ["expired_token"] * 20})
    async with connected(portal, restriction_params=attrs.evolve(UNLIMITED, max_retries=retries)) as b24:
        result = await b24.actions.v2.batch.make(ADDS, is_halt_on_error=False)
    assert set(result.errors) == {"c"}
    assert len(portal.token_requests) == 1


async def test_a_dead_pair_is_raised_by_batches_of_any_size_when_nothing_was_sent() -> None:
    portal = fake_portal()
    portal.inject(faults.status(400, error="invalid_grant"), on="oauth/token", times=None)
    for halt in (True, False):
        async with connected(portal, portal.issue(expired=True)) as b24:
            with pytest.raises(RefreshTokenError):
                await b24.actions.v2.batch_by_chunk.make([("profile",)] * 120, is_halt_on_error=halt)


@pytest.mark.parametrize("halt", [True, False])
async def test_b3_a_pair_that_dies_between_requests_hides_no_result_of_those_before(halt: bool) -> None:
    portal = fake_portal(rows={"crm.deal": 200})
    portal.inject(faults.status(401, error="expired_token"), on="batch", after=1, times=None)
    portal.inject(faults.status(400, error="invalid_grant"), on="oauth/token", times=None)
    async with connected(portal) as b24:
        calls = [("crm.deal.get", {"id": number + 1}) for number in range(100)]
        result = await b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=halt, concurrency=1)
    rows = result.get_data()
    assert rows is not None
    assert [row is not None for row in rows] == [True] * 50 + [False] * 50
    assert all(isinstance(result.errors[str(number)], RefreshTokenError) for number in range(50, 100))


async def test_b3_a_result_that_does_not_fit_its_type_hides_no_other() -> None:
    @attrs.frozen
    class Deal:
        ID: int

    portal = fake_portal(rows={"crm.deal": 9})
    calls = {"a": ("crm.deal.get", {"id": 1}), "odd": ("profile",), "b": ("crm.deal.get", {"id": 2})}
    portal.method("profile", lambda _: {"NAME": "no identifier"})
    async with connected(portal) as b24:
        result = await b24.actions.v2.batch.make(calls, result_type=Deal)
        rows = await b24.actions.v2.batch.make(calls, result_type=Deal, return_ajax_result=True)
    assert result.get_data() == {"a": Deal(1), "b": Deal(2)}
    assert isinstance(result.errors["odd"], InvalidDataError)
    assert rows.get_data()["b"].result == Deal(2)
    assert isinstance(next(rows.get_data()["odd"].get_errors()), InvalidDataError)


async def test_b3_an_answer_that_leaves_a_command_out_raises_and_keeps_the_others() -> None:
    portal = fake_portal(rows={"crm.deal": 9})

    async def forget(process: Any) -> Any:
        answer = await process()
        body = json.loads(answer.body)
        body["result"]["result"] = {"a": body["result"]["result"]["a"]}
        return attrs.evolve(answer, body=json.dumps(body).encode())

    portal.inject(forget, on="batch")
    async with connected(portal) as b24:
        with pytest.raises(IncompleteBatchError) as caught:
            await b24.actions.v2.batch.make({"a": ("crm.deal.get", {"id": 1}), "b": ("crm.deal.get", {"id": 2})})
    assert caught.value.result.get_data()["a"]["ID"] == "1"  # type: ignore[attr-defined]


async def cancelled(b24: B24OAuth) -> None:
    calls = [("profile",)] * 500
    task = asyncio.create_task(b24.actions.v2.batch_by_chunk.make(calls, is_halt_on_error=False))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancelled_batch_leaves_no_task() -> None:
    portal = fake_portal(latency=1.0)
    async with connected(portal) as b24:
        before = len(asyncio.all_tasks())
        await cancelled(b24)
        assert len(asyncio.all_tasks()) == before


async def test_a_v3_batch_is_all_or_nothing() -> None:
    async with connected(fake_portal()) as b24:
        with pytest.raises(AjaxError):
            (await b24.actions.v3.batch.make([("profile",), ("no.such.method",)])).raise_for_error()


async def test_l4_the_limit_can_be_set() -> None:
    portal = fake_portal(operating={"profile": 10.0})
    params = attrs.evolve(UNLIMITED, operating_limit=OperatingLimitConfig(limit=14.0))
    async with connected(portal, restriction_params=params) as b24:
        await b24.actions.v2.batch.make([("profile",)])
        await b24.actions.v2.batch.make([("profile",)])
    assert portal.clock.elapsed > 10
