"""Rows and results as a whole: which row, which request, and never a value."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import Any, Literal, Self

import attrs
import pytest

from b24oauth.errors import InvalidDataError
from b24oauth.rows import structure_row, structure_rows
from tests.support.rows import problems_of


@attrs.frozen
class Phone:
    value: str
    value_type: Literal["WORK", "HOME"]


@attrs.frozen
class Deal:
    id: int
    title: str = ""
    opportunity: Decimal | None = None
    phone: list[Phone] = attrs.Factory(list)
    tags: dict[str, int] = attrs.Factory(dict)


class Moody(str):
    __slots__ = ()

    def __new__(cls, value: str) -> Self:
        raise ZeroDivisionError(value)


@attrs.frozen
class Strict:
    id: int

    def __attrs_post_init__(self) -> None:
        raise ZeroDivisionError("SECRET")


@attrs.frozen
class Tree:
    id: int
    above: Tree | None = None
    below: list[Tree] = attrs.Factory(list)


def test_rows_are_built_in_their_order() -> None:
    rows = [{"ID": "1", "OPPORTUNITY": "1.50|EUR"}, {"id": 2, "title": "t"}]
    assert structure_rows(rows, Deal, method="m") == [Deal(1, "", Decimal("1.50")), Deal(2, "t")]
    assert structure_rows(["1", 2], int, method="m") == [1, 2]
    assert structure_row("12", int, method="m") == 12
    assert structure_rows([], Deal, method="m") == []


def test_a_single_result_is_never_called_a_row() -> None:
    assert problems_of(int, "SECRET") == ("must be a whole number",)
    assert problems_of(list[int], {"a": 1}) == ("must be a list",)
    assert problems_of(list[Deal], [{"ID": 1}, {"ID": "SECRET"}]) == ("[1].id must be a whole number",)
    assert problems_of(Deal, ["SECRET"]) == ("must be a map of fields",)


def test_rows_are_named_by_their_position_in_the_whole_list() -> None:
    rows = [{"ID": "1"}, {"ID": "SECRET"}, {}, "SECRET"]
    with pytest.raises(InvalidDataError) as caught:
        structure_rows(rows, Deal, method="crm.deal.list", first=100)
    assert caught.value.problems == (
        "row 101: id must be a whole number",
        "row 102: id is missing or empty",
        "row 103: must be a map of fields",
    )


def test_the_error_names_request_method_type_and_every_field() -> None:
    row = {"ID": "SECRET", "PHONE": [{"VALUE": "1", "VALUE_TYPE": "SECRET"}], "TAGS": {"SECRET": "SECRET"}}
    with pytest.raises(InvalidDataError) as caught:
        structure_row(row, Deal, method="crm.deal.get", request_id="r1")
    error = caught.value
    assert error.problems == (
        "id must be a whole number",
        "phone[0].value_type must be one of 'HOME', 'WORK'",
        "tags[*] must be a whole number",
    )
    assert "B24OAUTH_INVALID_DATA (0): The response to crm.deal.get does not fit Deal: id must be" in str(error)
    assert str(error).endswith("[crm.deal.get, request r1]")
    assert error.request_info is not None
    assert (error.request_info.method, error.request_info.request_id) == ("crm.deal.get", "r1")
    assert error.to_dict()["request_info"] == {"method": "crm.deal.get", "params": {}, "request_id": "r1"}


def test_the_problems_are_bounded() -> None:
    for rows in ([{"ID": "x"}] * 100, [{"TAGS": {str(number): "x" for number in range(100)}}]):
        with pytest.raises(InvalidDataError) as caught:
            structure_rows(rows, Deal, method="m")
        assert len(caught.value.problems) == 5


@pytest.mark.parametrize(
    ("type_", "value", "problem"),
    [
        (Strict, {"id": 1}, "is refused by its class"),
        (list[Strict], [{"id": 1}], "[0] is refused by its class"),
        (dict[str, Strict | None], {"SECRET": {"id": 1}}, "[*] is refused by its class"),
        (Strict | int, {"id": 1}, "must be one of Strict, int"),
        (Moody, "SECRET", "is refused by its class"),
        (list[Moody], ["SECRET"], "[0] cannot be read"),
    ],
)
def test_what_a_type_raises_is_an_error_of_its_place_without_the_value(type_: Any, value: Any, problem: str) -> None:
    assert problems_of(type_, value) == (problem,)


def test_rows_nested_in_each_other_are_built_to_any_depth_or_refused() -> None:
    row: dict[str, Any] = {"id": 1}
    for _ in range(100):
        row = {"id": 1, "above": row, "below": [{"id": 2}]}
    assert structure_row(row, Tree, method="m").below == [Tree(2)]
    for _ in range(5000):
        row = {"id": 1, "above": row}
    (problem,) = problems_of(Tree, row)
    assert problem.endswith("... cannot be read")
    assert len(problem) < 300


def test_a_value_that_breaks_its_reader_is_still_not_shown() -> None:
    class Hostile(dict[str, Any]):
        def items(self) -> Any:
            raise ZeroDivisionError("SECRET")

    assert problems_of(Deal, Hostile()) == ("is refused by its class",)


def test_the_converter_is_made_by_the_first_type_that_is_used() -> None:
    script = (
        "import sys, b24oauth.client, b24oauth.actions.namespaces, b24oauth.rows as rows\n"
        "made = lambda: rows._converter.cache_info().currsize\n"
        "print(made())\n"
        "rows.check_row_type(list[int])\n"
        "print(made(), 'pydantic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "1", "False"]
