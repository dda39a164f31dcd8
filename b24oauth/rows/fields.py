"""The fields of classes of every kind: attrs classes, dataclasses, TypedDicts, NamedTuples and pydantic models."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from types import NoneType
from typing import Annotated, Any, Final, Generic, Protocol, Self, get_args, get_origin, get_type_hints

import attrs

from b24oauth.rows.annotations import filled, members_of, origin_of
from b24oauth.rows.empties import EmptyTest, absence_test
from b24oauth.rows.failures import UnsupportedTypeError

__all__ = [
    "Field",
    "FieldNames",
    "fields_of",
    "has_fields",
    "is_model",
    "is_named_tuple",
    "is_root_model",
    "is_typed_dict",
    "needs_fields",
    "runs_first",
    "validates_first",
]

_RUNS_FIRST: Final = frozenset({"before", "plain", "wrap"})
_MAX_REMEMBERED: Final = 1000


@attrs.frozen(kw_only=True)
class Field:
    """One field of a class.

    Attributes:
        name: Its name in the class and in error messages.
        argument: Name under which the class takes the value.
        type: Its annotation, with type variables replaced.
        required: True when it has no default.
        other_names: Further names under which a row may have it.
        reads_itself: True when the class has its own code that reads the value.
        is_absent: Tells whether an empty value means that the field is absent.
    """

    name: str
    argument: str
    type: Any
    required: bool
    other_names: Sequence[str] = ()
    reads_itself: bool = False
    is_absent: EmptyTest = attrs.field(
        init=False, default=attrs.Factory(lambda field: absence_test(field.type), takes_self=True)
    )


class FieldNames:
    """Finds the field that a key of a row means.

    The exact name comes first, then the name in other case, then also without underscores: `STAGE_ID`, `stageId` and
    `stage_id` are one name.

    Attributes:
        found: What `find` returned for a key before: the rows of a list have the same keys.
    """

    def __init__(self, fields: Iterable[Field]) -> None:
        names = [(name, field) for field in fields for name in field.other_names]
        names += [(field.name, field) for field in fields]
        self.found: dict[str, tuple[Field, bool] | None] = {}
        self._exact = dict(names)
        self._alike = {name.replace("_", "").lower(): field for name, field in names}
        self._alike |= {name.lower(): field for name, field in names}

    def find(self, key: str) -> tuple[Field, bool] | None:
        """The field and whether the key is its exact name; None when no field is meant."""
        lower = key.lower()
        field = self._exact.get(key) or self._alike.get(lower) or self._alike.get(lower.replace("_", ""))
        match = None if field is None else (field, key in self._exact)
        # Keys come from the portal, so the memory for them is bounded.
        if len(self.found) < _MAX_REMEMBERED:
            self.found[key] = match
        return match

    def count(self, row: Iterable[str]) -> int:
        """How many keys of a row mean a field."""
        return sum(self.find(key) is not None for key in row)


def is_model(cls: Any) -> bool:
    """True for a pydantic model, version 2; pydantic need not be installed."""
    return isinstance(cls, type) and hasattr(cls, "model_validate") and hasattr(cls, "__pydantic_validator__")


def is_root_model(cls: Any) -> bool:
    """True for a pydantic model of a single value that has no name."""
    return is_model(cls) and bool(cls.__pydantic_root_model__)


def is_typed_dict(cls: Any) -> bool:
    """True for a TypedDict of `typing` or `typing_extensions`."""
    return hasattr(cls, "__required_keys__") and isinstance(cls, type) and issubclass(cls, dict)


def is_named_tuple(cls: Any) -> bool:
    """True for a NamedTuple."""
    return hasattr(cls, "_field_defaults") and isinstance(cls, type) and issubclass(cls, tuple)


def has_fields(cls: Any) -> bool:
    """True for a class, also with type arguments, whose fields `fields_of` tells."""
    origin = origin_of(cls)
    if not isinstance(origin, type):
        return False
    is_class_with_fields = attrs.has(origin) or is_dataclass(origin) or is_model(origin)
    return is_class_with_fields or is_typed_dict(origin) or is_named_tuple(origin)


def fields_of(cls: Any) -> list[Field]:
    """The fields that can be given to a class when it is made, in their order.

    Raises:
        UnsupportedTypeError: An annotation names something that cannot be found.
    """
    origin = origin_of(cls)
    if is_model(origin):
        return _model_fields(origin)
    hints = _hints(origin)
    types = _with_arguments(cls, hints)
    if attrs.has(origin):
        fields = [
            Field(
                name=field.name,
                argument=field.alias,
                type=types.get(field.name, Any if field.type is None else field.type),
                required=field.default is attrs.NOTHING,
                other_names=(field.alias,),
                reads_itself=field.converter is not None,
            )
            for field in attrs.fields(origin)
            if field.init
        ]
    elif is_typed_dict(origin):
        fields = [
            Field(name=name, argument=name, type=type_, required=_is_required(origin, name, hints[name]))
            for name, type_ in types.items()
        ]
    else:
        # A dataclass has InitVars among its parameters, and not the fields that it makes itself.
        fields = [
            Field(name=name, argument=name, type=types.get(name, Any), required=parameter.default is parameter.empty)
            for name, parameter in inspect.signature(origin).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        ]
    return fields


def needs_fields(type_: Any) -> bool:
    """True for a class, or a union of classes and None, that cannot be made without a field."""
    classes = [member for member in members_of(type_) if member is not NoneType]
    return all(has_fields(cls) and any(field.required for field in fields_of(cls)) for cls in classes)


def _hints(cls: type) -> dict[str, Any]:
    """The annotations of a class and its bases as types."""
    module = sys.modules.get(cls.__module__)
    # The names inside a function cannot be found from outside of it, but the class itself is known.
    known_here = {**vars(cls), **(vars(module) if module else {}), cls.__name__: cls}
    name = cls.__name__
    for names in (None, known_here):
        try:
            return get_type_hints(cls, localns=names, include_extras=True)
        except NameError as error:
            name = error.name or name
        except Exception:  # noqa: BLE001, S110 - annotations are code, which may raise anything
            pass
    if attrs.has(cls) and not any(isinstance(field.type, str) for field in attrs.fields(cls)):
        return {field.name: field.type for field in attrs.fields(cls)}  # `attrs.resolve_types` was called before
    raise UnsupportedTypeError(
        name,
        f"the annotations of {cls.__name__} must name what its module defines or imports when it runs, or, for an "
        "attrs class, what was given to `attrs.resolve_types`",
    )


def _with_arguments(cls: Any, hints: Mapping[str, Any]) -> dict[str, Any]:
    """The types of all fields of a class, with the type variables of the class and of its bases replaced."""
    origin = origin_of(cls)
    if not isinstance(origin, type):
        return {}
    known: dict[Any, Any] = {Self: cls}
    known |= zip(getattr(origin, "__parameters__", ()), get_args(cls), strict=False)
    types: dict[str, Any] = {}
    for base in reversed(vars(origin).get("__orig_bases__", origin.__bases__)):
        if get_origin(base) not in (Generic, Protocol):
            types |= _with_arguments(filled(base, known), hints)
    for name in inspect.get_annotations(origin):
        # A TypedDict repeats the annotations of its bases, without their arguments.
        if name in hints and not (name in types and is_typed_dict(origin)):
            types[name] = filled(hints[name], known)
    return types


def _is_required(cls: Any, name: str, hint: Any) -> bool:
    # Where annotations are strings, `__required_keys__` does not know the qualifiers inside.
    while True:
        origin = get_origin(hint)
        qualifier = "Annotated" if origin is Annotated else str(origin).rpartition(".")[2]
        if qualifier in ("Required", "NotRequired"):
            return qualifier == "Required"
        if qualifier not in ("Annotated", "ReadOnly"):
            return name in cls.__required_keys__
        hint = get_args(hint)[0]


def _model_fields(cls: Any) -> list[Field]:
    decorators = cls.__pydantic_decorators__
    validators = [*decorators.field_validators.values(), *decorators.validators.values()]
    validated_first = {
        name for validator in validators if validator.info.mode in _RUNS_FIRST for name in validator.info.fields
    }
    by_name = cls.model_config.get("validate_by_name") or cls.model_config.get("populate_by_name")
    by_alias = cls.model_config.get("validate_by_alias", True)
    fields: list[Field] = []
    for name, info in cls.model_fields.items():
        alias = info.validation_alias
        choices = [alias] if isinstance(alias, str) else getattr(alias, "choices", ())
        names = [choice for choice in choices if by_alias and isinstance(choice, str)]
        names += [name] if by_name or alias is None else []
        # A field that is found by a path has no name of its own: pydantic alone finds it.
        if names:
            fields.append(
                Field(
                    name=names[0],
                    argument=names[0],
                    type=info.annotation,
                    required=info.is_required(),
                    other_names=names[1:],
                    reads_itself=bool({name, "*"} & validated_first) or any(map(runs_first, info.metadata)),
                )
            )
    return fields


def validates_first(cls: Any) -> bool:
    """True for a pydantic model with a validator that gets whole rows as they came."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    if decorators is None:
        return False
    validators = [*decorators.model_validators.values(), *decorators.root_validators.values()]
    return any(validator.info.mode in _RUNS_FIRST for validator in validators)


def runs_first(metadata: object) -> bool:
    """True for a validator of pydantic that gets the value as it came, before pydantic has read it."""
    return type(metadata).__name__.removesuffix("Validator").lower() in _RUNS_FIRST
