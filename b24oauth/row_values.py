"""Reads single values as Bitrix24 writes them: numbers, text, flags, dates and options, and what PHP makes of maps."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, EnumType, Flag
from typing import Any, Final, TypeAlias, get_args

from b24oauth.converting import WHOLE_NUMBER
from b24oauth.shapes import is_list, is_mapping

__all__ = ["READERS", "MismatchError", "Reader", "mismatch", "option_reader", "php_list", "php_map"]

# The signature of cattrs' hooks: the value and its type.
Reader: TypeAlias = Callable[[Any, Any], Any]

# Bitrix24 writes money as the amount, a bar and the code of the currency.
_NUMBER: Final = re.compile(
    r"(?P<amount>\s*-?[0-9]{1,40}(\.[0-9]{0,40})?([eE][-+]?[0-9]{1,3})?\s*)(\|[A-Z]{3})?", re.ASCII
)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_FLAGS: Final[Mapping[str, bool]] = {"Y": True, "1": True, "TRUE": True, "N": False, "0": False, "FALSE": False}
_INEXACT_FLOATS: Final = 2**53


class MismatchError(ValueError):
    """A value does not fit its type; the message holds names of types and fields, never a value or a key of a map."""


def mismatch(expected: str, value: object) -> MismatchError:
    """The error for a value that should have been what `expected` says."""
    return MismatchError(f"must be {expected}{', not empty' if value in (None, '') or value is False else ''}")


def _number(value: object, expected: str) -> Decimal:
    # A float at or above the limit may have been rounded by the JSON parser. NaN and infinity do not match the number
    # pattern.
    is_number = isinstance(value, (str, int)) or (isinstance(value, float) and abs(value) < _INEXACT_FLOATS)
    if is_number and not isinstance(value, bool) and (number := _NUMBER.fullmatch(str(value))):
        return Decimal(number["amount"])
    raise mismatch(expected, value)


def _read_int(value: Any, _: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    number = _number(value, "a whole number")
    if int(number) != number:
        raise mismatch("a whole number", value)
    return int(number)


def _read_float(value: Any, _: Any) -> float:
    number = value if type(value) is float else float(_number(value, "a number"))
    if not math.isfinite(number):
        raise mismatch("a number", value)
    return number


def _read_decimal(value: Any, _: Any) -> Decimal:
    return _number(value, "a number")


def _read_bool(value: Any, _: Any) -> bool:
    flag = value if isinstance(value, bool) else _FLAGS.get(str(value).upper())
    if flag is None:
        raise mismatch("true or false", value)
    return flag


def _read_str(value: Any, _: Any) -> str:
    if isinstance(value, str):
        return value
    # Some methods write numbers where others write text.
    if type(value) is int or (type(value) is float and abs(value) < _INEXACT_FLOATS):
        return str(value)
    raise mismatch("text", value)


def _read_datetime(value: Any, _: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        moment = None
    # Without an offset the time is ambiguous, because users of one portal may be in different time zones.
    if moment is None or moment.tzinfo is None:
        raise mismatch("a date and time with an offset from UTC", value)
    return moment


def _read_date(value: Any, _: Any) -> date:
    # `fromisoformat` also reads weeks and dates without dashes.
    if isinstance(value, str) and _DAY.match(value):
        with suppress(ValueError):
            # A date field may be sent as midnight in the portal's time zone; use the date part as written.
            return date.fromisoformat(value) if _DAY.fullmatch(value) else _read_datetime(value, datetime).date()
    raise mismatch("a date", value)


# Ordered from strictest to most permissive.
READERS: Final[Mapping[Any, Reader]] = {
    datetime: _read_datetime,
    date: _read_date,
    int: _read_int,
    Decimal: _read_decimal,
    float: _read_float,
    bool: _read_bool,
    str: _read_str,
    **dict.fromkeys((Any, object), lambda value, _: value),
}


def option_reader(type_: Any) -> Reader:
    """Reads an option of an enumeration or a `Literal`: by its value, which may come as text, or by a member's name."""
    if isinstance(type_, EnumType):
        members = dict[str, Any](type_.__members__)
        options = [*((member.value, member) for member in members.values()), *members.items()]
        shown = list(members)
    else:
        options = [(option.value if isinstance(option, Enum) else option, option) for option in get_args(type_)]
        shown = sorted(repr(value) for value, _ in options)
    expected = f"one of {', '.join(shown[:10])}{', ...' if len(shown) > 10 else ''}"
    # Compare with the type, because True == 1. If options are equal, the first wins.
    exact = {(type(value), value): option for value, option in reversed(options) if isinstance(value, Hashable)}
    by_text = {text: exact[bool, flag] for text, flag in _FLAGS.items() if (bool, flag) in exact}
    by_text |= {str(value): option for (kind, value), option in exact.items() if kind in (str, int, float)}

    def read_option(value: Any, _: Any) -> Any:
        if isinstance(value, Hashable) and (type(value), value) in exact:
            return exact[type(value), value]
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            if str(value) in by_text:
                return by_text[str(value)]
            # Combined flags, and what the class itself accepts; its `_missing_` may raise anything.
            with suppress(Exception):
                return type_(_read_int(value, int) if issubclass(type_, Flag) else value)
        raise mismatch(expected, value)

    return read_option


def php_map(value: Any, expected: str = "a map") -> Mapping[str, Any]:
    """A map; PHP writes an empty one as an empty list."""
    if is_mapping(value):
        return value
    if value == []:
        return {}
    raise mismatch(expected, value)


def php_list(value: Any) -> list[Any]:
    """A list; PHP writes one with gaps as a map by position."""
    if is_mapping(value) and all(key.isdigit() for key in value):
        return list(value.values())
    if is_list(value):
        return value
    raise mismatch("a list", value)
