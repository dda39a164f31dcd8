"""The one place that configures cattrs: payloads into our classes and back, with errors that never repeat a value."""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar, get_args

import cattrs
from cattrs.preconf.json import make_converter

from b24oauth.errors import InvalidDataError

__all__ = ["WHOLE_NUMBER", "structure", "unstructure"]

# Narrower than `int()`, which also takes underscores and digits of other scripts.
WHOLE_NUMBER: Final = re.compile(r"\s*-?[0-9]{1,18}\s*", re.ASCII)
_KEY: Final = re.compile(r"""\[(['"]).*\1\]""")

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


def _without_value(error: BaseException, expected: Any) -> str:
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, InvalidDataError):
        return "; ".join(error.problems)
    if expected is None:
        return "must be of another type"
    return f"must be {str(expected).replace('typing.', '') if get_args(expected) else expected.__name__}"


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
