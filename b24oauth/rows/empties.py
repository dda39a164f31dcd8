"""Which empty values are values of a type, and which stand for an absent one.

Bitrix24 writes None, an empty text or False for an empty field, whatever its type.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args

from b24oauth.rows.annotations import is_enum, members_of, origin_of

__all__ = ["EmptyTest", "absence_test", "none_test"]

EmptyTest = Callable[[Any], bool]


def absence_test(type_: Any) -> EmptyTest:
    """Tells for a field of this type whether a value means that the field is absent.

    Optional types have no such value: they read all empty values as None.
    """
    members = members_of(type_)
    is_optional = NoneType in members
    takes_none, takes_text, takes_false = (
        is_optional or any(_has(member, empty) for member in members) for empty in (None, "", False)
    )

    def is_absent(value: Any) -> bool:
        if value is None:
            return not takes_none
        if value is False:
            return not takes_false
        return not takes_text and isinstance(value, str) and not value

    return is_absent


def none_test(type_: Any, *, needs_fields: bool) -> EmptyTest:
    """Tells for an optional type whether a value is read as None.

    Args:
        type_: The type, None included.
        needs_fields: True when the other members are classes that cannot be made without fields. PHP writes an absent
            object as an empty list.
    """
    others = [member for member in members_of(type_) if member is not NoneType]
    keeps_false = any(_has(member, False) for member in others)
    # `str | None` reads an empty text as None; an option that is the empty text itself keeps it.
    keeps_text = any(_has(member, "") for member in others if not _is_text(member))

    def is_none(value: Any) -> bool:
        if value is None:
            return True
        if value is False:
            return not keeps_false
        return (value == "" and not keeps_text) or (needs_fields and value in ([], {}))

    return is_none


def _has(member: Any, empty: object) -> bool:
    """Whether an empty value is itself a value of the type."""
    if member is Any or member is object:
        return True
    origin = origin_of(member)
    own: tuple[object, ...] = ()
    if origin is Literal:
        own = tuple(option.value if isinstance(option, Enum) else option for option in get_args(member))
    elif is_enum(origin):
        own = tuple(option.value for option in origin)
    elif _is_text(member):
        own = ("",)
    elif origin is bool:
        own = (False,)
    return any(type(value) is type(empty) and value == empty for value in own)


def _is_text(member: Any) -> bool:
    origin = origin_of(member)
    return isinstance(origin, type) and issubclass(origin, str) and not is_enum(origin)
