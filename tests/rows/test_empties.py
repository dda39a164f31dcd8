"""None, an empty text and `false` for an empty field, an empty list for an empty map."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NewType, NotRequired, TypedDict

import attrs
import pytest

from b24oauth.rows import structure_row
from tests.support.rows import problems_of, read_field


class Stage(enum.Enum):
    NEW = "N"


class Switch(enum.Enum):
    OFF = False


class Size(enum.IntEnum):
    ZERO = 0


class Kind(enum.StrEnum):
    NONE = ""


@attrs.frozen
class Group:
    id: int


@attrs.frozen
class Settings:
    color: str = "red"


class Pair(TypedDict):
    a: int


class Point(NamedTuple):
    x: int


Id = NewType("Id", int)

# Types none of whose values is empty.
TYPES: list[Any] = [
    int, float, Decimal, datetime, date, Stage, Size, Group, Settings, Pair, Point, Id,
    list[int], dict[str, int], set[int], tuple[int, ...], tuple[int, str], Literal["A", 0], int | float,
    Annotated[int, "x"],
]  # fmt: skip


@pytest.mark.parametrize("empty", [None, "", False])
@pytest.mark.parametrize("type_", TYPES, ids=str)
def test_an_empty_value_is_an_absent_one(type_: Any, empty: Any) -> None:
    required = attrs.make_class("Required", {"field": attrs.field(type=type_)})
    assert problems_of(required, {"FIELD": empty}) == ("field is missing or empty",)
    default = attrs.make_class("Default", {"field": attrs.field(type=type_, default="default")})
    assert structure_row({"FIELD": empty}, default, method="m").field == "default"
    # Zero is not empty, though it equals False.
    assert structure_row({"FIELD": 0}, attrs.make_class("N", {"field": attrs.field(type=int)}), method="m").field == 0


@pytest.mark.parametrize("empty", [None, "", False])
@pytest.mark.parametrize("type_", [*TYPES, str], ids=str)
def test_an_optional_field_reads_an_empty_value_as_none(type_: Any, empty: Any) -> None:
    assert read_field(type_ | None, empty) is None
    assert read_field(list[type_ | None], [empty, empty]) == [None, None]
    assert read_field(dict[str, type_ | None], {"a": empty}) == {"a": None}
    assert read_field(tuple[type_ | None, ...], [empty]) == (None,)


@pytest.mark.parametrize(
    "type_",
    [
        bool, bool | None, Any, object, Literal[False], Literal[False, "A"], Literal[False] | Group, int | bool,
        bool | str | None, list[int] | Literal[False], Literal[False] | None, NewType("Flag", bool),
        Annotated[bool, "x"], Any | None,
    ],
    ids=str,
)  # fmt: skip
def test_false_stays_where_the_type_has_it(type_: Any) -> None:
    assert read_field(type_, False) is False
    assert structure_row(False, type_, method="m") is False


def test_false_stays_in_enumerations_that_have_it() -> None:
    assert read_field(Switch, False) is Switch.OFF
    assert read_field(Switch | None, False) is Switch.OFF


@pytest.mark.parametrize(
    ("type_", "value"),
    [(str, ""), (Kind, Kind.NONE), (Kind | None, Kind.NONE), (Literal["", "A"] | None, ""), (int | str, ""), (Any, "")],
)
def test_an_empty_text_stays_where_the_type_has_it(type_: Any, value: Any) -> None:
    assert read_field(type_, "") == value


def test_false_in_a_text_field_is_an_absent_text() -> None:
    @attrs.frozen
    class Row:
        title: str = "untitled"

    assert structure_row({"TITLE": False}, Row, method="m").title == "untitled"
    assert problems_of(attrs.make_class("R", {"title": attrs.field(type=str)}), {"TITLE": False}) == (
        "title is missing or empty",
    )


@pytest.mark.parametrize("empty", [None, "", False])
def test_an_empty_result_or_item_is_named_as_empty(empty: Any) -> None:
    assert problems_of(int, empty) == ("must be a whole number, not empty",)
    assert problems_of(list[int], [1, empty]) == ("[1] must be a whole number, not empty",)
    assert problems_of(list[int], empty) == ("must be a list, not empty",)
    assert problems_of(dict[str, int], {"SECRET": empty}) == ("[*] must be a whole number, not empty",)
    assert problems_of(Group, empty) == ("must be a map of fields, not empty",)
    assert problems_of(int | float, empty) == ("must be one of float, int, not empty",)
    assert structure_row(empty, int | None, method="m") is None


def test_an_empty_list_is_an_empty_map() -> None:
    assert read_field(dict[str, int], []) == {}
    assert read_field(dict[str, int] | None, []) == {}
    assert read_field(list[dict[str, int]], [[], {"a": "1"}]) == [{}, {"a": 1}]
    assert read_field(Settings, []) == Settings()
    assert read_field(Settings | None, []) == Settings()


def test_an_empty_list_is_no_object_where_the_object_needs_fields() -> None:
    assert read_field(Group | None, []) is None
    assert read_field(Group | Pair | None, {}) is None
    assert problems_of(attrs.make_class("R", {"group": attrs.field(type=Group)}), {"GROUP": []}) == (
        "group.id is missing or empty",
    )
    assert read_field(list[int] | None, []) == []


def test_absent_keys_of_dictionaries_stay_absent() -> None:
    class Row(TypedDict):
        id: int
        amount: NotRequired[int]
        title: NotRequired[str | None]

    row = {"ID": "1", "AMOUNT": False, "TITLE": False}
    assert structure_row(row, Row, method="m") == {"id": 1, "title": None}


def test_an_empty_value_does_not_hide_another_spelling_of_its_field() -> None:
    @dataclass
    class Row:
        stage_id: int = 0

    assert structure_row({"stage_id": "", "STAGE_ID": "5"}, Row, method="m") == Row(5)
    assert structure_row({"STAGE_ID": "5", "stage_id": False}, Row, method="m") == Row(5)
