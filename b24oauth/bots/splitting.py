"""Splits a long text into messages at sensible places. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import attrs

__all__ = ["MAX_TEXT", "split_text"]

# Longer messages are cut by the portal.
MAX_TEXT: Final = 20_000

# BB codes that enclose text. Others, such as [disk=5], are single.
_PAIRED: Final = "b|i|u|s|size|color|url|user|chat|context|code|put|send|call|img"
_TAG: Final = re.compile(r"\[(/?)([a-z]+)(?:[= ][^\]\n]*)?\]", re.IGNORECASE)
_IS_PAIRED: Final = re.compile(rf"(?:{_PAIRED})\Z")
# Where a text may be divided, the best places first; what divides it is left out.
_PLACES: Final = (re.compile(r"\n[ \t]*\n\s*"), re.compile(r"\n|\[br\]", re.IGNORECASE), re.compile(r"[ \t]+"))


@attrs.frozen
class _Stretch:
    """A part of the text between two tags.

    Attributes:
        start: Where it begins.
        end: Where it ends.
        tags: The tags that are open in it, outermost first.
    """

    start: int
    end: int
    tags: tuple[str, ...]


def split_text(text: str, limit: int = MAX_TEXT) -> list[str]:
    """The messages that a text becomes: divided between paragraphs, else between lines, else between words.

    A text is divided inside BB codes only when there is no place outside of them; they are closed and opened again.

    Args:
        text: The text.
        limit: Characters of a message at most.

    Returns:
        The messages, none of them blank; empty for a blank text.
    """
    parts: list[str] = []
    rest = text
    while len(rest) > limit:
        end, begin, tags = _cut(rest, limit)
        parts.append(rest[:end] + _closing(tags))
        rest = "".join(tags) + rest[begin:]
    parts.append(rest)
    return [part for part in parts if part.strip()]


def _cut(text: str, limit: int) -> tuple[int, int, tuple[str, ...]]:
    """Where the first message ends, where the next one begins, and which tags are open there."""
    stretches = list(_stretches(text, limit))
    # What was opened again begins the text; before it nothing may be divided, or the work would not end.
    opened = _opened_again(text)
    half = limit // 2
    for is_outside, least in ((True, half), (True, opened), (False, half), (False, opened)):
        fitting = [one for one in stretches if bool(one.tags) != is_outside]
        for place in _PLACES:
            for one in reversed(fitting):
                longest = limit - len(_closing(one.tags))
                found = [
                    match
                    for match in place.finditer(text, one.start, one.end)
                    if max(least, opened) < match.start() <= longest
                ]
                if found and text[: found[-1].start()].strip():
                    return found[-1].start(), found[-1].end(), one.tags
    for one in reversed(stretches):
        end = min(one.end, limit - len(_closing(one.tags)))
        if end > max(one.start, opened):
            return end, end, one.tags
    # One tag is longer than a message.
    return limit, limit, ()


def _stretches(text: str, limit: int) -> Iterator[_Stretch]:
    """The parts of the beginning of a text that lie between tags."""
    start, tags = 0, list[tuple[str, str]]()
    lowered = text.lower()
    for match in _TAG.finditer(text):
        if match.start() > limit:
            break
        name, is_end = match[2].lower(), bool(match[1])
        if name == "br":
            continue  # it divides the text
        yield _Stretch(start, match.start(), tuple(tag for _, tag in tags))
        start = match.end()
        if not _IS_PAIRED.match(name) or (tags and tags[-1][0] == "code" and not (is_end and name == "code")):
            continue  # within [code] other tags are text
        if is_end:
            names = [open_name for open_name, _ in tags]
            if name in names:
                del tags[len(names) - 1 - names[::-1].index(name) :]
        elif lowered.find(f"[/{name}]", match.end()) >= 0:
            tags.append((name, match[0]))
    # What divides the text may stand right behind the longest message.
    if start <= limit:
        yield _Stretch(start, min(len(text), limit + 1), tuple(tag for _, tag in tags))


def _opened_again(text: str) -> int:
    """Length of the tags with which a text begins."""
    end = 0
    while (match := _TAG.match(text, end)) is not None:
        end = match.end()
    return end


def _closing(tags: tuple[str, ...]) -> str:
    names = (re.split(r"[= \]]", tag[1:], maxsplit=1)[0] for tag in reversed(tags))
    return "".join(f"[/{name}]" for name in names)
