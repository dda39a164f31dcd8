"""What an untyped JSON or PHP value is, told to people and to type checkers alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

__all__ = ["as_mapping", "is_list", "is_mapping"]


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether the value is a map; JSON and PHP make them with text keys only."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether the value is a list."""
    return isinstance(value, list)


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value, or an empty map if it is none."""
    return value if is_mapping(value) else {}
