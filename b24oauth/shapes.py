"""TypeGuard helpers: unlike plain `isinstance`, they give type checkers the element types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeGuard

__all__ = ["as_mapping", "is_items", "is_list", "is_mapping", "is_sendable", "is_sequence", "whole_number"]

# A 64-bit number has at most 20 digits. Python refuses to convert much longer ones, and no identifier is longer.
_MOST_DIGITS: Final = 20
_LARGEST: Final = 10**_MOST_DIGITS - 1


def is_mapping(value: object) -> TypeGuard[Mapping[str, Any]]:
    """True for a map."""
    return isinstance(value, (dict, Mapping))  # checking dict first is faster than the ABC


def as_mapping(value: object) -> Mapping[str, Any]:
    """The value, or an empty map if it is no map."""
    return value if is_mapping(value) else {}


def is_list(value: object) -> TypeGuard[list[Any]]:
    """True for a list."""
    return isinstance(value, list)


def is_sequence(value: object) -> TypeGuard[Sequence[Any]]:
    """True for a sequence other than str or bytes."""
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def is_items(value: object) -> TypeGuard[Iterable[Any]]:
    """True for anything that gives one item after another, not for a text."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray))


def is_sendable(value: object) -> TypeGuard[str]:
    """True for a text that can be sent as UTF-8; one with lone surrogates cannot."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def whole_number(value: object) -> int | None:
    """A whole number of at most 20 digits, which may be written as text; None for anything else."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST:
        return value
    return None
