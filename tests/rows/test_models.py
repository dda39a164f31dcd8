"""Rows as pydantic models, alone and inside of other types."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NotRequired, TypeVar

import attrs
import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    NaiveDatetime,
    RootModel,
    field_validator,
    model_validator,
)
from typing_extensions import TypedDict  # which pydantic wants before Python 3.12

from b24oauth import ConfigurationError
from b24oauth.rows import check_row_type, structure_row, structure_rows
from tests.support.rows import problems_of

T = TypeVar("T")


class Stage(enum.Enum):
    NEW = "N"


class Size(enum.IntEnum):
    SMALL = 1


class Phone(BaseModel):
    value: str
    value_type: Literal["WORK", "HOME"] = "WORK"


class Group(BaseModel):
    id: int


class Extra(TypedDict):
    id: int
    more: NotRequired[int]


@dataclass
class Point:
    x: int
    y: int | None = None


class Deal(BaseModel):
    id: int
    title: str = "untitled"
    opportunity: Decimal | None = None
    opened: bool = False
    probability: int = Field(default=50, ge=0)
    rate: float = 0.0
    date_create: datetime | None = None
    closedate: date | None = None
    stage_id: Stage | None = None
    size: Size | Literal[5] | None = None
    phone: list[Phone] = []
    tags: dict[str, int] = {}
    by_id: dict[int, str] = {}
    group: Group | None = None
    either: Phone | Group | None = None
    pair: tuple[int, str] | None = None
    point: Point | None = None
    extra: Extra | None = None
    numbers: list[int | None] = []
    below: list[Deal] = []
    raw: Any = None


ROW = {
    "ID": "7",
    "TITLE": 12,
    "OPPORTUNITY": "10.50|USD",
    "OPENED": "Y",
    "PROBABILITY": "",
    "RATE": "1.5",
    "DATE_CREATE": "2026-01-31T23:59:59+00:00",
    "CLOSEDATE": "2026-01-31T03:00:00+03:00",
    "STAGE_ID": "NEW",
    "SIZE": "1",
    "PHONE": {"0": {"VALUE": "+7", "valueType": "HOME"}, "2": {"VALUE": 8}},
    "TAGS": [],
    "BY_ID": ["a", "b"],
    "GROUP": [],
    "EITHER": {"ID": "5"},
    "PAIR": ["1", 2],
    "POINT": {"X": "1", "Y": ""},
    "EXTRA": {"ID": "1", "MORE": False},
    "NUMBERS": ["", "5", False],
    "BELOW": [{"ID": "8", "BELOW": False, "GROUP": False}],
    "RAW": False,
    "UF_UNKNOWN": "x",
}
DEAL = Deal(
    id=7,
    title="12",
    opportunity=Decimal("10.50"),
    opened=True,
    rate=1.5,
    date_create=datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC),
    closedate=date(2026, 1, 31),
    stage_id=Stage.NEW,
    size=Size.SMALL,
    phone=[Phone(value="+7", value_type="HOME"), Phone(value="8")],
    by_id={0: "a", 1: "b"},
    either=Group(id=5),
    pair=(1, "2"),
    point=Point(1),
    extra={"id": 1},
    numbers=[None, 5, None],
    below=[Deal(id=8)],
    raw=False,
)


def build(type_: Any, row: Any) -> Any:
    return structure_row(row, type_, method="m")


def test_what_php_writes_is_read_into_a_model() -> None:
    assert build(Deal, ROW) == DEAL
    assert structure_rows([ROW, {"id": 1}], Deal, method="m") == [DEAL, Deal(id=1)]


@attrs.frozen
class Holder:
    deal: Deal
    groups: list[Group] = attrs.Factory(list)
    maybe: Group | None = None


@dataclass
class Data:
    group: Group


def test_models_are_read_inside_of_other_types() -> None:
    row = {"DEAL": ROW, "GROUPS": {"0": {"ID": "1"}}, "MAYBE": False}
    assert build(Holder, row) == Holder(DEAL, [Group(id=1)])
    assert build(Data, {"GROUP": {"ID": "1"}}) == Data(Group(id=1))
    assert build(list[Group], [{"ID": "1"}]) == [Group(id=1)]
    assert build(dict[str, Group | None], {"a": {"ID": "1"}, "b": ""}) == {"a": Group(id=1), "b": None}
    assert build(Group | None, []) is None
    assert build(Group | Phone, {"VALUE": "1"}) == Phone(value="1")
    assert problems_of(Holder, {"DEAL": {"ID": "SECRET"}, "GROUPS": [{"ID": 1}, {}]}) == (
        "deal.id must be a whole number",
        "groups[1].id is missing or empty",
    )


@pytest.mark.parametrize("empty", [None, "", False])
def test_an_empty_value_is_an_absent_one(empty: Any) -> None:
    assert problems_of(Deal, {"ID": empty}) == ("id is missing or empty",)
    absent = dict.fromkeys(["PROBABILITY", "RATE", "PHONE", "TAGS", "GROUP", "DATE_CREATE", "POINT", "SIZE"], empty)
    assert build(Deal, {"ID": 1, **absent}) == Deal(id=1)
    assert build(Deal, {"ID": 1, "TITLE": empty}).title == ("" if empty == "" else "untitled")
    assert problems_of(list[Group], [empty]) == ("[0] must be a map of fields, not empty",)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ID": "SECRET"}, "id must be a whole number"),
        ({"ID": 5.5}, "id must be a whole number"),
        ({"ID": {}}, "id must be a whole number"),
        ({"TITLE": ["SECRET"]}, "title must be text"),
        ({"OPPORTUNITY": "SECRET"}, "opportunity must be a number"),
        ({"OPPORTUNITY": "NaN"}, "opportunity must be a number"),
        ({"OPENED": "SECRET"}, "opened must be true or false"),
        ({"RATE": "nan"}, "rate must be a number"),
        ({"RATE": float("inf")}, "rate must be a number"),
        ({"RATE": "SECRET"}, "rate must be a number"),
        ({"DATE_CREATE": "2026-01-31T10:00:00"}, "date_create must be a date and time with an offset from UTC"),
        ({"DATE_CREATE": "2026-01-31"}, "date_create must be a date and time with an offset from UTC"),
        ({"DATE_CREATE": "SECRET"}, "date_create must be a date and time with an offset from UTC"),
        ({"CLOSEDATE": "31.01.2026"}, "closedate must be a date"),
        ({"STAGE_ID": "SECRET"}, "stage_id must be one of NEW"),
        ({"PHONE": "SECRET"}, "phone must be a list"),
        ({"PHONE": [{"VALUE": "1", "VALUE_TYPE": "SECRET"}]}, "phone[0].value_type must be one of 'HOME', 'WORK'"),
        ({"TAGS": ["SECRET"]}, "tags must be a map"),
        ({"TAGS": {"SECRET": "SECRET"}}, "tags[*] must be a whole number"),
        ({"BY_ID": {"SECRET": "x"}}, "by_id[*] must be a whole number"),
        ({"GROUP": "SECRET"}, "group must be a map of fields"),
        ({"GROUP": {"ID": "SECRET"}}, "group.id must be a whole number"),
        ({"POINT": {"X": "SECRET"}}, "point.x must be a whole number"),
        ({"EXTRA": {"ID": "SECRET"}}, "extra.id must be a whole number"),
        ({"BELOW": [{"ID": 1, "BELOW": [{}]}]}, "below[0].below[0].id is missing or empty"),
        ({"PROBABILITY": -5}, "probability is refused by its class"),
    ],
)  # fmt: skip
def test_what_pydantic_refuses_is_named_without_its_value(changes: dict[str, Any], problem: str) -> None:
    assert problems_of(Deal, ROW | changes) == (problem,)


def test_numbers_stay_exact() -> None:
    deal = build(Deal, {"ID": "9007199254740993.0", "OPPORTUNITY": "9007199254740993.01"})
    assert (deal.id, deal.opportunity) == (9007199254740993, Decimal("9007199254740993.01"))


class Aliases(BaseModel):
    one: int = Field(default=0, alias="UF_CRM_1")
    two: int = Field(default=0, validation_alias=AliasChoices("SECOND", "ZWEI"))
    deep: int = Field(default=0, validation_alias=AliasPath("nested", "value"))


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    one: int = Field(alias="UF_CRM_1")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: int


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: int


class Exact(BaseModel):
    model_config = ConfigDict(strict=True)
    id: int


def test_aliases_and_settings_of_a_model_are_kept() -> None:
    row = {"ufCrm1": "1", "second": "2", "nested": {"value": "3"}}
    assert build(Aliases, row).model_dump() == {"one": 1, "two": 2, "deep": 3}
    assert build(Aliases, {"ZWEI": "2", "second": ""}).two == 2
    assert build(Aliases, {"ONE": "1"}).one == 1
    assert build(ByName, {"ONE": "1"}) == build(ByName, {"uf_crm_1": "1"}) == ByName(one=1)
    assert problems_of(ByName, {}) == ("one is missing or empty",)
    assert build(Open, {"ID": "1", "more": 2}).model_extra == {"more": 2}
    assert problems_of(Closed, {"ID": "1", "SECRET": 2}) == ("[*] is refused by its class",)
    assert build(Exact, {"ID": "1"}) == Exact(id=1)


class Validated(BaseModel):
    names: list[str] = ["default"]
    flags: Annotated[list[int], BeforeValidator(lambda value: [] if value is False else value)] = [1]
    closed: Annotated[bool, BeforeValidator(lambda value: value == "N")] = False
    upper: Annotated[str, AfterValidator(str.upper)] = ""
    moment: NaiveDatetime | None = None

    @field_validator("names", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else [] if value is False else value

    @field_validator("upper")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "SECRET":
            raise ValueError(f"{value} is bad")
        if value == "WORSE":
            raise ZeroDivisionError("SECRET")
        return value


class Whole(BaseModel):
    id: int

    @model_validator(mode="before")
    @classmethod
    def _read(cls, row: Any) -> Any:
        return {"id": row["THE_ID"]}


def test_validators_that_run_first_get_what_came() -> None:
    assert build(Validated, {"NAMES": False, "FLAGS": False, "CLOSED": "N"}) == Validated(
        names=[], flags=[], closed="N"
    )
    assert build(Validated, {"NAMES": "a,b", "UPPER": "x", "MOMENT": "2026-01-31T10:00:00"}) == Validated(
        names=["a", "b"], upper="X", moment=datetime(2026, 1, 31, 10)
    )
    assert build(Whole, {"THE_ID": "5"}).id == 5


def test_a_validator_of_all_fields_that_runs_first_gets_what_came() -> None:
    class Flags(BaseModel):
        opened: bool
        closed: bool = True

        @field_validator("*", mode="before")
        @classmethod
        def _read(cls, value: Any) -> bool:
            return value == "Y"

    assert build(Flags, {"OPENED": "Y", "CLOSED": ""}) == Flags(opened="Y", closed="")


def test_validators_that_refuse_are_named_without_the_value() -> None:
    assert problems_of(Validated, {"UPPER": "secret", "NAMES": [5]}) == (
        "names is refused by its class",
        "upper is refused by its class",
    )
    # What is no error of pydantic has no place.
    assert problems_of(Validated, {"UPPER": "worse"}) == ("is refused by its class",)
    assert problems_of(Whole, {"SECRET": 1}) == ("is refused by its class",)


class Page(BaseModel, Generic[T]):
    items: list[T]


class Groups(RootModel[list[Group]]):
    pass


def test_generic_and_root_models_are_read() -> None:
    assert build(Page[Group], {"ITEMS": [{"ID": "1"}]}) == Page[Group](items=[Group(id=1)])
    assert build(Groups, [{"id": "1"}, {"id": "2"}]) == Groups([Group(id=1), Group(id=2)])
    assert problems_of(Groups, [{"id": "SECRET"}]) == ("[*] is refused by its class",)


def test_the_exact_name_wins() -> None:
    for row in ({"ID": 1, "id": 2}, {"id": 2, "ID": 1}):
        assert build(Group, row) == Group(id=2)


def test_unions_of_models_and_other_types_are_read() -> None:
    class Either(BaseModel):
        value: int | Group | list[int]
        plain: int | str = 0

    assert build(Either, {"VALUE": {"ID": "5"}, "PLAIN": "5"}) == Either(value=Group(id=5), plain="5")
    assert build(Either, {"VALUE": ["5"], "PLAIN": 5}) == Either(value=[5], plain=5)


def test_types_that_only_pydantic_reads_are_left_to_pydantic() -> None:
    class Visit(BaseModel):
        site: HttpUrl
        at: time | None = None
        took: timedelta | None = Field(default=None, alias="DURATION")

    visit = build(Visit, {"SITE": "https://example.com", "AT": "12:30", "duration": False})
    assert (str(visit.site), visit.at, visit.took) == ("https://example.com/", time(12, 30), None)
    assert problems_of(Visit, {"SITE": "SECRET"}) == ("site is refused by its class",)


def test_what_only_pydantic_can_find_is_left_to_pydantic() -> None:
    class Inner(BaseModel):
        id: int

    @dataclass
    class Data:
        inner: Inner

    class Outer(BaseModel):
        data: Data

    assert build(Outer, {"DATA": {"inner": {"id": "5"}}}) == Outer(data=Data(Inner(id=5)))


def test_models_inside_a_function_are_read() -> None:
    class Inner(BaseModel):
        id: int

    class Outer(BaseModel):
        inner: Inner | None = None
        outer: Outer | None = None

    assert build(Outer, {"INNER": {"ID": "1"}, "OUTER": {"INNER": []}}) == Outer(inner=Inner(id=1), outer=Outer())


class Unresolved(BaseModel):
    id: Nowhere  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize("type_", [Unresolved, list[Unresolved], BaseModel])
def test_models_that_pydantic_cannot_complete_are_refused(type_: Any) -> None:
    with pytest.raises(ConfigurationError, match="is not a supported row type"):
        check_row_type(type_)


def test_models_nested_too_deeply_are_refused() -> None:
    row: dict[str, Any] = {"id": 1}
    for _ in range(5000):
        row = {"id": 1, "below": [row]}
    (problem,) = problems_of(Deal, row)
    assert len(problem) < 300
