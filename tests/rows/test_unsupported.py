"""Types that no value can be read as are refused before anything is sent, with what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import time, timedelta
from pathlib import Path
from typing import Annotated, Any, Generic, NoReturn, TypedDict, TypeVar

import attrs
import pytest

from b24oauth import ConfigurationError
from b24oauth.rows import check_row_type, structure_row, structure_rows

T = TypeVar("T")


@attrs.frozen
class Deal:
    id: int
    tags: list[str] = attrs.Factory(list)


@dataclass
class Opened:
    id: int
    at: time | None = None


class Named(TypedDict):
    opened: Opened


@attrs.frozen
class Unresolved:
    id: Nowhere  # type: ignore[name-defined]  # noqa: F821


@dataclass
class Broken:
    id: "not a type"  # type: ignore[valid-type]  # noqa: F722


class Plain:
    pass


GENERAL = "use an attrs class, a dataclass, a TypedDict, a NamedTuple or a pydantic model, whose fields are "


@pytest.mark.parametrize("type_", [Deal, list[Deal], Deal | None, dict[str, int | None], set[int], int, Any, object])
def test_a_type_that_values_can_be_read_as_is_taken(type_: Any) -> None:
    check_row_type(type_)


@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (Plain, f"Plain is not a supported row type; {GENERAL}"),
        (time, "time is not a supported row type; use str: "),
        (timedelta, "timedelta is not a supported row type; use int or float: "),
        (bytes, "bytes is not a supported row type; use str: "),
        (type(None), f"NoneType is not a supported row type; {GENERAL}"),
        (Path, f"Path is not a supported row type; {GENERAL}"),
        (complex, f"complex is not a supported row type; {GENERAL}"),
        (Callable, f"Callable is not a supported row type; {GENERAL}"),
        (NoReturn, f"NoReturn is not a supported row type; {GENERAL}"),
        (Generic, f"Generic is not a supported row type; {GENERAL}"),
        (type[int], f"type[int] is not a supported row type; {GENERAL}"),
        (time | None, "time | None is not a supported row type because of time; use str: "),
        (set[time], "set[time] is not a supported row type because of time; use str: "),
        (dict[str, list[Plain]], f"dict[str, list[Plain]] is not a supported row type because of Plain; {GENERAL}"),
        (int | str | bytes, "int | str | bytes is not a supported row type because of bytes; use str: "),
        (Opened, "Opened is not a supported row type because of time; use str: "),
        (list[Named], "list[Named] is not a supported row type because of time; use str: "),
        (tuple[int, bytes], "tuple[int, bytes] is not a supported row type because of bytes; use str: "),
        (tuple[bytes, ...], "tuple[bytes, ...] is not a supported row type because of bytes; use str: "),
        (Unresolved, "Unresolved is not a supported row type; its module must define Nowhere when it runs"),
        (Broken, f"Broken is not a supported row type; {GENERAL}"),
        (Annotated[bytes, "x"], "because of bytes; use str: "),
        ("SECRET", f"an object of str is not a supported row type; {GENERAL}"),
        (5, f"an object of int is not a supported row type; {GENERAL}"),
        ({"SECRET": 1}, f"an object of dict is not a supported row type; {GENERAL}"),
        ([Deal], f"an object of list is not a supported row type; {GENERAL}"),
    ],
)
def test_a_type_that_no_value_can_be_read_as_is_refused_by_its_name(type_: Any, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        check_row_type(type_)
    assert message in caught.value.message
    assert "SECRET" not in str(caught.value)
    assert caught.value.__context__ is None
    for read in (structure_row, structure_rows):
        with pytest.raises(ConfigurationError, match="is not a supported row type"):
            read([], type_, method="m")


def test_classes_inside_a_function_must_name_types_that_can_be_found() -> None:
    @attrs.frozen
    class Inner:
        id: int

    @dataclass
    class Holder:
        inner: Inner

    with pytest.raises(
        ConfigurationError, match="Holder is not a supported row type; its module must define Inner when it runs"
    ):
        check_row_type(Holder)


def test_a_field_that_converts_its_value_may_have_any_type() -> None:
    def parsed(text: str) -> time | None:
        return time.fromisoformat(text) if text else None

    @attrs.frozen
    class Meeting:
        at: time = attrs.field(converter=parsed)
        again: time | None = attrs.field(default=None, converter=parsed)

    meeting = structure_row({"AT": "12:30", "AGAIN": ""}, Meeting, method="m")
    assert (meeting.at, meeting.again) == (time(12, 30), None)
