"""Masks secrets whose values are known, wherever and however they are written in texts and decoded JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from typing import Any, Final, cast

from b24oauth.redaction import REDACTED, TOO_DEEP

__all__ = ["LONGEST_ERROR", "scrub", "scrub_start", "scrub_value"]

# Maximum length of an error text, characters.
LONGEST_ERROR: Final = 2000

_SHORTEST_SECRET: Final = 4
_DEEPEST_SEARCHED: Final = 100

# Encodings of a single character. All patterns have bounded length, so searching is linear in the text length.
_PERCENT: Final = "%(?:25){0,6}"
_BACKSLASH: Final = rf"(?:\\|{_PERCENT}5c)"
_ENCODED: Final = re.compile(rf"{_PERCENT}([0-7][0-9a-f])")
_ESCAPED: Final = re.compile(r"\\u00([0-7][0-9a-f])")
_PIECES: Final = re.compile(r"\\+|.", re.DOTALL)


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Mask known secret values wherever they occur in a text.

    Matches ignore case and also find values that are fully or partly percent-encoded or JSON-escaped, once or several
    times.

    Args:
        text: The text; the time taken grows with its length only.
        secrets: The values; those shorter than 4 characters are ignored, for they would mask ordinary words.

    Returns:
        The masked text.
    """
    sought = {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}
    if not sought or not _may_show(text, sought):
        return text
    # The longest first: it must not be cut in two by a shorter one inside it.
    longest_first = sorted(sought, key=len, reverse=True)
    return re.sub("|".join(map(_in_any_spelling, longest_first)), REDACTED, text, flags=re.IGNORECASE)


def scrub_start(text: str, secrets: Collection[str], length: int = LONGEST_ERROR) -> str:
    """The beginning of a text with known secrets masked; the time taken does not grow with the text.

    Args:
        text: The text, of any length.
        secrets: As for `scrub`.
        length: Characters to keep.

    Returns:
        The masked beginning. A longer text ends in "…", and with no part of a secret.
    """
    searched = length * 8
    masked = scrub(text[:searched], secrets)
    if len(text) > searched:
        # The searched part may end with the beginning of a (possibly encoded) secret.
        longest = max(map(len, secrets), default=0)
        masked = masked[: max(0, len(masked) - 16 * longest)]
    return masked if len(masked) <= length and len(text) <= searched else f"{masked[: length - 1]}…"


def scrub_value(value: Any, secrets: Iterable[str]) -> Any:
    """Copy an error's decoded JSON with known secret values masked: in its texts, the keys of its maps, its numbers.

    Args:
        value: What a JSON reader gives.
        secrets: As for `scrub`.

    Returns:
        The masked copy, with the beginnings of its texts; what lies too deep to be searched becomes "<too deep>".
    """
    return _scrubbed(value, tuple(secrets), _DEEPEST_SEARCHED)


def _scrubbed(value: object, secrets: tuple[str, ...], depth: int) -> object:
    if isinstance(value, str):
        return scrub_start(value, secrets)
    if isinstance(value, (int, float)):
        # A secret of digits alone may have come back as a number.
        return value if scrub(text := str(value), secrets) == text else REDACTED
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        return TOO_DEEP
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {scrub_start(key, secrets): _scrubbed(item, secrets, depth - 1) for key, item in items}
    return [_scrubbed(item, secrets, depth - 1) for item in cast("list[object]", value)]


def _may_show(text: str, secrets: Iterable[str]) -> bool:
    """Fast pre-check: False if the text certainly contains no secret."""
    lowered = text.lower()
    folded = _folded(lowered)
    return any(
        not _is_plain(secret) or secret in lowered or _folded(secret) in folded for secret in map(str.lower, secrets)
    )


def _is_plain(secret: str) -> bool:
    return secret.isascii() and secret.isprintable() and "%" not in secret and "\\" not in secret


def _folded(text: str) -> str:
    """A text in lower case without percent-encoding and escapes, for printable ASCII characters only."""
    if "%" in text:
        text = _ENCODED.sub(_letter, text)
    if "\\" in text:
        text = _ESCAPED.sub(_letter, text).replace("\\", "")
    return text.replace("+", " ")


def _letter(hexadecimal: re.Match[str]) -> str:
    return chr(int(hexadecimal[1], 16)).lower()


def _in_any_spelling(secret: str) -> str:
    """A pattern for a secret, each letter of which may be encoded or escaped in its own way."""
    return "".join(map(_piece, _PIECES.findall(secret)))


def _piece(piece: str) -> str:
    length = len(piece)
    if piece[0] == "\\":
        return f"(?:(?:{_BACKSLASH}{{1,15}}+u005c){{{length}}}|{_BACKSLASH}{{{length},{16 * length}}}+)"
    encoded = "".join(f"{_PERCENT}{byte:02x}" for byte in piece.encode("utf-8", "surrogatepass"))
    units = re.findall("....", piece.encode("utf-16-be", "surrogatepass").hex())
    spellings = [encoded, re.escape(piece), f"{_BACKSLASH}{{1,15}}+".join(f"u{unit}" for unit in units)]
    if piece in " +":
        spellings.append(f"[ +]|{_PERCENT}2[0b]|u002[0b]")  # in a form, one stands for the other
    elif piece < " ":
        spellings.append(json.dumps(piece)[2:-1])
    return f"{_BACKSLASH}{{0,15}}+(?:{'|'.join(spellings)})"
