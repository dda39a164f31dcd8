from __future__ import annotations

from typing import Any

import pytest

from b24oauth.errors import InvalidParamsError
from b24oauth.protocol.encoding import encode_json
from b24oauth.protocol.filter_v3 import FilterV3


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (FilterV3.eq("a", 1), ["a", "=", 1]),
        (FilterV3.ne("a", None), ["a", "!=", None]),
        (FilterV3.gt("a", 1), ["a", ">", 1]),
        (FilterV3.ge("a", 1), ["a", ">=", 1]),
        (FilterV3.lt("a", 1), ["a", "<", 1]),
        (FilterV3.le("a", 1), ["a", "<=", 1]),
        (FilterV3.in_("a", (1, 2)), ["a", "in", [1, 2]]),
        (FilterV3.between("a", 1, 9), ["a", "between", [1, 9]]),
    ],
)
def test_a_condition_is_a_list_of_field_operator_and_value(condition: Any, expected: Any):
    assert condition == expected


def test_build_gives_a_list_of_conditions_and_groups():
    built = FilterV3.build(FilterV3.eq("s", "NEW"), FilterV3.or_(FilterV3.in_("id", [1, 2]), FilterV3.gt("id", 100)))
    assert built == [["s", "=", "NEW"], {"logic": "or", "conditions": [["id", "in", [1, 2]], ["id", ">", 100]]}]


def test_and_joins_and_not_inverts():
    assert FilterV3.and_(FilterV3.eq("a", 1)) == {"logic": "and", "conditions": [["a", "=", 1]]}
    assert FilterV3.not_(FilterV3.eq("a", 1)) == {"logic": "and", "negative": True, "conditions": [["a", "=", 1]]}


def test_absent_nodes_are_left_out_everywhere():
    assert FilterV3.build(None, False, FilterV3.eq("a", 1)) == [["a", "=", 1]]
    assert FilterV3.or_(None, FilterV3.eq("a", 1), False)["conditions"] == [["a", "=", 1]]
    assert FilterV3.build() == []


def test_hand_made_conditions_and_groups_are_accepted():
    nodes: list[Any] = [["a", "=", 1], ("c", "in", [1]), {"conditions": [["b", ">", 2], {"conditions": []}]}]
    assert FilterV3.build(*nodes) == nodes


@pytest.mark.parametrize(
    "group",
    [{"conditions": "anything"}, {"logic": "or"}, {"conditions": [{"conditions": None}]}, {"conditions": ["abc"]}],
)
def test_a_group_without_a_list_of_conditions_is_refused(group: Any):
    with pytest.raises(InvalidParamsError, match=r"FilterV3\.build: "):
        FilterV3.build(group)


@pytest.mark.parametrize("node", ["a=1", [], ["a", "="], ["a", "=", 1, 2], [1, "=", 1], ["a", None, 1], 0, ""])
def test_a_node_that_is_no_condition_is_refused(node: Any):
    with pytest.raises(InvalidParamsError, match=r"FilterV3\.or_: a condition is a list of field, operator and value"):
        FilterV3.or_(node)


@pytest.mark.parametrize("values", ["abc", b"abc"])
def test_one_text_is_not_a_list_of_values(values: Any):
    with pytest.raises(InvalidParamsError, match="not one text"):
        FilterV3.in_("a", values)


def test_a_set_of_values_is_written_in_order():
    assert encode_json(FilterV3.build(FilterV3.in_("a", {30, 4, 100}))) == b'[["a","in",[4,30,100]]]'
