"""Reads single values as Bitrix24 writes them: numbers, texts, flags, dates and options."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any, Final, TypeAlias, TypeVar, get_args
from uuid import UUID

from b24oauth.converting import WHOLE_NUMBER
from b24oauth.narrowing import is_list, is_mapping
from b24oauth.rows.annotations import name_of
from b24oauth.rows.failures import mismatch

__all__ = [
    "SINGLE_VALUES",
    "Reader",
    "amount_of",
    "enum_reader",
    "is_by_position",
    "literal_reader",
    "php_list",
    "php_map",
    "read_date",
    "unchanged",
]

Reader: TypeAlias = Callable[[Any], Any]
T = TypeVar("T")
_Moment = TypeVar("_Moment", bound=date)

_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,40}(\.[0-9]{0,40})?([eE][-+]?[0-9]{1,3})?\s*", re.ASCII)
# Bitrix24 writes money as the amount, a bar and the code of the currency.
_MONEY: Final = re.compile(r"([^|]+)\|[A-Z]{3}", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_POSITION: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_FLAGS: Final[Mapping[str, bool]] = {"Y": True, "1": True, "TRUE": True, "N": False, "0": False, "FALSE": False}
_MAX_EXACT_FLOAT: Final = 2**53
_SHOWN_OPTIONS: Final = 10


def _number(value: object, expected: str) -> Decimal:
    # NaN and the infinities, which Python's JSON reads, do not look like numbers.
    if isinstance(value, (str, int, float)) and not isinstance(value, bool) and _NUMBER.fullmatch(text := str(value)):
        return Decimal(text)
    raise mismatch(expected, value)


def _read_int(value: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is str and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    number = _number(value, "a whole number")
    # Through a float, long identifiers would be rounded; one that came as a float may have been rounded already.
    if int(number) != number or (isinstance(value, float) and abs(value) > _MAX_EXACT_FLOAT):
        raise mismatch("a whole number", value)
    return int(number)


def _read_float(value: Any) -> float:
    number = float(_number(value, "a number"))
    if not math.isfinite(number):
        raise mismatch("a number", value)
    return number


def _read_decimal(value: Any) -> Decimal:
    return _number(amount_of(value), "a number")


def amount_of(value: Any) -> Any:
    """The amount of money that is written with its currency; other values as they are."""
    money = _MONEY.fullmatch(value) if isinstance(value, str) else None
    return value if money is None else money[1]


def _read_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    flag = _FLAGS.get(value.upper()) if isinstance(value, str) else None
    if isinstance(value, (int, float)) and value in (0, 1):
        flag = bool(value)
    if flag is None:
        raise mismatch("true or false", value)
    return flag


def _read_str(value: Any) -> str:
    if isinstance(value, str):
        return value
    # Some methods write numbers where others write text.
    if (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, float) and math.isfinite(value)):
        return str(value)
    raise mismatch("text", value)


def _read_datetime(value: Any) -> datetime:
    moment = _iso(datetime.fromisoformat, value)
    # Without an offset nobody knows which moment is meant: the users of one portal live in several time zones.
    if moment is None or moment.tzinfo is None:
        raise mismatch("a date and time with an offset from UTC", value)
    return moment


def read_date(value: Any) -> date:
    """A date, or the date of a date and time with an offset."""
    # `fromisoformat` also reads weeks and dates without dashes.
    if not isinstance(value, str) or not _DAY.match(value):
        raise mismatch("a date", value)
    if not _DAY.fullmatch(value):
        # Date fields may come as midnight in the portal's time zone: the date is the one that is written.
        return _read_datetime(value).date()
    day = _iso(date.fromisoformat, value)
    if day is None:
        raise mismatch("a date", value)
    return day


def _iso(parse: Callable[[str], _Moment], value: Any) -> _Moment | None:
    try:
        return parse(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _read_uuid(value: Any) -> UUID:
    # `UUID` itself also takes underscores and digits of other scripts.
    if isinstance(value, str) and _UUID.fullmatch(value):
        return UUID(value)
    raise mismatch("a UUID", value)


def _path_reader(cls: type[PurePath]) -> Reader:
    def read_path(value: Any) -> PurePath:
        if isinstance(value, str) and value:
            return cls(value)
        raise mismatch("a path", value)

    return read_path


def unchanged(value: Any) -> Any:
    """The value as it came."""
    return value


SINGLE_VALUES: Final[Mapping[Any, Reader]] = {
    Any: unchanged,
    object: unchanged,
    int: _read_int,
    float: _read_float,
    Decimal: _read_decimal,
    bool: _read_bool,
    str: _read_str,
    datetime: _read_datetime,
    date: read_date,
    UUID: _read_uuid,
    **{cls: _path_reader(cls) for cls in (Path, PurePath, PurePosixPath, PureWindowsPath)},
}


def enum_reader(cls: type[Enum]) -> Reader:
    """Reads members by their value, which may come as text, else by their name."""
    by_text = _by_text((option.value, option) for option in cls)
    names = list(cls.__members__)
    shown = ", ".join(names[:_SHOWN_OPTIONS]) + (", ..." if len(names) > _SHOWN_OPTIONS else "")

    def read_enum(value: Any) -> Enum:
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            option = by_text.get(str(value), cls.__members__.get(str(value)))
            if option is not None:
                return option
        try:
            # Other kinds of values, combined flags, and what the class itself accepts.
            option = cls(_read_int(value) if issubclass(cls, Flag) else value)
        except Exception:  # noqa: BLE001 - `_missing_` of the class may raise anything
            option = None
        # True equals 1, but is not meant by it.
        if option is None or (isinstance(value, bool) and option.value is not value):
            raise mismatch(f"one of {shown} ({cls.__name__})", value)
        return option

    return read_enum


def literal_reader(literal: Any) -> Reader:
    """Reads the options of a `Literal`, which may come as text."""
    options = [(option.value if isinstance(option, Enum) else option, option) for option in get_args(literal)]
    exact: dict[tuple[Any, Any], Any] = {(type(value), value): option for value, option in options}
    by_text = _by_text(options)
    expected = f"one of {name_of(literal)}"

    def read_literal(value: Any) -> Any:
        if value is None or isinstance(value, (str, int, float)):
            if (type(value), value) in exact:
                return exact[type(value), value]
            if not isinstance(value, bool) and str(value) in by_text:
                return by_text[str(value)]
        raise mismatch(expected, value)

    return read_literal


def _by_text(options: Iterable[tuple[Any, T]]) -> dict[str, T]:
    """Options by the text that Bitrix24 may write for their value; the first one counts."""
    by_text: dict[str, T] = {}
    for value, option in options:
        if isinstance(value, bool):
            texts = [text for text, flag in _FLAGS.items() if flag is value]
        else:
            texts = [str(value)] if isinstance(value, (str, int, float)) else []
        for text in texts:
            by_text.setdefault(text, option)
    return by_text


def php_map(value: Any, expected: str = "a map") -> Mapping[str, Any]:
    """A map; PHP writes an empty one as an empty list."""
    if is_mapping(value):
        return value
    if value == []:
        return {}
    raise mismatch(expected, value)


def is_by_position(value: object) -> bool:
    """True for a map by position, which is how PHP writes a list with gaps."""
    return is_mapping(value) and all(_POSITION.fullmatch(key) for key in value)


def php_list(value: Any) -> list[Any]:
    """A list, also one that is written as a map by position."""
    if is_list(value):
        return value
    if is_by_position(value):
        return list(value.values())
    raise mismatch("a list", value)
