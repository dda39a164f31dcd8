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


# --- what the portal would refuse -------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["", None, 5, b"a", ["a"], True])
@pytest.mark.parametrize(
    "make",
    [
        lambda field: FilterV3.eq(field, 1),
        lambda field: FilterV3.ne(field, 1),
        lambda field: FilterV3.gt(field, 1),
        lambda field: FilterV3.ge(field, 1),
        lambda field: FilterV3.lt(field, 1),
        lambda field: FilterV3.le(field, 1),
        lambda field: FilterV3.in_(field, [1]),
        lambda field: FilterV3.between(field, 1, 2),
    ],
)
def test_a_field_without_a_name_is_refused(make: Any, field: Any):
    with pytest.raises(InvalidParamsError, match="must be a text that is not empty") as caught:
        make(field)
    assert (caught.value.code, caught.value.status) == ("B24OAUTH_FILTER_V3_INVALID_FIELD", 400)


@pytest.mark.parametrize("values", [[], (), set(), frozenset(), {}, {"a": 1}, "abc", b"abc", None, 5, iter(())])
def test_values_that_are_no_list_or_an_empty_one_are_refused(values: Any):
    with pytest.raises(InvalidParamsError) as caught:
        FilterV3.in_("a", values)
    assert (caught.value.code, caught.value.status) == ("B24OAUTH_FILTER_V3_INVALID_IN", 400)


@pytest.mark.parametrize(("low", "high"), [(None, 2), (1, None), (None, None)])
def test_a_range_without_one_of_its_bounds_is_refused(low: Any, high: Any):
    with pytest.raises(InvalidParamsError) as caught:
        FilterV3.between("a", low, high)
    assert (caught.value.code, caught.value.status) == ("B24OAUTH_FILTER_V3_INVALID_BETWEEN", 400)


def test_bounds_that_are_zero_or_empty_are_bounds():
    assert FilterV3.between("a", 0, "") == ["a", "between", [0, ""]]


@pytest.mark.parametrize("operator", ["like", "IN", "==", "<>", "", "%", "!", None, 1])
@pytest.mark.parametrize("make", [FilterV3.build, FilterV3.and_, FilterV3.or_, FilterV3.not_])
def test_an_unknown_operator_is_refused(make: Any, operator: Any):
    with pytest.raises(InvalidParamsError) as caught:
        make(["a", operator, 1])
    assert (caught.value.code, caught.value.status) == ("B24OAUTH_FILTER_V3_INVALID_NODE", 400)


@pytest.mark.parametrize("node", ["a=1", [["a", "=", 1]], ["a", "="], ["", "=", 1], 5, {"conditions": [["a", "~", 1]]}])
def test_a_refused_node_has_the_references_code_and_a_place(node: Any):
    with pytest.raises(InvalidParamsError, match="node 1") as caught:
        FilterV3.build(FilterV3.eq("a", 1), node)
    assert caught.value.code == "B24OAUTH_FILTER_V3_INVALID_NODE"


def test_a_refused_node_within_groups_is_found_by_its_place():
    deep = FilterV3.or_(FilterV3.eq("a", 1), {"logic": "and", "conditions": [["b", "=", 1]]})
    deep["conditions"][1]["conditions"].append(["b", "S3CR3T", "S3CR3T"])
    with pytest.raises(InvalidParamsError, match="node 0, condition 1, condition 1") as caught:
        FilterV3.build(deep)
    assert "S3CR3T" not in str(caught.value)
