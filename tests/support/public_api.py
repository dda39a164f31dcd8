"""The public names with their signatures, as text: ``python -m tests.support.public_api`` writes tests/public_api.txt.

Public are the names in `__all__` of the modules that have a page in docs/api.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "tests" / "public_api.txt"
_MODULE = re.compile(r"automodule:: (\S+)")
_PACKAGE = "b24oauth"
_SHOWN = (bool, int, float, str, type(None))


def public_modules() -> list[str]:
    """The modules that the API reference documents."""
    pages = sorted((ROOT / "docs" / "api").glob("*.md"))
    return sorted({name for page in pages for name in _MODULE.findall(page.read_text(encoding="utf-8"))})


def describe() -> str:
    """A line for each public name and for each public attribute of a class."""
    homes: dict[int, str] = {}
    lines: list[str] = []
    # An object that several modules export is described once, where it is documented.
    for module in sorted(public_modules(), key=lambda name: (name == _PACKAGE, name)):
        found = importlib.import_module(module)
        for name in found.__all__:
            lines += _of_export(f"{module}.{name}", getattr(found, name), homes)
    return "\n".join(sorted(lines)) + "\n"


def _of_export(name: str, value: Any, homes: dict[int, str]) -> Iterator[str]:
    if isinstance(value, (type, FunctionType)):
        home = homes.setdefault(id(value), name)
        if home != name:
            yield f"{name} = {home}"
            return
    if isinstance(value, type):
        yield from _of_class(name, value)
    elif isinstance(value, FunctionType):
        yield name + _signature(value)
    elif not isinstance(value, ModuleType):
        yield f"{name}: {type(value).__name__}"


def _of_class(name: str, cls: type) -> Iterator[str]:
    ours = [base.__name__ for base in cls.__bases__ if base.__module__.startswith(_PACKAGE)]
    bases = f" < {', '.join(ours)}" if ours else ""
    # How enumerations and protocols are made differs between versions of Python, and nobody calls them.
    is_made = not issubclass(cls, Enum) and not getattr(cls, "_is_protocol", False)
    yield f"{name}{_signature(cls) if is_made else ''}{bases}"
    members: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith(_PACKAGE):
            members |= dict.fromkeys(inspect.get_annotations(base))
            members |= vars(base)
    for member, value in members.items():
        if not member.startswith("_"):
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            yield f"{name}.{member}" + (_signature(function) if isinstance(function, FunctionType) else "")


def _signature(function: Any) -> str:
    try:
        signature = inspect.signature(function)
    except ValueError:
        return ""  # a constructor that is written in C
    parameters = [one for one in signature.parameters.values() if one.name != "self"]
    plain = [one.replace(annotation=one.empty, default=_default(one.default)) for one in parameters]
    return str(inspect.Signature(plain))


class _Shown:
    """A default value in a signature."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _default(value: Any) -> Any:
    if value is inspect.Parameter.empty:
        return value
    return _Shown(repr(value) if type(value) in _SHOWN else "…")


if __name__ == "__main__":
    COMMITTED.write_text(describe(), encoding="utf-8")
