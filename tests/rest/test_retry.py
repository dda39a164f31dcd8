from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import AjaxError, AmbiguousResultError, NetworkError, NotFoundError, RateLimitError, RestrictionParams
from b24oauth.error_codes import CODES, HARD_ERROR_CODES, SOFT_ERROR_CODES, Retry
from b24oauth.errors import BadResponseError, OperatingLimitError
from b24oauth.protocol.decoding import decode
from b24oauth.rest.retry import (
    Next,
    RepeatRule,
    backoff,
    final_error,
    is_about_token,
    is_returned,
    is_without_answer,
    next_step,
    rate_backoff_factor,
)
from tests.support.builders import answer, error, query

KINDS: dict[str, dict[str, bool]] = {
    "write": {"harmless": False, "keyed": False},
    "read": {"harmless": True, "keyed": False},
    "keyed write": {"harmless": False, "keyed": True},
}
LOST = [
    ("NETWORK_ERROR", 0),
    ("REQUEST_TIMEOUT", 408),
    ("ERR_BAD_RESPONSE", 500),
    ("ERR_BAD_RESPONSE", 502),
    ("ERR_BAD_RESPONSE", 504),
    ("ERR_BAD_REQUEST", 408),
    ("SOMETHING_NEW", 408),
    ("B24OAUTH_BAD_RESPONSE", 200),
]


def rule(kind: str = "write", **params: Any) -> RepeatRule:
    return RepeatRule(params=RestrictionParams(**params), **KINDS[kind])


def step(code: str, status: int, rule: RepeatRule, *, sent: bool = True, message: str = "text") -> Next:
    return next_step(error(code, status, message), rule, sent=sent)


# --- refused calls ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [None, True, False])
@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("QUERY_LIMIT_EXCEEDED", 503, Next.WAIT_FOR_RATE),
        ("QUERY_LIMIT_EXCEEDED", 200, Next.WAIT_FOR_RATE),
        ("QUERY_LIMIT_EXCEEDED", 400, Next.WAIT_FOR_RATE),
        ("ERR_BAD_RESPONSE", 503, Next.WAIT_FOR_RATE),
        ("SOMETHING_NEW", 503, Next.WAIT_FOR_RATE),
        ("OPERATION_TIME_LIMIT", 429, Next.WAIT_FOR_BUDGET),
        ("OPERATION_TIME_LIMIT", 400, Next.WAIT_FOR_BUDGET),
        ("BITRIX_REST_V3_EXCEPTION_RATELIMITEXCEPTION", 429, Next.WAIT_FOR_BUDGET),
        ("ERR_BAD_REQUEST", 429, Next.WAIT_FOR_BUDGET),
        ("SOMETHING_NEW", 429, Next.WAIT_FOR_BUDGET),
    ],
)
def test_l5_a_call_that_a_limit_refused_is_repeated_whatever_it_does(
    code: str, status: int, expected: Next, kind: str, network: bool | None
) -> None:
    assert step(code, status, rule(kind, retry_on_network_error=network)) is expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [200, 400, 429, 500, 502, 503])
def test_l5_a_blocked_portal_is_never_asked_again_even_with_503(kind: str, status: int) -> None:
    assert step("OVERLOAD_LIMIT", status, rule(kind, retry_on_network_error=True)) is Next.STOP


# Without a code of the portal's own, the status tells.
@pytest.mark.parametrize(
    "code", [c for c, known in CODES.items() if known.retry is Retry.NEVER and c != "ERR_BAD_REQUEST"]
)
@pytest.mark.parametrize("status", [200, 400, 429, 500, 503])
def test_l5_what_the_table_says_is_never_repeated_is_not(code: str, status: int) -> None:
    assert step(code, status, rule("read", retry_on_network_error=True)) is Next.STOP


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422])
@pytest.mark.parametrize("code", ["SOMETHING_NEW", "ERR_BAD_REQUEST"])
def test_l5_a_refusal_with_a_status_of_400_is_not_repeated(status: int, code: str) -> None:
    assert step(code, status, rule("read", retry_on_network_error=True)) is Next.STOP


NAMELESS = ["", "0", 0, False, {"code": "", "message": "Not found"}]


def nameless(error: Any, status: int) -> AjaxError:
    found = decode(answer({"error": error, "error_description": "Not found"}, status), query())
    assert isinstance(found, AjaxError)
    return found


@pytest.mark.parametrize("given", NAMELESS)
@pytest.mark.parametrize(
    ("status", "read", "write"),
    [
        (200, Next.STOP, Next.STOP),
        (400, Next.STOP, Next.STOP),
        (404, Next.STOP, Next.STOP),
        (500, Next.BACK_OFF, Next.STOP),
        (502, Next.BACK_OFF, Next.STOP),
        (504, Next.BACK_OFF, Next.STOP),
        (429, Next.WAIT_FOR_BUDGET, Next.WAIT_FOR_BUDGET),
        (503, Next.WAIT_FOR_RATE, Next.WAIT_FOR_RATE),
    ],
)
def test_l5_an_error_without_a_code_is_repeated_as_its_status_says(
    given: Any, status: int, read: Next, write: Next
) -> None:
    assert next_step(nameless(given, status), rule("read"), sent=True) is read
    assert next_step(nameless(given, status), rule("write"), sent=True) is write


@pytest.mark.parametrize("given", NAMELESS)
def test_l5_a_failure_that_the_portal_reports_is_not_ambiguous_without_a_code_either(given: Any) -> None:
    told = nameless(given, 500)
    assert type(told) is NotFoundError
    assert final_error(told, rule("write"), may_have_run=is_without_answer(told)) is told
    behind_a_gateway = nameless(given, 502)
    seen = final_error(behind_a_gateway, rule("write"), may_have_run=is_without_answer(behind_a_gateway))
    assert type(seen) is AmbiguousResultError


def test_an_ambiguous_error_keeps_the_validation_rows() -> None:
    rows = [{"field": "title", "message": "Required"}]
    body = {"error": {"code": "C", "message": "m", "validation": rows}}
    told = decode(answer(body, 502), query())
    assert isinstance(told, AjaxError)
    assert final_error(told, rule("write"), may_have_run=True).validation == tuple(rows)


@pytest.mark.parametrize("code", ["ERROR_NOT_FOUND", "200040300010", "MISSING_PARAMS", "ERROR_ENTITY_ALREADY_EXISTS"])
def test_a_documented_class_changes_no_repeat(code: str) -> None:
    for status, expected in ((400, Next.STOP), (500, Next.BACK_OFF), (503, Next.WAIT_FOR_RATE)):
        assert step(code, status, rule("read")) is expected is step("SOMETHING_NEW", status, rule("read"))


def test_an_error_inside_of_a_200_is_not_repeated() -> None:
    assert step("SOMETHING_NEW", 200, rule("read")) is Next.STOP


def test_a_further_hard_code_is_not_repeated_even_with_503() -> None:
    for status in (429, 500, 503):
        assert step("MY_FATAL", status, rule("read", hard_error_codes=("MY_FATAL",))) is Next.STOP


def test_a_further_soft_code_is_not_repeated_on_500() -> None:
    assert step("MY_SOFT", 500, rule("read", soft_error_codes=("MY_SOFT",))) is Next.STOP


def test_a_missing_parameter_is_not_repeated_though_it_is_a_500() -> None:
    message = "Could not find value for parameter {id}"
    assert step("SOME_FAILURE", 500, rule("read"), message=message) is Next.STOP


# --- lost answers and failures of the portal --------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "status"), [*LOST, ("SOME_FAILURE", 500)])
@pytest.mark.parametrize(
    ("kind", "network", "expected"),
    [
        ("write", None, Next.STOP),
        ("read", None, Next.BACK_OFF),
        ("keyed write", None, Next.BACK_OFF),
        ("write", True, Next.BACK_OFF),
        ("read", True, Next.BACK_OFF),
        ("write", False, Next.STOP),
    ],
)
def test_l5_after_a_lost_answer_only_what_may_run_twice_is_repeated(
    code: str, status: int, kind: str, network: bool | None, expected: Next
) -> None:
    assert step(code, status, rule(kind, retry_on_network_error=network)) is expected


@pytest.mark.parametrize(
    ("kind", "network", "expected"),
    [
        ("write", None, Next.STOP),
        ("write", True, Next.STOP),
        ("read", True, Next.BACK_OFF),
        ("keyed write", None, Next.BACK_OFF),
        ("read", False, Next.STOP),
    ],
)
@pytest.mark.parametrize(("status", "body"), [(204, b""), (200, b""), (201, b" \n")])
def test_l5_an_empty_response_is_no_network_error(
    status: int, body: bytes, kind: str, network: bool | None, expected: Next
) -> None:
    told = decode(answer(body, status), query())
    assert isinstance(told, BadResponseError)
    assert next_step(told, rule(kind, retry_on_network_error=network), sent=True) is expected


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("timeouts", "expected"), [(1, True), (2, False), (3, False)])
def test_l5_a_response_is_waited_for_twice_at_most(kind: str, timeouts: int, expected: bool) -> None:
    late = error("REQUEST_TIMEOUT", 408)
    may_repeat = rule(kind, retry_on_network_error=True)
    assert (next_step(late, may_repeat, sent=True, timeouts=timeouts) is Next.BACK_OFF) is expected
    assert next_step(late, may_repeat, sent=False, timeouts=timeouts) is Next.BACK_OFF


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("network", [None, True])
def test_what_cannot_help_is_not_repeated_though_it_was_never_sent(kind: str, network: bool | None) -> None:
    unknown_host = error("NETWORK_ERROR", 0)
    unknown_host.retryable = False
    assert next_step(unknown_host, rule(kind, retry_on_network_error=network), sent=False) is Next.STOP


@pytest.mark.parametrize("kind", KINDS)
def test_a_response_that_is_too_large_is_not_asked_for_again(kind: str) -> None:
    assert step("B24OAUTH_RESPONSE_TOO_LARGE", 0, rule(kind, retry_on_network_error=True)) is Next.STOP


@pytest.mark.parametrize(("code", "status"), LOST)
@pytest.mark.parametrize("kind", KINDS)
def test_l5_false_never_repeats_a_lost_answer(code: str, status: int, kind: str) -> None:
    assert step(code, status, rule(kind, retry_on_network_error=False)) is Next.STOP


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("network", "expected"), [(None, Next.BACK_OFF), (True, Next.BACK_OFF), (False, Next.STOP)])
def test_l5_what_was_never_sent_is_repeated_whatever_it_does(kind: str, network: bool | None, expected: Next) -> None:
    assert step("NETWORK_ERROR", 0, rule(kind, retry_on_network_error=network), sent=False) is expected


# --- how an error reaches the caller ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "status"), LOST)
@pytest.mark.parametrize("kind", ["write", "keyed write"])
def test_l5_a_write_whose_answer_was_lost_is_ambiguous_and_says_what_to_do(code: str, status: int, kind: str) -> None:
    lost = error(code, status)
    seen = final_error(lost, rule(kind), may_have_run=True)
    assert type(seen) is AmbiguousResultError
    assert (seen.code, seen.status, seen.request_info) == (code, status, lost.request_info)
    assert "idempotent=True" in seen.message
    assert lost.message in seen.message


@pytest.mark.parametrize(("code", "status"), LOST)
def test_l5_a_read_or_an_unsent_write_is_not_ambiguous(code: str, status: int) -> None:
    lost = error(code, status)
    assert final_error(lost, rule("read"), may_have_run=True) is lost
    assert final_error(lost, rule("write"), may_have_run=False) is lost


def test_l5_an_answer_of_the_portal_is_not_ambiguous() -> None:
    refused = error("ERROR_CORE", 400)
    assert final_error(refused, rule(), may_have_run=True) is refused


@pytest.mark.parametrize(("status", "cls"), [(503, RateLimitError), (429, OperatingLimitError)])
def test_l5_a_limits_page_without_a_code_was_not_executed_and_stays_what_it_is(
    status: int, cls: type[Exception]
) -> None:
    refused = decode(answer(b"<html>", status), query())
    assert type(refused) is cls
    assert not is_without_answer(refused)
    assert final_error(refused, rule(), may_have_run=False) is refused


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("QUERY_LIMIT_EXCEEDED", 503),
        ("OPERATION_TIME_LIMIT", 429),
        ("expired_token", 401),
        ("NO_AUTH_FOUND", 401),
        ("INTERNAL_SERVER_ERROR", 500),
    ],
)
@pytest.mark.parametrize("kind", ["write", "keyed write"])
def test_l5_what_refuses_a_repeat_tells_nothing_of_the_attempt_before(code: str, status: int, kind: str) -> None:
    refused = error(code, status)
    assert type(final_error(refused, rule(kind), may_have_run=True)) is AmbiguousResultError
    assert final_error(refused, rule(kind), may_have_run=False) is refused
    assert final_error(refused, rule("read"), may_have_run=True) is refused


@pytest.mark.parametrize("status", [502, 504])
def test_l5_a_gateways_answer_tells_nothing_whatever_its_body_says(status: int) -> None:
    answered = decode(answer(b'{"error": "SOME_CODE", "error_description": "text"}', status), query())
    assert isinstance(answered, AjaxError)
    assert is_without_answer(answered)
    assert next_step(answered, rule("read"), sent=True) is Next.BACK_OFF
    assert next_step(answered, rule("write"), sent=True) is Next.STOP
    assert type(final_error(answered, rule("write"), may_have_run=True)) is AmbiguousResultError


@pytest.mark.parametrize("code", SOFT_ERROR_CODES)
def test_soft_codes_come_back_inside_of_the_result(code: str) -> None:
    assert is_returned(error(code, 400), RestrictionParams())


@pytest.mark.parametrize("code", [*HARD_ERROR_CODES, "SOMETHING_NEW", "QUERY_LIMIT_EXCEEDED", "NETWORK_ERROR"])
def test_other_codes_are_raised(code: str) -> None:
    assert not is_returned(error(code, 400), RestrictionParams())


@pytest.mark.parametrize("given", NAMELESS)
def test_an_error_without_a_code_is_raised_but_inside_of_a_200(given: Any) -> None:
    assert not is_returned(nameless(given, 400), RestrictionParams())
    assert is_returned(nameless(given, 200), RestrictionParams())


def test_further_codes_move_errors_to_the_other_side() -> None:
    params = RestrictionParams(
        hard_error_codes=("ERROR_ENTITY_NOT_FOUND",), soft_error_codes=("MY_SOFT", "ACCESS_DENIED")
    )
    assert not is_returned(error("ERROR_ENTITY_NOT_FOUND", 400), params)
    assert is_returned(error("MY_SOFT", 500), params)
    assert not is_returned(error("ACCESS_DENIED", 403), params)


def test_an_error_inside_of_a_200_is_returned_but_an_unreadable_answer_is_not() -> None:
    assert is_returned(error("expired_token", 200), RestrictionParams())
    assert not is_returned(error("B24OAUTH_BAD_RESPONSE", 200), RestrictionParams())
    assert isinstance(error("NETWORK_ERROR", 0), NetworkError)
    assert not is_returned(error("NETWORK_ERROR", 0), RestrictionParams())


# --- whose fault ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["expired_token", "invalid_token"])
@pytest.mark.parametrize(("status", "about"), [(401, True), (200, True), (400, False), (403, False), (500, False)])
def test_t5_a_token_is_refused_with_401_or_inside_of_a_200(code: str, status: int, about: bool) -> None:
    assert is_about_token(error(code, status)) is about


@pytest.mark.parametrize(
    "code", ["NO_AUTH_FOUND", "METHOD_CONFIRM_WAITING", "METHOD_CONFIRM_DENIED", "insufficient_scope"]
)
def test_t5_another_401_is_not_about_the_token(code: str) -> None:
    assert not is_about_token(error(code, 401))


# --- how long ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempt", "pause"), [(0, 1.0), (1, 2.0), (2, 4.0), (4, 16.0), (5, 30.0), (50, 30.0), (5000, 30.0)]
)
def test_pauses_double_up_to_thirty_seconds(attempt: int, pause: float) -> None:
    assert backoff(attempt, RestrictionParams(), jitter=0.0) == pause


@pytest.mark.parametrize("attempt", [0, 1, 9])
def test_a_first_pause_beyond_the_cap_is_its_own_cap(attempt: int) -> None:
    assert backoff(attempt, RestrictionParams(retry_delay=45), jitter=0.0) == 45


@pytest.mark.parametrize("delay", [0.0, 0.001, 0.1])
def test_no_pause_is_shorter_than_a_tenth_of_a_second(delay: float) -> None:
    assert backoff(0, RestrictionParams(retry_delay=delay), jitter=-1.0) == 0.1


@given(st.integers(0, 10_000), st.floats(0.2, 100), st.floats(-1, 1))
def test_jitter_moves_a_pause_by_a_tenth_at_most(attempt: int, delay: float, jitter: float) -> None:
    params = RestrictionParams(retry_delay=delay)
    middle = backoff(attempt, params, jitter=0.0)
    assert abs(backoff(attempt, params, jitter=jitter) - middle) <= middle * 0.1 + 1e-9


def test_jitter_moves_a_pause() -> None:
    params = RestrictionParams()
    assert backoff(0, params, jitter=1.0) == pytest.approx(1.1)
    assert backoff(0, params, jitter=-1.0) == pytest.approx(0.9)


@pytest.mark.parametrize(("attempt", "factor"), [(0, 1.0), (1, 1.5), (2, 2.25)])
def test_each_refusal_of_the_rate_lengthens_the_wait_by_half(attempt: int, factor: float) -> None:
    assert rate_backoff_factor(attempt) == factor


def test_the_wait_for_the_rate_stops_growing_before_it_overflows() -> None:
    assert rate_backoff_factor(10_000) == rate_backoff_factor(20) > rate_backoff_factor(19)
