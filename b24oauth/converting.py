"""The one place that configures cattrs: payloads into classes and back, with errors that never repeat a value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, MutableMapping, MutableSequence, Sequence
from dataclasses import is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from types import GenericAlias, NoneType, UnionType
from typing import Any, Final, Literal, TypeAlias, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

import attrs
import cattrs
import cattrs.cols
from cattrs.preconf.json import make_converter

from b24oauth.errors import ConfigurationError, InvalidDataError
from b24oauth.narrowing import is_list, is_mapping

__all__ = ["WHOLE_NUMBER", "check_row_type", "structure", "structure_row", "structure_rows", "unstructure"]

# Narrower than `int()`, which also takes underscores and digits of other scripts.
WHOLE_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)
_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,40}(\.[0-9]{0,40})?([eE][-+]?[0-9]{1,3})?\s*", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_KEY: Final = re.compile(r"""\[(['"]).*\1\]""")
_FLAGS: Final[Mapping[str, bool]] = {"Y": True, "1": True, "true": True, "N": False, "0": False, "false": False}
_MOST_PROBLEMS: Final = 5

T = TypeVar("T")
_Hook: TypeAlias = Callable[[object, Any], Any]


def _whole_number(value: object, _: type[int]) -> int:
    # Bitrix24 sends numbers as strings in forms and events.
    if isinstance(value, str) and WHOLE_NUMBER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise TypeError


def _text(value: object, _: type[str]) -> str:
    if isinstance(value, str):
        return value
    raise TypeError


def _configured() -> cattrs.Converter:
    converter = make_converter()
    converter.register_structure_hook(int, _whole_number)
    converter.register_structure_hook(str, _text)
    return converter


_converter: Final = _configured()


def _without_value(error: BaseException, expected: type | None) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, InvalidDataError):
        return "; ".join(error.problems)
    return f"must be {'of another type' if expected is None else _name(expected)}"


def structure(data: object, type_: type[T], what: str) -> T:
    """Builds an object of `type_` from plain values.

    Args:
        data: A mapping as it came from JSON, a form or a store.
        type_: The attrs class to build.
        what: Name of the payload for the error.

    Raises:
        InvalidDataError: Naming each field that is missing or does not fit, never its value.
    """
    try:
        return _converter.structure(data, type_)
    except cattrs.BaseValidationError as error:
        problems = [_placed(line) for line in cattrs.transform_error(error, format_exception=_without_value)]
    except (TypeError, ValueError, KeyError, AttributeError):
        problems = ["must be a mapping of its fields"]
    # Raised outside of the except blocks: a cause would repeat the value in tracebacks.
    raise InvalidDataError(what, problems)


def unstructure(value: object) -> Any:
    """The plain values of an object, ready for JSON."""
    return _converter.unstructure(value)


def _placed(line: str) -> str:
    problem, _, path = line.partition(" @ $")
    # What a validator refuses stands at the root: it names its field itself. Keys of maps are data as values are.
    return f"{_KEY.sub('[*]', path).removeprefix('.')} {problem}".lstrip()


def check_row_type(type_: Any) -> None:
    """Refuses a type that nothing can be built as, before anything is asked for.

    Args:
        type_: As `row_type` of `structure_rows`.

    Raises:
        ConfigurationError: Naming the type.
    """
    unknown = type_
    try:
        _row_converter.get_structure_hook(type_)
    except cattrs.StructureHandlerNotFoundError as error:
        unknown = error.type_
    except Exception:  # noqa: BLE001, S110 - a type that is looked into may fail in any way
        pass
    else:
        return
    inside = "" if unknown is type_ else f" because of {_name(unknown)}"
    raise ConfigurationError(
        f"Nothing can be built as {_name(type_)}{inside}: take an attrs class, a dataclass, a TypedDict, "
        "a number, text, flag, date or datetime, or a container of such"
    )


def structure_rows(rows: Sequence[object], row_type: type[T], *, method: str) -> list[T]:
    """Builds objects from the rows of a list.

    Numbers and dates may be strings, flags `Y` and `N`; an empty string is an absent value, but for `str`; a datetime
    needs its offset; fields are found whatever the case and underscores of their names.

    Args:
        rows: Rows as the portal answers them.
        row_type: An attrs class, dataclass or TypedDict, or any type that cattrs knows.
        method: REST method, for the error.

    Raises:
        InvalidDataError: Naming method, row and field of what does not fit, never its value.
    """
    problems: list[str] = []
    built: list[T] = []
    for position, row in enumerate(rows):
        try:
            built.append(_row_converter.structure(row, row_type))
        except cattrs.BaseValidationError as error:
            lines = cattrs.transform_error(error, format_exception=_without_value)
            problems += [f"row {position}: {_placed(line)}" for line in lines]
        except Exception:  # noqa: BLE001 - whatever people's types raise would repeat the value
            problems.append(f"row {position}: must be of another shape")
        if len(problems) >= _MOST_PROBLEMS:
            break
    if problems:
        raise InvalidDataError(f"The answer to {method} does not fit {_name(row_type)}", problems[:_MOST_PROBLEMS])
    return built


def structure_row(value: object, row_type: type[T], *, method: str) -> T:
    """Builds one object from an answer; as `structure_rows`."""
    return structure_rows([value], row_type, method=method)[0]


def _name(type_: Any) -> str:
    return str(type_).replace("typing.", "") if get_args(type_) else getattr(type_, "__name__", str(type_))


def _number(value: object) -> Decimal:
    # Infinities and NaN, which Python's JSON reads, do not look like numbers.
    if not isinstance(value, bool) and isinstance(value, (str, int, float)) and _NUMBER.fullmatch(text := str(value)):
        return Decimal(text)
    raise TypeError


def _float(value: object) -> float:
    number = float(_number(value))
    if math.isfinite(number):
        return number
    raise TypeError


def _integer(value: object) -> int:
    number = _number(value)
    if int(number) == number:  # by way of float a long identifier would be rounded
        return int(number)
    raise TypeError


def _decimal(value: object) -> Decimal:
    return _number(value.partition("|")[0] if isinstance(value, str) else value)  # money has its currency behind a bar


def _flag(value: object) -> bool:
    flag = value if isinstance(value, bool) else _FLAGS.get(_any_text(value))
    if flag is None:
        raise TypeError
    return flag


def _any_text(value: object) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise TypeError


def _moment(value: object) -> datetime:
    if isinstance(value, str) and (moment := datetime.fromisoformat(value)).tzinfo:
        return moment
    raise TypeError


def _day(value: object) -> date:
    # `fromisoformat` takes more than days of months, such as days of weeks.
    if not isinstance(value, str) or not _DAY.match(value):
        raise TypeError
    return date.fromisoformat(value) if _DAY.fullmatch(value) else _moment(value).date()


def _php_map(value: object) -> Mapping[str, Any]:
    if is_mapping(value):
        return value
    if value == []:  # PHP does not tell an empty map from an empty list
        return {}
    raise TypeError


def _php_list(value: object) -> list[Any]:
    if is_mapping(value) and all(WHOLE_NUMBER.fullmatch(key) for key in value):
        return list(value.values())  # PHP writes a list with gaps as a map by position
    if is_list(value):
        return value
    raise TypeError


def _one_of(options: Iterable[Any], value: object) -> Any:
    text = _any_text(value)
    for option in options:
        if text == str(option.value if isinstance(option, Enum) else option):
            return option
    raise TypeError


def _is_optional(type_: Any) -> bool:
    return get_origin(type_) in (Union, UnionType) and NoneType in get_args(type_)


def _has_items(type_: Any) -> bool:
    return get_origin(type_) in (set, frozenset) or (get_origin(type_) is tuple and Ellipsis in get_args(type_))


def _takes_empty(type_: Any) -> bool:
    if get_origin(type_) in (Union, UnionType, Literal):
        return any(option in ("", NoneType) or _takes_empty(option) for option in get_args(type_))
    base = getattr(type_, "__supertype__", type_)  # a NewType's
    if isinstance(base, type) and issubclass(base, Enum):
        return any(member.value == "" for member in base)
    return base in (str, Any)


def _by_fields(cls: Any) -> Callable[[object], dict[str, Any]]:
    """Makes what finds a row's fields: names may be spelled otherwise, and empty values may be absent ones."""
    types = get_type_hints(get_origin(cls) or cls)
    spelled = {name.replace("_", "").lower(): name for name in types} | {name.lower(): name for name in types}
    keeps_empty = {name for name, type_ in types.items() if _takes_empty(type_)}
    keeps_none = {name for name, type_ in types.items() if type_ is Any or _is_optional(type_)}

    def found(row: object) -> dict[str, Any]:
        given: dict[str, Any] = {}
        for key, value in _php_map(row).items():
            lower = key.lower()
            name = key if key in types else spelled.get(lower) or spelled.get(lower.replace("_", ""))
            if name is None or (name in given and key != name):
                continue
            if value not in (None, "") or name in (keeps_none if value is None else keeps_empty):
                given[name] = value
        return given

    return found


def _after(prepare: Callable[[Any], object], inner: Any) -> _Hook:
    return lambda value, type_: inner(prepare(value), type_)


def _simple(kind: type, read: Callable[[object], object]) -> _Hook:
    def hook(value: object, type_: Any) -> Any:
        if type_ is kind:
            return read(value)
        # cattrs comes here for subclasses too: enumerations of numbers and texts above all.
        return _one_of(type_, value) if issubclass(type_, Enum) else type_(read(value))

    return hook


_SIMPLE: Final[Mapping[type, Callable[[object], object]]] = {
    int: _integer,
    float: _float,
    Decimal: _decimal,
    bool: _flag,
    str: _any_text,
    datetime: _moment,
    date: _day,
}


def _for_rows() -> cattrs.Converter:
    converter = make_converter()
    # Not every part of cattrs has complete types.
    factories: Any = converter
    cols: Any = cattrs.cols

    def on(fits: Callable[[Any], bool], factory: Callable[[Any], _Hook]) -> None:
        factories.register_structure_hook_factory(fits, factory)

    def of_optional(type_: Any) -> _Hook:
        inner: Any = Union[tuple(arg for arg in get_args(type_) if arg is not NoneType)]  # noqa: UP007  # of a tuple
        build = factories.get_structure_hook(inner)
        return lambda value, _: None if value is None or value == "" else build(value, inner)

    def of_items(type_: Any) -> _Hook:
        made: Any = get_origin(type_)
        items: Any = GenericAlias(list, get_args(type_)[:1])
        build = factories.get_structure_hook(items)
        return lambda value, _: made(build(value, items))

    def on_containers(kinds: tuple[type, ...], prepare: Callable[[object], object], factory: Any) -> None:
        on(
            lambda type_: (get_origin(type_) or type_) in kinds,
            lambda type_: _after(prepare, factory(type_, converter)),
        )

    for kind, read in _SIMPLE.items():
        converter.register_structure_hook(kind, _simple(kind, read))
    converter.register_structure_hook(Enum, lambda value, type_: _one_of(type_, value))
    on(lambda type_: get_origin(type_) is Literal, lambda type_: lambda value, _: _one_of(get_args(type_), value))
    on(_is_optional, of_optional)
    on(_has_items, of_items)
    on_containers((list, Sequence, MutableSequence), _php_list, cols.list_structure_factory)
    on_containers((dict, Mapping, MutableMapping), _php_map, cols.mapping_structure_factory)
    on(
        lambda type_: attrs.has(type_) or is_dataclass(type_),
        lambda cls: _after(_by_fields(cls), factories.gen_structure_attrs_fromdict(cls)),
    )
    on(is_typeddict, lambda cls: _after(_by_fields(cls), factories.gen_structure_typeddict(cls)))
    return converter


_row_converter: Final = _for_rows()
