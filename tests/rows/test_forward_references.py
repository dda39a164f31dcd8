"""Classes whose annotations name types as text; this module has no `from __future__ import annotations`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

import attrs
import pytest

from b24oauth import ConfigurationError
from b24oauth.rows import check_row_type, structure_row

if TYPE_CHECKING:
    from datetime import datetime


@attrs.frozen
class Tree:
    id: int
    above: Optional["Tree"] = None
    below: list["Tree"] = attrs.Factory(list)
    named: "dict[str, Tree] | None" = None


@dataclass
class Item:
    id: "int"
    items: list["Item"] | None = None


@attrs.frozen
class Meeting:
    at: "datetime"


def build(type_: Any, row: Any) -> Any:
    return structure_row(row, type_, method="m")


def test_names_of_types_as_text_are_found() -> None:
    row = {"ID": "1", "ABOVE": {"ID": "2"}, "BELOW": [{"ID": "3"}], "NAMED": {"a": {"ID": "4"}}}
    assert build(Tree, row) == Tree(1, Tree(2), [Tree(3)], {"a": Tree(4)})
    assert build(Item, {"ID": "1", "ITEMS": [{"ID": "2"}]}) == Item(1, [Item(2)])


def test_names_that_only_type_checkers_know_are_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="Meeting is not a supported row type; its module must define datetime when "
    ):
        check_row_type(Meeting)
