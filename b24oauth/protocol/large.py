"""Decodes the response to a batch in steps, one result after another, so that a large one never stalls the event loop.

Pure: the caller lets other tasks run between the steps. One result is one step, however large.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Generator
from functools import cache
from typing import Any, Final, cast

from b24oauth.protocol.decoding import parse_json

__all__ = ["LARGE", "decoded_in_steps"]

# Bytes from which a response is decoded in steps; `json` takes about a millisecond for so many.
LARGE: Final = 128 * 1024
# The results of a batch are in `result.result`, those of a v3 batch in `result`.
_RESULT: Final = "result"
_DEPTH: Final = 2
# What stands beside the results of a v2 batch.
_BESIDE: Final = ("result_error", "result_total", "result_next", "result_time")
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_READER: Final = json.JSONDecoder()

Steps = Generator[int, None, Any]


def decoded_in_steps(body: bytes) -> Steps:
    """Decodes JSON; gives what `parse_json` gives.

    Args:
        body: The bytes of a response.

    Yields:
        How many bytes a step has worked on.

    Returns:
        The value, or None when the bytes are not JSON.
    """
    try:
        return (yield from _with_msgspec(body))
    except (ValueError, RecursionError, ImportError):
        pass  # it is not installed, or stricter than `json`
    try:
        text = body.decode()
        yield len(body)
        value, end = yield from _value(text, _after_space(text, 0), _DEPTH)
    except (ValueError, RecursionError):
        return parse_json(body)
    return value if _after_space(text, end) == len(text) else None


def _with_msgspec(body: bytes) -> Steps:
    import msgspec  # noqa: PLC0415 - an extra

    try:
        batch = _batch_decoder().decode(body)
        yield len(body)
        inner: dict[str, Any] = {}
        for name in batch.result.__struct_fields__:
            value = getattr(batch.result, name)
            if name == _RESULT:
                inner[name] = yield from _parts(value, msgspec.json.decode)
            elif value is not msgspec.UNSET:
                inner[name] = value
    except msgspec.MsgspecError as error:
        raise ValueError from error
    return {_RESULT: inner} if batch.time is msgspec.UNSET else {_RESULT: inner, "time": batch.time}


@cache
def _batch_decoder() -> Any:
    """Reads the response to a v2 batch with its results undecoded; refuses what has other fields."""
    import msgspec  # noqa: PLC0415 - an extra

    unset, results = msgspec.UNSET, dict[str, msgspec.Raw] | list[msgspec.Raw]
    others = [(name, Any, unset) for name in _BESIDE]
    inner = msgspec.defstruct("Inner", [(_RESULT, results), *others], forbid_unknown_fields=True)
    batch = msgspec.defstruct("Batch", [(_RESULT, inner), ("time", Any, unset)], forbid_unknown_fields=True)
    return msgspec.json.Decoder(batch)


def _parts(raw: Any, decode: Callable[[Any], Any]) -> Steps:
    if isinstance(raw, dict):
        named: dict[str, Any] = {}
        for name, part in cast("dict[str, Any]", raw).items():
            named[name] = decode(part)
            yield len(memoryview(part))
        return named
    items: list[Any] = []
    for part in raw:
        items.append(decode(part))
        yield len(memoryview(part))
    return items


def _value(text: str, at: int, depth: int) -> Generator[int, None, tuple[Any, int]]:
    """The value at a position, and where it ends."""
    begin = text[at : at + 1]
    if begin == "{":
        return (yield from _members(text, at, depth))
    if begin == "[" and depth < _DEPTH:
        return (yield from _items(text, at))
    return _READER.raw_decode(text, at)


def _members(text: str, at: int, depth: int) -> Generator[int, None, tuple[Any, int]]:
    found: dict[str, Any] = {}
    at = _after_space(text, at + 1)
    while text[at : at + 1] != "}" or found:
        _expect('"', text, at)
        name, end = _READER.raw_decode(text, at)
        at = _after_space(text, _expect(":", text, _after_space(text, end)))
        if depth and name == _RESULT:
            found[name], end = yield from _value(text, at, depth - 1)
        else:
            found[name], end = _READER.raw_decode(text, at)
            if not depth:
                yield end - at
        at = _after_space(text, end)
        if text[at : at + 1] == "}":
            break
        at = _after_space(text, _expect(",", text, at))
    return found, _expect("}", text, at)


def _items(text: str, at: int) -> Generator[int, None, tuple[Any, int]]:
    found: list[Any] = []
    at = _after_space(text, at + 1)
    while text[at : at + 1] != "]" or found:
        item, end = _READER.raw_decode(text, at)
        found.append(item)
        yield end - at
        at = _after_space(text, end)
        if text[at : at + 1] == "]":
            break
        at = _after_space(text, _expect(",", text, at))
    return found, _expect("]", text, at)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _expect(letter: str, text: str, at: int) -> int:
    if text[at : at + 1] != letter:
        raise ValueError
    return at + 1
