from __future__ import annotations

from typing import Any

import attrs
import pytest

from b24oauth import EnumAppStatus
from b24oauth.converting import structure, unstructure
from b24oauth.errors import InvalidDataError


@attrs.frozen(kw_only=True)
class Inner:
    number: int


@attrs.frozen(kw_only=True)
class Outer:
    name: str
    inner: Inner
    status: EnumAppStatus = EnumAppStatus.FREE


def outer(number: Any = 1, **changes: Any) -> Outer:
    return structure({"name": "n", "inner": {"number": number}, **changes}, Outer, "Outer")


def problems(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(InvalidDataError) as caught:
        outer(**changes)
    assert "S3CR3T" not in str(caught.value)
    # What is behind the error is printed with it, and would repeat the value.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value.problems


@pytest.mark.parametrize(("given", "read"), [(5, 5), ("5", 5), (" -5 ", -5), (5.0, 5), ("0", 0)])
def test_whole_numbers_may_come_as_text(given: object, read: int) -> None:
    assert outer(given).inner.number == read


@pytest.mark.parametrize(
    "given", ["", " ", "1_0", "--5", "5.5", "٣", "S3CR3T", "9" * 5000, 5.5, float("nan"), True, None, []]
)
def test_what_is_no_whole_number_is_named_by_its_place(given: object) -> None:
    assert problems(number=given) == ("inner.number must be int",)


def test_every_field_that_does_not_fit_is_named() -> None:
    assert problems(name=5, inner={"S3CR3T": 1}) == ("name must be str", "inner.number is missing")


def test_a_text_is_not_made_of_something_else() -> None:
    assert problems(name=b"S3CR3T") == ("name must be str",)


@pytest.mark.parametrize("data", [None, 5, "S3CR3T", [1], object()])
def test_what_is_no_mapping_is_refused_without_showing_it(data: object) -> None:
    with pytest.raises(InvalidDataError) as caught:
        structure(data, Outer, "Outer")
    assert "S3CR3T" not in str(caught.value)
    assert str(caught.value).count("Outer") == 1


def test_unknown_fields_are_ignored() -> None:
    assert outer(more=1) == outer()


def test_plain_values_come_back() -> None:
    assert unstructure(outer(status="L")) == {"name": "n", "inner": {"number": 1}, "status": "L"}
