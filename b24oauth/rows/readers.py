"""Makes readers of types: functions that build a value of a type from what Bitrix24 sends, or say what does not fit."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from types import NoneType
from typing import Any, Final, ForwardRef, Literal, Unpack, get_args, get_origin
from uuid import UUID

from b24oauth.narrowing import is_list, is_mapping
from b24oauth.rows.annotations import (
    LISTS,
    MAPS,
    is_enum,
    is_hashable,
    is_union,
    members_of,
    name_of,
    origin_of,
    stripped,
)
from b24oauth.rows.empties import none_test
from b24oauth.rows.failures import MismatchError, Problem, UnsupportedTypeError, mismatch, placed
from b24oauth.rows.fields import (
    Field,
    FieldNames,
    fields_of,
    has_fields,
    is_model,
    is_named_tuple,
    is_typed_dict,
    needs_fields,
)
from b24oauth.rows.models import model_reader
from b24oauth.rows.values import (
    SINGLE_VALUES,
    Reader,
    enum_reader,
    is_by_position,
    literal_reader,
    php_list,
    php_map,
    unchanged,
)

__all__ = ["reader_of"]

# More problems of one value are not collected.
_MAX_PROBLEMS: Final = 5

# Strict types go first: most of what a union's other members accept is refused by these.
_UNION_ORDER: Final = (datetime, date, UUID, int, Decimal, float, bool)
_ADVICE: Final[Mapping[Any, str]] = {
    time: "use str: Bitrix24 writes times of day without an offset from UTC",
    timedelta: "use int or float: Bitrix24 writes durations as numbers",
    bytes: "use str: Bitrix24 writes binary data as Base64 text",
    bytearray: "use str: Bitrix24 writes binary data as Base64 text",
    NoneType: "use Any for results that are not read",
}


def reader_of(type_: Any) -> Reader:
    """The reader of a type; made once.

    Raises:
        UnsupportedTypeError: No value can be read as this type.
    """
    return _cached_reader(type_) if is_hashable(type_) else _Readers().of(type_)


@lru_cache(maxsize=256)
def _cached_reader(type_: Any) -> Reader:
    return _Readers().of(type_)


class _Readers:
    """Makes the readers of one type and of the types inside it, which may contain the type itself."""

    def __init__(self) -> None:
        self._made: dict[Any, Reader] = {}

    def of(self, type_: Any) -> Reader:
        plain = stripped(type_)
        if not is_hashable(plain):
            return self._make(plain)
        made = self._made
        if plain not in made:

            def read_later(value: Any) -> Any:
                return made[plain](value)

            # Where the type is inside itself, its reader is looked up when a value is read.
            made[plain] = read_later
            try:
                made[plain] = self._make(plain)
            except UnsupportedTypeError:
                del made[plain]
                raise
        return made[plain]

    def _make(self, type_: Any) -> Reader:
        origin = origin_of(type_)
        if not is_hashable(origin):
            raise UnsupportedTypeError(name_of(type_))
        if origin in SINGLE_VALUES:
            reader = SINGLE_VALUES[origin]
        elif origin in LISTS:
            reader = self._list(type_, origin)
        elif origin in MAPS:
            reader = self._map(type_, origin)
        elif is_union(type_):
            reader = self._union(type_)
        elif is_enum(origin):
            reader = enum_reader(origin)
        elif origin is Literal and get_args(type_):
            reader = literal_reader(type_)
        elif isinstance(origin, type):
            reader = self._of_class(type_)
        else:
            text = isinstance(type_, (str, ForwardRef))
            raise UnsupportedTypeError(name_of(type_), "use the type itself, not its name as text" if text else None)
        return reader

    def _of_class(self, type_: Any) -> Reader:
        origin = origin_of(type_)
        if is_model(origin):
            reader = model_reader(origin)
        elif is_named_tuple(origin):
            reader = self._named_tuple(type_)
        elif has_fields(origin):
            reader = self._class(type_)
        else:
            reader = _subclass_reader(origin)
        return reader

    def _union(self, type_: Any) -> Reader:
        members = members_of(type_)
        others = [member for member in members if member is not NoneType]
        if Any in others or object in others:
            return unchanged
        read = self.of(others[0]) if len(others) == 1 else self._one_of(others)
        if len(others) == len(members):
            return read
        is_none = none_test(type_, needs_fields=needs_fields(type_))
        return lambda value: None if is_none(value) else read(value)

    def _one_of(self, members: list[Any]) -> Reader:
        """The reader of a union without None.

        A value that has one of the types already stays as it is; else the strictest type that accepts it is taken. The
        order in which the members are written does not count: `typing` does not keep it everywhere.
        """
        readers = [(member, self.of(member)) for member in members]
        orders: dict[Any, list[Reader]] = {
            kind: [read for _, read in sorted(readers, key=lambda pair: _rank(pair[0], kind))]
            for kind in (str, bool, int, float, list, dict)
        }
        classes = [(FieldNames(fields_of(member)), read) for member, read in readers if has_fields(member)]
        # When one member alone can be meant, its own error says more than the names of all.
        meant: dict[Any, list[Reader]] = {
            kind: [read for member, read in readers if _rank(member, kind) in (1, 2)] for kind in (list, dict)
        }
        # Sorted, because unions are equal whatever their order, and this reader may have been made for another one.
        expected = f"one of {', '.join(sorted(map(name_of, members)))}"

        def read_one_of(value: Any) -> Any:
            kind = value.__class__
            order = orders.get(kind, orders[str])
            if len(classes) > 1 and is_mapping(value):
                # The class that knows most of the row's names is tried first.
                order = [read for _, read in sorted(classes, key=lambda pair: -pair[0].count(value))] + order
            for read in order:
                try:
                    return read(value)
                except MismatchError:
                    if meant.get(kind) == [read]:
                        raise
            raise mismatch(expected, value)

        return read_one_of

    def _list(self, type_: Any, origin: Any) -> Reader:
        arguments = get_args(type_)
        if get_origin(type_) is tuple and Ellipsis not in arguments:
            return self._fixed_tuple(arguments)
        item_type = arguments[0] if arguments else Any
        if LISTS[origin] in (set, frozenset):
            _check_hashable(item_type, type_)
        make = LISTS[origin]
        read = self.of(item_type)

        def read_list(value: Any) -> Any:
            built = _read_items((read, item) for item in php_list(value))
            if make is None:
                return built
            try:
                return make(built)
            except TypeError:
                raise mismatch("a list of values that a set can hold", value) from None

        return read_list

    def _fixed_tuple(self, types: Sequence[Any]) -> Reader:
        for type_ in types:
            if getattr(type_, "__unpacked__", False) or get_origin(type_) is Unpack:
                raise UnsupportedTypeError(f"*{name_of(type_)}", "use tuple[X, ...] or a tuple of a fixed length")
        readers = [self.of(type_) for type_ in types]

        def read_tuple(value: Any) -> tuple[Any, ...]:
            items = php_list(value)
            if len(items) != len(readers):
                raise mismatch(f"a list of {len(readers)} items", value)
            return tuple(_read_items(zip(readers, items, strict=True)))

        return read_tuple

    def _map(self, type_: Any, origin: Any) -> Reader:
        arguments = get_args(type_) or (str, Any)
        key_type, value_type = arguments[0], int if origin is Counter else arguments[1]
        _check_hashable(key_type, type_)
        read_key, read_value = self.of(key_type), self.of(value_type)
        has_numbers_as_keys = stripped(key_type) is int
        make = _maker_of(origin, stripped(value_type))

        def read_map(value: Any) -> Any:
            # PHP writes a map with the keys 0, 1, 2 as a list.
            row = dict(enumerate(value)) if has_numbers_as_keys and is_list(value) else php_map(value)
            built: dict[Any, Any] = {}
            problems: list[Problem] = []
            for key, item in row.items():
                try:
                    built_key = read_key(key)
                except MismatchError as error:
                    problems += [("", f"has a key that {problem}") for _, problem in error.problems]
                    continue
                try:
                    built[built_key] = read_value(item)
                except MismatchError as error:
                    problems += placed(error, "[*]")
            if problems:
                raise MismatchError(problems[:_MAX_PROBLEMS])
            if len(built) < len(row):
                raise mismatch(f"a map whose keys differ as {name_of(key_type)}", value)
            return make(built)

        return read_map

    def _named_tuple(self, cls: Any) -> Reader:
        names = [field.argument for field in fields_of(cls)]
        read_by_name = self._class(cls)

        def read_named_tuple(value: Any) -> Any:
            if is_mapping(value) and not is_by_position(value):
                return read_by_name(value)
            items = php_list(value)
            if len(items) > len(names):
                raise mismatch(f"a list of at most {len(names)} items", value)
            return read_by_name(dict(zip(names, items, strict=False)))

        return read_named_tuple

    def _class(self, cls: Any) -> Reader:
        """The reader of an attrs class, a dataclass, a NamedTuple or a TypedDict."""
        fields = fields_of(cls)
        names = FieldNames(fields)
        found = names.found
        plan = [(field.argument, self._field(cls, field), field.required, f".{field.name}") for field in fields]
        origin = origin_of(cls)
        make = None if is_typed_dict(origin) else origin

        def read_class(value: Any) -> Any:
            given: dict[str, Any] = {}
            for key, item in php_map(value, "a map of fields").items():
                match = found[key] if key in found else names.find(key)
                if match is None:
                    continue
                field, is_exact = match
                if (item is None or item is False or item == "") and field.is_absent(item):
                    continue
                if is_exact or field.argument not in given:
                    given[field.argument] = item
            problems: list[Problem] = []
            for argument, read, required, place in plan:
                if argument in given:
                    try:
                        given[argument] = read(given[argument])
                    except MismatchError as error:
                        problems += placed(error, place)
                elif required:
                    problems.append((place, "is missing or empty"))
            if problems:
                raise MismatchError(problems)
            return given if make is None else _called(make, **given)

        return read_class

    def _field(self, cls: Any, field: Field) -> Reader:
        try:
            return self.of(field.type)
        except UnsupportedTypeError as error:
            if field.reads_itself:
                return unchanged  # the converter of an attrs field makes the value, whatever its type
            error.field = error.field or f"{name_of(cls)}.{field.name}"
            raise


def _called(make: Callable[..., Any], *arguments: Any, **fields: Any) -> Any:
    """What the caller's class makes of values that fit its annotations; its own checks may refuse them."""
    try:
        return make(*arguments, **fields)
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - a class may raise anything, and would repeat the values
        raise MismatchError([("", f"is refused by {name_of(make)}")]) from None


def _subclass_reader(cls: Any) -> Reader:
    base = next((base for base in (int, float, Decimal, str) if issubclass(cls, base)), None)
    if base is None:
        raise UnsupportedTypeError(name_of(cls), _ADVICE.get(cls))
    read = SINGLE_VALUES[base]
    return lambda value: _called(cls, read(value))


def _read_items(pairs: Iterable[tuple[Reader, Any]]) -> list[Any]:
    built: list[Any] = []
    problems: list[Problem] = []
    for position, (read, item) in enumerate(pairs):
        try:
            built.append(read(item))
        except MismatchError as error:
            problems += placed(error, f"[{position}]")
            if len(problems) >= _MAX_PROBLEMS:
                break
    if problems:
        raise MismatchError(problems)
    return built


def _maker_of(origin: Any, value_type: Any) -> Callable[[Any], Any]:
    """What makes a map of the type out of a dict."""
    if origin is defaultdict:
        default = value_type if callable(value_type) else None
        return lambda items: defaultdict[Any, Any](default, items)
    return origin if origin in (OrderedDict, Counter) else unchanged


def _check_hashable(part: Any, whole: Any) -> None:
    """Refuses items of sets and keys of maps that can be neither."""
    for member in members_of(part):
        origin = origin_of(member)
        if getattr(origin, "__hash__", None) is None:
            raise UnsupportedTypeError(name_of(whole), f"{name_of(member)} has no hash: use a list, or a frozen class")


def _rank(member: Any, kind: type) -> int:
    """Where a member of a union stands among those that are tried for a value of this JSON type."""
    origin = origin_of(member)
    if origin is Literal or is_enum(origin):
        return 0
    if kind is dict and (has_fields(origin) or origin in MAPS):
        return 1 if has_fields(origin) else 2
    if kind is list and (origin in LISTS or is_named_tuple(origin)):
        return 1
    # Every bool is an int, yet not meant as one.
    if isinstance(origin, type) and issubclass(origin, kind) and (origin is not bool or kind is bool):
        return 1
    return 3 + (_UNION_ORDER.index(origin) if origin in _UNION_ORDER else len(_UNION_ORDER))
