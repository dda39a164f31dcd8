"""Refuses arguments of a wrong kind by their name, before anything is done with them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from b24oauth.errors import ConfigurationError
from b24oauth.shapes import is_sendable

__all__ = [
    "Check",
    "at_least",
    "check_flag",
    "check_function",
    "check_request_id",
    "check_seconds",
    "check_text",
    "check_type",
]

# A check takes the value and the argument name.
Check = Callable[[Any, str], None]


def check_seconds(value: Any, name: str) -> None:
    """Checks that the value is a positive number of seconds.

    Raises:
        ConfigurationError: Names the argument.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and 0 < value < math.inf):
        raise ConfigurationError(f"{name} must be a number of seconds above 0{_unlike(value, is_number)}")


def check_flag(value: Any, name: str) -> None:
    """Refuses what is neither True nor False.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name} must be True or False, not {type(value).__name__}")


def check_function(value: Any, name: str) -> None:
    """Refuses what cannot be called.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not callable(value):
        raise ConfigurationError(f"{name} must be a function, async or plain, not {type(value).__name__}")


def check_text(value: Any, name: str) -> None:
    """Checks that the value is a non-empty str.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not (isinstance(value, str) and value.strip()):
        is_text = isinstance(value, str)
        raise ConfigurationError(
            f"{name} must be {'a text that is not empty' if is_text else 'text'}{_unlike(value, is_text)}"
        )


def check_type(value: Any, kind: type, name: str) -> None:
    """Refuses what is of another type.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not isinstance(value, kind):
        raise ConfigurationError(f"{name} must be {kind.__name__}, not {type(value).__name__}")


def check_request_id(value: Any, name: str) -> None:
    """Refuses what cannot be sent as the identifier of a request.

    Raises:
        ConfigurationError: Names the argument.
    """
    if not isinstance(value, str):
        raise ConfigurationError(f"{name} must be text, or None for a generated one, not {type(value).__name__}")
    if not is_sendable(value):
        raise ConfigurationError(f"{name} must be Unicode text without lone surrogates")


def at_least(least: int, most: int | None = None) -> Check:
    """Returns a check for an integer in a range.

    Args:
        least: The smallest number.
        most: The greatest number, if there is one.
    """
    upper = "" if most is None else f" and at most {most}"

    def check(value: Any, name: str) -> None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not (is_whole and value >= least and (most is None or value <= most)):
            kind = _unlike(value, is_whole)
            raise ConfigurationError(f"{name} must be a whole number of at least {least}{upper}{kind}")

    return check


def _unlike(value: object, is_of_the_kind: bool) -> str:
    """Message suffix with the value's type; empty if the type is right and only the value is out of range."""
    return "" if is_of_the_kind else f", not {type(value).__name__}"
