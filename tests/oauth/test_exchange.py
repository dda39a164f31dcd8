from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import B24OAuthParams, B24OAuthSecret, EnumAppStatus, RefreshTokenError
from b24oauth.oauth.exchange import Refusal, lost_answer, read_pair, read_renewal, refresh_form
from tests.support.builders import CLIENT_SECRET, REFRESH, answer, params, secret

NOW = 1_700_000_000.9
NEW = {"access_token": "access-2", "refresh_token": "refresh-2"}


def renewed(body: Any) -> B24OAuthParams:
    pair = read_renewal(answer(body), params(), now=NOW)
    assert isinstance(pair, B24OAuthParams)
    return pair


def refused(body: Any, status: int = 200) -> Refusal:
    refusal = read_renewal(answer(body, status), params(), now=NOW)
    assert isinstance(refusal, Refusal)
    return refusal


def test_the_form_carries_what_a_renewal_needs() -> None:
    assert parse_qs(refresh_form(secret(), REFRESH)) == {
        "grant_type": ["refresh_token"],
        "client_id": ["app.1"],
        "client_secret": [CLIENT_SECRET],
        "refresh_token": [REFRESH],
    }


def test_the_form_survives_any_character() -> None:
    odd = B24OAuthSecret(client_id="a&b=c", client_secret="+ %&я")
    assert parse_qs(refresh_form(odd, "x&client_secret=y"))["client_secret"] == ["+ %&я"]


def test_a_renewal_changes_what_it_names_and_keeps_the_rest() -> None:
    body = NEW | {
        "expires": "1700003700",
        "expires_in": "3700",
        "client_endpoint": "https://new.example/rest/",
        "status": "T",
    }
    pair = renewed(body)
    assert (pair.access_token, pair.refresh_token) == ("access-2", "refresh-2")
    assert (pair.expires, pair.expires_in, pair.status) == (1_700_003_700, 3700, EnumAppStatus.TRIAL)
    assert pair.client_endpoint == "https://new.example/rest/"
    assert (pair.scope, pair.application_token) == (params().scope, params().application_token)


def test_the_domain_of_a_renewal_is_the_oauth_hosts_and_is_not_taken() -> None:
    pair = renewed(NEW | {"domain": "oauth.bitrix.info", "member_id": params().member_id})
    assert (pair.domain, pair.member_id) == (params().domain, params().member_id)


@pytest.mark.parametrize(
    ("named", "expires", "lifetime"),
    [
        ({}, 1_700_003_600, 3600),
        ({"expires_in": 60}, 1_700_000_060, 60),
        ({"expires_in": "60"}, 1_700_000_060, 60),
        ({"expires_in": 0}, 1_700_003_600, 3600),
        ({"expires_in": -5}, 1_700_003_600, 3600),
        ({"expires_in": True}, 1_700_003_600, 3600),
        ({"expires_in": "soon"}, 1_700_003_600, 3600),
        ({"expires_in": 1e300}, 1_700_003_600, 3600),
        ({"expires_in": "9" * 5000}, 1_700_003_600, 3600),
        ({"expires_in": float("nan")}, 1_700_003_600, 3600),
        ({"expires": 1_800_000_000, "expires_in": 60}, 1_800_000_000, 60),
        ({"expires": [], "expires_in": {}}, 1_700_003_600, 3600),
    ],
)
def test_an_absent_or_senseless_expiry_is_computed(named: dict[str, Any], expires: int, lifetime: int) -> None:
    pair = renewed(NEW | named)
    assert (pair.expires, pair.expires_in) == (expires, lifetime)


@pytest.mark.parametrize("status", ["Z", None, "", 5, []])
def test_an_unknown_or_missing_status_is_free(status: Any) -> None:
    assert renewed(NEW | {"status": status}).status is EnumAppStatus.FREE


@pytest.mark.parametrize("name", ["client_endpoint", "server_endpoint", "scope"])
@pytest.mark.parametrize("value", [None, "", 5, []])
def test_an_empty_endpoint_or_scope_does_not_wipe_the_known_one(name: str, value: Any) -> None:
    assert getattr(renewed(NEW | {name: value}), name) == getattr(params(), name)


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@pytest.mark.parametrize("value", [None, "", "  ", 5, True, ["x"]])
def test_a_renewal_without_both_tokens_is_none(name: str, value: Any) -> None:
    refusal = refused(NEW | {name: value})
    assert refusal.code == "B24OAUTH_OAUTH_TOKEN_REFRESH_NO_DATA"
    assert not refusal.final


@pytest.mark.parametrize("data", [None, [], "text", 5, {}])
def test_a_custom_refresh_that_gives_no_pair_is_refused(data: Any) -> None:
    assert isinstance(read_pair(data, params(), now=NOW), Refusal)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "insufficient_scope",
        "invalid_scope",
        "PAYMENT_REQUIRED",
        "WRONG_CLIENT",
        "wrong_client",
        "NOT_INSTALLED",
        "APPLICATION_NOT_FOUND",
    ],
)
@pytest.mark.parametrize("status", [200, 400, 401, 402])
def test_t6_the_servers_refusals_are_final_for_the_pair(code: str, status: int) -> None:
    refusal = refused({"error": code, "error_description": "No"}, status)
    assert (refusal.code, refusal.status, refusal.message) == (code, status, "No")
    assert (refusal.final, refusal.lost, refusal.repeatable) == (True, False, False)


def test_an_unknown_refusal_is_not_final_and_names_its_code() -> None:
    refusal = refused({"error": "try_later"}, 400)
    assert not refusal.final
    assert "try_later" in refusal.message


NAMELESS: list[Any] = ["", "0", 0, False, [], {}, {"message": "", "code": ""}]


@pytest.mark.parametrize("error", NAMELESS)
@pytest.mark.parametrize(
    ("status", "code"),
    [(200, "B24OAUTH_OAUTH_TOKEN_REFRESH_FAILED"), (400, "ERR_BAD_REQUEST"), (401, "ERR_BAD_REQUEST")],
)
def test_a_refusal_without_a_code_keeps_its_text(error: Any, status: int, code: str) -> None:
    refusal = refused({"error": error, "error_description": "Application not found"}, status)
    assert (refusal.code, refusal.message, refusal.status) == (code, "Application not found", status)
    assert (refusal.final, refusal.lost, refusal.repeatable) == (False, False, False)


def test_a_refusal_without_a_code_or_a_text_tells_its_status() -> None:
    assert refused({"error": ""}, 400).message == "Request failed with status code 400"
    assert "refused the renewal" in refused({"error": ""}).message


@pytest.mark.parametrize("error", NAMELESS)
@pytest.mark.parametrize("status", [500, 502, 503])
def test_t7_a_failure_without_a_code_may_have_renewed_the_pair(error: Any, status: int) -> None:
    refusal = refused({"error": error, "error_description": "Try later"}, status)
    assert (refusal.message, refusal.final, refusal.lost, refusal.repeatable) == ("Try later", False, True, True)


@pytest.mark.parametrize("empty", [None, "", False, [], {}])
def test_t7_an_empty_error_beside_both_tokens_does_not_lose_the_pair(empty: Any) -> None:
    assert renewed(NEW | {"error": empty, "error_description": ""}).refresh_token == "refresh-2"


@pytest.mark.parametrize("status", [500, 502, 504])
@pytest.mark.parametrize("body", [b"<html>", b"", {}])
def test_t7_a_gateways_page_means_that_the_pair_may_have_been_renewed(status: int, body: Any) -> None:
    refusal = refused(body, status)
    assert (refusal.code, refusal.status) == ("ERR_BAD_RESPONSE", status)
    assert (refusal.final, refusal.lost, refusal.repeatable) == (False, True, True)


@pytest.mark.parametrize("body", [b"<html>", b"", b'{"access_token": "acc', []])
def test_t7_a_success_that_cannot_be_read_may_have_renewed_the_pair(body: Any) -> None:
    refusal = refused(body)
    assert (refusal.final, refusal.lost, refusal.repeatable) == (False, True, True)


@pytest.mark.parametrize("status", [302, 404])
def test_a_refusal_without_a_code_is_not_repeated(status: int) -> None:
    refusal = refused(b"<html>", status)
    assert (refusal.code, refusal.final, refusal.lost, refusal.repeatable) == ("ERR_BAD_REQUEST", False, False, False)


@given(st.binary(max_size=60), st.integers(100, 599))
def test_whatever_the_server_answers_is_a_pair_or_a_refusal(body: bytes, status: int) -> None:
    assert isinstance(read_renewal(answer(body, status), params(), now=NOW), (B24OAuthParams, Refusal))


@pytest.mark.parametrize(
    ("sent", "timed_out", "code", "says"),
    [
        (True, True, "REQUEST_TIMEOUT", "did not answer"),
        (True, False, "NETWORK_ERROR", "did not answer"),
        (False, False, "NETWORK_ERROR", "could not be reached"),
    ],
)
def test_t7_a_lost_answer_may_be_asked_for_again(sent: bool, timed_out: bool, code: str, says: str) -> None:
    refusal = lost_answer(sent=sent, timed_out=timed_out, reason="ReadTimeout")
    assert (refusal.code, refusal.lost, refusal.repeatable, refusal.final) == (code, sent, True, False)
    assert says in refusal.message
    assert "ReadTimeout" in refusal.message


def test_t6_each_error_of_a_refusal_is_an_object_of_its_own() -> None:
    cause = ValueError("why")
    refusal = Refusal(code="C", message="m", status=400, final=True, cause=cause)
    one, other = refusal.error(), refusal.error()
    assert one is not other
    for error in (one, other):
        assert isinstance(error, RefreshTokenError)
        assert (error.code, error.message, error.status, error.needs_reauth) == ("C", "m", 400, True)
        assert error.__cause__ is cause
