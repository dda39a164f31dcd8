"""Parameters of a call as words of a command line: `fields[TITLE]=Chair`, `filter.ACTIVE:=true`, `@file.json`. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, cast

from b24oauth.cli.problems import UsageError
from b24oauth.shapes import is_mapping

__all__ = ["json_value", "read_parameters"]

# A branch of what the words describe; a list is a branch until all words are read.
_Tree: TypeAlias = dict[str, Any]
# The key of an element that is appended, as in `select[]=ID`. No segment of a word can have it.
_APPENDED = "\0"


def read_parameters(words: Iterable[str], read: Callable[[str], str]) -> dict[str, Any]:
    """The parameters that words describe.

    Words are `key=text`, `key:=json`, `@file` or `-`. A key is nested by brackets or dots; what is in brackets may have
    any character but a bracket. Empty brackets append to a list. Keys 0, 1, 2 and so on make a list. What a word says
    takes precedence over a file.

    Args:
        words: The words.
        read: Reads a file by its name; ``-`` is the standard input.

    Raises:
        UsageError: A word is not understood, contradicts another one, or names a file that is not a JSON object.
    """
    given: dict[str, Any] = {}
    tree: _Tree = {}
    for word in words:
        if word == "-" or word.startswith("@"):
            name = word.removeprefix("@")
            value = json_value(read(name), "the standard input" if name == "-" else name)
            if not is_mapping(value):
                raise UsageError(f"{word}: parameters must be a JSON object")
            given = _merged(given, value)
        elif word.startswith("--"):
            # A misspelt option must not be sent as a parameter.
            raise UsageError(f"{word.partition('=')[0]} is no option of this command")
        else:
            _put(tree, word)
    return _merged(given, {key: _built(value) for key, value in tree.items()})


def json_value(text: str, place: str) -> Any:
    """The value of a JSON text.

    Args:
        text: The text.
        place: Where it comes from, for the message.

    Raises:
        UsageError: It is not JSON; the text is not repeated, because it may hold secrets.
    """
    try:
        return json.loads(text)
    except RecursionError:
        problem = "it is nested too deeply"
    except ValueError as error:
        problem = f"line {error.lineno}, column {error.colno}" if isinstance(error, json.JSONDecodeError) else "no text"
    raise UsageError(f"{place} is not JSON ({problem})")


def _put(tree: _Tree, word: str) -> None:
    path, is_json, text = _split(word)
    name = word[: len(word) - len(text)]
    value = json_value(text, name) if is_json else text
    branch = tree
    for key, following in zip(path, [*path[1:], None], strict=True):
        place = str(len(branch)) if key == _APPENDED else key
        if following is None:
            if place in branch:
                raise UsageError(f"{name} is given twice; several values are written key[]=one key[]=two")
            # In a tuple, a value that is a mapping cannot be taken for a branch.
            branch[place] = (value,)
            return
        child = branch.setdefault(place, {})
        if not isinstance(child, dict):
            raise UsageError(f"{name} contradicts another parameter, which gives {key} a value of its own")
        branch = cast("_Tree", child)


def _split(word: str) -> tuple[list[str], bool, str]:
    """The segments of the key, whether the value is JSON, and the value."""
    path: list[str] = []
    segment, at = "", 0
    while at < len(word):
        letter = word[at]
        if letter == "=" or word.startswith(":=", at):
            if segment or not path:
                path.append(segment)
            if path[0] in ("", _APPENDED):
                break
            is_json = letter == ":"
            return path, is_json, word[at + 1 + is_json :]
        if letter == "[":
            end = word.find("]", at)
            if end < 0 or not (segment or path):
                break
            if segment:
                path.append(segment)
            path.append(word[at + 1 : end] or _APPENDED)
            segment, at = "", end
        elif letter == ".":
            if segment:
                path.append(segment)
            elif at == 0 or word[at - 1] != "]":
                break
            segment = ""
        elif path and word[at - 1] == "]":
            break
        else:
            segment += letter
        at += 1
    raise UsageError(
        f"{word.partition('=')[0]}: a parameter is key=text, key:=json, @file.json or -, for example "
        "fields[TITLE]=Chair or 'filter[>ID]=5'"
    )


def _built(value: Any) -> Any:
    if isinstance(value, tuple):
        return cast("tuple[Any]", value)[0]
    branch = {key: _built(child) for key, child in cast("_Tree", value).items()}
    if set(branch) == {str(number) for number in range(len(branch))}:
        return [branch[str(number)] for number in range(len(branch))]
    return branch


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        held = merged.get(key)
        merged[key] = _merged(held, value) if is_mapping(held) and is_mapping(value) else value
    return merged
