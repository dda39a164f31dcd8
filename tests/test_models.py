from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth import AuthData, B24OAuthParams, B24OAuthSecret, EnumAppStatus
from b24oauth.errors import InvalidDataError
from b24oauth.models import RefreshedAuth
from b24oauth.oauth.pair import auth_data_of
from tests.support.builders import FIELDS, PLANTED, params, secret

TEXTS = st.text(max_size=20)
FILLED = st.text(min_size=1, max_size=20)
NUMBERS = st.integers(-(10**17), 10**17)
PARAMS = st.builds(
    B24OAuthParams,
    access_token=FILLED,
    refresh_token=FILLED,
    expires=NUMBERS,
    client_endpoint=FILLED,
    server_endpoint=FILLED,
    domain=TEXTS,
    member_id=TEXTS,
    application_token=TEXTS,
    user_id=NUMBERS,
    expires_in=NUMBERS,
    scope=TEXTS,
    status=st.sampled_from(EnumAppStatus),
)


def auth_data() -> AuthData:
    return auth_data_of(params())


def holders() -> list[Any]:
    return [params(), secret(), auth_data(), RefreshedAuth(auth_data=auth_data(), b24_oauth_params=params())]


@given(PARAMS)
def test_a_stored_pair_comes_back_as_it_was(pair: B24OAuthParams) -> None:
    assert B24OAuthParams.from_dict(pair.to_dict()) == pair


@given(PARAMS)
def test_a_pair_comes_back_from_a_form_where_all_values_are_text(pair: B24OAuthParams) -> None:
    texts = {name: str(value) for name, value in pair.to_dict().items()}
    assert B24OAuthParams.from_dict(texts) == pair


def test_a_stored_secret_comes_back() -> None:
    assert B24OAuthSecret.from_dict(secret().to_dict()) == secret()


def test_numbers_may_be_text_in_the_constructor_too() -> None:
    pair = params(expires="1700000000", user_id=" 5 ", expires_in="60")
    assert (pair.expires, pair.user_id, pair.expires_in) == (1_700_000_000, 5, 60)


def test_what_a_store_wrote_as_null_counts_as_absent() -> None:
    assert B24OAuthParams.from_dict(FIELDS | {"user_id": None, "scope": None}).user_id == 0


def test_an_install_event_that_tells_a_lifetime_alone_counts_as_expired() -> None:
    event = {name: value for name, value in FIELDS.items() if name != "expires"} | {"expires_in": "1800"}
    pair = B24OAuthParams.from_dict(event)
    assert (pair.expires, pair.expires_in) == (0, 1800)


def test_unknown_fields_are_ignored() -> None:
    assert B24OAuthParams.from_dict(FIELDS | {"event": "ONAPPINSTALL"}) == params()


@pytest.mark.parametrize("status", ["Z", "", "local", None])
def test_an_unknown_status_is_free(status: Any) -> None:
    assert params(status=status).status is EnumAppStatus.FREE
    assert B24OAuthParams.from_dict(FIELDS | {"status": status}).status is EnumAppStatus.FREE


def test_an_absent_status_is_free() -> None:
    fields = {name: value for name, value in FIELDS.items() if name != "status"}
    assert B24OAuthParams.from_dict(fields).status is EnumAppStatus.FREE


@pytest.mark.parametrize("status", EnumAppStatus)
def test_a_known_status_is_kept(status: EnumAppStatus) -> None:
    assert params(status=status.value).status is status


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "expires", "client_endpoint"])
@pytest.mark.parametrize("absent", [True, False])
def test_a_missing_field_is_named(name: str, absent: bool) -> None:
    fields = FIELDS | {name: None}
    del fields["expires_in"]  # it would tell when the token expires
    if absent:
        del fields[name]
    with pytest.raises(InvalidDataError, match=f"B24OAuthParams: {name} is missing$"):
        B24OAuthParams.from_dict(fields)


def test_all_missing_fields_are_named_at_once() -> None:
    with pytest.raises(InvalidDataError) as caught:
        B24OAuthParams.from_dict({})
    missing = ("access_token", "refresh_token", "expires", "client_endpoint")
    assert caught.value.problems == tuple(f"{name} is missing" for name in missing)


@pytest.mark.parametrize("name", ["access_token", "refresh_token", "client_endpoint", "server_endpoint"])
@pytest.mark.parametrize("make", [lambda fields: B24OAuthParams(**fields), B24OAuthParams.from_dict])
def test_an_empty_field_is_named(name: str, make: Any) -> None:
    with pytest.raises(InvalidDataError, match=f"{name} must not be empty"):
        make(FIELDS | {name: ""})


@pytest.mark.parametrize("make", [lambda fields: B24OAuthParams(**fields), B24OAuthParams.from_dict])
@pytest.mark.parametrize("name", sorted(FIELDS.keys() - {"status"}))
@pytest.mark.parametrize("value", [[PLANTED], {PLANTED: 1}, 1.5, b"S3CR3T"])
def test_a_field_of_a_wrong_type_is_named_without_its_value(make: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidDataError) as caught:
        make(FIELDS | {name: value})
    assert name in caught.value.message
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["expires", "user_id", "expires_in"])
@pytest.mark.parametrize("value", ["S3CR3T", "--5", "1_0", "", "9" * 5000, True])
@pytest.mark.parametrize("make", [lambda fields: B24OAuthParams(**fields), B24OAuthParams.from_dict])
def test_a_number_that_is_none_is_named_without_its_value(make: Any, name: str, value: Any) -> None:
    with pytest.raises(InvalidDataError) as caught:
        make(FIELDS | {name: value})
    assert name in caught.value.message
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize("make", [lambda cls, fields: cls(**fields), lambda cls, fields: cls.from_dict(fields)])
@pytest.mark.parametrize(
    ("cls", "fields", "name"),
    [
        (B24OAuthParams, FIELDS, "access_token"),
        (B24OAuthParams, FIELDS, "refresh_token"),
        (B24OAuthSecret, secret().to_dict(), "client_id"),
        (B24OAuthSecret, secret().to_dict(), "client_secret"),
    ],
)
def test_t12_a_token_that_cannot_be_sent_is_named_without_its_value(
    make: Any, cls: Any, fields: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidDataError, match=f"{name} must be Unicode text without lone surrogates$") as caught:
        make(cls, fields | {name: f"{PLANTED}\ud800"})
    assert PLANTED not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("name", ["expires", "user_id", "expires_in"])
@pytest.mark.parametrize("value", [10**18, -(10**18), 10**400])
@pytest.mark.parametrize("make", [lambda fields: B24OAuthParams(**fields), B24OAuthParams.from_dict])
def test_a_number_of_more_digits_than_text_may_have_is_refused(make: Any, name: str, value: int) -> None:
    with pytest.raises(InvalidDataError, match=f"{name} must have at most 18 digits"):
        make(FIELDS | {name: value})
    assert getattr(make(FIELDS | {name: 10**18 - 1}), name) == 10**18 - 1


@pytest.mark.parametrize("data", [None, [1], "S3CR3T", 5])
def test_what_is_no_mapping_is_refused_without_showing_it(data: Any) -> None:
    for cls in (B24OAuthParams, B24OAuthSecret):
        with pytest.raises(InvalidDataError, match=f"not {type(data).__name__}") as caught:
            cls.from_dict(data)
        assert PLANTED not in str(caught.value)


def test_an_incomplete_secret_is_named_without_its_value() -> None:
    with pytest.raises(InvalidDataError, match="client_id is missing") as caught:
        B24OAuthSecret.from_dict({"client_secret": PLANTED})
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize("number", range(4))
def test_t12_secrets_are_masked_in_texts(number: int) -> None:
    holder = holders()[number]
    assert PLANTED not in f"{holder!r} {holder}"
    assert "***" in repr(holder)


@pytest.mark.parametrize("number", range(4))
def test_t12_what_holds_secrets_is_not_pickled_and_says_what_to_do(number: int) -> None:
    with pytest.raises(TypeError, match=r"holds secrets.*to_dict\(\)") as caught:
        pickle.dumps(holders()[number])
    assert PLANTED not in str(caught.value)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("number", range(4))
def test_what_holds_secrets_can_be_copied(number: int, copied: Any) -> None:
    holder = holders()[number]
    assert copied(holder) == holder


@pytest.mark.parametrize("number", range(4))
def test_what_holds_secrets_cannot_be_changed(number: int) -> None:
    holder = holders()[number]
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(holder, attrs.fields(type(holder))[0].name, "other")


def test_auth_data_as_plain_values_has_the_references_names() -> None:
    assert auth_data().to_dict() == {
        "access_token": FIELDS["access_token"],
        "refresh_token": FIELDS["refresh_token"],
        "expires": 1_700_003_600,
        "expires_in": 3600,
        "domain": "portal.bitrix24.com",
        "member_id": "member-1",
    }
