"""An answer to a batch becomes rows: each command gets what stands under its own name, however PHP wrote the map."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth import AccessDeniedError, AjaxError, ApiVersion, NotFoundError
from b24oauth.errors import InvalidCallParamsError
from b24oauth.protocol.batch import parse_calls, read_rows, times_by_method


def read(answer: object, *names: str | None, version: ApiVersion = ApiVersion.V2) -> list[Any]:
    """What each command came to: its result, the code of its error, or a dash for one that is left out."""
    calls: Any = dict.fromkeys(names, ("my.method",)) if None not in names else [("my.method",) for _ in names]
    rows = read_rows({"result": answer}, parse_calls(calls), version)
    return ["-" if row is None else row.error.code if row.error else (row.payload or {})["result"] for row in rows]


def test_b3_names_that_are_numbers_are_not_taken_for_places() -> None:
    assert read({"result": {"2": "two"}, "result_error": {"1": {"error": "NO"}}}, "2", "1", "0") == ["two", "NO", "-"]
    failed = {"result": {"5": "five"}, "result_error": {"0": {"error": "NO"}, "7": {"error": "NO"}}}
    assert read(failed, "5", "0", "7") == ["five", "NO", "NO"]


def test_b3_a_list_holds_the_names_from_0_on() -> None:
    # PHP writes the keys 0 to n, in this order, as a list.
    assert read({"result": ["zero", "one"], "result_error": []}, "0", "1") == ["zero", "one"]
    assert read({"result": ["zero"], "result_error": {"5": {"error": "NO"}}}, "5", "0") == ["NO", "zero"]
    assert read({"result": [], "result_error": [{"error": "NO"}]}, "7", "0") == ["-", "NO"]


@pytest.mark.parametrize("name", ["01", "²", "-1", "+1", "1.0", " 1", "1" * 30])
def test_b3_what_is_no_key_of_a_list_is_not_looked_for_in_one(name: str) -> None:
    assert read({"result": ["zero", "one"]}, "0", name) == ["zero", "-"]


def test_b3_commands_without_names_are_found_by_their_places() -> None:
    assert read({"result": ["zero", "one"]}, None, None) == ["zero", "one"]
    assert read({"result": {"1": "one"}, "result_error": {"0": {"error": "NO"}}}, None, None) == ["NO", "one"]


def test_b3_totals_of_other_commands_are_not_taken() -> None:
    answer = {"result": {"5": {}, "0": []}, "result_total": {"0": 70}, "result_next": {"0": 50}, "result_time": []}
    five, zero = read_rows({"result": answer}, parse_calls({"5": ("my.get",), "0": ("my.list",)}), ApiVersion.V2)
    assert five is not None
    assert zero is not None
    assert five.payload == {"result": {}}
    assert zero.payload == {"result": [], "total": 70, "next": 50}


def test_l4_times_of_other_commands_are_not_taken() -> None:
    answer = {"result": {"result_time": {"0": {"operating": 7.0}}}}
    commands = parse_calls({"5": ("my.get",), "0": ("my.list",)})
    assert times_by_method(answer, commands) == {"my.list": {"operating": 7.0}}


@pytest.mark.parametrize("operating", [10**400, 1e308])
def test_l4_a_time_that_no_float_holds_is_compared_all_the_same(operating: float) -> None:
    answer = {"result": {"result_time": [{"operating": 7.0}, {"operating": operating}, {"operating": "x"}]}}
    commands = parse_calls([("my.list",), ("my.list",), ("my.list",)])
    assert times_by_method(answer, commands) == {"my.list": {"operating": operating}}


@pytest.mark.parametrize(
    "answer", [["a", "b"], {"0": "a", "1": "b"}, {"one": "a", "two": "b"}, {"two": "b", "one": "a"}]
)
def test_b3_v3_answers_named_commands_by_name_or_by_place(answer: object) -> None:
    assert read(answer, "one", "two", version=ApiVersion.V3) == ["a", "b"]


def test_b3_v3_names_come_before_places() -> None:
    assert read({"1": "a", "0": "b"}, "1", "0", version=ApiVersion.V3) == ["a", "b"]
    assert read({"one": "a"}, "one", "two", version=ApiVersion.V3) == ["a", "-"]


# --- errors of commands -----------------------------------------------------------------------------------------------


def failed(entry: object, result: object = None, *, method: str = "crm.deal.get") -> AjaxError | None:
    answer = {"result": {} if result is None else {"a": result}, "result_error": {"a": entry}}
    commands = parse_calls({"a": (method, {"id": 7})})
    (row,) = read_rows({"result": answer}, commands, ApiVersion.V2, request_id="request-1")
    assert row is None or row.error is None or isinstance(row.error, AjaxError)
    return None if row is None else row.error


@pytest.mark.parametrize("code", ["", "0", 0, None, False, []])
@pytest.mark.parametrize("result", [None, {"ID": 7}])
def test_b3_a_command_without_a_code_keeps_its_text_and_its_class(code: object, result: object) -> None:
    error = failed({"error": code, "error_description": "Not found"}, result)
    assert type(error) is NotFoundError
    assert (error.code, error.message, error.status) == ("B24OAUTH_RESPONSE_ERROR", "Not found", 200)


@pytest.mark.parametrize(
    ("entry", "code", "message"),
    [
        ("ERROR_CORE", "ERROR_CORE", "ERROR_CORE (on crm.deal.get)"),
        (200040300010, "200040300010", "200040300010 (on crm.deal.get)"),
        ({"error": "ERROR_CORE"}, "ERROR_CORE", "ERROR_CORE (on crm.deal.get)"),
        ({"code": "C", "message": "m"}, "C", "m"),
        ({"error": {"code": "C", "message": "m"}}, "C", "m"),
        ({"error_description": "m"}, "B24OAUTH_RESPONSE_ERROR", "m"),
    ],
)
def test_b3_an_error_of_a_command_has_any_shape(entry: object, code: str, message: str) -> None:
    error = failed(entry)
    assert error is not None
    assert (error.code, error.message) == (code, message)
    assert type(failed({"error": "200040300010"})) is AccessDeniedError


@pytest.mark.parametrize("nothing", ["", [], {}, False, {"error": ""}, {"error": "", "error_description": ""}])
def test_b3_an_entry_that_says_nothing_is_an_error_only_without_a_result(nothing: object) -> None:
    assert failed(nothing, {"ID": 7}) is None
    error = failed(nothing)
    assert error is not None
    assert error.message == "The portal reported an error without a code or a text (on crm.deal.get)"


def test_an_error_of_a_command_names_its_method_parameters_and_request() -> None:
    error = failed({"error": "", "error_description": "Not found"})
    assert error is not None
    info = error.request_info
    assert info is not None
    assert (info.method, info.params, info.request_id) == ("crm.deal.get", {"id": 7}, "request-1")
    assert str(error).endswith("Not found [crm.deal.get, request request-1]")


@pytest.mark.parametrize(
    "row", [None, 5, "crm.deal.get", (), ("m", {}, 1), {}, {"params": {}}, {"method": 5}, ("",), (5,), ("m", 5)]
)
@pytest.mark.parametrize("calls", [lambda row: [row], lambda row: {"a": row}])
def test_a_row_that_is_no_command_has_the_references_code(row: object, calls: Any) -> None:
    with pytest.raises(InvalidCallParamsError, match=r"Command [0a]") as caught:
        parse_calls(calls(row))
    assert caught.value.code == "B24OAUTH_INTERACTION_BATCH_ROW_FAIL"
    assert "request" not in str(caught.value)
