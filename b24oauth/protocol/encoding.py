"""Encodes parameters for Bitrix24: JSON bodies and the query strings of batch commands.

Both use the same rules. Decoding of responses is in `decoding`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import quote

from b24oauth.errors import InvalidParamsError
from b24oauth.protocol.batch_ref_v2 import BatchRefV2
from b24oauth.protocol.batch_ref_v3 import BatchRefV3
from b24oauth.protocol.files import File, write_file

__all__ = ["References", "encode_json", "encode_query", "places_in", "to_json", "write_query"]

Reference: TypeAlias = BatchRefV2 | BatchRefV3
References: TypeAlias = list[tuple[str, Reference]]
_Container: TypeAlias = Mapping[object, object] | list[object] | tuple[object, ...]

_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
_LEAVES: Final = frozenset({str, int, bool, type(None)})
_MINUTE: Final = timedelta(minutes=1)
# Names that PHP cuts, changes or drops: the first of a bracketed name, and those inside its brackets.
# Source: https://www.php.net/manual/en/language.variables.external.php
_MISREAD_NAME: Final = re.compile(r"\0|\A(?:[ \[]|\Z)|\[[^\]]*\Z")
_LEFT_OUT_WHEN_EMPTY: Final = frozenset({"filter", "select", "order"})
_MISREAD_KEY: Final = re.compile(r"[\]\0]|\A[ \t-\r]?\Z")


class _Walk(NamedTuple):
    """One walk through parameters.

    Attributes:
        method: REST method that they are for; empty when it is not known.
        references: Collects the references to other commands, each with its place; None where they mean nothing.
        above: The containers around the present value.
    """

    method: str
    references: References | None
    above: set[int]


_Conversion: TypeAlias = Callable[[Any, str, _Walk], object]


def encode_query(params: Mapping[str, object]) -> str:
    """Write parameters as the query string of a batch command, the way PHP reads it back.

    True and False become `1` and `0`, for every other text but `0` is true in PHP. An empty list becomes `k[]=`,
    because leaving it out would keep the old value of a multiple field; an empty `filter`, `select` or `order` is left
    out, because there PHP would read a condition.

    Args:
        params: Parameters of one command.

    Returns:
        The query string, brackets percent-encoded and keys in the given order.

    Raises:
        InvalidParamsError: A value cannot be sent, or PHP would read its name otherwise; the message names its place.

    Source: https://dev.1c-bitrix.ru/rest_help/general/batch.php
    """
    return write_query(to_json(params))


def write_query(plain: object) -> str:
    """Write plain values, as `to_json` gives them, as the query string of a batch command; see `encode_query`.

    Args:
        plain: Parameters of one command; a reference counts as text.

    Raises:
        InvalidParamsError: A value cannot be sent, or PHP would read its name otherwise; the message names its place.
    """
    if not isinstance(plain, dict):
        raise InvalidParamsError("The parameters of a command must be a mapping of names to values")
    names: dict[str, object] = {}
    for name, given in cast("dict[str, object]", plain).items():
        value = _without_empty_groups(given) if name.lower() == "filter" else given
        if value not in ({}, []) or name.lower() not in _LEFT_OUT_WHEN_EMPTY:
            names[name] = value
    try:
        return "&".join(_query_pairs(names))
    except ValueError:
        misread = next(_misread_places(names, "", _MISREAD_NAME), None)
    if misread is None:
        raise _unwritable(names)
    raise _refused(
        misread,
        "PHP would read another name in the command of a batch; nest a mapping instead, for example "
        "{'filter': {'>ID': 1}}, or call the method outside of the batch",
    )


def encode_json(body: object, method: str = "") -> bytes:
    """Write parameters as a JSON body.

    Args:
        body: Parameters by name, or a list of commands.
        method: REST method that they are for, which decides in what form a file is written.

    Returns:
        UTF-8 text without spaces between the tokens.

    Raises:
        InvalidParamsError: A value cannot be sent; the message names its place.
    """
    plain = to_json(body, method)
    try:
        return _JSON.encode(plain).encode()
    except ValueError:
        pass
    raise _unwritable(plain)


def to_json(params: object, method: str = "", *, references: References | None = None) -> object:
    """Turn parameters into plain values: dict, list, str, int, float, bool, None.

    Args:
        params: Parameters by name, or a list of commands.
        method: REST method that they are for, which decides in what form a file is written.
        references: Gets the references to other commands of a batch, each with its place; they stay as they are in the
            copy. Without it they are refused.

    Returns:
        A copy; decimals and dates have become text, enumerations their values and sets sorted lists.

    Raises:
        InvalidParamsError: A value cannot be sent; the message names its place.
    """
    try:
        return _plain(params, "", _Walk(method, references, set()))
    except RecursionError:
        pass
    # Raised outside the except block, so that the chained traceback does not contain the parameters.
    raise InvalidParamsError("Parameters are nested too deeply to be sent; flatten them")


def _plain(value: Any, place: str, walk: _Walk) -> object:
    if type(value) in _LEAVES:
        return cast("object", value)
    if isinstance(value, (dict, list, tuple)):
        return _plain_container(cast("_Container", value), place, walk)
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return _plain(convert(value, place, walk), place, walk)
    if isinstance(value, (float, str, int)):
        return _finite(value, place) if isinstance(value, float) else value
    if isinstance(value, Reference):
        return _reference(value, place, walk)
    if isinstance(value, Mapping):
        return _plain_container(cast("_Container", value), place, walk)
    raise _refused(place, f"a value of type {type(value).__name__} cannot be sent; convert it to text or a number")


def _plain_container(value: _Container, place: str, walk: _Walk) -> object:
    above = walk.above
    if id(value) in above:
        raise InvalidParamsError(f"Parameters contain circular references: {place} refers to what contains it")
    above.add(id(value))
    plain: object
    if isinstance(value, Mapping):
        names: dict[str, object] = {}
        for key, item in value.items():
            name = key if type(key) is str else _name(key, place)
            names[name] = item if type(item) in _LEAVES else _plain(item, _inside(place, name), walk)
        if len(names) != len(value):
            raise _refused(place, "two keys are written alike, such as 1 and '1'; one would hide the other")
        plain = names
    else:
        plain = [
            item if type(item) in _LEAVES else _plain(item, f"{place}[{index}]", walk)
            for index, item in enumerate(value)
        ]
    above.discard(id(value))
    return plain


def _name(key: object, place: str) -> str:
    name: object = key.value if isinstance(key, Enum) else key
    if isinstance(name, str):
        return name
    if isinstance(name, int) and not isinstance(name, bool):
        return int.__repr__(name)
    raise _refused(place, f"a key of type {type(key).__name__} cannot be sent; keys are text or whole numbers")


def _inside(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _finite(value: float, place: str) -> float:
    if math.isfinite(value):
        return value
    raise _refused(place, "NaN and infinity cannot be sent; use None or leave the value out")


def _reference(value: Reference, place: str, walk: _Walk) -> object:
    if walk.references is None:
        raise _refused(place, "a reference to the response of another command only works inside a batch")
    walk.references.append((place, value))
    return value


def _decimal(value: Decimal, place: str, _walk: _Walk) -> str:
    if value.is_finite():
        return format(value, "f")
    raise _refused(place, "NaN and infinity cannot be sent; use None or leave the value out")


def _moment(value: datetime, place: str, _walk: _Walk) -> str:
    offset = value.utcoffset()
    if offset is None:
        raise _refused(place, "a datetime without a time zone is ambiguous; give it one (tzinfo=...)")
    if offset % _MINUTE:
        # Historical time zones have offsets with seconds, which the format cannot express; use the same instant with
        # the offset rounded down to a minute.
        value = _with_offset(value, timezone(offset - offset % _MINUTE), place)
    return value.isoformat(timespec="seconds")


def _with_offset(value: datetime, zone: timezone, place: str) -> datetime:
    try:
        return value.astimezone(zone)
    except OverflowError:
        pass
    raise _refused(place, "a datetime so near to the first or last one needs an offset of whole minutes")


def _date(value: date, _place: str, _walk: _Walk) -> str:
    return value.isoformat()


def _enum(value: Enum, _place: str, _walk: _Walk) -> object:
    return value.value


def _file(value: File, place: str, walk: _Walk) -> object:
    return write_file(value, walk.method, place)


def _sorted(value: Iterable[Any], place: str, _walk: _Walk) -> list[object]:
    try:
        return sorted(value, key=lambda item: item.value if isinstance(item, Enum) else item)
    except TypeError:
        pass
    raise _refused(place, "the members of this set cannot be put in order; pass a list")


# The first matching row is used; the order matters, because an enum may be an int, and datetime is a subclass of date.
_CONVERSIONS: Final[tuple[tuple[type, _Conversion], ...]] = (
    (Enum, _enum),
    (File, _file),
    (Decimal, _decimal),
    (datetime, _moment),
    (date, _date),
    (set, _sorted),
    (frozenset, _sorted),
)


def _query_pairs(plain: Mapping[str, object]) -> list[str]:
    pairs: list[str] = []
    for name, value in plain.items():
        if _MISREAD_NAME.search(name):
            raise ValueError
        _add_pairs(pairs, quote(name, safe=""), value)
    return pairs


def _without_empty_groups(filter_: object) -> object:
    """The filter without its empty groups, which are no conditions, while `filter[0][]=` would be one."""
    if isinstance(filter_, list):
        groups = cast("list[object]", filter_)
        if not all(isinstance(group, dict) for group in groups):
            return groups
        filter_ = {str(position): group for position, group in enumerate(groups)}
    if not isinstance(filter_, dict):
        return filter_
    conditions = {
        name: _without_empty_groups(value) if name.isdigit() else value
        for name, value in cast("dict[str, object]", filter_).items()
    }
    return {name: value for name, value in conditions.items() if value not in ({}, []) or not name.isdigit()}


def _add_pairs(pairs: list[str], key: str, value: object) -> None:
    if not isinstance(value, (dict, list)):
        pairs.append(f"{key}={quote(_text(value), safe='')}")
        return
    container = cast("dict[str, object] | list[object]", value)
    if not container:
        pairs.append(f"{key}%5B%5D=")
    for name, item in _items(container):
        if _MISREAD_KEY.search(name):
            raise ValueError
        _add_pairs(pairs, f"{key}%5B{quote(name, safe='')}%5D", item)


def _items(container: dict[str, object] | list[object]) -> Iterable[tuple[str, object]]:
    if isinstance(container, dict):
        return container.items()
    return ((str(index), item) for index, item in enumerate(container))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        return float.__repr__(value)
    return cast("str", value)


def places_in(
    plain: object, is_sought: Callable[[str], bool], place: str = "", *, keys_only: bool = False
) -> Iterator[str]:
    """Places of the keys and texts that are sought in plain values, as `to_json` gives them.

    Args:
        plain: The values; references are passed over.
        is_sought: Judges each key and each text.
        place: Where the values stand themselves.
        keys_only: Whether only keys are looked at.
    """
    if isinstance(plain, dict):
        for name, item in cast("dict[str, object]", plain).items():
            if is_sought(name):
                yield _inside(place, "<key>")
            yield from places_in(item, is_sought, _inside(place, name), keys_only=keys_only)
    elif isinstance(plain, list):
        for index, item in enumerate(cast("list[object]", plain)):
            yield from places_in(item, is_sought, f"{place}[{index}]", keys_only=keys_only)
    elif isinstance(plain, str) and not keys_only and is_sought(plain):
        yield place


def _misread_places(plain: object, place: str, misread: re.Pattern[str]) -> Iterator[str]:
    if isinstance(plain, dict):
        for name, item in cast("dict[str, object]", plain).items():
            if misread.search(name):
                yield _inside(place, name if name.strip() and name.isprintable() else "<unreadable key>")
            yield from _misread_places(item, _inside(place, name), _MISREAD_KEY)
    elif isinstance(plain, list):
        for index, item in enumerate(cast("list[object]", plain)):
            yield from _misread_places(item, f"{place}[{index}]", _MISREAD_KEY)


def _unwritable(plain: object) -> InvalidParamsError:
    # Search for the invalid value only after encoding failed; checking all strings in advance would slow down every
    # call.
    place = next(_unwritable_places(plain, ""), "")
    return _refused(place, "text must be Unicode without lone surrogates, and numbers must have fewer than 4300 digits")


def _unwritable_places(plain: object, place: str) -> Iterator[str]:
    if isinstance(plain, dict):
        for name, item in cast("dict[str, object]", plain).items():
            if not _is_writable(name):
                yield _inside(place, "<unwritable key>")
            yield from _unwritable_places(item, _inside(place, name))
    elif isinstance(plain, list):
        for index, item in enumerate(cast("list[object]", plain)):
            yield from _unwritable_places(item, f"{place}[{index}]")
    elif not _is_writable(plain):
        yield place


def _is_writable(value: object) -> bool:
    try:
        _text(value).encode()
    except ValueError:
        return False
    return True


def _refused(place: str, reason: str) -> InvalidParamsError:
    return InvalidParamsError(f"{place or 'The parameters'}: {reason}")
