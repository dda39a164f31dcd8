from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import AjaxError, NotFoundError, RateLimitError
from b24oauth.error_codes import meaning_of
from b24oauth.errors import BadResponseError, ExpiredTokenError, OperatingLimitError, ValidationError
from b24oauth.protocol.decoding import RawResponse, ajax_result, decode, decode_clean, parse_json
from b24oauth.redaction import REDACTED
from tests.support.builders import PLANTED, answer, query

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
ERROR_BODIES = st.dictionaries(st.sampled_from(["error", "error_description", "result", "time"]), JSON)
V3_ERROR_BODIES = st.fixed_dictionaries(
    {"error": st.dictionaries(st.sampled_from(["code", "message", "validation"]), JSON | st.lists(JSON, max_size=3))}
)
BODIES = (
    st.binary(max_size=60)
    | (JSON | ERROR_BODIES | V3_ERROR_BODIES).map(lambda value: json.dumps(value).encode())
    | st.text(max_size=40).map(lambda text: text.encode("utf-16"))
)
HEADERS = st.dictionaries(st.sampled_from(["content-type", "location"]), st.text(max_size=80))


def decoded(body: Any, status: int = 200, **headers: str) -> Any:
    return decode(answer(body, status, **headers), query())


def failed(body: Any, status: int = 200) -> AjaxError:
    error = decoded(body, status)
    assert isinstance(error, AjaxError)
    return error


@given(BODIES, st.integers(-1, 999), HEADERS)
def test_whatever_comes_back_is_a_body_or_an_error_of_the_table(
    body: bytes, status: int, headers: dict[str, str]
) -> None:
    outcome = decode(RawResponse(status, headers, body), query())
    if isinstance(outcome, AjaxError):
        assert type(outcome) is meaning_of(outcome.code, status, message=outcome.message, method="x.get").error
        assert outcome.code
        assert outcome.message
        assert outcome.request_info is not None
        assert outcome.request_info.method == "x.get"
    else:
        assert isinstance(outcome, Mapping)
        assert 200 <= status < 300
        assert outcome == json.loads(body) or "NaN" in repr(outcome).replace("nan", "NaN")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   ",
        b"<html><body>Bad Gateway</body></html>",
        b'{"result": {"ID": "1", "TIT',
        b'{"result": 1}}',
        b'{"result": 1',
        b"\xff\xfe\x00",
        '{"result": "п"}'.encode("cp1251"),
        b"[" * 100_000,
        [],
        [{"result": 1}],
        None,
        5,
        "text",
    ],
)
def test_a_success_that_is_no_object_is_a_bad_response(body: Any) -> None:
    error = failed(body)
    assert type(error) is BadResponseError
    assert (error.code, error.status) == ("B24OAUTH_BAD_RESPONSE", 200)


def test_a_bad_response_says_what_came_without_repeating_it() -> None:
    error = decoded(b"<html>S3CR3T</html>", **{"content-type": "text/html; charset=utf-8"})
    assert "19 bytes of text/html" in error.message
    assert "x.get" in error.message
    assert PLANTED not in str(error)
    assert "no content type" in decoded(b"").message


@pytest.mark.parametrize(
    ("status", "code", "cls"),
    [
        (302, "ERR_BAD_REQUEST", AjaxError),
        (404, "ERR_BAD_REQUEST", NotFoundError),
        (429, "ERR_BAD_REQUEST", OperatingLimitError),
        (500, "ERR_BAD_RESPONSE", AjaxError),
        (502, "ERR_BAD_RESPONSE", AjaxError),
        (503, "ERR_BAD_RESPONSE", RateLimitError),
        (504, "ERR_BAD_RESPONSE", AjaxError),
    ],
)
@pytest.mark.parametrize("body", [b"<h1>nginx</h1>", b"", {}, {"result": 1}, {"error": None}, []])
def test_a_failure_without_an_error_in_its_body_is_named_by_its_status(
    body: Any, status: int, code: str, cls: type[AjaxError]
) -> None:
    error = failed(body, status)
    assert type(error) is cls
    assert (error.code, error.status, error.message) == (code, status, f"Request failed with status code {status}")


EMPTY: list[Any] = ["", "  ", False, {}, []]


@pytest.mark.parametrize("nothing", [None, *EMPTY])
@pytest.mark.parametrize("described", [{}, {"error_description": ""}, {"error_description": None}])
@pytest.mark.parametrize("result", [1, 0, "", False, [], {}])
def test_an_empty_error_in_a_success_is_none(nothing: Any, described: dict[str, Any], result: Any) -> None:
    body = {"result": result, "error": nothing, **described}
    assert decoded(body) == body


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("result", [{}, {"result": None}, {"result": {"ID": 1}}])
@pytest.mark.parametrize("status", [200, 400, 404, 500])
def test_an_empty_error_with_a_text_is_an_error_and_keeps_the_text(empty: Any, result: Any, status: int) -> None:
    error = failed({"error": empty, "error_description": "Not found", **result}, status)
    assert type(error) is NotFoundError
    assert (error.message, error.status) == ("Not found", status)


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("body", [{}, {"result": None}, {"time": {}}])
def test_an_empty_error_without_a_result_is_never_a_success(empty: Any, body: dict[str, Any]) -> None:
    error = failed({"error": empty, **body})
    assert (error.code, error.status) == ("B24OAUTH_RESPONSE_ERROR", 200)
    assert error.message == "The portal reported an error without a code or a text (on x.get)"
    assert failed({"error": empty, **body}, 400).message == "Request failed with status code 400"


@pytest.mark.parametrize("error", ["0", 0, "ERROR_CORE", 100, -1, True, 1.5, ["x"], [{}], {"code": ""}, {"foo": 1}])
def test_an_error_that_says_anything_is_an_error_beside_a_result_too(error: Any) -> None:
    assert failed({"error": error, "result": {"ID": 1}}).status == 200


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (200, "B24OAUTH_RESPONSE_ERROR"),
        (400, "ERR_BAD_REQUEST"),
        (404, "ERR_BAD_REQUEST"),
        # The portal failed and says so; ERR_BAD_RESPONSE is for a response that tells nothing.
        (500, "B24OAUTH_RESPONSE_ERROR"),
        (503, "B24OAUTH_RESPONSE_ERROR"),
    ],
)
@pytest.mark.parametrize("nameless", ["", "0", 0, {"code": "0", "message": "m"}, [], ["x"]])
def test_an_error_without_a_code_gets_one_by_its_status(status: int, code: str, nameless: Any) -> None:
    error = failed({"error": nameless, "error_description": "m"}, status)
    assert (error.code, error.message, error.status) == (code, "m", status)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (" ERROR_CORE ", "ERROR_CORE", "text"),
        (200040300010, "200040300010", "text"),
        ("200040300010", "200040300010", "text"),
        ([{"code": "C", "message": "m"}], "C", "m"),
        ([{"code": "C"}, "x"], "C", "text"),
        ({"code": "C", "message": " "}, "C", "text"),
        ({"code": None, "message": None}, "ERR_BAD_REQUEST", "text"),
    ],
)
def test_code_and_text_are_found_wherever_they_stand(error: Any, code: str, message: str) -> None:
    found = failed({"error": error, "error_description": "text"}, 400)
    assert (found.code, found.message) == (code, message)


def test_a_refusal_whose_error_is_null_keeps_its_text() -> None:
    error = failed({"error": None, "error_description": "Not found"}, 400)
    assert (type(error), error.message) == (NotFoundError, "Not found")
    assert PLANTED not in str(cleaned({"error_description": "no tok/en-S3CR3T"}, 400))


@given(JSON, JSON, JSON)
def test_an_error_never_passes_for_a_success_nor_a_success_for_an_error(error: Any, text: Any, result: Any) -> None:
    outcome = decoded({"error": error, "error_description": text, "result": result})
    said = error not in ("", [], {}) and error is not False and not (isinstance(error, str) and not error.strip())
    described = isinstance(text, str) and text.strip() != ""
    if error is None:
        assert isinstance(outcome, Mapping)
    elif said or described or result is None:
        assert isinstance(outcome, AjaxError)
    elif text in (None, ""):
        assert isinstance(outcome, Mapping)


def test_an_error_inside_of_a_success_is_an_error_with_status_200() -> None:
    error = failed({"error": "expired_token", "error_description": "Expired"})
    assert type(error) is ExpiredTokenError
    assert (error.status, error.message) == (200, "Expired")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        ("ERROR_CORE", "ERROR_CORE"),
        (1048582, "1048582"),
        ("100", "100"),
        ("0", "ERR_BAD_REQUEST"),
        (0, "ERR_BAD_REQUEST"),
    ],
)
def test_a_code_may_be_a_number_and_zero_is_none(found: Any, code: str) -> None:
    error = failed({"error": found, "error_description": "text"}, 400)
    assert (error.code, error.message) == (code, "text")


@pytest.mark.parametrize("garbage", [True, ["S3CR3T"], [{}], 1.5])
def test_what_cannot_be_a_code_is_not_made_one(garbage: Any) -> None:
    for body in ({"error": garbage, "result": 1}, {"error": {"code": garbage}}):
        error = failed(body)
        assert error.code == "B24OAUTH_RESPONSE_ERROR"
        assert PLANTED not in str(error)


@pytest.mark.parametrize("description", ["", None, 5, [], {}, [5], [[]]])
def test_without_a_description_the_message_names_code_and_method(description: Any) -> None:
    assert failed({"error": "ERROR_CORE", "error_description": description}, 400).message == "ERROR_CORE (on x.get)"


@pytest.mark.parametrize("description", [["No", "", "way"], {"a": "No", "b": 5, "c": "way"}])
def test_a_description_in_several_parts_is_one_text(description: Any) -> None:
    assert failed({"error": "ERROR_CORE", "error_description": description}, 400).message.startswith("No way")


def test_t12_an_error_of_any_length_is_kept_in_part() -> None:
    rows = [{"field": "x" * 5000, "message": "m" * 5000}] * 1000
    for error, text in (("E" * 10**6, "%25" * 10**6), ({"code": "C" * 10**6, "validation": rows}, "")):
        found = cleaned({"error": error, "error_description": text}, 400)
        assert len(found.message) <= 2100
        assert len(found.code) <= 200
        assert len(found.validation or ()) <= 100
        assert len(str(found)) < 3000


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": "C", "message": "Cannot do it  "}, "C", "Cannot do it"),
        ({"code": "C"}, "C", "C (on x.get)"),
        ({"code": 7, "message": "m"}, "7", "m"),
        ({"message": "m"}, "ERR_BAD_REQUEST", "m"),
        ({"code": "C", "message": "Bad", "validation": [{"field": "a", "message": "A"}]}, "C", "Bad. A"),
        ({"code": "C", "message": "Bad.", "validation": [{"message": "A"}, {"message": "B"}]}, "C", "Bad. A B"),
        ({"code": "C", "message": "", "validation": [{"message": "A"}]}, "C", "A"),
        ({"code": "C", "validation": [{"field": "a"}]}, "C", '{"field": "a"}'),
        ({"code": "C", "message": {"a": 1}, "validation": "x"}, "C", "C (on x.get)"),
        ({"code": "C", "message": "m", "validation": ["x", 5, None]}, "C", "m"),
    ],
)
def test_an_error_of_v3_tells_its_code_message_and_rows(error: Any, code: str, message: str) -> None:
    found = failed({"error": error}, 400)
    assert (found.code, found.message) == (code, message)


def test_rows_of_a_validation_error_are_kept() -> None:
    rows = [{"field": "title", "message": "Title is required."}]
    code = "BITRIX_REST_V3_EXCEPTION_VALIDATION_DTOVALIDATIONEXCEPTION"
    error = failed({"error": {"code": code, "message": "DTO invalid", "validation": rows}}, 422)
    assert type(error) is ValidationError
    assert error.validation == tuple(rows)


def test_t12_a_row_without_a_message_does_not_bring_a_refused_secret_into_the_text() -> None:
    row = {"field": "password", "value": PLANTED}
    error = failed({"error": {"code": "C", "validation": [row]}}, 400)
    assert "password" in error.message
    assert PLANTED not in str(error)


def test_an_openapi_document_comes_back_whole_though_it_has_no_result() -> None:
    document = {"openapi": "3.0.0", "info": {"title": "REST"}, "paths": {}}
    assert decoded(document) == document


@pytest.mark.parametrize("body", [{"result": 1}, {"result": None}, {"result": 1, "time": []}])
def test_times_may_be_absent(body: Any) -> None:
    payload = ajax_result(decoded(body), query=query()).get_data()
    assert payload is not None
    assert payload.time is None


def test_numbers_beyond_53_bits_are_kept() -> None:
    assert decoded(b'{"result": 9007199254740993}') == {"result": 9007199254740993}


def test_a_byte_order_mark_does_not_matter() -> None:
    assert decoded(b'\xef\xbb\xbf{"result": 1}') == {"result": 1}


def test_a_decoded_error_becomes_a_result_that_failed() -> None:
    result = ajax_result({"error": "WRONG_AUTH_TYPE", "error_description": "No"}, query=query(), status=401)
    assert not result.is_success
    assert (result.status, result.get_error_messages()) == (403, ["No"])
    assert result.has_error("base-error")


def test_a_validation_row_too_deep_to_be_walked_is_still_an_error() -> None:
    deep: object = 1
    for _ in range(600):
        deep = [deep]
    rows = [{"field": "token", "x": deep}, {"field": "title", "x": deep}]
    body = json.dumps({"error": {"code": "X", "message": "no", "validation": rows}}).encode()
    error = decode(RawResponse(400, {}, body), query())
    assert isinstance(error, AjaxError)
    assert error.code == "X"


# --- errors that repeat what was sent ---------------------------------------------------------------------------------

DIGITS = "12345678"
SECRETS = (DIGITS, "tok/en-S3CR3T")


def cleaned(body: Any, status: int = 200, **headers: str) -> Any:
    return decode_clean(answer(body, status, **headers), query(), SECRETS)


def shown(error: Any) -> str:
    return f"{error} {error!r} {vars(error)} {error.to_dict()}"


def test_t12_a_numeric_secret_is_masked_without_hiding_code_or_message() -> None:
    error = cleaned({"error": "ERROR_CORE", "error_description": "why it failed", "id": 12345678}, 400)
    assert (error.code, error.message) == ("ERROR_CORE", "why it failed")
    rows = [{"field": "id", "value": 12345678}, {"field": "x", DIGITS: [1, 12345678]}]
    error = cleaned({"error": {"code": "C", "message": "bad", "validation": rows}}, 400)
    assert (error.code, error.validation[0]["field"]) == ("C", "id")
    assert DIGITS not in shown(error)


def test_t12_a_code_that_is_a_secret_of_digits_is_masked() -> None:
    error = cleaned({"error": 12345678, "error_description": "why"}, 400)
    assert (DIGITS in shown(error), error.message) == (False, "why")


def test_t12_a_failed_command_that_repeats_a_numeric_secret_keeps_its_code() -> None:
    failures = [{"error": "NO", "error_description": "x", "id": 12345678}, 12345678, {DIGITS: "12345678"}]
    payload = cleaned({"result": {"result": [], "result_error": failures}})
    assert payload["result"]["result_error"][0] == {"error": "NO", "error_description": "x", "id": REDACTED}
    assert DIGITS not in str(payload)


@pytest.mark.parametrize(
    "spelled", ["tok/en-S3CR3T", "tok\\/en-S3CR3T", "\\u0074ok/en\\u002dS3CR3T", "tok%252Fen-S3CR3T", "TOK/EN-S3CR3T"]
)
@pytest.mark.parametrize(
    "body",
    [
        '{"error":"C","error_description":"bad %s!"}',
        '{"error":"%s"}',
        '{"error":{"code":"%s","message":"%s","validation":[{"message":"%s","%s":"%s"},{"%s":"%s"}]}}',
        '{"result":{"result":[],"result_error":[{"error":"C","error_description":"%s","%s":{"%s":["%s"]}},"%s"]}}',
    ],
)
def test_t12_no_spelling_of_a_secret_comes_through(body: str, spelled: str) -> None:
    outcome = cleaned(body.replace("%s", spelled).encode())
    text = shown(outcome) if isinstance(outcome, AjaxError) else str(outcome)
    assert REDACTED in text
    assert "s3cr3t" not in text.lower()


def test_t12_a_failure_nested_too_deeply_to_be_searched_hides_no_other() -> None:
    deep = b"[" * 400 + b'"tok/en-S3CR3T"' + b"]" * 400
    payload = cleaned(b'{"result":{"result_error":{"a":{"error":"C"},"b":' + deep + b"}}}")
    assert payload["result"]["result_error"]["a"] == {"error": "C"}
    assert PLANTED not in str(payload)


def test_t12_a_content_type_that_repeats_a_secret_is_masked() -> None:
    error = cleaned(b"<html>", **{"content-type": f"text/{'x' * 30}tok/en-S3CR3T"})
    assert "tok/en" not in shown(error)


def test_t12_the_data_of_a_success_stay_as_they_are() -> None:
    body = {"result": {"id": 12345678, "result_error": []}, "time": {}}
    assert cleaned(body) == body


# --- the extra that reads faster --------------------------------------------------------------------------------------

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
ODD = [
    b"123456789012345678901234567890", b"-9223372036854775809", b"1e400", b"-0", b"-0.0", b"9007199254740993.0", b"NaN",
    b"-Infinity", b'"\\ud800"', b'"\\ud83d\\ude00"', b'{"a":1,"a":2}', b"\xef\xbb\xbf{}", '{"a":"é"}'.encode("utf-16"),
    b"[1,]", b"01", b'"\x01"', b'"\xff"', b"", b" {} ", b"{}x", b"[" * 3000 + b"]" * 3000, b"1" * 5000,
]  # fmt: skip


def read_slowly(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


@given(st.one_of(st.binary(max_size=60), plain.map(lambda value: json.dumps(value).encode()), st.sampled_from(ODD)))
def test_what_is_read_does_not_depend_on_what_is_installed(body: bytes) -> None:
    assert repr(parse_json(body)) == repr(read_slowly(body))
