"""Rows of Bitrix24 as people's own types."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal, NewType, Optional, Self, TypedDict

import attrs
import pytest

from b24oauth import ConfigurationError, InvalidDataError
from b24oauth.converting import check_row_type, structure_row, structure_rows


class Stage(enum.Enum):
    NEW = "NEW"
    WON = "WON"


@attrs.frozen
class Phone:
    value: str
    value_type: Literal["WORK", "HOME"]


@attrs.frozen
class Deal:
    id: int
    title: str
    opportunity: Decimal | None = None
    opened: bool = False
    stage_id: Stage | None = None
    date_create: datetime | None = None
    closedate: date | None = None
    phone: list[Phone] = attrs.field(factory=list)
    tags: dict[str, str] = attrs.field(factory=dict)
    probability: int = 50
    extra: Any = None


@dataclass
class PlainDeal:
    id: int
    title: str = ""
    tags: list[str] = field(default_factory=list)


class DealDict(TypedDict, total=False):
    ID: int
    OPENED: bool


class Size(enum.IntEnum):
    SMALL = 1


class Kind(enum.StrEnum):
    NONE = ""
    DEAL = "D"


Code = NewType("Code", str)


def one(type_: Any, value: Any) -> Any:
    """The value of the only field of a row, which has no default."""
    row_type = attrs.make_class("Row", {"field": attrs.field(type=type_)})
    return structure_row({"FIELD": value}, row_type, method="m").field


ROW = {
    "ID": "7",
    "TITLE": "",
    "OPPORTUNITY": "10.50",
    "OPENED": "Y",
    "STAGE_ID": "WON",
    "DATE_CREATE": "2026-01-31T23:59:59+03:00",
    "CLOSEDATE": "",
    "PHONE": [{"ID": "1", "VALUE": "+7", "VALUE_TYPE": "WORK", "TYPE_ID": "PHONE"}],
    "TAGS": [],
    "PROBABILITY": "",
    "UF_UNKNOWN": "x",
}


def build(**changes: Any) -> Deal:
    return structure_row(ROW | changes, Deal, method="crm.deal.get")


def test_bitrix24s_ways_become_pythons() -> None:
    deal = build()
    assert (deal.id, deal.title, deal.opportunity, deal.opened, deal.stage_id) == (
        7,
        "",
        Decimal("10.50"),
        True,
        Stage.WON,
    )
    assert deal.date_create == datetime(2026, 1, 31, 20, 59, 59, tzinfo=UTC)
    assert deal.closedate is None
    assert deal.phone == [Phone("+7", "WORK")]
    assert (deal.tags, deal.probability, deal.extra) == ({}, 50, None)


@pytest.mark.parametrize(("given", "value"), [("Y", True), ("N", False), ("1", True), (0, False), (True, True)])
def test_flags_are_written_in_many_ways(given: Any, value: bool) -> None:
    assert build(OPENED=given).opened is value


@pytest.mark.parametrize(
    ("type_", "given", "value"),
    [
        (int, "9007199254740993.0", 9007199254740993),
        (float, "1.5", 1.5),
        (Decimal, "10.50|USD", Decimal("10.50")),
        (int | None, "", None),
        (str | None, "", None),
        (Optional[int], "5", 5),  # noqa: UP045  # people still write it so
        (list[int | None], ["", "5"], [None, 5]),
        (dict[str, bool | None], {"a": "Y", "b": ""}, {"a": True, "b": None}),
        (dict[str, int] | None, [], {}),
        (list[dict[str, int]], [[], {"a": "1"}], [{}, {"a": 1}]),
        (list[int] | None, {"0": "1", "2": "3"}, [1, 3]),
        (tuple[int, ...], {"0": "1", "2": "3"}, (1, 3)),
        (set[int], ["1", 1], {1}),
        (Size, "1", Size.SMALL),
        (Kind, "D", Kind.DEAL),
        (Kind, "", Kind.NONE),
        (Literal[1, 2], "2", 2),
        (Literal["", "A"], "", ""),
        (Code, "", ""),
        (date, "2026-01-31", date(2026, 1, 31)),
        (date, "2026-01-31T23:00:00+03:00", date(2026, 1, 31)),
    ],
)
def test_a_value_is_read_as_its_field_wants_it(type_: Any, given: Any, value: Any) -> None:
    built = one(type_, given)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("type_", "given"),
    [
        (int, "5.5"),
        (int, "1_000"),
        (int, "٣"),
        (int, True),
        (float, "nan"),
        (float, float("inf")),
        (float, "1e999"),
        (float, "-1e999"),
        (float, "9" * 40 + "e300"),
        (Decimal, "Infinity"),
        (bool, "yes"),
        (str, True),
        (datetime, "2026-01-31T23:59:59"),
        (date, "2026-01-31T23:59:59"),
        (date, "31.01.2026"),
        (date, "2026-W01-1"),
        (date, "2026-W01-1T00:00:00+03:00"),
        (date, "20260131"),
        (date, "2026-01-٣١"),
        (Size, "2"),
        (Kind, "SECRET"),
        (Literal[1], True),
        (list[str], "abc"),
        (list[int], {"a": "1"}),
        (dict[str, int], [1]),
    ],
)
def test_a_value_that_could_mean_something_else_is_refused(type_: Any, given: Any) -> None:
    with pytest.raises(InvalidDataError, match="row 0: field must be "):
        one(type_, given)


def test_a_key_of_a_map_is_not_shown_either() -> None:
    with pytest.raises(InvalidDataError, match=r"row 0: field\[\*\] must be int") as caught:
        one(dict[str, int], {"SECRET @ $.x": "x"})
    assert "SECRET" not in str(caught.value)


def test_fields_that_differ_in_underscores_alone_keep_apart() -> None:
    row_type = attrs.make_class("Row", {"stage_id": attrs.field(type=int), "stageid": attrs.field(type=int)})
    assert structure_row({"STAGE_ID": 1, "STAGEID": 2}, row_type, method="m") == row_type(1, 2)


@pytest.mark.parametrize("name", ["ID", "id", "Id", "_id"])
def test_fields_are_found_whatever_their_spelling(name: str) -> None:
    row = {name: 5, "title": "t", "stageId": "NEW"}
    deal = structure_row(row, Deal, method="crm.item.get")
    assert (deal.id, deal.stage_id) == (5, Stage.NEW)


def test_the_exact_name_wins() -> None:
    assert structure_row({"ID": 1, "id": 2, "title": ""}, Deal, method="m").id == 2
    assert structure_row({"id": 2, "ID": 1, "title": ""}, Deal, method="m").id == 2


def test_numbers_become_texts_and_maps_by_position_lists() -> None:
    plain = structure_row({"id": "3", "TITLE": 12, "tags": {"0": "a", "2": "b"}}, PlainDeal, method="m")
    assert plain == PlainDeal(3, "12", ["a", "b"])


def test_typed_dicts_and_plain_types_are_built_too() -> None:
    assert structure_row({"ID": "3", "OPENED": "N", "X": 1}, DealDict, method="m") == {"ID": 3, "OPENED": False}
    assert structure_row("12", int, method="crm.deal.add") == 12
    assert structure_rows(["1", 2], int, method="m") == [1, 2]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ID": "SECRET"}, "row 0: id must be int"),
        ({"ID": ""}, "row 0: id is missing"),
        ({"DATE_CREATE": "31.01.2026"}, "date_create"),
        ({"PHONE": "SECRET"}, "phone"),
        ({"PHONE": [{"VALUE": "1", "VALUE_TYPE": "SECRET"}]}, "value_type"),
        ({"STAGE_ID": "SECRET"}, "stage_id"),
        ({"OPENED": "SECRET"}, "opened must be bool"),
    ],
)
def test_what_does_not_fit_is_named_without_its_value(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidDataError, match=problem) as caught:
        build(**changes)
    assert "crm.deal.get" in str(caught.value)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__context__ is None


def test_rows_are_counted_and_the_problems_are_bounded() -> None:
    rows = [ROW, *[{"ID": "x"}] * 100]
    with pytest.raises(InvalidDataError, match="row 1") as caught:
        structure_rows(rows, Deal, method="crm.deal.list")
    assert len(caught.value.problems) <= 5


# --- types that nothing can be built as -------------------------------------------------------------------------------


@attrs.frozen
class Tree:
    id: int
    above: Tree | None = None
    below: list[Tree] = attrs.field(factory=list)
    named: dict[str, Tree] | None = None


@dataclass
class Opened:
    id: int
    at: time | None = None


@attrs.frozen
class Unresolved:
    id: Nowhere  # type: ignore[name-defined]  # noqa: F821


class Plain:
    pass


@pytest.mark.parametrize(
    "type_",
    [Deal, PlainDeal, DealDict, Tree, list[Deal], Deal | None, dict[str, int | None], set[int], int, Any, Kind, Code],
)
def test_a_type_that_rows_can_be_built_as_is_taken(type_: Any) -> None:
    check_row_type(type_)


@pytest.mark.parametrize(
    ("type_", "named"),
    [
        (time, "time:"),
        (object, "object:"),
        (Plain, "Plain:"),
        (type(None), "NoneType:"),
        ("Deal", "Deal:"),
        (5, "5:"),
        (list[object], r"list\[object\] because of object:"),
        (time | None, r"datetime\.time \| None because of time:"),
        (set[time], r"set\[datetime.time\] because of time:"),
        (dict[str, list[Plain]], "because of Plain:"),
        (Opened, "Opened because of time:"),
        (list[Opened | None], "because of time:"),
        (Unresolved, "Unresolved:"),
    ],
)
def test_a_type_that_nothing_can_be_built_as_is_refused_by_its_name(type_: Any, named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Nothing can be built as .*{named} take an attrs class") as caught:
        check_row_type(type_)
    assert caught.value.__context__ is None
    # Whoever does not ask beforehand gets an error of ours all the same.
    with pytest.raises(InvalidDataError, match="row 0") as late:
        structure_row({"id": 1, "at": "12:00"}, type_, method="m")
    assert late.value.__context__ is None


class Moody(str):
    def __new__(cls, value: str) -> Self:
        raise ZeroDivisionError(value)


@attrs.frozen
class Strict:
    id: int

    def __attrs_post_init__(self) -> None:
        raise ZeroDivisionError("SECRET")


@pytest.mark.parametrize(("type_", "value"), [(Strict, {"id": 1}), (list[Strict], [{"id": 1}]), (Moody, "SECRET")])
def test_whatever_a_type_raises_is_an_error_of_the_row_without_its_value(type_: Any, value: Any) -> None:
    with pytest.raises(InvalidDataError, match="row 0") as caught:
        structure_row(value, type_, method="m")
    assert "SECRET" not in str(caught.value)
    assert caught.value.__context__ is None


def test_rows_nested_in_each_other_are_built_to_any_depth_or_refused() -> None:
    row: dict[str, Any] = {"id": 1}
    for _ in range(100):
        row = {"id": 1, "above": row, "below": [{"id": 2}]}
    assert structure_row(row, Tree, method="m").below == [Tree(2)]
    for _ in range(5000):
        row = {"id": 1, "above": row}
    with pytest.raises(InvalidDataError, match="row 0"):
        structure_row(row, Tree, method="m")
