from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from b24oauth import (
    AjaxError,
    AmbiguousResultError,
    ClientStateError,
    ConfigurationError,
    InvalidParamsError,
    ListChangedError,
    RefreshTokenError,
    SdkError,
    TokenPersistenceError,
    errors,
)
from b24oauth.errors import (
    AuthRefusedError,
    ExpiredTokenError,
    InvalidCallParamsError,
    InvalidDataError,
    RequestInfo,
    RequestTimeoutError,
    UntrustedHostError,
)
from tests.support.builders import PLANTED, params

CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "RequestInfo"]
AJAX_CLASSES = [cls for cls in CLASSES if issubclass(cls, AjaxError)]
INFO = RequestInfo(
    method="crm.deal.get", params={"id": 1, "auth": PLANTED, "cmd": f"m?token={PLANTED}"}, request_id="r-1"
)


def made(cls: type[SdkError]) -> SdkError:
    if issubclass(cls, AjaxError):
        return cls("It failed", code="E", status=418, request_info=INFO, validation=[{"field": "title"}])
    if cls is InvalidDataError:
        return InvalidDataError("The payload", ["expires is missing"])
    if cls is UntrustedHostError:
        return UntrustedHostError("It failed", host="evil.example")
    if cls is ListChangedError:
        return ListChangedError("It failed", method="crm.deal.list")
    if cls is RefreshTokenError:
        return RefreshTokenError("It failed", code="E", status=418, needs_reauth=True)
    return cls("It failed", code="E")


@pytest.mark.parametrize("cls", CLASSES)
def test_every_error_is_an_sdk_error(cls: type[SdkError]) -> None:
    assert issubclass(cls, SdkError)


@pytest.mark.parametrize(
    ("cls", "base"),
    [
        (ConfigurationError, ValueError),
        (InvalidDataError, ConfigurationError),
        (UntrustedHostError, ConfigurationError),
        (InvalidParamsError, ValueError),
        (ClientStateError, RuntimeError),
        (InvalidCallParamsError, InvalidParamsError),
        (ExpiredTokenError, AuthRefusedError),
        (RequestTimeoutError, TimeoutError),
        (AmbiguousResultError, AjaxError),
    ],
)
def test_errors_are_also_what_python_calls_such_errors(cls: type[SdkError], base: type[Exception]) -> None:
    assert issubclass(cls, base)


def test_only_errors_of_calls_are_ajax_errors() -> None:
    assert not issubclass(RefreshTokenError, AjaxError)
    assert not issubclass(TokenPersistenceError, AjaxError)
    assert not issubclass(UntrustedHostError, AjaxError)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("cls", CLASSES)
def test_a_copy_and_a_pickle_keep_what_an_error_knows(cls: type[SdkError], copied: Any) -> None:
    error = made(cls)
    error.add_note("also failed: the rest")
    again = copied(error)
    assert type(again) is cls
    assert str(again) == str(error)
    assert again.args == error.args
    assert vars(again) == vars(error)


@pytest.mark.parametrize("cls", AJAX_CLASSES)
def test_the_text_of_a_failed_call_names_code_status_method_and_request(cls: type[AjaxError]) -> None:
    text = str(made(cls))
    for part in (cls.__name__, "E", "418", "It failed", "crm.deal.get", "r-1"):
        assert part in text


def test_the_text_of_any_error_is_the_references() -> None:
    assert str(SdkError("text", code="E", status=400)) == "[SdkError] E (400): text"
    assert str(SdkError(code="E", status=500)) == "[SdkError] E (500): Internal error"


def test_an_error_without_a_message_names_its_code_and_method() -> None:
    assert AjaxError(code="E", request_info=INFO).message == "E (on crm.deal.get)"
    assert AjaxError(code="E").message == "E"


@pytest.mark.parametrize("cls", CLASSES)
def test_as_plain_values_an_error_has_the_references_keys(cls: type[SdkError]) -> None:
    plain = made(cls).to_dict()
    expected = {"name", "code", "message", "status", "timestamp", "stack"}
    assert set(plain) == expected | ({"request_info", "validation"} if issubclass(cls, AjaxError) else set())
    assert plain["name"] == cls.__name__
    json.dumps(plain)


@pytest.mark.parametrize("cls", CLASSES)
def test_t12_no_error_shows_a_planted_secret(cls: type[SdkError]) -> None:
    error = made(cls)
    for shown in (str(error), repr(error), repr(vars(error)), repr(error.to_dict()), repr(pickle.dumps(error))):
        assert PLANTED not in shown


def test_t12_an_object_with_secrets_among_the_parameters_stays_hidden() -> None:
    error = AjaxError(code="E", request_info=RequestInfo(method="m", params={"pair": params()}))
    assert PLANTED not in repr(error.to_dict())
    assert PLANTED not in json.dumps(error.to_dict(), default=str)


def test_t12_validation_rows_do_not_repeat_a_refused_secret() -> None:
    rows = [{"field": "password", "message": "Too short", "value": PLANTED}, {"field": "title", "token": PLANTED}]
    error = AjaxError(code="E", validation=rows)
    assert PLANTED not in repr(error.validation)
    assert error.validation is not None
    assert error.validation[0]["message"] == "Too short"


def test_without_validation_there_are_no_rows() -> None:
    assert AjaxError(code="E").validation is None
    assert "validation" not in AjaxError(code="E").to_dict()


def test_t12_as_plain_values_an_error_has_its_masked_rows() -> None:
    rows = [{"field": "title", "message": "Required"}, {"field": "password", "message": "Too short", "value": PLANTED}]
    plain = AjaxError(code="E", validation=rows).to_dict()
    assert plain["validation"][0] == {"field": "title", "message": "Required"}
    assert (plain["validation"][1]["field"], plain["validation"][1]["message"]) == ("password", "Too short")
    assert PLANTED not in json.dumps(plain)


def test_an_error_of_no_request_names_none() -> None:
    error = AjaxError("It failed", code="E", request_info=RequestInfo(method="batch"))
    assert str(error) == "[AjaxError] E (0): It failed"


def test_invalid_data_lists_its_problems() -> None:
    error = InvalidDataError("The payload", ["a is missing", "b must be int"])
    assert error.problems == ("a is missing", "b must be int")
    assert error.message == "The payload: a is missing; b must be int"


@pytest.mark.parametrize("cls", AJAX_CLASSES)
def test_repeating_may_help_only_where_the_call_was_refused_or_lost(cls: type[AjaxError]) -> None:
    helped = {"ExpiredTokenError", "RateLimitError", "OperatingLimitError", "NetworkError", "RequestTimeoutError"}
    assert cls(code="E").retryable == (cls.__name__ in helped)


def test_the_description_is_the_message() -> None:
    assert SdkError("text", code="E").description == "text"


@pytest.mark.parametrize("cls", CLASSES)
def test_the_tree_at_the_top_of_the_module_draws_every_class(cls: type[SdkError]) -> None:
    drawn = [line.lstrip("├└─│ ").partition(" ")[0] for line in (errors.__doc__ or "").splitlines()]
    assert drawn.count(cls.__name__) == 1
