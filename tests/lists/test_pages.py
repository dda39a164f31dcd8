"""What the page of a list holds."""

from __future__ import annotations

from typing import Any

import pytest

from b24oauth.shapes import whole_number

LARGEST = 2**64 - 1


@pytest.mark.parametrize(
    ("value", "number"), [(7, 7), ("7", 7), (0, 0), (-7, -7), (LARGEST, LARGEST), (str(LARGEST), LARGEST)]
)
def test_a_whole_number_may_be_text(value: object, number: int) -> None:
    assert whole_number(value) == number


@pytest.mark.parametrize("value", [None, True, 7.0, "", " 7", "-7", "+7", "7_0", "٣", "²", [7], {}])
def test_what_is_no_whole_number_is_none(value: object) -> None:
    assert whole_number(value) is None


@pytest.mark.parametrize("value", ["9" * 21, "9" * 5000, "0" * 5000, 10**20, -(10**20), 10**400])
def test_what_has_more_digits_than_any_identifier_is_none(value: Any) -> None:
    assert whole_number(value) is None
