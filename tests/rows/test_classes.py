"""Rows as classes of every kind, and which key of a row is which field."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field
from datetime import date
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Generic,
    NamedTuple,
    NotRequired,
    Required,
    TypedDict,
    TypeVar,
)

import attrs
import pytest
import typing_extensions

from b24oauth.rows import structure_row
from tests.support.rows import problems_of

T = TypeVar("T")
U = TypeVar("U")


def build(type_: Any, row: Any) -> Any:
    return structure_row(row, type_, method="m")


# --- attrs ------------------------------------------------------------------------------------------------------------


@attrs.define(kw_only=True)
class Base:
    id: int


@attrs.frozen(kw_only=True, slots=False)
class Deal(Base):
    title: str
    _owner: int = 0
    note: str = attrs.field(default="", alias="UF_CRM_1")
    size: Any = attrs.field(default=0, converter=lambda value: value * 2)
    blob: bytes = attrs.field(default=b"", converter=lambda value: value and value.encode())
    made: int = attrs.field(init=False, default=7)


@attrs.define(auto_attribs=False)
class Untyped:
    id = attrs.field()
    number = attrs.field(type=int, default=0)


def test_attrs_classes_are_built_by_the_names_of_their_arguments() -> None:
    row = {"ID": "1", "TITLE": 5, "OWNER": "2", "UF_CRM_1": "n", "MADE": 9, "SIZE": 2, "BLOB": "b"}
    deal = Deal(id=1, title="5", owner=2, UF_CRM_1="n", size=2, blob="b")
    assert build(Deal, row) == deal
    assert (deal.made, deal.size, deal.blob) == (7, 4, b"b")
    assert build(Deal, {"id": 1, "title": "", "_owner": "2", "ufCrm_1": "n"}) == Deal(
        id=1, title="", owner=2, UF_CRM_1="n"
    )
    assert build(Deal, {"id": 1, "title": "", "NOTE": "n"}).note == "n"


def test_an_object_that_a_validator_refuses_is_named_by_its_place() -> None:
    @attrs.frozen
    class Positive:
        id: int = attrs.field(validator=attrs.validators.gt(0))

    assert build(Positive, {"ID": "1"}) == Positive(1)
    assert problems_of(Positive, {"ID": "-5"}) == ("is refused by its class",)
    assert problems_of(list[Positive], [{"ID": "1"}, {"ID": "-5"}]) == ("[1] is refused by its class",)


# --- dataclasses ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    id: int
    at: date | None = None


@dataclass
class Full:
    id: int
    _: KW_ONLY
    factor: int | None = None
    tags: list[int] = field(default_factory=list)
    kind: ClassVar[str] = "full"
    made: int = field(init=False, default=0)
    last: Final[int] = 3

    def __post_init__(self) -> None:
        self.made = self.id * (self.factor or 1)


@dataclass
class Inherits(Full):
    title: str = ""


def test_dataclasses_of_every_form_are_built() -> None:
    assert build(Frozen, {"ID": "1", "AT": "2026-01-31"}) == Frozen(id=1, at=date(2026, 1, 31))
    full = build(Full, {"ID": "2", "FACTOR": "3", "TAGS": {"0": "5"}, "KIND": "x", "MADE": "9", "LAST": "4"})
    assert (full, full.made, full.last, Full.kind) == (Full(2, factor=3, tags=[5], last=4), 6, 4, "full")
    assert build(Full, {"ID": 2, "FACTOR": ""}).made == 2
    assert build(Inherits, {"id": 1, "title": 5, "tags": False}) == Inherits(1, title="5")
    assert problems_of(Full, {"ID": 1, "FACTOR": "SECRET"}) == ("factor must be a whole number",)


# --- TypedDict and NamedTuple -----------------------------------------------------------------------------------------


class Movie(TypedDict):
    ID: int
    year: NotRequired[int]
    views: typing_extensions.NotRequired[int]


class Film(Movie, total=False):
    title: Required[str]
    length: Annotated[int, "minutes"]


class Later(typing_extensions.TypedDict):
    id: int


class Point(NamedTuple):
    x: int
    y: int = 5


class Cell(NamedTuple, Generic[T]):
    value: T


def test_typed_dicts_have_their_own_keys_only() -> None:
    assert build(Movie, {"id": "1", "YEAR": "", "more": 1}) == {"ID": 1}
    assert build(Movie, {"ID": 1, "VIEWS": "5", "year": "1999"}) == {"ID": 1, "views": 5, "year": 1999}
    assert build(Film, {"ID": 1, "TITLE": "t", "LENGTH": False}) == {"ID": 1, "title": "t"}
    assert problems_of(Film, {"id": 1, "length": "x"}) == ("title is missing or empty", "length must be a whole number")
    assert build(Later, {"ID": "1"}) == {"id": 1}


def test_named_tuples_come_by_name_and_by_position() -> None:
    assert build(Point, {"X": "1"}) == Point(1)
    assert build(Cell[int], ["5"]) == Cell(5)
    assert build(list[Cell[int]], [{"VALUE": "5"}]) == [Cell(5)]
    assert type(build(Point, [1, 2])) is Point


# --- generic and recursive classes ------------------------------------------------------------------------------------


@attrs.frozen
class Box(Generic[T]):
    item: T
    items: list[T] = attrs.Factory(list)
    maybe: T | None = None


@attrs.frozen
class IntBox(Box[int | None]):
    more: str = ""


@dataclass
class Outer(Generic[T]):
    inner: T


@dataclass
class Both(Outer[list[U]], Generic[U]):
    other: U


class Page(TypedDict, Generic[T]):
    items: list[T]


class IntPage(Page[int]):
    total: int


def test_generic_classes_read_their_arguments() -> None:
    assert build(Box[int], {"item": "1", "items": ["2"], "maybe": ""}) == Box(1, [2])
    assert build(Box[int | None], {"item": False}) == Box(None)
    assert problems_of(Box[int], {"item": False}) == ("item is missing or empty",)
    assert build(Box[Box[str]], {"item": {"item": 5}}) == Box(Box("5"))
    assert build(IntBox, {"item": "", "more": 5}) == IntBox(None, more="5")
    assert build(Both[int], {"inner": ["1"], "other": "2"}) == Both([1], 2)
    assert build(Page[int], {"items": ["1"]}) == {"items": [1]}
    assert build(IntPage, {"items": ["1"], "total": "1"}) == {"items": [1], "total": 1}


@dataclass
class Named(Outer[str], Generic[T]):
    """Uses the type variable of its base for something else."""

    extra: T


class NamedPage(Page[str], Generic[T]):
    extra: T


def test_a_type_variable_belongs_to_the_class_that_names_it() -> None:
    assert build(Named[int], {"INNER": "7", "EXTRA": "7"}) == Named("7", 7)
    assert build(Named, {"INNER": 7, "EXTRA": "7"}) == Named("7", "7")


def test_type_variables_without_arguments_mean_anything() -> None:
    assert build(Box, {"item": "5", "maybe": "5"}) == Box("5", maybe="5")


@attrs.frozen
class Tree:
    id: int
    above: Tree | None = None
    below: list[Tree] = attrs.Factory(list)
    named: dict[str, Tree] | None = None
    pair: tuple[Tree | None, int] | None = None
    either: Tree | Leaf | None = None


@dataclass
class Leaf:
    leaf: int
    tree: Tree | None = None


@attrs.frozen
class Linked(Generic[T]):
    value: T
    next: Linked[T] | None = None
    others: list[Linked[T]] = attrs.Factory(list)


class Node(TypedDict):
    id: int
    children: NotRequired[list[Node]]


def test_recursive_types_are_built() -> None:
    leaf = {"LEAF": "3", "TREE": {"ID": 4}}
    row = {"ID": 1, "ABOVE": {"ID": 2}, "BELOW": [{"ID": "3"}], "NAMED": {"a": {"ID": 4}}, "PAIR": [None, 5]}
    tree = Tree(1, Tree(2), [Tree(3)], {"a": Tree(4)}, (None, 5), Leaf(3, Tree(4)))
    assert build(Tree, row | {"EITHER": leaf}) == tree
    assert build(Linked[int], {"value": "1", "next": {"value": "2"}, "others": [{"value": "3"}]}) == Linked(
        1, Linked(2), [Linked(3)]
    )
    assert build(Node, {"ID": 1, "CHILDREN": [{"ID": "2"}]}) == {"id": 1, "children": [{"id": 2}]}
    assert problems_of(Tree, {"ID": 1, "BELOW": [{"ID": 2, "ABOVE": {"ID": "SECRET"}}]}) == (
        "below[0].above.id must be a whole number",
    )


def test_classes_inside_a_function_may_name_themselves() -> None:
    @attrs.frozen
    class Inner:
        id: int
        above: Inner | None = None

    assert build(Inner, {"ID": "1", "ABOVE": {"ID": "2"}}) == Inner(1, Inner(2))


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ID", "id", "Id", "_id"])
def test_fields_are_found_whatever_their_spelling(name: str) -> None:
    @dataclass
    class Item:
        id: int
        stage_id: str = ""
        uf_crm_12_name: str = ""

    row = {name: 5, "stageId": "NEW", "ufCrm12Name": "n"}
    assert build(Item, row) == Item(5, "NEW", "n")


def test_fields_that_differ_in_underscores_alone_keep_apart() -> None:
    row_type = attrs.make_class("Row", {"stage_id": attrs.field(type=int), "stageid": attrs.field(type=int)})
    assert build(row_type, {"STAGE_ID": 1, "STAGEID": 2}) == row_type(1, 2)


def test_the_exact_name_wins() -> None:
    assert build(Outer[int], {"INNER": 1, "inner": 2}) == Outer(2)
    assert build(Outer[int], {"inner": 2, "INNER": 1}) == Outer(2)
    # Also over a spelling whose value does not fit.
    assert build(Outer[int], {"INNER": "x", "inner": 2}) == Outer(2)
