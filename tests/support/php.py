"""Reads query strings the way PHP's `parse_str` documents it; shares no code with the package under test."""

from __future__ import annotations

import re
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

PhpArray: TypeAlias = "dict[str | int, str | PhpArray]"

_NO_KEY = re.compile(r"[ \t\n\v\f\r]?\Z")
_WHOLE_NUMBER = re.compile(r"(0|-?[1-9][0-9]*)\Z")


def parse_str(query: str) -> PhpArray:
    """The variables that PHP makes of a query string; a list is an array with the keys 0, 1, 2 …"""
    variables: PhpArray = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        keys = _keys(_decoded(name).lstrip(" "))
        if keys:
            _assign(variables, keys, _decoded(value))
    return variables


def _decoded(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "surrogateescape")


def _keys(name: str) -> list[str | None]:
    """The variable's name and the keys behind it; None stands for `[]`, which appends."""
    name = name.partition("\0")[0]
    variable, bracket, rest = name.partition("[")
    variable = variable.replace(" ", "_").replace(".", "_")
    if not variable:
        return []
    keys: list[str | None] = [variable]
    while bracket:
        key, closed, rest = rest.partition("]")
        if not closed:
            # An unclosed bracket is no index but an odd character in the name.
            return [f"{variable}_{key}"] if len(keys) == 1 else keys
        keys.append(None if _NO_KEY.match(key) else key)
        bracket, rest = rest[:1] if rest.startswith("[") else "", rest[1:]
    return keys


def _assign(array: PhpArray, keys: list[str | None], value: str) -> None:
    *parents, last = keys
    for key in parents:
        place = _place(array, key)
        child = array.get(place)
        if not isinstance(child, dict):
            child = array[place] = {}
        array = child
    array[_place(array, last)] = value


def _place(array: PhpArray, key: str | None) -> str | int:
    if key is None:
        return max((index for index in array if isinstance(index, int)), default=-1) + 1
    return int(key) if _WHOLE_NUMBER.match(key) else key
