"""Builds the `filter` of REST v3 list methods: conditions and groups as plain values. Sends nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, NotRequired, TypeAlias, TypedDict, cast

from b24oauth.errors import InvalidParamsError
from b24oauth.shapes import is_items, is_mapping, is_sequence

__all__ = ["FilterCondition", "FilterGroup", "FilterNode", "FilterV3"]

FilterCondition: TypeAlias = list[Any] | tuple[str, str, Any]


class FilterGroup(TypedDict):
    """A group of conditions.

    Attributes:
        logic: How they are joined; the portal takes "and" when it is absent.
        negative: Whether the outcome of the group is inverted.
        conditions: Conditions and further groups.
    """

    logic: NotRequired[Literal["and", "or"]]
    negative: NotRequired[bool]
    conditions: list[Any]


FilterNode: TypeAlias = FilterCondition | FilterGroup
_Optional: TypeAlias = FilterNode | Mapping[str, Any] | Literal[False] | None

_CONDITION_LENGTH: Final = 3
_OPERATORS: Final = ("=", "!=", ">", ">=", "<", "<=", "in", "between")
_NODE: Final = "B24OAUTH_FILTER_V3_INVALID_NODE"


class FilterV3:
    """Conditions on a field, groups of them, and the list that a v3 method takes as its `filter`.

    Nodes that are None or False are left out, so that `wanted is not None and FilterV3.eq("id", wanted)` can be used as
    a node. Invalid nodes are rejected here, before the request: a condition whose field has no name, for example,
    raises `InvalidParamsError`.

    Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
    """

    @staticmethod
    def eq(field: str, value: object) -> list[Any]:
        """Require that the field equals the value."""
        return _condition(field, "=", value)

    @staticmethod
    def ne(field: str, value: object) -> list[Any]:
        """Require that the field differs from the value."""
        return _condition(field, "!=", value)

    @staticmethod
    def gt(field: str, value: object) -> list[Any]:
        """Require that the field is greater than the value."""
        return _condition(field, ">", value)

    @staticmethod
    def ge(field: str, value: object) -> list[Any]:
        """Require that the field is greater than the value or equal to it."""
        return _condition(field, ">=", value)

    @staticmethod
    def lt(field: str, value: object) -> list[Any]:
        """Require that the field is less than the value."""
        return _condition(field, "<", value)

    @staticmethod
    def le(field: str, value: object) -> list[Any]:
        """Require that the field is less than the value or equal to it."""
        return _condition(field, "<=", value)

    @staticmethod
    def in_(field: str, values: Collection[object]) -> list[Any]:
        """Require that the field is one of the values; named `in` in the JS SDK.

        Args:
            field: Name of the field.
            values: The accepted values, at least one.

        Returns:
            The condition.

        Raises:
            InvalidParamsError: `values` is not a collection, is a str or a mapping, or is empty; or the field has no
                name.
        """
        code = "B24OAUTH_FILTER_V3_INVALID_IN"
        if is_mapping(values) or not is_items(values):
            raise InvalidParamsError("FilterV3.in_: values must be a list, not one text or a mapping", code=code)
        # Keep a set as a set; it is sorted when it is encoded.
        given = values if isinstance(values, (set, frozenset)) else list(values)
        if not given:
            raise InvalidParamsError("FilterV3.in_: values must not be empty", code=code)
        return _condition(field, "in", given)

    @staticmethod
    def between(field: str, low: object, high: object) -> list[Any]:
        """Require that the field lies between two values, both included.

        Raises:
            InvalidParamsError: A bound is None, or the field has no name.
        """
        if low is None or high is None:
            message = "FilterV3.between: both bounds must be given; use ge or le for one"
            raise InvalidParamsError(message, code="B24OAUTH_FILTER_V3_INVALID_BETWEEN")
        return _condition(field, "between", [low, high])

    @staticmethod
    def and_(*nodes: _Optional) -> FilterGroup:
        """Require all of the nodes.

        Args:
            *nodes: Conditions and groups; None and False are left out.

        Returns:
            The group.

        Raises:
            InvalidParamsError: A hand-made node is neither a condition nor a group, or its operator is unknown.
        """
        return {"logic": "and", "conditions": _checked(nodes, "and_")}

    @staticmethod
    def or_(*nodes: _Optional) -> FilterGroup:
        """Require at least one of the nodes.

        Args:
            *nodes: Conditions and groups; None and False are left out.

        Returns:
            The group.

        Raises:
            InvalidParamsError: A hand-made node is neither a condition nor a group, or its operator is unknown.
        """
        return {"logic": "or", "conditions": _checked(nodes, "or_")}

    @staticmethod
    def not_(*nodes: _Optional) -> FilterGroup:
        """Require that not all of the nodes hold.

        Args:
            *nodes: Conditions and groups; None and False are left out.

        Returns:
            The group, with `negative` set.

        Raises:
            InvalidParamsError: A hand-made node is neither a condition nor a group, or its operator is unknown.
        """
        return {"logic": "and", "negative": True, "conditions": _checked(nodes, "not_")}

    @staticmethod
    def build(*nodes: _Optional) -> list[Any]:
        """Make the `filter` parameter; all of the nodes are required.

        Args:
            *nodes: Conditions and groups, built here or by hand; None and False are left out.

        Returns:
            The list of nodes.

        Raises:
            InvalidParamsError: A hand-made node is neither a condition nor a group, or its operator is unknown.
        """
        return _checked(nodes, "build")


def _condition(field: str, operator: str, value: object) -> list[Any]:
    if not _is_name(field):
        message = f"FilterV3: the field of a condition ({operator}) must be a text that is not empty"
        raise InvalidParamsError(message, code="B24OAUTH_FILTER_V3_INVALID_FIELD")
    return [field, operator, value]


def _is_name(field: object) -> bool:
    return isinstance(field, str) and field != ""


def _checked(nodes: Collection[object], method: str) -> list[Any]:
    for position, node in enumerate(nodes):
        if node is not None and node is not False:
            _check(node, f"FilterV3.{method}", f"node {position}")
    return [node for node in nodes if node is not None and node is not False]


def _check(node: object, method: str, place: str) -> None:
    if is_mapping(node):
        conditions = node.get("conditions")
        if not isinstance(conditions, (list, tuple)):
            raise InvalidParamsError(
                f"{method}: `conditions` of a group must be a list of conditions and groups ({place})"
            )
        for position, part in enumerate(cast("Collection[object]", conditions)):
            _check(part, method, f"{place}, condition {position}")
    elif not is_sequence(node) or len(node) != _CONDITION_LENGTH or not _is_name(node[0]) or not _is_name(node[1]):
        raise InvalidParamsError(f"{method}: a condition is a list of field, operator and value ({place})", code=_NODE)
    elif node[1] not in _OPERATORS:
        raise InvalidParamsError(
            f"{method}: the operator of a condition must be one of {' '.join(_OPERATORS)} ({place})", code=_NODE
        )
