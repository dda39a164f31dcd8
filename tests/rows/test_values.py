"""Single values: what is read, exactly, and what is refused because it could mean something else."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NewType

import pytest

from tests.support.rows import problems_of, read_field

MSK = timezone(timedelta(hours=3))


class Stage(enum.Enum):
    NEW = "N"
    WON = "W"


class Size(enum.IntEnum):
    ZERO = 0
    SMALL = 1


class Kind(enum.StrEnum):
    NONE = ""
    DEAL = "D"


class Rights(enum.IntFlag):
    READ = 1
    WRITE = 2


class Answer(enum.Enum):
    YES = True
    NO = False


class Lenient(enum.Enum):
    NEW = "new"

    @classmethod
    def _missing_(cls, value: object) -> Lenient:
        if value == "SECRET":
            raise ZeroDivisionError(value)
        return cls.NEW


class Code(str):
    __slots__ = ()


Id = NewType("Id", int)


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        (int, "5", 5),
        (int, " -5 ", -5),
        (int, 5.0, 5),
        (int, 9007199254740991.0, 9007199254740991),
        (int, "5.0", 5),
        (int, "9007199254740993.0", 9007199254740993),
        (int, "123456789012345678901234567890", 123456789012345678901234567890),
        (int | None, "9007199254740993.0", 9007199254740993),
        (Decimal, "9007199254740993.0", Decimal("9007199254740993.0")),
        (Decimal | None, "0.10000000000000000000000001", Decimal("0.10000000000000000000000001")),
        (Decimal, 10.1, Decimal("10.1")),
        (Decimal, "10.50|USD", Decimal("10.50")),
        (Decimal, "-3|EUR", Decimal(-3)),
        (float, "1.5", 1.5),
        (float, 2, 2.0),
        (float, 1e300, 1e300),
        (float, "10.50|USD", 10.5),
        (float | None, "-3|EUR", -3.0),
        (bool, "Y", True),
        (bool, "n", False),
        (bool, "1", True),
        (bool, 0, False),
        (bool, "true", True),
        (bool, "False", False),
        (bool, True, True),
        (str, "", ""),
        (str, 12, "12"),
        (str, 1.5, "1.5"),
        (str, 10**400, f"1{'0' * 400}"),
        (str, "123.45|EUR", "123.45|EUR"),
        (Code, "x", Code("x")),
        (Id, "5", 5),
        (datetime, "2026-01-31T23:59:59+03:00", datetime(2026, 1, 31, 23, 59, 59, tzinfo=MSK)),
        (datetime, "2026-01-31T23:59:59Z", datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)),
        (date, "2026-01-31", date(2026, 1, 31)),
        (date, "2026-01-31T00:00:00+03:00", date(2026, 1, 31)),
        (date, "2026-01-31T23:00:00+03:00", date(2026, 1, 31)),
        (Stage, "W", Stage.WON),
        (Stage, "WON", Stage.WON),
        (Size, "1", Size.SMALL),
        (Size, 0, Size.ZERO),
        (Size, "ZERO", Size.ZERO),
        (Size, 1.0, Size.SMALL),
        (Kind, "", Kind.NONE),
        (Kind, "DEAL", Kind.DEAL),
        (Rights, "3", Rights.READ | Rights.WRITE),
        (Rights, 2, Rights.WRITE),
        (Answer, False, Answer.NO),
        (Answer, "Y", Answer.YES),
        (Lenient, "anything", Lenient.NEW),
        (Literal[1, 2], "2", 2),
        (Literal["1", 1], 1, 1),
        (Literal["", "A"], "", ""),
        (Literal[True], "Y", True),
        (Literal[Stage.NEW], "N", Stage.NEW),
        (Literal[None, "A"], None, None),  # noqa: PYI061 - both forms are legal
        (Any, "5", "5"),
        (object, {"a": 1}, {"a": 1}),
    ],
)
def test_a_value_is_read_as_its_type(type_: Any, given: Any, value: Any) -> None:
    built = read_field(type_, given)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        (int, "must be a whole number"),
        (Id, "must be a whole number"),
        (float, "must be a number"),
        (Decimal, "must be a number"),
        (bool, "must be true or false"),
        (datetime, "must be a date and time with an offset from UTC"),
        (date, "must be a date"),
        (Stage, "must be one of NEW, WON"),
        (Size, "must be one of ZERO, SMALL"),
        (Lenient, "must be one of NEW"),
        (Literal["A", 1], "must be one of 'A', 1"),
        (list[int], "must be a list"),
        (set[int], "must be a list"),
        (tuple[int, str], "must be a list of 2 items"),
        (dict[str, int], "must be a map"),
        (int | bool, "must be one of bool, int"),
    ],
)
def test_a_value_that_does_not_fit_is_named_by_what_was_expected(type_: Any, expected: str) -> None:
    assert problems_of(type_, "SECRET") == (expected,)


@pytest.mark.parametrize(("type_", "expected"), [(str, "text"), (Kind, "one of NONE, DEAL")])
def test_what_is_no_text_is_named_by_what_was_expected(type_: Any, expected: str) -> None:
    assert problems_of(type_, ["SECRET"]) == (f"must be {expected}",)


def test_only_the_first_names_of_a_long_enumeration_are_listed() -> None:
    many = enum.Enum("Many", [f"M{number}" for number in range(50)])
    assert problems_of(many, "SECRET") == ("must be one of M0, M1, M2, M3, M4, M5, M6, M7, M8, M9, ...",)


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        (int, "5.5"),
        (int, 5.5),
        (int, "1_000"),
        (int, "٣"),
        (int, True),
        (int, float("nan")),
        (int, 9007199254740993.0),  # equals 9007199254740992.0: JSON rounds it
        (int, 9007199254740994.0),
        (int | None, -9007199254740994.0),
        (Decimal, 9007199254740994.0),
        (Decimal | None, 1e300),
        (Decimal, 9007199254740993.0),
        (str, 9007199254740993.0),
        (float, "nan"),
        (float, float("inf")),
        (float, "1e999"),
        (float, "-1e999"),
        (float, "9" * 40 + "e300"),
        (float | None, float("nan")),
        (Decimal, "Infinity"),
        (Decimal, float("nan")),
        (Decimal, "10.50|"),
        (Decimal, "10.50|US|D"),
        (Decimal, "|EUR"),
        (float, "|EUR"),
        (float, "10.50|eur"),
        (float, "1e999|EUR"),
        (int, "10.50|USD"),
        (bool, "yes"),
        (bool, 2),
        (bool, []),
        (str, True),
        (str, float("nan")),
        (str, []),
        (datetime, "2026-01-31T23:59:59"),
        (datetime, "2026-01-31"),
        (datetime, 1700000000),
        (datetime, "2026-01-٣٣T00:00:00Z"),
        (date, "2026-01-31T23:59:59"),
        (date, "31.01.2026"),
        (date, "2026-02-31"),
        (date, "2026-W01-1"),
        (date, "2026-W01-1T00:00:00+03:00"),
        (date, "20260131"),
        (date, "2026-01-٣١"),
        (Stage, True),
        (Size, True),
        (Size, "2"),
        (Kind, "d"),
        (Rights, True),
        (Literal[1], True),
        (Literal[True], "yes"),
        (Literal["A"], "a"),
        (Literal["A"], ["A"]),
    ],
)
def test_a_value_that_could_mean_something_else_is_refused(type_: Any, given: Any) -> None:
    (problem,) = problems_of(type_, given)
    assert problem.startswith("must be ")
