"""The one place that configures cattrs: payloads into our classes and back, with errors that never repeat a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from b24oauth.errors import InvalidDataError

if TYPE_CHECKING:
    import cattrs

__all__ = ["WHOLE_NUMBER", "name_of", "problems_of", "structure", "unstructure"]

# Stricter than int(), which also accepts underscores and non-ASCII digits.
WHOLE_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)
# Mapping keys in cattrs error paths, in repr() form.
_KEY: Final = re.compile(r"""\[(['"])(?:\\.|(?!\1).)*\1\]""")
_POSITION: Final = re.compile(r"\.([0-9]+|\*)")
_MODULES: Final = re.compile(r"('[^']*')|(?:[\w<>]+\.)+(?=\w)")
_MAX_PLACE: Final = 200

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


@cache
def _converter() -> cattrs.Converter:
    from cattrs.preconf.json import make_converter  # noqa: PLC0415 - most programs need no cattrs

    converter = make_converter()
    converter.register_structure_hook(int, _whole_number)
    converter.register_structure_hook(str, _text)
    return converter


def _without_value(error: BaseException, expected: Any) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, InvalidDataError):
        return "; ".join(error.problems)
    return f"must be {'of another type' if expected is None else name_of(expected)}"


def structure(data: object, type_: type[T], what: str) -> T:
    """Builds an object of `type_` from plain values.

    Args:
        data: A mapping as it came from JSON, a form or a store.
        type_: The attrs class to build.
        what: Name of the payload for the error.

    Raises:
        InvalidDataError: Naming each field that is missing or does not fit, never its value.
    """
    import cattrs  # noqa: PLC0415

    try:
        return _converter().structure(data, type_)
    except cattrs.BaseValidationError as error:
        problems = problems_of(error, _without_value)
    except (TypeError, ValueError, KeyError, AttributeError):
        problems = ["must be a mapping of its fields"]
    # Raised outside the except blocks, so that no chained exception shows the value in a traceback.
    raise InvalidDataError(what, problems)


def unstructure(value: object) -> Any:
    """The plain values of an object, ready for JSON."""
    return _converter().unstructure(value)


def name_of(type_: Any) -> str:
    """The name of a type for messages, without modules; an object that is no type is not shown."""
    if get_args(type_):
        return _MODULES.sub(r"\1", str(type_))
    return str(getattr(type_, "__name__", f"an object of {type(type_).__name__}"))


def problems_of(error: BaseException, describe: Callable[[BaseException, Any], str]) -> list[str]:
    """One sentence for each problem that cattrs found, with its place; keys of maps are data, so they are left out.

    Args:
        error: What structuring raised.
        describe: Says what is wrong, given the error of one place and the type expected there.
    """
    import cattrs  # noqa: PLC0415

    problems: list[str] = []
    for line in cattrs.transform_error(error, format_exception=describe):
        problem, _, path = line.partition(" @ $")
        # What a validator refuses stands at the root: it names its field itself.
        # Positions in a tuple are fields to cattrs.
        place = _POSITION.sub(r"[\1]", _KEY.sub("[*]", path)).removeprefix(".")
        place = place if len(place) <= _MAX_PLACE else f"{place[:_MAX_PLACE]}..."
        problems.append(f"{place} {problem}".lstrip())
    return problems
