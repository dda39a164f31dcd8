from __future__ import annotations

import pytest

from b24oauth import AccessDeniedError, AjaxError, NetworkError, NotFoundError, RateLimitError
from b24oauth.error_codes import CODES, HARD_ERROR_CODES, SOFT_ERROR_CODES, Retry, error_for, meaning_of
from b24oauth.errors import (
    AuthRefusedError,
    BadResponseError,
    ConflictError,
    ExpiredTokenError,
    OperatingLimitError,
    PortalBlockedError,
    PortalMovedError,
    RequestInfo,
    RequestTimeoutError,
    ValidationError,
)

V3 = "BITRIX_REST_V3_EXCEPTION_"


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("expired_token", 401, ExpiredTokenError),
        ("invalid_token", 401, ExpiredTokenError),
        ("NO_AUTH_FOUND", 401, AuthRefusedError),
        ("ERROR_OAUTH", 401, AuthRefusedError),
        ("APPLICATION_NOT_FOUND", 401, AuthRefusedError),
        ("authorization_error", 401, AuthRefusedError),
        ("PAYMENT_REQUIRED", 401, AuthRefusedError),
        ("METHOD_CONFIRM_WAITING", 401, AccessDeniedError),
        ("METHOD_CONFIRM_DENIED", 403, AccessDeniedError),
        ("ACCESS_DENIED", 403, AccessDeniedError),
        ("INVALID_CREDENTIALS", 403, AccessDeniedError),
        ("insufficient_scope", 403, AccessDeniedError),
        ("user_access_error", 403, AccessDeniedError),
        ("WRONG_AUTH_TYPE", 403, AccessDeniedError),
        ("ALLOWED_ONLY_INTRANET_USER", 403, AccessDeniedError),
        (f"{V3}ACCESSDENIEDEXCEPTION", 403, AccessDeniedError),
        (f"{V3}SCOPE_INSUFFICIENTSCOPEEXCEPTION", 403, AccessDeniedError),
        ("ERROR_METHOD_NOT_FOUND", 404, NotFoundError),
        ("ERROR_ENTITY_NOT_FOUND", 400, NotFoundError),
        (f"{V3}SOMETHINGNOTFOUNDEXCEPTION", 400, NotFoundError),
        (f"{V3}VALIDATION_OTHEREXCEPTION", 400, ValidationError),
        (f"{V3}INVALIDPAGINATIONEXCEPTION", 400, ValidationError),
        (f"{V3}IDEMPOTENCYKEYREUSEDEXCEPTION", 422, ConflictError),
        (f"{V3}UNKNOWNFILTEROPERATOREXCEPTION", 400, ValidationError),
        ("ERROR_NOT_FOUND", 400, NotFoundError),
        ("200040300010", 400, AccessDeniedError),
        ("ERROR_ENTITY_ALREADY_EXISTS", 400, ConflictError),
        ("MISSING_PARAMS", 404, ValidationError),
        ("ERROR_BATCH_METHOD_NOT_ALLOWED", 400, ValidationError),
        ("OPERATION_TIME_LIMIT", 429, OperatingLimitError),
        ("OPERATION_TIME_LIMIT", 400, OperatingLimitError),
        (f"{V3}RATELIMITEXCEPTION", 429, OperatingLimitError),
        ("QUERY_LIMIT_EXCEEDED", 503, RateLimitError),
        ("QUERY_LIMIT_EXCEEDED", 200, RateLimitError),
        ("OVERLOAD_LIMIT", 503, PortalBlockedError),
        ("PORTAL_DELETED", 500, PortalBlockedError),
        ("NETWORK_ERROR", 0, NetworkError),
        ("REQUEST_TIMEOUT", 408, RequestTimeoutError),
        ("B24OAUTH_BAD_RESPONSE", 200, BadResponseError),
        ("B24OAUTH_PORTAL_MOVED", 302, PortalMovedError),
        ("ERR_BAD_REQUEST", 404, NotFoundError),
        ("ERR_BAD_REQUEST", 429, OperatingLimitError),
        ("ERR_BAD_RESPONSE", 503, RateLimitError),
        ("ERR_BAD_RESPONSE", 502, AjaxError),
        ("SOMETHING_NEW", 400, AjaxError),
        ("SOMETHING_NEW", 422, ValidationError),
    ],
)
def test_a_code_and_a_status_become_the_error_of_the_table(code: str, status: int, expected: type[AjaxError]) -> None:
    error = error_for(code, status, "text")
    assert type(error) is expected
    assert (error.code, error.message) == (code, "text")


@pytest.mark.parametrize("code", ["AUTHORIZE_ERROR", "WRONG_AUTH_TYPE"])
def test_refused_permissions_are_403_whatever_the_portal_said(code: str) -> None:
    assert error_for(code, 500).status == 403


@pytest.mark.parametrize("code", [code for code in CODES if code not in {"expired_token", "invalid_token"}])
@pytest.mark.parametrize("status", [200, 400, 401, 403, 500, 503])
def test_t5_nothing_but_the_two_token_codes_asks_for_a_renewal(code: str, status: int) -> None:
    assert meaning_of(code, status).retry is not Retry.AFTER_RENEWAL


@pytest.mark.parametrize("code", ["ERROR_NOT_FOUND", "ERROR_ARGUMENT", "0", "MISSING_PARAMS", "ACCESS_DENIED_MOVE"])
@pytest.mark.parametrize("status", [200, 400, 404, 429, 500, 503])
def test_l5_the_class_of_a_code_changes_neither_repeats_nor_delivery(code: str, status: int) -> None:
    known, unknown = meaning_of(code, status, message="Access denied"), meaning_of("SOMETHING_NEW", status)
    assert (known.retry, known.delivery, known.status) == (unknown.retry, unknown.delivery, unknown.status)


def test_a_hard_code_stays_hard_whatever_class_its_text_gives() -> None:
    known = meaning_of("100", 400, message="Access denied")
    assert (known.error, known.retry, known.delivery) == (AccessDeniedError, Retry.NEVER, CODES["100"].delivery)


def test_the_lists_of_hard_and_soft_codes_are_the_references() -> None:
    assert HARD_ERROR_CODES[:3] == ("ERR_BAD_REQUEST", "B24OAUTH_UNKNOWN_ERROR", "100")
    assert len(HARD_ERROR_CODES) == 21
    assert SOFT_ERROR_CODES[0] == "ERROR_ENTITY_NOT_FOUND"
    assert len(SOFT_ERROR_CODES) == 10
    assert set(HARD_ERROR_CODES).isdisjoint(SOFT_ERROR_CODES)


@pytest.mark.parametrize(
    ("code", "method", "expected"),
    [
        ("SOMETHING_NEW", "imbot.v2.Chat.Message.send", RateLimitError),
        ("ERR_BAD_RESPONSE", "imbot.v2.Event.get", RateLimitError),
        ("OPERATION_TIME_LIMIT", "imbot.v2.Chat.Message.send", OperatingLimitError),
        ("SOMETHING_NEW", "im.message.add", OperatingLimitError),
        ("SOMETHING_NEW", "", OperatingLimitError),
    ],
)
def test_a_429_of_a_bot_is_about_the_rate_unless_it_names_the_execution_time(
    code: str, method: str, expected: type[AjaxError]
) -> None:
    info = RequestInfo(method=method, request_id="request-1")
    assert type(error_for(code, 429, "text", request_info=info)) is expected
    kind = Retry.RATE if expected is RateLimitError else Retry.OPERATING
    assert meaning_of(code, 429, method=method).retry is kind
