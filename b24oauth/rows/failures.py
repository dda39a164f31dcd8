"""What can go wrong inside the readers, with the place where it did; callers of the package never see these errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

__all__ = ["MismatchError", "Problem", "UnsupportedTypeError", "mismatch", "placed"]

Problem: TypeAlias = tuple[str, str]


class MismatchError(Exception):
    """A value does not fit its type.

    Attributes:
        problems: Pairs of a place inside the value, such as ".phone[0]", and what is wrong there. They hold names of
            types and fields, never a value and never a key of a map.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__()
        self.problems = problems


class UnsupportedTypeError(Exception):
    """No value can be read as this type.

    Attributes:
        name: Name of the type.
        advice: What to use instead, None for the general advice.
        field: Class and field that has this type, None when it stands elsewhere.
    """

    def __init__(self, name: str, advice: str | None = None, *, field: str | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.advice = advice
        self.field = field


def mismatch(expected: str, value: object) -> MismatchError:
    """The error for a value that should have been what `expected` says; an empty value is named as such."""
    is_empty = value is None or value is False or value == ""
    return MismatchError([("", f"must be {expected}, not empty" if is_empty else f"must be {expected}")])


def placed(error: MismatchError, place: str) -> Iterator[Problem]:
    """The problems of a part as problems of the whole, where the part is at `place`."""
    return ((f"{place}{inner}", problem) for inner, problem in error.problems)
