"""Rows as pydantic models: what PHP writes is put right, then pydantic reads it. This never imports pydantic."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import attrs

from b24oauth.narrowing import is_list, is_mapping
from b24oauth.rows.annotations import LISTS, MAPS, is_enum, is_hashable, is_union, name_of, origin_of, stripped
from b24oauth.rows.empties import none_test
from b24oauth.rows.failures import MismatchError, Problem, UnsupportedTypeError
from b24oauth.rows.fields import (
    FieldNames,
    fields_of,
    has_fields,
    is_root_model,
    needs_fields,
    runs_first,
    validates_first,
)
from b24oauth.rows.values import (
    Reader,
    amount_of,
    enum_reader,
    is_by_position,
    literal_reader,
    php_list,
    read_date,
    unchanged,
)

__all__ = ["model_reader"]

_Prepare = Callable[[Any], Any]

# Takes the place of a value that pydantic would read and we do not: pydantic refuses this, and names the field.
_REFUSED: Final = object()
_EXPECTED: Final = {
    code: f"must be {expected}"
    for expected, codes in {
        "a whole number": "int_type int_parsing int_parsing_size int_from_float",
        "a number": "float_type float_parsing finite_number decimal_type decimal_parsing",
        "true or false": "bool_type bool_parsing",
        "text": "string_type string_sub_type string_unicode",
        "a date and time with an offset from UTC": "datetime_type datetime_parsing datetime_from_date_parsing "
        "datetime_object_invalid timezone_aware",
        "a date": "date_type date_parsing date_from_datetime_parsing date_from_datetime_inexact",
        "one of its options": "enum literal_error",
        "a list": "list_type tuple_type set_type frozen_set_type iterable_type",
        "a map": "dict_type mapping_type",
        "a map of fields": "model_type model_attributes_type dataclass_type",
        "a UUID": "uuid_type uuid_parsing",
    }.items()
    for code in codes.split()
} | {"missing": "is missing or empty", "extra_forbidden": "is not a field"}


def model_reader(cls: Any) -> Reader:
    """The reader of a pydantic model.

    Names and empty values are treated as in other classes. A model or field with a validator that runs before pydantic
    gets its value as it came.

    Raises:
        UnsupportedTypeError: An annotation of the model names something that cannot be found.
    """
    if not _is_complete(cls):
        raise UnsupportedTypeError(name_of(cls), "use a subclass of BaseModel whose annotations pydantic can resolve")
    preparation = _Preparation()
    prepare = preparation.of(cls)
    names = frozenset(preparation.names)

    def read_model(value: Any) -> Any:
        prepared = prepare(value)
        try:
            return cls.model_validate(prepared)
        except RecursionError:
            raise
        except Exception as error:  # noqa: BLE001 - validators may raise anything, and would repeat the values
            problems = _problems(error, prepared, cls, names)
        raise MismatchError(problems)

    return read_model


class _Preparation:
    """Makes functions that put right what PHP writes, for a model and the types inside it.

    Attributes:
        names: Names of all fields inside, which errors may show.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._made: dict[Any, _Prepare] = {}

    def of(self, type_: Any) -> _Prepare:
        if get_origin(type_) is Annotated and any(map(runs_first, get_args(type_)[1:])):
            return unchanged
        plain = stripped(type_)
        if not is_hashable(plain):
            return self._make(plain)
        made = self._made
        if plain not in made:

            def prepare_later(value: Any) -> Any:
                return made[plain](value)

            # Where the type is inside itself, this is looked up when a value is read.
            made[plain] = prepare_later
            made[plain] = self._make(plain)
        return made[plain]

    def _make(self, type_: Any) -> _Prepare:
        origin, arguments = origin_of(type_), get_args(type_)
        prepare = _SINGLE_VALUES.get(origin, unchanged)
        if is_union(type_):
            prepare = self._union(type_)
        elif origin in LISTS:
            prepare = self._list(arguments)
        elif origin in MAPS and len(arguments) == 2:
            prepare = self._map(arguments)
        elif origin is Literal:
            prepare = partial(_read_or_leave, literal_reader(type_))
        elif is_enum(origin):
            prepare = partial(_read_or_leave, enum_reader(origin))
        elif is_root_model(origin):
            prepare = self.of(origin.model_fields["root"].annotation)
        elif has_fields(origin) and not attrs.has(origin):
            # pydantic takes attrs classes only ready made, if at all.
            prepare = self._class(type_)
        return prepare

    def _union(self, type_: Any) -> _Prepare:
        others = [member for member in get_args(type_) if stripped(member) is not NoneType]
        if len(others) == 1:
            prepare = self.of(others[0])
        else:
            classes = [
                (FieldNames(fields_of(member)), self.of(member)) for member in others if has_fields(stripped(member))
            ]
            prepare = partial(_prepare_best, classes) if classes else unchanged
        if len(others) == len(get_args(type_)):
            return prepare
        is_none = none_test(type_, needs_fields=needs_fields(type_))
        return lambda value: None if is_none(value) else prepare(value)

    def _list(self, arguments: tuple[Any, ...]) -> _Prepare:
        # The items of a fixed tuple differ; the last type goes on for the rest, as in `tuple[X, ...]`.
        items = [self.of(argument) for argument in arguments if argument is not Ellipsis] or [unchanged]

        def prepare_list(value: Any) -> Any:
            if is_by_position(value):
                value = php_list(value)
            if not is_list(value):
                return value
            return [items[min(position, len(items) - 1)](item) for position, item in enumerate(value)]

        return prepare_list

    def _map(self, arguments: tuple[Any, ...]) -> _Prepare:
        prepare_item = self.of(arguments[1])
        has_numbers_as_keys = stripped(arguments[0]) is int

        def prepare_map(value: Any) -> Any:
            if value == [] or (has_numbers_as_keys and is_list(value)):
                value = dict(enumerate(value))
            return {key: prepare_item(item) for key, item in value.items()} if is_mapping(value) else value

        return prepare_map

    def _class(self, cls: Any) -> _Prepare:
        try:
            fields = fields_of(cls)
        except UnsupportedTypeError:
            return unchanged  # pydantic may know more about the annotations of a class inside a model
        names = FieldNames(fields)
        self.names.update(name for field in fields for name in (field.name, *field.other_names))
        if validates_first(cls):
            return unchanged
        prepares = {field.argument: unchanged if field.reads_itself else self.of(field.type) for field in fields}

        def prepare_class(value: Any) -> Any:
            row: Any = {} if value == [] else value
            if not is_mapping(row):
                return row
            prepared: dict[str, Any] = {}
            for key, item in row.items():
                match = names.find(key)
                if match is None:
                    prepared[key] = item
                    continue
                field, is_exact = match
                if field.is_absent(item) and not field.reads_itself:
                    continue
                if is_exact or field.argument not in prepared:
                    prepared[field.argument] = prepares[field.argument](item)
            return prepared

        return prepare_class


def _is_complete(cls: Any) -> bool:
    try:
        return bool(cls.__pydantic_complete__ or cls.model_rebuild(raise_errors=False))
    except Exception:  # noqa: BLE001 - annotations are code, which may raise anything
        return False


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _prepare_best(classes: Sequence[tuple[FieldNames, _Prepare]], value: Any) -> Any:
    """Prepares a row for the class of a union that knows most of its names."""
    return max(classes, key=lambda pair: pair[0].count(value))[1](value) if is_mapping(value) else value


def _read_or_leave(read: Reader, value: Any) -> Any:
    try:
        return read(value)
    except MismatchError:
        return value


def _number(value: Any) -> Any:
    try:
        return value if math.isfinite(float(value)) else _REFUSED
    except (TypeError, ValueError, OverflowError):
        return value


def _moment(value: Any) -> Any:
    try:
        is_naive = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is None
    except ValueError:
        return value
    return _REFUSED if is_naive else value


_SINGLE_VALUES: Final[Mapping[Any, _Prepare]] = {
    str: _text,
    float: _number,
    Decimal: amount_of,
    datetime: _moment,
    # pydantic reads a date out of a midnight only.
    date: partial(_read_or_leave, read_date),
}


def _problems(error: Exception, prepared: Any, cls: Any, names: frozenset[str]) -> list[Problem]:
    """What pydantic found, without the values that its own messages and places hold."""
    core: Any = sys.modules.get("pydantic_core")
    refused = f"is refused by {name_of(cls)}"
    if core is None or not isinstance(error, core.ValidationError):
        return [("", refused)]
    found: Any = error
    details: list[dict[str, Any]] = found.errors(include_url=False, include_context=False, include_input=False)
    return [(_place(detail["loc"], prepared, names), _EXPECTED.get(detail["type"], refused)) for detail in details]


def _place(steps: Iterable[Any], value: Any, names: frozenset[str]) -> str:
    place = ""
    for step in steps:
        if is_list(value) and isinstance(step, int):
            place += f"[{step}]"
            value = value[step] if step < len(value) else None
        elif step in names:
            place += f".{step}"
            value = value.get(step) if is_mapping(value) else None
        elif is_mapping(value) and step in value:
            place += "[*]"
            value = value[step]
        # Else the step is the name of a union's member, which is no part of the value.
    return place
