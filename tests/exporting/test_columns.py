"""Types of columns: what fits, what makes a column text, and what the portal declares."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from b24oauth.exporting.columns import Column, ColumnSet, UnfitError, read_fields


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", "12", 12),
        ("integer", -5, -5),
        ("integer", 12.0, 12),
        ("integer", str(2**63 - 1), 2**63 - 1),
        ("number", "100.00", 100.0),
        ("number", 3, 3.0),
        ("number", "1e-3", 0.001),
        ("boolean", "Y", True),
        ("boolean", "0", False),
        ("boolean", False, False),
        ("boolean", 1, True),
        ("date", "2026-02-03", date(2026, 2, 3)),
        ("date", "2026-02-03T00:00:00+02:00", date(2026, 2, 3)),
        ("date", "2026-02-03T03:00:00+03:00", date(2026, 2, 3)),
        ("datetime", "2026-02-03T04:05:06+03:00", datetime(2026, 2, 3, 1, 5, 6, tzinfo=UTC)),
        ("text", "x", "x"),
        ("text", 5, "5"),
        *((kind, empty, None) for kind in ("integer", "number", "date", "datetime") for empty in (None, "", False, [])),
        ("boolean", "", None),
        ("text", None, None),
        ("text", "", ""),
    ],
)
def test_values_that_fit(kind: Any, value: Any, expected: Any) -> None:
    found = Column("X", kind).read(value)
    assert (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("integer", "007"),
        ("integer", "12.5"),
        ("integer", " 12"),
        ("integer", True),
        ("integer", 2**63),
        ("integer", "-0"),
        ("integer", [1]),
        ("number", "123456789.123456789123"),
        ("number", "1e999"),
        ("number", "100.00|EUR"),
        ("number", 2**53 + 1),
        ("boolean", "yes"),
        ("boolean", 2),
        ("date", "2026-02-03T04:05:06+03:00"),
        ("date", "2026-02-30"),
        ("date", "03.02.2026"),
        ("datetime", "2026-02-03T04:05:06"),
        ("datetime", "2026-02-03T04:05:06.1234567+00:00"),
        ("datetime", "2026-02-03"),
        ("datetime", "0001-01-01T00:00:00+03:00"),
    ],
)
def test_values_that_would_lose_something_do_not_fit(kind: Any, value: Any) -> None:
    with pytest.raises(UnfitError):
        Column("X", kind).read(value)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_64_bit_number_fits_as_text_and_as_number(number: int) -> None:
    assert Column("X", "integer").read(number) == Column("X", "integer").read(str(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_value(number: float) -> None:
    assert Column("X", "number").read(repr(number)) == number


def test_multiple_values_are_lists() -> None:
    column = Column("X", "integer", multiple=True)
    assert column.read(["1", 2]) == [1, 2]
    assert column.read({"0": "1", "3": "2"}) == [1, 2]
    assert column.read(False) == column.read("") == column.read([]) == []
    assert column.read(None) is None
    with pytest.raises(UnfitError):
        column.read("1")
    assert Column("X", "text", multiple=True).read([{"VALUE": "a"}, "b"]) == ['{"VALUE":"a"}', "b"]


def test_a_value_that_does_not_fit_makes_the_column_text() -> None:
    columns = ColumnSet(read_fields({"ID": {"type": "integer"}, "UF": {"type": "double", "isMultiple": True}}))
    for row in ({"ID": "1", "UF": ["1.5"]}, {"ID": "A-2", "UF": False}):
        columns.see(row)
        columns.fit(row)
    assert columns.columns == {"ID": Column("ID"), "UF": Column("UF", "number", multiple=True)}
    assert columns.unfit == ["ID"]


def test_columns_come_in_the_order_of_the_selection_and_then_of_the_rows() -> None:
    columns = ColumnSet()
    columns.see({"id": 1, "stageId": "NEW"})
    columns.see({"id": 2, "title": "x"})
    assert [column.name for column in columns.ordered(["TITLE", "STAGE_ID", "MISSING"])] == ["title", "stageId", "id"]
    assert [column.name for column in columns.ordered([])] == ["id", "stageId", "title"]


@pytest.mark.parametrize("key", ["fields", "price"])
def test_fields_are_found_inside_the_only_value_too(key: str) -> None:
    fields = {"ID": {"type": "integer"}, "UF_X": {"type": "datetime", "isMultiple": True}}
    expected = {"id": Column("ID", "integer"), "ufx": Column("UF_X", "datetime", multiple=True)}
    assert read_fields(fields) == read_fields({key: fields}) == expected


@pytest.mark.parametrize("result", [None, [], {}, {"ID": "Identifier"}, {"fields": []}, "x"])
def test_what_declares_no_types_gives_no_columns(result: Any) -> None:
    assert read_fields(result) == {}


def test_one_field_alone_is_not_taken_for_a_container() -> None:
    assert read_fields({"ID": {"type": "integer", "title": "ID"}}) == {"id": Column("ID", "integer")}


def test_two_fields_with_one_normalized_name_declare_nothing() -> None:
    assert read_fields({"A_B": {"type": "integer"}, "AB": {"type": "double"}}) == {}
