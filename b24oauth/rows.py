"""Converts results and rows to the caller's types with a lazily created cattrs converter."""

from __future__ import annotations

import inspect
from collections import abc, deque
from datetime import time, timedelta
from enum import Enum
from functools import cache
from pathlib import Path
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
import cattrs

from b24oauth.converting import name_of, problems_of
from b24oauth.errors import ConfigurationError, InvalidDataError, RequestInfo
from b24oauth.row_values import READERS, MismatchError, Reader, mismatch, option_reader, php_list, php_map
from b24oauth.shapes import is_list, is_mapping

__all__ = ["check_row_type", "structure_row", "structure_rows"]

T = TypeVar("T")
_Fields = list[Any]  # of attrs.Attribute
_cattrs: Any = cattrs  # not every part of it has complete types

_MAX_PROBLEMS: Final = 5
_MAPS: Final = (dict, abc.Mapping, abc.MutableMapping)
# Types that are read from lists, with their constructors.
_LISTS: Final[abc.Mapping[Any, Any]] = {
    **dict.fromkeys((list, abc.Sequence, abc.MutableSequence, abc.Collection, abc.Iterable), list),
    **{cls: cls for cls in (tuple, set, frozenset, deque)} | {abc.MutableSet: set, abc.Set: frozenset},
}
# Attributes by which classes with fields are recognized.
_MARKS: Final = ("__attrs_attrs__", "__dataclass_fields__", "__required_keys__", "_field_defaults", "model_fields")
_RUN_FIRST: Final = ("BeforeValidator", "PlainValidator", "WrapValidator")  # of pydantic
_ADVICE: Final = (
    "use an attrs class, a dataclass, a TypedDict, a NamedTuple or a pydantic model, whose fields are int, float, "
    "Decimal, bool, str, date, datetime, Enum, Literal or Any, or a list, tuple, set or dict of these"
)
_ADVICE_ON: Final[abc.Mapping[Any, str]] = {
    time: "use str: Bitrix24 writes times of day without an offset from UTC",
    timedelta: "use int or float: Bitrix24 writes durations as numbers",
    bytes: "use str: Bitrix24 writes binary data as Base64 text",
}


def check_row_type(row_type: Any) -> None:
    """Raises if `row_type` is not supported, before a request is sent.

    Args:
        row_type: As for `structure_rows`.

    Raises:
        ConfigurationError: No value can be read as `row_type`; the message names the type and what to use.
    """
    try:
        _converter().get_structure_hook(row_type)
    except cattrs.StructureHandlerNotFoundError as error:
        unknown, advice = error.type_, str(error)
    except Exception:  # noqa: BLE001 - annotations are code, which may raise anything
        unknown, advice = row_type, _ADVICE
    else:
        return
    because = "" if unknown is row_type else f" because of {name_of(unknown)}"
    raise ConfigurationError(f"{name_of(row_type)} is not a supported row type{because}; {advice}")


def structure_rows(
    rows: abc.Iterable[object], row_type: type[T], *, method: str, request_id: str = "", first: int | None = 0
) -> list[T]:
    """Builds objects from the rows of a list.

    Args:
        rows: Rows as the portal returns them.
        row_type: An attrs class, dataclass, TypedDict, NamedTuple, pydantic model or another supported type.
        method: REST method, for the error.
        request_id: Identifier of the request, for the error.
        first: Position of the first of these rows in the whole list, for the error; None for a single result.

    Raises:
        InvalidDataError: Rows do not fit; the message names method, row and field, never a value.
        ConfigurationError: As for `check_row_type`.
    """
    check_row_type(row_type)
    read = _converter().get_structure_hook(row_type)
    built: list[T] = []
    problems: list[str] = []
    for position, row in enumerate(rows, first or 0):
        try:
            built.append(read(row, row_type))
        except Exception as error:  # noqa: BLE001 - the error may repeat a value, see `_describe`
            found = problems_of(error, _describe)
            problems += found if first is None else [f"row {position}: {problem}" for problem in found]
            if len(problems) >= _MAX_PROBLEMS:
                break
    if problems:
        # Raised outside of the except block: a cause or context would repeat the value in tracebacks.
        what = f"The response to {method} does not fit {name_of(row_type)}"
        request_info = RequestInfo(method=method, request_id=request_id)
        raise InvalidDataError(what, problems[:_MAX_PROBLEMS], request_info=request_info)
    return built


def structure_row(value: object, row_type: type[T], *, method: str, request_id: str = "") -> T:
    """Builds one object from the result of a call; arguments and errors as for `structure_rows`."""
    return structure_rows([value], row_type, method=method, request_id=request_id, first=None)[0]


def _describe(error: BaseException, expected: Any) -> str:
    if isinstance(error, MismatchError):
        return str(error)
    if isinstance(error, KeyError) and expected is not None:
        return "is missing or empty"
    return "is refused by its class" if expected is None else "cannot be read"


def _unsupported(type_: Any) -> Reader:
    advice = _ADVICE_ON.get(type_, _ADVICE) if inspect.isclass(type_) else _ADVICE
    raise cattrs.StructureHandlerNotFoundError(advice, type_)


def _plain(type_: Any) -> Any:
    """The type itself, without NewTypes and metadata."""
    while isinstance(type_, NewType) or get_origin(type_) is Annotated:
        type_ = type_.__supertype__ if isinstance(type_, NewType) else get_args(type_)[0]
    return type_


def _origin(type_: Any) -> Any:
    return get_origin(type_) or type_


def _is_option(type_: Any) -> bool:
    return get_origin(type_) is Literal or (inspect.isclass(type_) and issubclass(type_, Enum))


def _has_fields(type_: Any) -> bool:
    return inspect.isclass(_origin(type_)) and any(hasattr(_origin(type_), mark) for mark in _MARKS)


class _RowConverter(cattrs.Converter):
    """Reads values as Bitrix24 writes them, by their exact type.

    Needed because cattrs would use the str/int hook for enums based on these types and would convert anything to bytes.
    """

    def __init__(self) -> None:
        super().__init__(structure_fallback_factory=_unsupported)
        self._hooks: dict[Any, Reader] = dict(READERS)
        on: abc.Callable[[abc.Callable[[Any], bool], Any], Any] = self.register_structure_hook_factory
        on(lambda type_: _origin(type_) in (Union, UnionType), self._union_hook)
        on(lambda type_: _origin(type_) in _LISTS, self._list_hook)
        on(lambda type_: _origin(type_) in _MAPS, self._map_hook)
        on(_has_fields, self._class_hook)
        on(lambda type_: hasattr(type_, "model_fields"), self._model_hook)

    def get_structure_hook(self, type: Any, cache_result: bool = True) -> Reader:  # noqa: A002, ARG002 - cattrs' names
        """The hook of a type, made once."""
        plain = _plain(type)
        hook = self._hooks.get(plain) or self._exact_hook(plain)
        if hook is None:
            # For recursive types the hook is looked up lazily, when a value is read.
            self._hooks[plain] = self.structure
            try:
                hook = super().get_structure_hook(plain)
            except Exception:
                self._hooks.pop(plain, None)
                raise
        self._hooks[plain] = hook
        return hook

    def _exact_hook(self, type_: Any) -> Reader | None:
        if _is_option(type_):
            return option_reader(type_)
        for base in (int, float, str, bytes, Path):
            if inspect.isclass(type_) and issubclass(type_, base):
                read = READERS[base] if base in READERS else _unsupported(type_)
                return lambda value, _: type_(read(value, type_))
        return None

    def _fits(self, value: Any, type_: Any) -> bool:
        try:
            self.get_structure_hook(type_)(value, type_)
        except Exception:  # noqa: BLE001 - the caller's classes may raise anything
            return False
        return True

    def _list_hook(self, type_: Any) -> Reader:
        arguments = get_args(type_)
        if get_origin(type_) is tuple and Ellipsis not in arguments:
            # A tuple of fixed length has its positions as fields.
            fields = [_field(str(position), item, required=True) for position, item in enumerate(arguments)]
            read = self._fields_hook(fields, dict, by_position=True)
            return lambda value, _: tuple(read(value, type_).values())
        make = _LISTS[_origin(type_)]
        items = GenericAlias(list, arguments[:1] or (Any,))
        build = _cattrs.cols.list_structure_factory(items, self)
        return lambda value, _: make(build(php_list(value), items))

    def _map_hook(self, type_: Any) -> Reader:
        build = _cattrs.cols.mapping_structure_factory(type_, self, dict)
        has_positions = int in map(_plain, get_args(type_)[:1])
        # PHP writes a map with the keys 0, 1, 2 as a list.
        return lambda value, _: build(dict(enumerate(value)) if has_positions and is_list(value) else php_map(value))

    def _union_hook(self, type_: Any) -> Reader:
        members = [_plain(member) for member in get_args(type_) if member is not NoneType]
        inner: Any = Union[tuple(members)]  # noqa: UP007 - of a tuple
        read = self._one_of(members) if len(members) > 1 else self.get_structure_hook(inner)
        if NoneType not in get_args(type_):
            return read
        # `str | None` reads an empty text as None, but an option that is empty stays.
        keeping = [member for member in members if member in (bool, Any, object) or _is_option(member)]
        kept = {type(empty) for empty in ("", False) if any(self._fits(empty, member) for member in keeping)}
        has_classes = any(map(_has_fields, members))

        def read_optional(value: Any, _: Any) -> Any:
            if value is None or ((value is False or value == "") and type(value) not in kept):
                return None
            # PHP writes an absent object as an empty list.
            if has_classes and value in ([], {}) and not self._fits(value, inner):
                return None
            return read(value, inner)

        return read_optional

    def _one_of(self, members: list[Any]) -> Reader:
        # Order: Any and options first, then the value's own type, then the strictest type. The declaration order is
        # ignored, because `typing` does not always preserve it.
        hooks = {member: self.get_structure_hook(member) for member in members}
        finders = {member: _finder(_fields_of(member)) for member in members if _has_fields(member)}
        strictest = sorted(members, key=lambda member: [*READERS, member].index(member))
        expected = f"one of {', '.join(sorted(map(name_of, members)))}"

        def likeness(member: Any, value: object) -> float:
            keys = value if member in finders and is_mapping(value) else ()
            known = sum(finders[member](key) is not None for key in keys)
            json_type = list if _origin(member) in _LISTS else dict if _origin(member) in _MAPS else member
            is_first = _is_option(member) or member in (Any, object)
            return float("inf") if is_first else 2 * known + (type(value) is json_type)

        def read_one_of(value: Any, _: Any) -> Any:
            for member in sorted(strictest, key=lambda member: likeness(member, value), reverse=True):
                try:
                    return hooks[member](value, member)
                except Exception:  # noqa: BLE001, S112 - the caller's classes may raise anything
                    continue
            raise mismatch(expected, value)

        return read_one_of

    def _class_hook(self, cls: Any) -> Reader:
        return self._fields_hook(_fields_of(cls), _origin(cls), by_position=hasattr(cls, "_field_defaults"))

    def _fields_hook(self, fields: _Fields, make: Any, *, by_position: bool = False) -> Reader:
        """The hook that finds fields in a row; cattrs reads them and calls `make`."""
        variables = {variable.__name__: Any for variable in getattr(make, "__parameters__", ())}
        build = _cattrs.gen.make_dict_structure_fn_from_attrs(fields, make, self, variables)
        find, types = _finder(fields), {field.name: field.type for field in fields}
        expected = f"a list of {len(fields)} items" if by_position else "a map of fields"

        @cache
        def keeps(name: str, empty: object) -> bool:
            return self._fits(empty, types[name])

        def read_fields(value: Any, _: Any) -> Any:
            if by_position and is_list(value) and len(value) <= len(types):
                value = dict(zip(types, value, strict=False))
            given: dict[str, Any] = {}
            for key, item in php_map(value, expected).items():
                name = find(key)
                # Bitrix24 writes None, False or "" for an empty field of any type.
                if name is None or ((item is None or item is False or item == "") and not keeps(name, item)):
                    continue
                if key == name or name not in given:
                    given[name] = item
            return build(given, make)

        return read_fields

    def _model_hook(self, cls: Any) -> Reader:
        """The hook of a pydantic model: fields are read as those of other classes, then pydantic validates them."""
        from pydantic import ValidationError  # noqa: PLC0415 - not a dependency: who has a model has it

        if not (cls.__pydantic_complete__ or cls.model_rebuild(raise_errors=False)):
            return _unsupported(cls)
        fields = _fields_of(cls)
        find, read = _finder(fields), self._fields_hook(fields, dict)
        names = {field.alias: field.name for field in fields}
        validators = cls.__pydantic_decorators__.model_validators.values()
        is_raw = cls.__pydantic_root_model__ or any(validator.info.mode != "after" for validator in validators)

        def read_model(value: Any, _: Any) -> Any:
            if not is_raw:
                row = php_map(value, "a map of fields")
                # pydantic's settings decide what becomes of other keys.
                value = {key: item for key, item in row.items() if find(key) is None} | read(row, dict)
            try:
                return cls.model_validate(value)
            except ValidationError as error:
                details: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
            problems: list[Exception] = []
            for detail in details:
                is_missing = detail["type"] == "missing"
                problems.append(MismatchError("is missing or empty" if is_missing else "is refused by its class"))
                for key in detail["loc"][:1]:
                    # Other keys are data.
                    problems[-1].add_note(_cattrs.AttributeValidationNote("", names.get(key, "*"), None))
            raise _cattrs.ClassValidationError("", problems, cls)

        return read_model


_converter = cache(_RowConverter)


def _finder(fields: _Fields) -> abc.Callable[[str], str | None]:
    """Returns a function that maps a row key to a field name: `STAGE_ID` and `stageId` are spellings of `stage_id`."""
    exact = {name: field.name for field in fields for name in (field.alias, field.name)}
    alike = {name.replace("_", "").lower(): field for name, field in exact.items()}
    alike |= {name.lower(): field for name, field in exact.items()}

    def find(key: str) -> str | None:
        return exact.get(key) or alike.get(key.lower()) or alike.get(key.lower().replace("_", ""))

    return find


def _field(name: str, type_: Any, *, required: bool) -> Any:
    template = attrs.fields(RequestInfo).method  # any will do: attrs gives callers no constructor
    return template.evolve(name=name, alias=name, type=type_, default=attrs.NOTHING if required else None)


def _fields_of(cls: Any) -> _Fields:
    """The fields of a class of any kind, as attrs describes those of its classes."""
    origin = _origin(cls)
    if hasattr(cls, "model_fields"):
        validators = cls.__pydantic_decorators__.field_validators.values()
        validated = {
            name for validator in validators if validator.info.mode != "after" for name in validator.info.fields
        }
        fields: _Fields = []
        for name, info in cls.model_fields.items():
            alias = getattr(info.validation_alias, "choices", [info.validation_alias])[0]
            # A validator that runs first gets the value as it came.
            is_raw = {name, "*"} & validated or any(type(item).__name__ in _RUN_FIRST for item in info.metadata)
            field = _field(name, Any if is_raw else info.annotation, required=False)
            # cattrs leaves values of types that it cannot read to a field's converter; here pydantic reads them.
            fields.append(field.evolve(alias=alias if isinstance(alias, str) else name, converter=cls))
        return fields
    try:
        types = _types_of(cls, get_type_hints(origin, localns={origin.__name__: origin}))  # it may be in a function
    except NameError as error:
        advice = f"its module must define {error.name} when it runs, not for type checkers only"
        raise cattrs.StructureHandlerNotFoundError(advice, cls) from None
    if attrs.has(origin):
        return [field.evolve(type=types.get(field.name, field.type)) for field in attrs.fields(origin) if field.init]
    if not hasattr(origin, "__required_keys__"):
        parameters = inspect.signature(origin).parameters.values()
        return [_field(p.name, types.get(p.name, Any), required=p.default is p.empty) for p in parameters]
    # With string annotations, `__required_keys__` ignores Required/NotRequired.
    hints = {name: str(hint) for name, hint in get_type_hints(origin, include_extras=True).items()}
    required = {name for name, hint in hints.items() if "Required[" in hint} | origin.__required_keys__
    return [
        _field(name, types[name], required=name in required and "NotRequired[" not in hints[name]) for name in types
    ]


def _types_of(cls: Any, hints: abc.Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a class, with the arguments of generic classes in place of type variables."""
    meant: dict[Any, dict[Any, Any]] = {}  # what the type variables stand for, by class
    nothing: dict[Any, Any] = {}

    def filled(type_: Any, known: abc.Mapping[Any, Any]) -> Any:
        if type(type_) is TypeVar:
            return known.get(type_, Any)
        variables = getattr(type_, "__parameters__", ())
        return type_[tuple(filled(variable, known) for variable in variables)] if variables else type_

    bases = [(cls, nothing)]
    for base, known in bases:
        variables = getattr(_origin(base), "__parameters__", ())
        arguments = [filled(argument, known) for argument in get_args(base)]
        own = meant.setdefault(_origin(base), dict(zip(variables, arguments, strict=False)))
        bases += [(above, own) for above in getattr(_origin(base), "__orig_bases__", ())]
    # A TypedDict does not tell which of its bases has an annotation.
    anywhere = {variable: type_ for known in reversed(meant.values()) for variable, type_ in known.items()}
    classes: list[Any] = [*reversed(_origin(cls).__mro__)]
    owners: dict[str, Any] = {name: owner for owner in classes for name in inspect.get_annotations(owner)}
    is_told = not hasattr(_origin(cls), "__required_keys__")
    return {
        name: filled(hint, meant.get(owners.get(name), nothing) if is_told else anywhere)
        for name, hint in hints.items()
    }
