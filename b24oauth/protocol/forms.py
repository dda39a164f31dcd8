"""Reads forms and query strings as PHP does: nested names such as ``auth[access_token]``, within bounds.

Bitrix24 sends events and pages in this form. What PHP would cut off silently is refused here.
"""

from __future__ import annotations

import re
from typing import Any, Final, cast
from urllib.parse import unquote_to_bytes

from b24oauth.errors import InvalidDataError

__all__ = ["MAX_FORM_SIZE", "read_form"]

MAX_FORM_SIZE: Final = 4 * 1024 * 1024
# PHP's own bounds, as it is installed.
_MOST_NAMES: Final = 1000
_MOST_LEVELS: Final = 64

_INDEX: Final = re.compile(r"(?:0|-?[1-9][0-9]{0,17})\Z")
_KEY: Final = re.compile(r"\[([^\]]*)\]")

_Node = dict[str | int, Any]


def read_form(body: bytes | str, what: str = "The form") -> dict[str, Any]:
    """The fields of a form or a query string.

    Args:
        body: The encoded form.
        what: Name of the payload for the error.

    Returns:
        The fields by name. Values are strings; an array whose keys are 0, 1, 2 … is a list, any other one a mapping.

    Raises:
        InvalidDataError: It is too large or too deep, or is not UTF-8.

    Source: https://www.php.net/manual/en/function.parse-str.php
    """
    encoded = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if len(encoded) > MAX_FORM_SIZE:
        raise InvalidDataError(what, [f"has {len(encoded)} bytes, at most {MAX_FORM_SIZE} are read"])
    pairs = [pair for pair in encoded.split(b"&") if pair]
    if len(pairs) > _MOST_NAMES:
        raise InvalidDataError(what, [f"has {len(pairs)} fields, at most {_MOST_NAMES} are read"])
    root: _Node = {}
    for pair in pairs:
        name, _, value = pair.partition(b"=")
        path = _path(_decoded(name, what), what)
        if path:
            _put(root, path, _decoded(value, what))
    return {str(key): _finished(value) for key, value in root.items()}


def _decoded(encoded: bytes, what: str) -> str:
    try:
        return unquote_to_bytes(encoded.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    raise InvalidDataError(what, [problem])


def _path(name: str, what: str) -> list[str]:
    """The keys that a name leads through; none for a name that PHP drops."""
    # PHP ends a name at a NUL.
    name = name.partition("\0")[0].lstrip(" ")
    head, bracket, rest = name.partition("[")
    if not head:
        return []
    keys: list[str] = []
    position = 0
    brackets = bracket + rest
    while match := _KEY.match(brackets, position):
        keys.append(match[1])
        position = match.end()
    if len(keys) >= _MOST_LEVELS:
        raise InvalidDataError(what, [f"has a field of more than {_MOST_LEVELS} levels"])
    if bracket and not keys:
        # A bracket that never closes is a letter of the name.
        return [f"{_as_variable(head)}_{rest}"]
    return [_as_variable(head), *keys]


def _as_variable(name: str) -> str:
    return name.replace(".", "_").replace(" ", "_")


def _put(root: _Node, path: list[str], value: str) -> None:
    node = root
    for key in path[:-1]:
        place = _place(node, key)
        child = node.get(place)
        if not isinstance(child, dict):
            child = node[place] = _Node()
        node = cast("_Node", child)
    node[_place(node, path[-1])] = value


def _place(node: _Node, key: str) -> str | int:
    if key == "":
        return max((place for place in node if isinstance(place, int)), default=-1) + 1
    return int(key) if _INDEX.match(key) else key


def _finished(value: object) -> Any:
    if not isinstance(value, dict):
        return value
    node = cast("_Node", value)
    if list(node) == list(range(len(node))):
        return [_finished(child) for child in node.values()]
    return {str(key): _finished(child) for key, child in node.items()}
