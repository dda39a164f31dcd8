"""Lists, tuples, sets, maps and unions of types."""

from __future__ import annotations

import collections
import enum
import typing
from collections.abc import Collection, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import attrs
import pytest

from b24oauth.rows import structure_row
from tests.support.rows import problems_of, read_field


class Stage(enum.Enum):
    NEW = "N"


class Size(enum.IntEnum):
    SMALL = 1


class Kind(enum.StrEnum):
    DEAL = "D"


@attrs.frozen
class Person:
    id: int
    kind: Literal["person"]


@dataclass(frozen=True)
class Firm:
    id: int
    kind: Literal["firm"]


@attrs.frozen
class Phone:
    number: str
    home: bool = False


@attrs.frozen
class Mail:
    address: str
    home: bool = False


class Point(NamedTuple):
    x: int
    y: int = 0


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        (list[int], ["1", 2], [1, 2]),
        (list[int], {"0": "1", "2": "3"}, [1, 3]),
        (list, ["1"], ["1"]),
        (typing.List[int], ["1"], [1]),  # noqa: UP006 - people still write it
        (Sequence[int], ["1"], [1]),
        (MutableSequence[int], ["1"], [1]),
        (Iterable[int], ["1"], [1]),
        (Collection[int], ["1"], [1]),
        (tuple[int, ...], {"0": "1", "2": "3"}, (1, 3)),
        (tuple[int, ...] | None, ["1"], (1,)),
        (list[tuple[int, ...]], [["1"]], [(1,)]),
        (tuple, ["1"], ("1",)),
        (typing.Tuple[int, ...], ["1"], (1,)),  # noqa: UP006 - as above
        (tuple[int, str], ["1", 2], (1, "2")),
        (tuple[int, str], {"0": 1, "1": 2}, (1, "2")),
        (tuple[()], [], ()),
        (set[int], ["1", 1], {1}),
        (frozenset[int], ["1", 1], frozenset({1})),
        (typing.AbstractSet[int], ["1"], frozenset({1})),
        (collections.deque[int], ["1"], collections.deque([1])),
        (dict[str, int], {"a": "1"}, {"a": 1}),
        (dict, {"a": "1"}, {"a": "1"}),
        (Mapping[str, bool], {"a": "Y"}, {"a": True}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (dict[int, str], ["a", "b"], {0: "a", 1: "b"}),
        (dict[Stage, int], {"N": "1"}, {Stage.NEW: 1}),
        (dict[date, int], {"2026-01-31": 1}, {date(2026, 1, 31): 1}),
        (Point, {"X": "1"}, Point(1)),
        (Point, ["1", "2"], Point(1, 2)),
        (Point, ["1", ""], Point(1)),
        (list[Point], [["1"], {"y": 2, "x": 1}], [Point(1), Point(1, 2)]),
    ],
)
def test_a_container_is_built_as_its_type(type_: Any, given: Any, value: Any) -> None:
    built = read_field(type_, given)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("type_", "given", "problems"),
    [
        (list[int], ["1", "SECRET", "x"], ("[1] must be a whole number", "[2] must be a whole number")),
        (list[int], {"a": "SECRET"}, ("must be a list",)),
        (list[str], "SECRET", ("must be a list",)),
        (list[list[int]], [[1], ["SECRET"]], ("[1][0] must be a whole number",)),
        (tuple[int, ...], ["SECRET"], ("[0] must be a whole number",)),
        (tuple[int, str], ["1"], ("[1] is missing or empty",)),
        (tuple[int, str], ["1", "2", "SECRET"], ("must be a list of 2 items",)),
        (tuple[int, str], "SECRET", ("must be a list of 2 items",)),
        (tuple[int, str], ["SECRET", "1"], ("[0] must be a whole number",)),
        (set[Any], [["SECRET"]], ("is refused by its class",)),
        (Point, ["1", "2", "SECRET"], ("must be a list of 2 items",)),
        (Point, [], ("x is missing or empty",)),
        (dict[str, int], [1], ("must be a map",)),
        (dict[str, int], {"SECRET": "x"}, ("[*] must be a whole number",)),
        (dict[str, int], {"SECRET @ $.x\n": "x"}, ("[*] must be a whole number",)),
        (dict[str, dict[str, int]], {"SECRET": {"SECRET": "x"}}, ("[*][*] must be a whole number",)),
        (dict[str, Phone], {"SECRET": {}}, ("[*].number is missing or empty",)),
        (dict[int, int], {"SECRET": 1}, ("[*] must be a whole number",)),
        (dict[Stage, int], {"SECRET": 1}, ("[*] must be one of NEW",)),
        (
            dict[str, dict[str, list[Phone]]],
            {"SE]['CRET": {"SE\"'CRET": [{}]}},
            ("[*][*][0].number is missing or empty",),
        ),
        (dict[str, list[Phone]], {"SECRET": [{"number": []}]}, ("[*][0].number must be text",)),
    ],
)
def test_what_does_not_fit_is_placed_without_values_and_keys(type_: Any, given: Any, problems: tuple[str, ...]) -> None:
    assert problems_of(type_, given) == problems


def test_the_problems_of_one_value_are_bounded() -> None:
    for value in (["x"] * 1000, {str(number): "x" for number in range(1, 1000)}):
        assert len(problems_of(dict[str, int] if isinstance(value, dict) else list[int], value)) == 5


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        (Optional[int], "5", 5),  # noqa: UP045 - people still write it
        (Union[int, None, str], "", None),  # noqa: UP007 - as above
        (int | str, 5, 5),
        (int | str, "5", "5"),
        (int | str, "n0", "n0"),
        (str | int, 5, 5),
        (int | float, "5", 5),
        (int | float, "5.5", 5.5),
        (float | int, 5, 5),
        (Decimal | str, "5.5", "5.5"),
        (bool | int, 1, 1),
        (bool | int, "Y", True),
        (int | bool, True, True),
        (Size | str, "1", Size.SMALL),
        (Size | str, "other", "other"),
        (Size | int, 2, 2),
        (str | Kind, "D", Kind.DEAL),
        (Kind | int, "5", 5),
        (Kind | Any, "D", "D"),
        (list[int] | Any, ["1"], ["1"]),
        (int | object, "5", "5"),
        (Literal["A"] | int, "A", "A"),
        (Literal["A"] | int, "5", 5),
        (datetime | date, "2026-01-31", date(2026, 1, 31)),
        (date | datetime, "2026-01-31T00:00:00Z", datetime(2026, 1, 31, tzinfo=UTC)),
        (datetime | int, "5", 5),
        (list[int] | int, ["5"], [5]),
        (list[int] | int, "5", 5),
        (list[int] | dict[str, int], [], []),
        (list[int] | dict[str, int], {"a": "1"}, {"a": 1}),
        (Phone | str, {"NUMBER": "1"}, Phone("1")),
        (Phone | str, "1", "1"),
        (Phone | dict[str, int], {"a": "1"}, {"a": 1}),
        (dict[str, str] | Phone, {"NUMBER": "1"}, Phone("1")),
        (list[Phone | Mail], [{"ADDRESS": "a"}, {"NUMBER": "1"}], [Mail("a"), Phone("1")]),
        (Person | Firm, {"ID": "1", "KIND": "person"}, Person(1, "person")),
        (Person | Firm, {"id": 1, "kind": "firm"}, Firm(1, "firm")),
        (Annotated[int | None, "x"] | str, None, None),
        (Point | int, ["1"], Point(1)),
    ],
)  # fmt: skip
def test_a_union_takes_the_member_that_fits(type_: Any, given: Any, value: Any) -> None:
    built = read_field(type_, given)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("type_", "given", "problem"),
    [
        (Size | int, "SECRET", "must be one of Size, int"),
        (Size | None, "2", "must be one of SMALL"),
        (datetime | date, "2026-01-31T10:00:00", "must be one of date, datetime"),
        (datetime | None, "2026-01-31T10:00:00", "must be a date and time with an offset from UTC"),
        (datetime | int, "2026-01-31T10:00:00", "must be one of datetime, int"),
        (list[datetime | int], ["2026-01-31 10:00"], "[0] must be one of datetime, int"),
        (float | int, float("nan"), "must be one of float, int"),
        (Person | Firm, {"ID": 1, "KIND": "SECRET"}, "must be one of Firm, Person"),
        (Phone | int, {"NUMBER": []}, "must be one of Phone, int"),
        (list[int] | str, ["SECRET"], "must be one of list[int], str"),
        (Phone | None, {"NUMBER": []}, "number must be text"),
        (list[int] | None, ["SECRET"], "[0] must be a whole number"),
    ],
)
def test_a_union_that_nothing_fits_says_what_was_expected(type_: Any, given: Any, problem: str) -> None:
    assert problems_of(type_, given) == (problem,)


def test_the_order_of_a_union_does_not_matter() -> None:
    for given in ("5", 5, "5.5", 5.5, "Y", "x", True):
        assert repr(read_field(int | float | bool | str, given)) == repr(read_field(str | bool | float | int, given))


def test_names_decide_which_class_of_a_union_is_meant() -> None:
    @attrs.frozen
    class Short:
        id: int

    @attrs.frozen
    class Long:
        id: int
        title: str = ""

    for type_ in (Short | Long, Long | Short):
        assert structure_row({"ID": "1", "TITLE": "t"}, type_, method="m") == Long(1, "t")  # type: ignore[arg-type]


def test_equal_unions_say_the_same_whatever_their_order() -> None:
    assert problems_of(float | date, "SECRET") == problems_of(date | float, "SECRET")
    assert problems_of(Literal["b", "a"], "SECRET") == problems_of(Literal["a", "b"], "SECRET")
