"""Every documented error code becomes the class of its meaning, whatever the shape of the response."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from b24oauth import AccessDeniedError, AjaxError, ApiVersion, NotFoundError, RateLimitError
from b24oauth.error_codes import error_for
from b24oauth.errors import (
    AuthRefusedError,
    ConflictError,
    ExpiredTokenError,
    OperatingLimitError,
    PortalBlockedError,
    RequestInfo,
    ValidationError,
)
from b24oauth.portal_codes import class_of
from b24oauth.protocol.batch import parse_calls, read_rows
from b24oauth.protocol.decoding import decode
from tests.support.builders import answer, query

FACTS = Path(__file__).parent / "data" / "error_codes.tsv"
CLASSES: dict[str, type[AjaxError]] = {
    "access_denied": AccessDeniedError,
    "auth_expired": ExpiredTokenError,
    "auth_refused": AuthRefusedError,
    "blocked": PortalBlockedError,
    "conflict": ConflictError,
    "not_found": NotFoundError,
    "rate_limit": RateLimitError,
    "validation": ValidationError,
    # These have no class of their own.
    "internal": AjaxError,
    "unknown": AjaxError,
    "unsupported": AjaxError,
}
DIFFERENCES: dict[str, tuple[type[AjaxError], str]] = {
    "100": (AjaxError, "stands for several failures, so an unknown text tells nothing"),
    "ERROR_ARGUMENT": (AjaxError, "stands for several failures, so an unknown text tells nothing"),
    "ERROR_UNEXPECTED_ANSWER": (AjaxError, "every method may send it, with 500, for an internal failure"),
    "ERROR_BATCH_METHOD_NOT_ALLOWED": (ValidationError, "the batch is wrong, not the portal; 0.1.0 says so too"),
}
UNKNOWN_TEXT = "Etwas ist schiefgegangen"


def records() -> Iterator[tuple[str, str, type[AjaxError], list[int]]]:
    _, *lines = FACTS.read_text(encoding="utf-8").splitlines()
    for line in lines:
        code, version, meaning, statuses = line.split("\t")
        expected = DIFFERENCES[code][0] if code in DIFFERENCES else CLASSES[meaning]
        yield code, version, expected, [int(status) for status in statuses.split(",") if status] or [400]


RECORDS = list(records())


def plain(body: Any, status: int) -> object:
    return decode(answer(body, status), query())


def row(entry: Any, result: Any = None) -> object:
    """What a command of a v2 batch came to: its error, or what it gave."""
    results = {} if result is None else {"a": result}
    payload = {"result": {"result": results, "result_error": {"a": entry}}}
    (found,) = read_rows(payload, parse_calls({"a": ("x.get",)}), ApiVersion.V2, request_id="r-1")
    return None if found is None else found.error or found.payload


def spellings(code: str) -> list[str | int]:
    return [code, int(code)] if code.isdigit() else [code]


def test_there_is_a_fact_for_each_documented_code() -> None:
    assert len(RECORDS) == 651


def test_each_documented_code_becomes_the_class_of_its_meaning() -> None:
    wrong = [
        (code, status, type(error).__name__)
        for code, version, expected, statuses in RECORDS
        for status in statuses
        for spelled in spellings(code)
        for body in (
            {"error": spelled, "error_description": UNKNOWN_TEXT},
            {"error": {"code": spelled, "message": UNKNOWN_TEXT}},
        )
        if type(error := plain(body, status)) is not expected
        or (version == "v3" and type(error := plain(body, 200)) is not expected)
    ]
    assert not wrong


def test_each_documented_code_keeps_its_class_inside_of_a_batch_and_of_a_200() -> None:
    wrong = [
        (code, type(error).__name__)
        for code, _, expected, _ in RECORDS
        for spelled in spellings(code)
        for error in (
            row({"error": spelled, "error_description": UNKNOWN_TEXT}),
            row({"error": spelled, "error_description": UNKNOWN_TEXT}, result={"ID": 1}),
            plain({"error": spelled, "error_description": UNKNOWN_TEXT, "result": {"ID": 1}}, 200),
            plain({"error": spelled, "error_description": UNKNOWN_TEXT}, 200),
        )
        if type(error) is not expected
    ]
    assert not wrong


def test_codes_that_have_no_text_are_errors_all_the_same() -> None:
    bodies = [{"error": spelled} for code, *_ in RECORDS for spelled in spellings(code)]
    assert all(isinstance(plain(body, 200), AjaxError) and isinstance(row(body), AjaxError) for body in bodies)


def test_the_case_of_a_code_does_not_matter() -> None:
    plain_classes = {AccessDeniedError, AuthRefusedError, ConflictError, NotFoundError, ValidationError}
    for code, _, expected, _ in RECORDS:
        if expected in plain_classes and code not in DIFFERENCES:
            assert class_of(code.upper()) is class_of(code.lower()) is class_of(code) is expected


@pytest.mark.parametrize("code", ["EXPIRED_TOKEN", "query_limit_exceeded", "portal_deleted", "SOMETHING_NOT_FOUND", ""])
def test_what_is_not_documented_has_no_class(code: str) -> None:
    assert class_of(code) is None


AMBIGUOUS = ["", "0", "ERROR_CORE", "400", "WRONG_REQUEST", "BAD_REQUEST", "510", "ERROR_CODE", "100", "ERROR_ARGUMENT"]


@pytest.mark.parametrize("code", AMBIGUOUS)
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Not found", NotFoundError),
        ("Not found.", NotFoundError),
        ("NOT FOUND", NotFoundError),
        ("The entity with ID '235' is not found", NotFoundError),
        ("Payment has not been found", NotFoundError),
        ("Price does not exist", NotFoundError),
        ("Chat doesn't exist", NotFoundError),
        ("Element not exists", NotFoundError),
        ("No price exists for the product with this ID", NotFoundError),
        ("Access denied", AccessDeniedError),
        ("Access Denied!", AccessDeniedError),
        ("You do not have permission to edit this item", AccessDeniedError),
        ("Insufficient rights to read the trade catalog", AccessDeniedError),
        ("There is no access to the section", AccessDeniedError),
        ("Action on the task is not allowed", AccessDeniedError),
    ],
)
def test_the_text_decides_for_an_ambiguous_code(code: str, text: str, expected: type[AjaxError]) -> None:
    for body in ({"error": code, "error_description": text}, {"error": {"code": code, "message": text}}):
        for status in (200, 400, 500):
            error = plain(body, status)
            assert type(error) is expected
            assert isinstance(error, AjaxError)
            assert error.message == text
    assert type(row({"error": code, "error_description": text})) is expected


@pytest.mark.parametrize("code", ["", "0", "ERROR_CORE", "400", "WRONG_REQUEST", "BAD_REQUEST", "510", "ERROR_CODE"])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "Nicht gefunden",
        "Something went wrong",
        "Could not find value for parameter {id}",
        "'FIELD_NAME' field is not found",
        "ID is not found",
        "ENTITY_TYPE is not found, ENTITIES is not found",
        "Stage id not found",
        "Module catalog does not exist",
        "Delivery not found or access denied",
        "Task not found or not accessible",
        "ID is not defined or invalid",
    ],
)
def test_a_text_that_does_not_decide_is_never_guessed(code: str, text: str) -> None:
    assert type(plain({"error": code, "error_description": text}, 400)) is AjaxError


@pytest.mark.parametrize("code", ["100", 100, "ERROR_ARGUMENT", "error_argument"])
@pytest.mark.parametrize(
    "text", ["Could not find value for parameter {id}", "Argument 'id' is null or empty", "Нет", ""]
)
def test_a_code_that_often_means_wrong_parameters_is_not_guessed_either(code: str | int, text: str) -> None:
    assert type(plain({"error": code, "error_description": text}, 400)) is AjaxError


@pytest.mark.parametrize(
    ("method", "code", "text", "expected"),
    [
        ("crm.automation.trigger", "", "Target is not found.", ValidationError),
        ("crm.item.get", "", "Target is not found.", NotFoundError),
        ("tasks.api.scrum.epic.add", "0", "Name is not found", ValidationError),
        ("tasks.api.scrum.epic.add", "0", "Group is not found", NotFoundError),
        ("tasks.api.scrum.kanban.addStage", "0", "Sprint id not found", ValidationError),
        ("tasks.api.scrum.kanban.addStage", "0", "Sprint not found", NotFoundError),
        ("crm.documentgenerator.numerator.get", "100", "Could not construct parameter {numerator}", NotFoundError),
        ("DocumentGenerator.Role.Delete", "100", "Could not construct parameter {role}", NotFoundError),
        ("crm.item.get", "100", "Could not construct parameter {item}", AjaxError),
    ],
)
def test_the_method_may_give_a_text_another_meaning(
    method: str, code: str, text: str, expected: type[AjaxError]
) -> None:
    assert type(error_for(code, 400, text, request_info=RequestInfo(method=method))) is expected


@pytest.mark.parametrize(
    "code", ["MISSING_PARAMS", "ERROR_CHECK_FAILURE", "NOT_ACTIVE_LINE", "SYSTEM_ERROR", "NEW_CODE"]
)
def test_the_text_does_not_count_for_a_code_of_its_own(code: str) -> None:
    assert type(error_for(code, 400, "Access denied")) is type(error_for(code, 400, "x"))


def test_a_sentence_in_the_place_of_the_code_is_read_as_a_text() -> None:
    assert type(error_for("Element not found", 400)) is NotFoundError
    assert type(error_for("You have no access to it", 400)) is AccessDeniedError
    assert type(error_for("Something else", 400, "Not found")) is NotFoundError
    assert type(error_for("Access denied", 400, "Not found")) is AccessDeniedError


@pytest.mark.parametrize(
    ("status", "unknown", "not_found"),
    [
        (401, AuthRefusedError, AuthRefusedError),
        (403, AccessDeniedError, NotFoundError),
        (404, NotFoundError, NotFoundError),
        (422, ValidationError, NotFoundError),
        (429, OperatingLimitError, OperatingLimitError),
        (503, RateLimitError, RateLimitError),
    ],
)
@pytest.mark.parametrize("code", ["", "0", "ERROR_CORE"])
def test_the_status_decides_last_unless_it_tells_what_became_of_the_request(
    code: str, status: int, unknown: type[AjaxError], not_found: type[AjaxError]
) -> None:
    assert type(plain({"error": code, "error_description": UNKNOWN_TEXT}, status)) is unknown
    assert type(plain({"error": code, "error_description": "Not found"}, status)) is not_found


def test_a_text_of_any_length_is_read_in_no_time() -> None:
    assert type(error_for("", 400, "no " * 1_000_000)) is AjaxError
    assert type(error_for("", 400, "Not found. " + "no " * 1_000_000)) is NotFoundError


def test_only_an_error_loads_the_table() -> None:
    script = (
        "import sys, b24oauth\n"
        "[getattr(b24oauth, name) for name in b24oauth.__all__]\n"
        "from b24oauth.protocol.decoding import RawResponse, decode\n"
        "query = b24oauth.result.AjaxQuery(method='m', params={}, request_id='')\n"
        "loaded = ['b24oauth.portal_codes' in sys.modules]\n"
        'for body in (b\'{"result": 1}\', b\'{"error": "", "error_description": "Not found"}\'):\n'
        "    decode(RawResponse(200, {}, body), query)\n"
        "    loaded.append('b24oauth.portal_codes' in sys.modules)\n"
        "import json\n"
        "print(json.dumps(loaded))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [False, False, True]
