"""Secrets whose values are known are masked in every spelling."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b24oauth.redaction import REDACTED
from b24oauth.scrubbing import scrub, scrub_start, scrub_value

SECRET = "S3cr3t-Valu3"


@pytest.mark.parametrize("piece", ["a=b&", "%", "%25", "=%3D", '"key":', "\\", "%5c", "c\\"])
def test_a_megabyte_takes_time_in_proportion(piece: str):
    text = "token" + piece * (1_000_000 // len(piece))
    begun = time.process_time()
    scrub(text, ["token=", piece * 2])
    scrub(text, ['c\\"/', "25-2525", "%%%%", '\\\\\\\\"x'])
    # A quadratic search would take hours; the limit only keeps slow machines from failing.
    assert time.process_time() - begun < 30


def test_known_secrets_are_scrubbed_in_every_spelling():
    secret = 'a b/ü"%+'
    spelled = [secret, quote(secret), quote(secret, safe=""), quote(secret, safe="").lower(), json.dumps(secret)]
    text = " | ".join([*spelled, quote(quote(secret, safe=""), safe="")])
    assert scrub(text, [secret]) == " | ".join([*[REDACTED] * 4, f'"{REDACTED}"', REDACTED])


def percent(text: str) -> str:
    """Every byte percent-encoded."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def escaped(text: str) -> str:
    """Every letter as JSON may write it."""
    units = text.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))


def php_slashes(text: str) -> str:
    return re.sub(r"""(['"\\/])""", r"\\\1", text)


def quoted_whole(text: str) -> str:
    return quote(text, safe="")


def in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


USUAL: list[Any] = [str, quote, quoted_whole, quote_plus, repr, json.dumps, in_json, php_slashes]
SPELLINGS = st.builds(
    lambda first, second, case: [first, second, case],
    st.sampled_from([*USUAL, percent, escaped]),
    st.sampled_from(USUAL),
    st.sampled_from([str, str.upper, str.lower, str.title]),
)
TOKENS = st.text("0123456789abcdefghij", min_size=8, max_size=30)
ODD = st.text("aZ0-_.~%25\\\"'/+= \n\tüЖ😀&", min_size=6, max_size=12)
# What ways of spelling put around a text, and what others make of it.
QUOTES = r"""(?:(?:\\|%(?:25)*5c)*(?:["']|%(?:25)*2[27]))*"""


@settings(max_examples=400, deadline=None)
@given(TOKENS | ODD, SPELLINGS)
def test_t12_a_known_secret_is_found_however_it_is_spelled(secret: str, spellings: list[Any]):
    text = secret
    for spell in spellings:
        text = spell(text)
    masked = scrub(f"before:{text}:after", [secret])
    assert re.fullmatch(f"before:{QUOTES}{re.escape(REDACTED)}{QUOTES}:after", masked, re.IGNORECASE)


@given(st.lists(TOKENS, min_size=1, max_size=3), st.text("kmnopqrstuvwxyz%\\u/ ", max_size=60))
def test_what_holds_no_secret_stays(secrets: list[str], text: str):
    assert scrub(text, secrets) == text


def test_t12_a_secret_that_is_no_unicode_is_masked_and_stops_nothing():
    secret = "abc\ud800def"
    assert scrub(f"{secret} abc\\ud800def", [secret]) == f"{REDACTED} {REDACTED}"
    assert scrub("another \ud800 text", [secret]) == "another \ud800 text"


def test_t12_secrets_in_decoded_json_are_masked_in_texts_keys_and_numbers():
    secrets = ["12345678", "s3cr3t-token"]
    value = {"id": 12345678, "s3cr3t-token": ["a s3cr3t%2Dtoken!", 1.5, 12345678.0, True, None], "n": 1234567, "x": {}}
    assert scrub_value(value, secrets) == {
        "id": REDACTED,
        REDACTED: [f"a {REDACTED}!", 1.5, REDACTED, True, None],
        "n": 1234567,
        "x": {},
    }


def test_t12_what_lies_too_deep_to_be_searched_is_masked_whole():
    value: Any = SECRET
    for _ in range(5000):
        value = [value]
    masked = scrub_value({"error": "E", "x": value}, [SECRET])
    assert masked["error"] == "E"
    assert SECRET not in repr(masked)


def test_short_secrets_are_not_scrubbed():
    assert scrub("abc abcd", ["abc", ""]) == "abc abcd"
    assert scrub("abc abcd", ["abc", "abcd"]) == f"abc {REDACTED}"


def test_a_secret_inside_another_does_not_cut_it():
    assert scrub("abcdefgh", ["abcd", "abcdefgh"]) == REDACTED


# --- the beginning of a long text -------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [10, 2000, 15_990, 16_000, 16_010, 10**6])
@pytest.mark.parametrize("spell", [str, quote_plus, percent, escaped, lambda text: quote(percent(text), safe="")])
def test_t12_no_part_of_a_secret_stands_where_a_text_is_cut(length: int, spell: Any):
    secret = "0123456789abcdefghijklmnopqrstuv"
    for text in ("x" * length + spell(secret) * 5, spell(secret) * (length // 30 + 1), f"{spell(secret)} " * length):
        masked = scrub_start(text, [secret])
        assert len(masked) <= 2000
        assert spell(secret)[: len(spell("01234567"))] not in masked


def test_a_short_text_stays_whole():
    assert scrub_start("It went wrong", [SECRET]) == "It went wrong"
    assert scrub_start("x" * 2000, [SECRET]) == "x" * 2000
    assert scrub_start("x" * 2001, [SECRET]) == "x" * 1999 + "…"
    assert scrub_start("x" * 10**6, []) == "x" * 1999 + "…"


def test_texts_of_an_error_are_kept_in_part():
    masked = scrub_value({"k" * 5000: ["v" * 5000]}, [SECRET])
    assert [len(text) for key, values in masked.items() for text in (key, *values)] == [2000, 2000]
