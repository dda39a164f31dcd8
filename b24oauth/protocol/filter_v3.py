"""Builds the `filter` of REST v3 list methods: conditions and groups as plain values. Sends nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, Literal, NotRequired, TypeAlias, TypedDict, cast

from b24oauth.errors import InvalidParamsError

__all__ = ["FilterCondition", "FilterGroup", "FilterNode", "FilterV3"]

FilterCondition: TypeAlias = list[Any] | tuple[str, str, Any]


class FilterGroup(TypedDict):
    """Conditions that are judged together.

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


class FilterV3:
    """Conditions on a field, groups of them, and the list that a v3 method takes as its `filter`.

    Nodes that are None or False are left out, so that `wanted is not None and FilterV3.eq("id", wanted)` can stand
    in a list of nodes.

    Source: https://apidocs.bitrix24.com/api-reference/rest-v3/index.html
    """

    @staticmethod
    def eq(field: str, value: object) -> list[Any]:
        """Require that the field equals the value."""
        return [field, "=", value]

    @staticmethod
    def ne(field: str, value: object) -> list[Any]:
        """Require that the field differs from the value."""
        return [field, "!=", value]

    @staticmethod
    def gt(field: str, value: object) -> list[Any]:
        """Require that the field is greater than the value."""
        return [field, ">", value]

    @staticmethod
    def ge(field: str, value: object) -> list[Any]:
        """Require that the field is greater than the value or equal to it."""
        return [field, ">=", value]

    @staticmethod
    def lt(field: str, value: object) -> list[Any]:
        """Require that the field is less than the value."""
        return [field, "<", value]

    @staticmethod
    def le(field: str, value: object) -> list[Any]:
        """Require that the field is less than the value or equal to it."""
        return [field, "<=", value]

    @staticmethod
    def in_(field: str, values: Collection[object]) -> list[Any]:
        """Require that the field is one of the values; the reference's `in`.

        Args:
            field: Name of the field.
            values: The accepted values.

        Returns:
            The condition.

        Raises:
            InvalidParamsError: The values are one text, which would be taken apart into its letters.
        """
        if isinstance(values, (str, bytes)):
            raise InvalidParamsError("FilterV3.in_: values must be a list of values, not one text")
        # A set keeps its kind here, for it gets its order where it is written.
        return [field, "in", values if isinstance(values, (set, frozenset)) else list(values)]

    @staticmethod
    def between(field: str, low: object, high: object) -> list[Any]:
        """Require that the field lies between two values, both included."""
        return [field, "between", [low, high]]

    @staticmethod
    def and_(*nodes: _Optional) -> FilterGroup:
        """Require all of the nodes.

        Args:
            *nodes: Conditions and groups; None and False are left out.

        Returns:
            The group.

        Raises:
            InvalidParamsError: A hand-made node is neither a condition nor a group.
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
            InvalidParamsError: A hand-made node is neither a condition nor a group.
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
            InvalidParamsError: A hand-made node is neither a condition nor a group.
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
            InvalidParamsError: A hand-made node is neither a condition nor a group.
        """
        return _checked(nodes, "build")


def _checked(nodes: Collection[object], method: str) -> list[Any]:
    wanted = [node for node in nodes if node is not None and node is not False]
    for node in wanted:
        _check(node, method)
    return wanted


def _check(node: object, method: str) -> None:
    if isinstance(node, Mapping):
        _check_group(cast("Mapping[str, object]", node), method)
    elif not _is_condition(node):
        raise InvalidParamsError(f"FilterV3.{method}: a condition is a list of field, operator and value")


def _check_group(group: Mapping[str, object], method: str) -> None:
    conditions = group.get("conditions")
    if not isinstance(conditions, (list, tuple)):
        raise InvalidParamsError(f"FilterV3.{method}: `conditions` of a group must be a list of conditions and groups")
    for node in cast("Collection[object]", conditions):
        _check(node, method)


def _is_condition(node: object) -> bool:
    if not isinstance(node, (list, tuple)):
        return False
    parts = cast("list[object] | tuple[object, ...]", node)
    return len(parts) == _CONDITION_LENGTH and isinstance(parts[0], str) and isinstance(parts[1], str)
