"""Validators and converters of fields; their errors name the class and the field, never the value."""

from __future__ import annotations

from typing import Any, Final, cast

import attrs

from b24oauth.converting import WHOLE_NUMBER
from b24oauth.errors import InvalidDataError
from b24oauth.shapes import is_sendable

__all__ = [
    "are_tokens",
    "as_whole",
    "hidden",
    "is_filled",
    "is_sendable_text",
    "is_text",
    "is_token",
    "is_whole",
    "not_pickled",
]

_TOO_LARGE: Final = 10**18


def hidden(_: object) -> str:
    """What `repr` shows of a secret."""
    return "'***'"


def as_whole(value: int | str) -> int:
    """A number that may have come as a string; anything else stays for the validator to name."""
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    return value  # type: ignore[return-value]  # the validator refuses it


def is_text(self_: object, field: attrs.Attribute[str], value: object) -> None:
    """Refuses what is no text."""
    if not isinstance(value, str):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be str, not {type(value).__name__}"])


def is_filled(self_: object, field: attrs.Attribute[str], value: object) -> None:
    """Refuses what is no text, or an empty one."""
    is_text(self_, field, value)
    if not value:
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must not be empty"])


def is_sendable_text(self_: object, field: attrs.Attribute[str], value: object) -> None:
    """Refuses a text that cannot be sent as UTF-8."""
    is_text(self_, field, value)
    if not is_sendable(value):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be Unicode text without lone surrogates"])


def is_token(self_: object, field: attrs.Attribute[str], value: object) -> None:
    """Refuses what cannot be a token."""
    is_filled(self_, field, value)
    is_sendable_text(self_, field, value)


def is_whole(self_: object, field: attrs.Attribute[int], value: object) -> None:
    """Refuses what is no whole number of at most 18 digits."""
    if not isinstance(value, int) or isinstance(value, bool):
        problem = f"{field.name} must be a whole number, not {type(value).__name__}"
        raise InvalidDataError(type(self_).__name__, [problem])
    # Same limit as for strings; ints with thousands of digits cannot be converted to str.
    if abs(value) >= _TOO_LARGE:
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must have at most 18 digits"])


def not_pickled(value: object) -> TypeError:
    """The error of an object with secrets that somebody pickles."""
    name = type(value).__name__
    return TypeError(f"{name} holds secrets and is not pickled: pass {name}.to_dict() to where you need it")


def are_tokens(self_: object, field: attrs.Attribute[Any], value: object) -> None:
    """Refuses what is no tuple of tokens."""
    if not isinstance(value, tuple):
        raise InvalidDataError(type(self_).__name__, [f"{field.name} must be tuple, not {type(value).__name__}"])
    for token in cast("tuple[object, ...]", value):
        is_token(self_, field, token)
