"""The one place that configures cattrs: payloads into classes and back, with errors that never repeat a value."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

import attrs
import cattrs
from cattrs.cols import is_sequence as is_sequence_type
from cattrs.cols import list_structure_factory
from cattrs.preconf.json import make_converter

from b24oauth.errors import InvalidDataError
from b24oauth.narrowing import is_list, is_mapping

__all__ = ["WHOLE_NUMBER", "structure", "structure_row", "structure_rows", "unstructure"]

# Narrower than `int()`, which also takes underscores and digits of other scripts.
WHOLE_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)

T = TypeVar("T")


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
    problem, _, path = line.rpartition(" @ ")
    # What a validator refuses stands at the root: it names its field itself.
    return f"{path.removeprefix('$').removeprefix('.')} {problem}".lstrip()


# --- rows of Bitrix24 ------------------------------------------------------------------------------------------------

_TRUE: Final = frozenset({"Y", "1", "true"})
_FALSE: Final = frozenset({"N", "0", "false", ""})
_MOST_PROBLEMS: Final = 5


def structure_rows(rows: Sequence[object], row_type: type[T], *, method: str) -> list[T]:
    """Builds objects from the rows of a list.

    Numbers and dates may be strings, flags `Y` and `N`; an empty string is an absent value, but for `str`; fields are
    found whatever the case and underscores of their names.

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
        except (TypeError, ValueError, KeyError, AttributeError):
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
    return getattr(type_, "__name__", str(type_))


def _integer(value: object, _: type[int]) -> int:
    if isinstance(value, str):
        value = float(value) if "." in value else int(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(value):
        return int(value)
    raise TypeError


def _float(value: object, _: type[float]) -> float:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return float(value)
    raise TypeError


def _decimal(value: object, _: type[Decimal]) -> Decimal:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return Decimal(str(value).partition("|")[0])  # money carries its currency behind a bar
    raise TypeError


def _flag(value: object, _: type[bool]) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value)
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    raise TypeError


def _any_text(value: object, _: type[str]) -> str:
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    raise TypeError


def _moment(value: object, _: type[datetime]) -> datetime:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    raise TypeError


def _day(value: object, _: type[date]) -> date:
    if isinstance(value, str):
        return datetime.fromisoformat(value).date()
    raise TypeError


def _plain_name(name: str) -> str:
    return name.replace("_", "").lower()


def _as_rows_name_them(cls: Any, types: Mapping[str, Any], inner: Any) -> Any:
    """Structures a class from a row whose names may be spelled otherwise, and whose empty values may be absent ones."""
    spelled = {_plain_name(name): name for name in types}
    keeps_empty = {name for name, type_ in types.items() if type_ in (str, Any)}
    may_be_none = {name for name, type_ in types.items() if type_ is Any or type(None) in get_args(type_)}
    maps = {name for name, type_ in types.items() if get_origin(type_) is dict}

    def build(row: object, _: Any) -> Any:
        if row == []:
            row = {}  # PHP's empty map
        if not is_mapping(row):
            raise TypeError
        given: dict[str, Any] = {}
        for key, value in row.items():
            name = key if key in types else spelled.get(_plain_name(str(key)))
            if name is None or (name in given and key != name):
                continue
            if value is None or (value == "" and name not in keeps_empty):
                if name in may_be_none:
                    given[name] = None
                continue  # absent: the default holds, or the field is missing
            given[name] = {} if value == [] and name in maps else value
        return inner(given, cls)

    return build


def _php_list(inner: Any) -> Any:
    """PHP writes a list with gaps as a map by position."""

    def build(value: object, type_: Any) -> Any:
        if is_mapping(value) and all(str(key).isdigit() for key in value):
            value = list(value.values())
        if not is_list(value):
            raise TypeError
        return inner(value, type_)

    return build


def _for_rows() -> cattrs.Converter:
    converter: Any = make_converter(detailed_validation=True)
    simple: tuple[tuple[Any, Any], ...] = (
        (int, _integer),
        (float, _float),
        (Decimal, _decimal),
        (bool, _flag),
        (str, _any_text),
        (datetime, _moment),
        (date, _day),
    )
    for type_, hook in simple:
        converter.register_structure_hook(type_, hook)

    def of_list(type_: Any) -> Any:
        return _php_list(list_structure_factory(type_, converter))

    def of_class(cls: Any) -> Any:
        names = [one.name for one in (attrs.fields(cls) if attrs.has(cls) else fields(cls))]
        hints = get_type_hints(cls)
        types = {name: hints.get(name, Any) for name in names}
        return _as_rows_name_them(cls, types, converter.gen_structure_attrs_fromdict(cls))

    def of_typed_dict(cls: Any) -> Any:
        return _as_rows_name_them(cls, get_type_hints(cls), converter.gen_structure_typeddict(cls))

    converter.register_structure_hook_factory(is_sequence_type, of_list)
    converter.register_structure_hook_factory(attrs.has, of_class)
    converter.register_structure_hook_factory(is_dataclass, of_class)
    converter.register_structure_hook_factory(is_typeddict, of_typed_dict)
    made: cattrs.Converter = converter
    return made


_row_converter: Final = _for_rows()
