"""Rows of Bitrix24 as people's own types."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal, TypedDict

import attrs
import pytest

from b24oauth import InvalidDataError
from b24oauth.converting import structure_row, structure_rows


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


@pytest.mark.parametrize("name", ["ID", "id", "Id", "_id"])
def test_fields_are_found_whatever_their_spelling(name: str) -> None:
    row = {name: 5, "title": "t", "stageId": "NEW"}
    deal = structure_row(row, Deal, method="crm.item.get")
    assert (deal.id, deal.stage_id) == (5, Stage.NEW)


def test_the_exact_name_wins() -> None:
    assert structure_row({"ID": 1, "id": 2, "title": ""}, Deal, method="m").id == 2


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
