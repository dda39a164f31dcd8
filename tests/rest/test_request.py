from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import ApiVersion, ConfigurationError, __version__
from b24oauth.errors import InvalidCallParamsError
from b24oauth.protocol.dialects import DIALECTS
from b24oauth.rest.request import PreparedRequest, prepare
from tests.support.builders import PLANTED, query

ROOT = "https://portal.example/rest/"
TOKEN = 'to"ken\\я'
V2, V3 = DIALECTS[ApiVersion.V2], DIALECTS[ApiVersion.V3]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('ab"\\}{я', max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab"}', max_size=3), inner, max_size=3),
    max_leaves=8,
)


def prepared(
    method: str = "x.get", params: Any = None, version: ApiVersion = ApiVersion.V2, **options: Any
) -> PreparedRequest:
    return prepare(query(method, params), DIALECTS[version], **options)


def pairs(body: bytes) -> list[tuple[str, Any]]:
    """The members of a JSON object as they stand, repeated ones included."""
    members: list[tuple[str, Any]] = json.loads(body, object_pairs_hook=list)
    return members


# --- the body ---------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text('ab"}', max_size=3), VALUES, max_size=4), st.text(min_size=1, max_size=10))
def test_the_token_stands_last_in_the_body(params: dict[str, Any], token: str) -> None:
    body = prepared(params=params).content_with(token)[0]
    assert json.loads(body) == params | {"auth": token}
    assert pairs(body)[-1] == ("auth", token)


def test_a_call_without_parameters_sends_only_the_token() -> None:
    assert prepared().content_with("t")[0] == b'{"auth":"t"}'


def test_the_callers_own_auth_is_replaced_wherever_it_stood() -> None:
    body = prepared(params={"auth": PLANTED, "id": 1, "filter": {"auth": "kept"}}).content_with(TOKEN)[0]
    assert pairs(body) == [("id", 1), ("filter", [("auth", "kept")]), ("auth", TOKEN)]
    assert PLANTED.encode() not in body


def test_the_callers_parameters_are_left_alone() -> None:
    params = {"auth": "mine", "id": 1}
    prepared(params=params).content_with(TOKEN)[0]
    assert params == {"auth": "mine", "id": 1}


def test_the_body_is_encoded_once_for_all_tokens() -> None:
    request = prepared(params={"id": 1})
    first = request.content_with("one")[0]
    assert (request.content_with("two")[0], request.content_with("one")[0]) == (b'{"id":1,"auth":"two"}', first)


@pytest.mark.parametrize("params", [[{"ID": "asc"}, {}], ({"ID": "asc"}, {})])
def test_positional_parameters_are_sent_under_their_numbers(params: Any) -> None:
    assert json.loads(prepared("task.item.list", params).content_with("t")[0]) == {
        "0": {"ID": "asc"},
        "1": {},
        "auth": "t",
    }


@pytest.mark.parametrize("params", ["text", b"bytes", 5, {1, 2}])
def test_what_are_no_parameters_is_refused_by_its_type(params: Any) -> None:
    with pytest.raises(InvalidCallParamsError, match=type(params).__name__):
        prepared(params=params)


def test_parameters_that_cannot_be_sent_are_refused_with_their_place_and_no_secret() -> None:
    with pytest.raises(InvalidCallParamsError, match=r"fields\.PHOTO") as caught:
        prepared("crm.contact.add", {"fields": {"PHOTO": PLANTED.encode()}, "auth": PLANTED})
    error = caught.value
    assert error.request_info is not None
    assert (error.request_info.method, error.request_info.request_id) == ("crm.contact.add", "request-1")
    assert error.request_info.params["auth"] != PLANTED
    assert PLANTED not in str(error)
    assert error.__context__ is None


@pytest.mark.parametrize(("field", "value"), [("method", "crm\ud800.get"), ("request_id", "\ud800")])
@pytest.mark.parametrize("version", ApiVersion)
def test_what_cannot_stand_in_an_address_is_refused_by_its_name(version: ApiVersion, field: str, value: Any) -> None:
    asked = attrs.evolve(query(), **{field: value})
    with pytest.raises(InvalidCallParamsError, match=f" {field}:? must be Unicode text") as caught:
        prepare(asked, DIALECTS[version])
    # A log or a terminal must be able to show it.
    assert str(caught.value).encode()
    assert caught.value.__context__ is None


# --- where the token travels ------------------------------------------------------------------------------------------


def test_only_a_batch_of_v3_carries_the_token_in_a_header() -> None:
    commands = [{"method": "x.get", "query": {"id": 1}}]
    request = prepared("batch", commands, ApiVersion.V3)
    assert request.content_with("t")[1]["Authorization"] == "Bearer t"
    assert json.loads(request.content_with("t")[0]) == commands
    assert b"auth" not in request.content_with("t")[0]


@pytest.mark.parametrize(
    ("method", "version"),
    [("batch", ApiVersion.V2), ("x.get", ApiVersion.V2), ("x.get", ApiVersion.V3), ("batches", ApiVersion.V3)],
)
def test_every_other_call_carries_the_token_in_its_body_only(method: str, version: ApiVersion) -> None:
    request = prepared(method, {"id": 1}, version)
    headers = request.content_with(PLANTED)[1]
    assert "Authorization" not in headers
    assert PLANTED not in str(headers)
    assert json.loads(request.content_with(PLANTED)[0])["auth"] == PLANTED


@pytest.mark.parametrize("version", ApiVersion)
@pytest.mark.parametrize("method", ["batch", "x.get"])
def test_t12_no_token_stands_in_an_address(version: ApiVersion, method: str) -> None:
    request = prepared(method, {"auth": PLANTED}, version)
    assert PLANTED not in ROOT + request.path


def test_headers_say_who_asks_and_what_is_sent() -> None:
    headers = prepared().content_with("t")[1]
    assert (headers["Content-Type"], headers["Accept"]) == ("application/json", "application/json")
    assert headers["User-Agent"].startswith(f"b24-python-oauth/{__version__} (Python ")


def test_headers_of_one_attempt_do_not_reach_the_next() -> None:
    headers: Any = prepared().content_with("t")[1]
    with pytest.raises(TypeError):
        headers["X"] = "y"
    keyed: Any = prepared(version=ApiVersion.V3, idempotency_key="k").content_with("t")[1]
    keyed["X"] = "y"
    assert "X" not in prepared().content_with("t")[1]


# --- the address ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "path"), [(ApiVersion.V2, "/rest/x.get"), (ApiVersion.V3, "/rest/api/x.get")])
def test_the_address_carries_what_a_portal_wants_to_know_of_a_request(version: ApiVersion, path: str) -> None:
    url = urlsplit(ROOT + DIALECTS[version].path + prepared(version=version).path)
    assert url.path == path
    assert parse_qs(url.query) == {
        "bx24_request_id": ["request-1"],
        "bx24_sdk_ver": [__version__],
        "bx24_sdk_type": ["b24-python-oauth"],
    }


def test_a_request_id_cannot_add_to_the_query() -> None:
    request = prepare(query(request_id="a&auth=b#c"), V2)
    assert parse_qs(urlsplit(ROOT + request.path).query)["bx24_request_id"] == ["a&auth=b#c"]


def test_positional_task_methods_get_no_query_and_tasks_methods_do() -> None:
    assert prepared("task.item.list", []).path == "task.item.list"
    assert "?bx24_request_id=" in prepared("tasks.task.list").path


@pytest.mark.parametrize("version", ApiVersion)
@pytest.mark.parametrize("method", ["../x", "..", ".", "x.get?auth=S3CR3T", "x/y", "", None, 5, ["x.get"]])
def test_a_method_cannot_leave_its_place_in_the_address(method: Any, version: ApiVersion) -> None:
    with pytest.raises(InvalidCallParamsError, match="method: ") as caught:
        prepared(method, version=version)
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.request_info is not None
    assert caught.value.request_info.request_id == "request-1"


# --- idempotency keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["k", "!~", "x" * 255])
def test_a_key_travels_in_a_header_of_v3(key: str) -> None:
    assert prepared(version=ApiVersion.V3, idempotency_key=key).content_with("t")[1]["Idempotency-Key"] == key


def test_without_a_key_there_is_no_header() -> None:
    assert "Idempotency-Key" not in prepared(version=ApiVersion.V3).content_with("t")[1]


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "a\r\nX: y", "ключ", "\x7f", "a\x00"])
def test_a_key_that_cannot_be_sent_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(ConfigurationError, match="1 to 255 printable ASCII") as caught:
        prepared(version=ApiVersion.V3, idempotency_key=key)
    assert caught.value.code == "B24OAUTH_HTTP_INVALID_IDEMPOTENCY_KEY"
    assert not key or key not in str(caught.value)


def test_v2_would_ignore_a_key_so_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="only works with v3"):
        prepared(idempotency_key="k")
