"""Builds results and rows as the caller's types. What reads the types is loaded when it is first needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from b24oauth.errors import ConfigurationError, InvalidDataError, RequestInfo
from b24oauth.rows.failures import MismatchError, UnsupportedTypeError

__all__ = ["check_row_type", "structure_row", "structure_rows"]

_MAX_PROBLEMS: Final = 5
_ADVICE: Final = (
    "use an attrs class, a dataclass, a TypedDict, a NamedTuple or a pydantic model, whose fields are int, float, "
    "Decimal, bool, str, date, datetime, UUID, Path, Enum, Literal or Any, or a list, tuple, set or dict of these"
)

T = TypeVar("T")


def check_row_type(row_type: Any) -> None:
    """Refuses a type that no value can be read as, before anything is sent.

    Args:
        row_type: As for `structure_rows`.

    Raises:
        ConfigurationError: No value can be read as `row_type`; the message names the type and what to use.
    """
    _reader_of(row_type)


def structure_rows(
    rows: Iterable[object], row_type: type[T], *, method: str, request_id: str = "", first: int = 0
) -> list[T]:
    """Builds objects from the rows of a list.

    Args:
        rows: Rows as the portal returns them.
        row_type: An attrs class, dataclass, TypedDict, NamedTuple, pydantic model or another supported type.
        method: REST method, for the error.
        request_id: Identifier of the request, for the error.
        first: Position of the first of these rows in the whole list, for the error.

    Raises:
        InvalidDataError: Rows do not fit; the message names method, row and field, never a value.
        ConfigurationError: As for `check_row_type`.
    """
    read = _reader_of(row_type)
    built: list[T] = []
    problems: list[str] = []
    for position, row in enumerate(rows, first):
        try:
            built.append(read(row))
        except Exception as error:  # noqa: BLE001 - whatever is raised may repeat a value, see `_problems`
            problems += [f"row {position}: {problem}" for problem in _problems(error)]
            if len(problems) >= _MAX_PROBLEMS:
                break
    if problems:
        raise _invalid(problems, row_type, method, request_id)
    return built


def structure_row(value: object, row_type: type[T], *, method: str, request_id: str = "") -> T:
    """Builds one object from the result of a call; arguments and errors as for `structure_rows`."""
    read = _reader_of(row_type)
    try:
        built: T = read(value)
    except Exception as error:  # noqa: BLE001 - as above
        problems = _problems(error)
    else:
        return built
    # Raised outside of the except block: a cause or context would repeat the value in tracebacks.
    raise _invalid(problems, row_type, method, request_id)


def _reader_of(row_type: Any) -> Callable[[Any], Any]:
    from b24oauth.rows.readers import reader_of  # noqa: PLC0415 - calls without a type do not load it

    try:
        return reader_of(row_type)
    except UnsupportedTypeError as error:
        found = error
    except RecursionError:
        found = UnsupportedTypeError(_name_of(row_type), "use a type that does not grow each time it contains itself")
    name = _name_of(row_type)
    where = "" if found.field is None else f"{found.field}: "
    because = "" if found.name == name else f" because of {where}{found.name}"
    raise ConfigurationError(f"{name} is not a supported row type{because}; {found.advice or _ADVICE}")


def _problems(error: Exception) -> list[str]:
    """What is wrong, one sentence for each field."""
    if isinstance(error, MismatchError):
        return [f"{place} {problem}".lstrip(" .") for place, problem in error.problems]
    return ["is nested too deeply" if isinstance(error, RecursionError) else "cannot be read"]


def _invalid(problems: list[str], row_type: Any, method: str, request_id: str) -> InvalidDataError:
    return InvalidDataError(
        f"The response to {method} does not fit {_name_of(row_type)}",
        problems[:_MAX_PROBLEMS],
        request_info=RequestInfo(method=method, request_id=request_id),
    )


def _name_of(row_type: Any) -> str:
    from b24oauth.rows.annotations import name_of  # noqa: PLC0415 - as above

    return name_of(row_type)
