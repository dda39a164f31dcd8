"""How PHP reads a query string or a form: percent-decoding, nested brackets, `k[]`. Shares no code with an encoder."""

from __future__ import annotations

import re
from typing import Any, TypeGuard
from urllib.parse import unquote_plus

__all__ = ["parse_query"]

_INDEX = re.compile(r"(?:0|-?[1-9][0-9]*)\Z")
_BRACKETS = re.compile(r"\[([^\]]*)\]")

_Node = dict[str | int, Any]


def parse_query(text: str) -> dict[str, Any]:
    """Reads a query string or a form body as PHP does.

    Args:
        text: The encoded pairs, without a leading question mark.

    Returns:
        The parameters by name; an array whose keys are 0, 1, 2 … is a list. Values are strings.

    Source: https://www.php.net/manual/en/function.parse-str.php
    """
    root: _Node = {}
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        path = _path(unquote_plus(name))
        if path:
            _put(root, path, unquote_plus(value))
    return {str(key): _finished(value) for key, value in root.items()}


def _path(name: str) -> list[str]:
    name = name.lstrip(" ")
    head, bracket, rest = name.partition("[")
    keys = _keys(bracket + rest)
    if head and bracket and not keys:
        # PHP turns an opening bracket that never closes into an underscore of the name.
        return [_mangled(head) + "_" + rest]
    return [_mangled(head), *keys] if head else []


def _keys(brackets: str) -> list[str]:
    keys: list[str] = []
    position = 0
    while match := _BRACKETS.match(brackets, position):
        keys.append(match.group(1))
        position = match.end()
    return keys


def _mangled(head: str) -> str:
    return head.replace(".", "_").replace(" ", "_")


def _put(root: _Node, path: list[str], value: str) -> None:
    node = root
    for key in path[:-1]:
        place = _place(node, key)
        child: Any = node.setdefault(place, {})
        if not _is_node(child):
            child = node[place] = _Node()
        node = child
    node[_place(node, path[-1])] = value


def _place(node: _Node, key: str) -> str | int:
    if key == "":
        return max((place for place in node if isinstance(place, int)), default=-1) + 1
    return int(key) if _INDEX.match(key) else key


def _finished(value: Any) -> Any:
    if not _is_node(value):
        return value
    values = [_finished(child) for child in value.values()]
    if list(value) == list(range(len(value))):
        return values
    return {str(key): child for key, child in zip(value, values, strict=True)}


def _is_node(value: object) -> TypeGuard[_Node]:
    return isinstance(value, dict)
