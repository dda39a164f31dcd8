"""Rows as JSON lines, values as text, masked credentials and guarded formulas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.exporting.values import as_text, guarded, mask, row_line, sendable

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_row_is_one_line_that_reads_back_as_it_was(row: Any) -> None:
    line = row_line(row)
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")
    assert json.loads(line) == row


def test_a_lone_surrogate_survives_in_a_line_and_is_escaped_in_text() -> None:
    assert json.loads(row_line({"TITLE": "a\ud800"})) == {"TITLE": "a\ud800"}
    assert sendable("a\ud800") == "a\\ud800"


def test_a_number_that_json_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        row_line({"OPPORTUNITY": float("nan")})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        ("", ""),
        ("Müller", "Müller"),
        (5, "5"),
        (0.1, "0.1"),
        (True, "true"),
        ([1, "a"], '[1,"a"]'),
        ({"VALUE": "+49"}, '{"VALUE":"+49"}'),
    ],
)
def test_values_as_text(value: Any, text: str | None) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd", "-cmd", "\t=1", "\r=1", "\uff1d1"])
def test_what_begins_a_formula_is_guarded(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", [None, "", "a=1", "-5", "+49", "-5.50", "1+1"])
def test_numbers_and_usual_text_are_not_guarded(text: str | None) -> None:
    assert guarded(text) == text


def test_credentials_in_addresses_are_masked() -> None:
    line = row_line({"urlMachine": "https://portal.example/rest/1/file?auth=access-S3CR3T&id=7"})
    assert json.loads(mask(line, ["access-S3CR3T"])) == {
        "urlMachine": "https://portal.example/rest/1/file?auth=***REDACTED***&id=7"
    }
