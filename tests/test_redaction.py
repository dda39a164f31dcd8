from __future__ import annotations

import json
import time
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b24oauth.protocol.encoding import encode_query
from b24oauth.redaction import (
    CREDENTIALS,
    REDACTED,
    redact,
    redact_text,
    redact_validation,
)

SECRET = "S3cr3t-Valu3"
WORDS = st.text(max_size=6).filter(lambda text: SECRET not in text)
# PHP gives brackets, dots, spaces and NUL in names a meaning of their own.
NAMES = st.text(
    st.characters(exclude_characters="[]. \0", exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=6
)
SENSITIVE = st.sampled_from(CREDENTIALS).flatmap(lambda key: st.sampled_from([key, key.upper(), key.title()]))


def buried(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The leaf somewhere inside lists, tuples and mappings, with harmless neighbours."""
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.tuples(WORDS, inner).map(list),
            st.tuples(inner, WORDS),
            st.builds(lambda name, value, other: {"before": other, name: value, "after": 1}, NAMES, inner, WORDS),
        ),
        max_leaves=6,
    )


PLANTED = buried(st.builds(lambda key, value: {key: value}, SENSITIVE, buried(st.just(SECRET))))


@settings(max_examples=100, deadline=None)
@given(PLANTED)
def test_no_secret_survives_under_a_sensitive_key(value: Any):
    assert SECRET not in repr(redact(value))


@settings(max_examples=200, deadline=None)
@given(NAMES, PLANTED, st.integers(0, 1))
def test_no_secret_survives_in_a_batch_command(name: str, value: Any, times: int):
    text = "crm.deal.add?" + encode_query({name: value})
    for _ in range(times):
        text = "batch?" + encode_query({"cmd": [text]})
    assert SECRET not in repr(redact({"cmd": [text]}))
    assert SECRET not in redact_text(text)


@settings(max_examples=100, deadline=None)
@given(NAMES, PLANTED)
def test_no_secret_survives_in_a_url(name: str, value: Any):
    url = f"https://portal.example/rest/m.json?{encode_query({name: value})}#top"
    assert SECRET not in redact_text(f"GET {url} failed")
    assert SECRET not in redact_text(f"https://proxy.example/?next={quote(url, safe='')}")


@settings(max_examples=100, deadline=None)
@given(PLANTED)
def test_no_secret_survives_in_json_text(value: Any):
    text = json.dumps(value)
    for shape in (text, json.dumps(text), json.dumps({"body": json.dumps({"b": text})}), encode_query({"json": text})):
        assert SECRET not in redact_text(shape)


@settings(max_examples=100, deadline=None)
@given(buried(WORDS))
def test_harmless_values_without_names_are_equal_copies(value: Any):
    if not any(key in repr(value).lower() for key in CREDENTIALS):
        assert redact(value) == value


def test_exactly_the_sensitive_keys_are_masked_in_any_case():
    given_keys = {"auth": "a", "Password": "b", "TOKEN": "c", "secret": None, "access_token": "", "refresh_token": 0}
    kept = {"keep": "v", "tokens": "v", "my_token": "v", "authorization": "v", "accessToken": "v", 5: "v"}
    assert redact(given_keys | kept) == dict.fromkeys(given_keys, REDACTED) | kept


def test_whole_subtrees_are_masked():
    assert redact({"client_secret": [1], "application_token": {"x": 1}}) == {
        "client_secret": REDACTED,
        "application_token": REDACTED,
    }


def test_depth_does_not_matter():
    assert redact({"a": {"b": {"c": {"token": 3, "d": ["m?token=y"]}}}}) == {
        "a": {"b": {"c": {"token": REDACTED, "d": [f"m?token={REDACTED}"]}}}
    }


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("crm.item.add?auth=TOKEN&fields[TITLE]=safe", f"crm.item.add?auth={REDACTED}&fields[TITLE]=safe"),
        ("user.current?AUTH=x", f"user.current?AUTH={REDACTED}"),
        ("m?token=a;keep=1", f"m?token={REDACTED};keep=1"),
        ("m?a=1&key=b#frag", f"m?a=1&key={REDACTED}#frag"),
        ("WHERE id=5", "WHERE id=5"),
        ("foo=token=bar", "foo=token=bar"),
        ("foo=token%3Dbar&c=1", f"foo=token%3D{REDACTED}&c=1"),
        ("token=abc&x=1", f"token={REDACTED}&x=1"),
        ("token%3Dabc", f"token%3D{REDACTED}"),
        ("fields%5Bpassword%5D=x", f"fields%5Bpassword%5D={REDACTED}"),
        ("fields%255Bpassword%255D%3Dx&a=1", f"fields%255Bpassword%255D%3D{REDACTED}&a=1"),
        ("auth[access_token]=x", f"auth[access_token]={REDACTED}"),
        ("%74oken=x&a=1", f"%74oken={REDACTED}&a=1"),
        ("cmd=m%3Ftoken%3Da%2526b%26keep%3D1&x=2", f"cmd=m%3Ftoken%3D{REDACTED}%26keep%3D1&x=2"),
        ("token=a%26b%3Dc&x=1", f"token={REDACTED}&x=1"),
        ("my_token=x&tokens=y&key2=z", "my_token=x&tokens=y&key2=z"),
        ('{"access_token": "a\\"b", "k": 1}', f'{{"access_token": "{REDACTED}", "k": 1}}'),
        ('{"auth": {"a": ["s"]}, "k": 1}', f'{{"auth": "{REDACTED}", "k": 1}}'),
        ('body {"token": "cut of', f'body {{"token": "{REDACTED}"'),
        ('{"tokens": "x"}', '{"tokens": "x"}'),
    ],
)
def test_pairs_inside_strings_are_masked(text: str, masked: str):
    assert redact(text) == masked
    assert redact([{"s": text}]) == [{"s": masked}]
    assert redact(text.encode()) == masked.encode()


def test_containers_keep_their_kind():
    value = (["a=1"], {"token=x"}, frozenset({"key=x"}), MappingProxyType({"secret": 1}), 5, None)
    assert redact(value) == (
        ["a=1"],
        {f"token={REDACTED}"},
        frozenset({f"key={REDACTED}"}),
        {"secret": REDACTED},
        5,
        None,
    )


def test_the_callers_value_is_left_alone():
    value = {"token": "x", "list": [{"key": 1}]}
    redact(value)
    assert value == {"token": "x", "list": [{"key": 1}]}


def test_a_cycle_ends_in_a_word():
    value: dict[str, Any] = {"token": "x", "list": []}
    value["list"].append(value)
    assert redact(value) == {"token": REDACTED, "list": ["<circular>"]}


def test_a_value_used_twice_is_no_cycle():
    shared = {"a": 1}
    assert redact([shared, shared]) == [{"a": 1}, {"a": 1}]


def test_a_value_shared_many_times_over_is_copied_once():
    value: list[Any] = ["x"]
    for _ in range(200):
        value = [value, value]
    copy = redact(value)
    assert copy[0] is copy[1]


def test_a_value_too_deep_to_walk_is_masked_whole():
    value: Any = {"token": SECRET}
    for _ in range(100_000):
        value = [value]
    assert redact(value) == "<too deep>"


@pytest.mark.parametrize(
    "piece",
    [
        "a=b&",
        "%",
        "%25",
        "=%3D",
        '"key":',
        '"key":["',
        '\\"key\\":',
        "%22key%22",
        "?token=",
        "?x%3D1%26%253D",
        "x://@",
        "\\",
        "%5c",
        "c\\",
    ],
)
def test_a_megabyte_takes_time_in_proportion(piece: str):
    text = "token" + piece * (1_000_000 // len(piece))
    begun = time.process_time()
    redact_text(text)
    # A quadratic search would take hours; the limit only keeps slow machines from failing.
    assert time.process_time() - begun < 30


def test_free_text_loses_bearer_tokens_and_header_lines():
    text = "sent Bearer abc.def, then\nCookie: sid=1; x=2\nnothing more"
    assert redact_text(text) == f"sent Bearer {REDACTED}, then\nCookie: {REDACTED}\nnothing more"


@pytest.mark.parametrize("field", ["password", "fields.Password", "auth[access_token]"])
def test_a_validation_row_about_a_secret_keeps_only_its_words(field: str):
    rows = [{"field": field, "message": "too short", "value": SECRET, "extra": [SECRET]}]
    assert redact_validation(rows) == [{"field": field, "message": "too short", "value": REDACTED, "extra": REDACTED}]


def test_other_validation_rows_stay():
    rows = [{"field": "title", "message": "required", "value": ""}, {"message": "no field"}]
    assert redact_validation(rows) == rows


# --- authorizations ---------------------------------------------------------------------------------------------------

CODE = "au7h-c0de"
COMING_BACK = (
    f"https://app.example/oauth?code={CODE}&state={CODE}&domain=x.bitrix24.com&server_domain=oauth.bitrix.info"
)


@pytest.mark.parametrize(
    "text",
    [
        f"grant_type=authorization_code&client_id=app.1&code={CODE}",
        f"https://oauth.bitrix.info/oauth/token/?client_id=app.1&grant_type=authorization_code&code={CODE}&x=1",
        f"https://x.bitrix24.com/oauth/authorize/?client_id=app.1&state={CODE}",
        f"https://x.bitrix24.com/oauth/authorize/?state={CODE}",
        COMING_BACK,
        quote(COMING_BACK, safe=""),
        f"GET {COMING_BACK} HTTP/1.1",
        f"/login?next={quote_plus(COMING_BACK)}",
        json.dumps({"client_id": "app.1", "code": CODE, "state": [CODE]}),
        json.dumps({"body": json.dumps({"grant_type": "authorization_code", "code": CODE})}),
    ],
)
def test_t12_the_code_and_state_of_an_authorization_are_masked(text: str):
    for mask in (redact, redact_text):
        masked = mask(text)
        assert CODE not in masked
        assert "authoriz" not in text or "authoriz" in masked


@pytest.mark.parametrize("mark", ["client_id", "grant_type", "server_domain", "CLIENT_ID"])
def test_t12_a_code_beside_the_names_of_an_authorization_is_masked(mark: str):
    value = {mark: "x", "code": CODE, "State": CODE, "scope": "crm", "deep": {"code": "INVALID"}}
    assert redact(value) == {
        mark: "x",
        "code": REDACTED,
        "State": REDACTED,
        "scope": "crm",
        "deep": {"code": "INVALID"},
    }


@pytest.mark.parametrize(
    "value",
    [
        {"code": "ERROR_CORE", "state": "Bavaria"},
        "code=ERROR_CORE&state=open",
        "the code=5 of client_id=app.1 is unknown",
        '{"error": {"code": "INVALID"}}',
        "https://x.bitrix24.com/rest/crm.deal.get?code=5",
    ],
)
def test_a_code_elsewhere_stays(value: Any):
    assert redact(value) == value


@pytest.mark.parametrize("name", ["AUTH_ID", "auth_id", "REFRESH_ID", "botToken", "BOTTOKEN"])
def test_t12_the_names_of_placements_and_bots_are_sensitive(name: str):
    for value in ({name: CODE}, f"x=1&{name}={CODE}", json.dumps({name: CODE}), f"p%5B{name}%5D={CODE}"):
        assert CODE not in str(redact(value))
