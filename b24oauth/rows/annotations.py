"""What type annotations say: the type behind an alias, the members of a union, names for error messages."""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import InitVar
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, ForwardRef, Literal, NewType, TypeVar, Union, cast, get_args, get_origin

__all__ = [
    "LISTS",
    "MAPS",
    "filled",
    "is_enum",
    "is_hashable",
    "is_union",
    "members_of",
    "name_of",
    "origin_of",
    "stripped",
]

# Types that are read from lists, and what makes them of a list; None for the list itself.
LISTS: Final[Mapping[Any, Any]] = {
    list: None,
    Sequence: None,
    MutableSequence: None,
    Collection: None,
    Iterable: None,
    tuple: tuple,
    deque: deque,
    set: set,
    MutableSet: set,
    frozenset: frozenset,
    AbstractSet: frozenset,
}
# Types that are read from maps.
MAPS: Final[frozenset[Any]] = frozenset({dict, Mapping, MutableMapping, OrderedDict, defaultdict, Counter})

_UNIONS: Final = (Union, UnionType)
# By name: `typing_extensions` has some of these for Pythons whose `typing` lacks them.
_QUALIFIERS: Final = frozenset({"Required", "NotRequired", "ReadOnly", "Final", "ClassVar"})


def origin_of(type_: Any) -> Any:
    """`list` for `list[int]`; a type without arguments is its own origin."""
    return get_origin(type_) or type_


def stripped(type_: Any) -> Any:
    """The type itself, without aliases, NewTypes, qualifiers such as `Required`, and the metadata of `Annotated`."""
    while True:
        origin = origin_of(type_)
        if isinstance(type_, NewType):
            type_ = type_.__supertype__
        elif isinstance(type_, InitVar):
            type_ = cast("Any", type_).type
        elif isinstance(type_, TypeVar):
            type_ = _meaning_of_variable(type_)
        elif get_args(type_) and (origin is Annotated or str(origin).rpartition(".")[2] in _QUALIFIERS):
            type_ = get_args(type_)[0]
        elif type(origin).__name__ == "TypeAliasType":
            type_ = filled(origin.__value__, dict(zip(origin.__type_params__, get_args(type_), strict=False)))
        else:
            return Any if type_ is Final else type_


def _meaning_of_variable(variable: Any) -> Any:
    """What an unset type variable stands for: its default, its constraints or its bound, else anything."""
    if hasattr(variable, "has_default") and variable.has_default():
        return variable.__default__
    if variable.__constraints__:
        return Union[variable.__constraints__]  # noqa: UP007 - of a tuple
    return variable.__bound__ or Any


def filled(type_: Any, known: Mapping[Any, Any]) -> Any:
    """The type with what `known` has for type variables and for `Self` in their place."""
    if is_hashable(type_) and type_ in known:
        return known[type_]
    arguments = get_args(type_)
    new = tuple(filled(argument, known) for argument in arguments)
    if new == arguments:
        return type_
    return Union[new] if is_union(type_) else get_origin(type_)[new]  # noqa: UP007 - of a tuple


def is_union(type_: Any) -> bool:
    """True for `A | B`, `Union[A, B]` and `Optional[A]`."""
    return get_origin(type_) in _UNIONS


def is_enum(type_: Any) -> bool:
    """True for an enumeration."""
    return isinstance(type_, type) and issubclass(type_, Enum)


def members_of(type_: Any) -> list[Any]:
    """The members of a union, stripped; a type that is no union is its only member."""
    plain = stripped(type_)
    if not is_union(plain):
        return [plain]
    members: list[Any] = []
    for part in get_args(plain):
        members += [member for member in members_of(part) if member not in members]
    return members


def is_hashable(type_: Any) -> bool:
    """False for a type with metadata that has no hash, and for values that are no types."""
    try:
        hash(type_)
    except TypeError:
        return False
    return True


def name_of(type_: Any) -> str:
    """How error messages name a type; a value that is no type is named by its class, so that it is not shown."""
    origin = get_origin(type_)
    if origin is Annotated:
        name = name_of(get_args(type_)[0])
    elif is_union(type_):
        name = " | ".join(map(name_of, get_args(type_)))
    elif origin is Literal:
        options = (str(option) if isinstance(option, Enum) else repr(option) for option in get_args(type_))
        name = f"Literal[{', '.join(sorted(options))}]"  # equal whatever their order
    elif origin is not None and origin is not type_:
        name = f"{name_of(origin)}[{', '.join(map(name_of, get_args(type_)))}]"
    elif type_ is None or type_ is NoneType or type_ is Ellipsis:
        name = "..." if type_ is Ellipsis else "None"
    elif isinstance(type_, ForwardRef):
        name = type_.__forward_arg__
    elif isinstance(type_, (type, TypeVar, NewType)) or type(type_).__module__ in ("typing", "typing_extensions"):
        name = getattr(type_, "__name__", None) or str(type_).rpartition(".")[2]
    else:
        name = f"an object of {type(type_).__name__}"
    return name
