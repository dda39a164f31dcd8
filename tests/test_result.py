from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from b24oauth import AjaxResult, ApiVersion, InvalidParamsError, Result, SdkError
from b24oauth.protocol.decoding import ajax_result
from b24oauth.result import PayloadTime, SuccessPayload
from tests.support.builders import PLANTED, error, query, result

anyio = pytest.mark.anyio


class Caller:
    """Answers every call with what it was asked."""

    def __init__(self, version: ApiVersion = ApiVersion.V2) -> None:
        self.api_version = version
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def call(self, method: str, params: Mapping[str, Any]) -> AjaxResult[Any]:
        self.asked.append((method, params))
        return result({"result": "next page"})


# --- Result, as the reference's recordings have it --------------------------------------------------------------------


def test_a_success_has_its_data_and_no_errors() -> None:
    ok = Result({"a": 1})
    assert (ok.is_success, ok.get_data(), ok.result) == (True, {"a": 1}, {"a": 1})
    assert (list(ok.get_errors()), ok.get_error_messages(), ok.get_error_messages_by_key()) == ([], [], {})
    assert not ok.has_error("x")
    assert str(ok) == 'Result(success): {\n  "a": 1\n}'
    assert repr(ok) == "<Result success>"


def test_a_failure_keeps_its_data_and_its_errors_by_key() -> None:
    failure = (
        Result([1]).add_error(ValueError("first"), "a").add_error("second", "b").add_error(ValueError("again"), "a")
    )
    assert not failure.is_success
    assert failure.get_data() == [1]
    assert failure.get_error_messages() == ["again", "second"]
    assert failure.get_error_messages_by_key() == {"a": "again", "b": "second"}
    assert (failure.has_error("a"), failure.has_error("c")) == (True, False)
    assert str(failure) == "Result(failure): [\n  1\n]\nErrors: again, second"
    assert repr(failure) == "<Result 2 errors>"


def test_an_empty_result_is_a_success_without_data() -> None:
    empty: Result[None] = Result()
    assert (empty.is_success, empty.get_data(), empty.result) == (True, None, None)
    assert str(empty) == "Result(success): null"


@pytest.mark.parametrize("key", [None, ""])
def test_an_error_without_a_key_gets_one(key: str | None) -> None:
    failure = Result[None]().add_error("no key", key).add_errors(["one", ValueError("two")])
    assert failure.get_error_messages() == ["no key", "one", "two"]
    assert all(uuid.UUID(key) for key in failure.errors)


def test_ok_and_fail_make_results() -> None:
    assert Result.ok(5).result == 5
    assert Result[int].fail("text", "a").get_error_messages_by_key() == {"a": "text"}


def test_data_can_be_replaced() -> None:
    assert Result(1).set_data(2).get_data() == 2


def test_what_is_handed_out_is_a_copy() -> None:
    failure: Result[None] = Result.fail("text", "a")
    failure.get_errors_by_key().clear()
    dict(failure.errors).clear()
    assert failure.has_error("a")
    for _ in failure.get_errors():
        failure.add_error("while they are read")
    assert len(failure.errors) == 2


# --- raising ----------------------------------------------------------------------------------------------------------


def test_raise_for_error_gives_a_success_back() -> None:
    ok = Result(1)
    assert ok.raise_for_error() is ok


def test_raise_for_error_raises_the_first_and_notes_the_others_once() -> None:
    first, second = error("FIRST"), error("SECOND", message="The second")
    failure = Result([1]).add_error(first, "a").add_error(second, "b").add_error("third", "c")
    for ask in (failure.raise_for_error, lambda: failure.result, failure.raise_for_error):
        with pytest.raises(SdkError) as caught:
            ask()
        assert caught.value is first
    assert first.__notes__ == ["also failed: b: The second", "also failed: c: third"]
    assert not hasattr(second, "__notes__")


def test_the_result_of_a_failed_call_raises_its_error() -> None:
    failed = ajax_result({"error": "ERROR_CORE", "error_description": "text"}, query=query(), status=400)
    with pytest.raises(SdkError, match="ERROR_CORE"):
        _ = failed.result
    assert failed.get_data() is None


# --- AjaxResult, as the reference's recordings have it ----------------------------------------------------------------


def test_a_page_knows_its_total_and_that_there_is_more() -> None:
    page = result({"result": [1], "next": 50, "total": 120, "time": {}})
    assert page.get_data() == SuccessPayload([1], PayloadTime())
    assert (page.result, page.is_more(), page.has_more(), page.get_total()) == ([1], True, True, 120)
    assert (page.status, page.get_status()) == (200, 200)


def test_a_failed_call_is_shown_with_its_answer() -> None:
    failed = ajax_result({"error": "E", "error_description": "text"}, query=query(), status=400)
    assert (failed.is_success, failed.status, failed.get_error_messages()) == (False, 400, ["text"])
    assert str(failed) == 'Result(failure): {\n  "error": "E",\n  "error_description": "text"\n}\nErrors: text'
    assert repr(failed) == "<AjaxResult x.get 400 failure>"


@pytest.mark.parametrize(
    ("answer", "more", "total"),
    [
        ({"next": 0, "total": "abc"}, True, 0),
        ({"next": "50", "total": "120"}, False, 120),
        ({"next": True, "total": None}, False, 0),
        ({"next": None, "total": []}, False, 0),
        ({"total": float("inf")}, False, 0),
        ({"total": float("nan")}, False, 0),
        ({}, False, 0),
    ],
)
def test_odd_pages_are_read_without_stumbling(answer: dict[str, Any], more: bool, total: int) -> None:
    page = result({"result": 1} | answer)
    assert (page.is_more(), page.get_total()) == (more, total)


def test_a_failure_has_no_pages() -> None:
    failed = ajax_result({"error": "E", "next": 50, "total": 120}, query=query())
    assert (failed.is_more(), failed.get_total()) == (False, 0)


@pytest.mark.parametrize("time", [None, [], "soon"])
def test_times_that_are_none_are_none(time: Any) -> None:
    data = result({"result": 1, "time": time}).get_data()
    assert data is not None
    assert data.time is None


def test_the_whole_answer_can_be_read() -> None:
    document = {"openapi": "3.0.0"}
    page = result(document)
    assert page.payload == document
    assert page.result is None


def test_t12_texts_of_results_and_queries_mask_secrets() -> None:
    asked = query(params={"auth": PLANTED, "cmd": [f"m?token={PLANTED}"]})
    page = AjaxResult[Any]({"result": {"access_token": PLANTED}}, query=asked)
    assert PLANTED not in f"{page} {page!r} {page.get_query()!r} {Result({'token': PLANTED})}"
    assert page.get_query() is asked


# --- the next page ----------------------------------------------------------------------------------------------------


@anyio
async def test_the_next_page_is_asked_for_with_the_same_parameters() -> None:
    caller, params = Caller(), {"filter": {"ID": 1}, "start": 50}
    page = result({"result": [], "next": 100}, params=params)
    following = await page.get_next(caller)
    assert following is not None
    assert following.result == "next page"
    assert caller.asked == [("x.get", {"filter": {"ID": 1}, "start": 100})]
    assert params["start"] == 50


@anyio
@pytest.mark.parametrize("answer", [{"result": []}, {"error": "E", "next": 50}])
async def test_after_the_last_page_or_a_failure_there_is_no_next(answer: dict[str, Any]) -> None:
    caller = Caller()
    assert await ajax_result(answer, query=query()).fetch_next(caller) is None
    assert caller.asked == []


@anyio
@pytest.mark.parametrize("answer", [{"result": [], "next": 50}, {"result": []}])
async def test_v3_pages_differently_and_says_so(answer: dict[str, Any]) -> None:
    caller = Caller(ApiVersion.V3)
    with pytest.raises(SdkError, match="fetch_list") as caught:
        await result(answer).get_next(caller)
    assert (caught.value.code, caught.value.status) == ("B24OAUTH_CORE_METHOD_NOT_SUPPORT_IN_API_V3", 500)
    assert caller.asked == []


@anyio
async def test_positional_parameters_page_by_themselves_and_say_so() -> None:
    caller = Caller()
    with pytest.raises(InvalidParamsError, match="NAV_PARAMS"):
        await result({"result": [], "next": 50}, params=[{"ID": "asc"}, {}]).get_next(caller)
    assert caller.asked == []
