"""Masks credentials in parameters, texts, URLs, headers and validation rows; the lowest floor, which imports nothing.

What is a credential is decided by the name in front of it (`SENSITIVE_KEYS`) or, in `scrub`, by its known value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote_plus

__all__ = [
    "REDACTED",
    "SENSITIVE_KEYS",
    "redact",
    "redact_headers",
    "redact_text",
    "redact_url",
    "redact_validation",
    "scrub",
    "scrub_value",
]

SENSITIVE_KEYS: Final[tuple[str, ...]] = (
    "auth",
    "password",
    "token",
    "secret",
    "access_token",
    "refresh_token",
    "client_secret",
    "application_token",
    "sessid",
    "key",
    "signature",
)
REDACTED: Final = "***REDACTED***"

_CIRCULAR: Final = "<circular>"
_TOO_DEEP: Final = "<too deep>"
_SHORTEST_SECRET: Final = 4
_SENSITIVE: Final = frozenset(SENSITIVE_KEYS)
_SENSITIVE_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})
# What a validation row says about a refused field without repeating its content.
_ROW_WORDS: Final = frozenset({"field", "message", "code"})

# A query may be a value of a query, encoded once more each time; deeper than this nobody reads it back.
_DEEPEST_ENCODING: Final = 6
_DEEPEST_SEARCHED: Final = 100
_MARKS: Final = {"3f": "?", "26": "&", "23": "#", "3b": ";", "3d": "="}
_MARK: Final = re.compile(r"[?&#;=]|%((?:25)*)(3f|26|23|3b|3d)", re.IGNORECASE)
_SEGMENTS: Final = re.compile(r"[\[\]?&]+")
_PATH_SEGMENTS: Final = re.compile(r"[\[\].]+")

_NAMES: Final = "|".join(SENSITIVE_KEYS)
# A name may hide behind encoded letters, digits or underscores; most texts have neither a name nor those.
_CLUE: Final = re.compile(rf"{_NAMES}|%(?:25)*(?:[46][1-9a-f]|[57][0-9a]|3[0-9]|5f)", re.IGNORECASE)
_JSON_NAME: Final = re.compile(rf"""(?<!\\)["'](?:{_NAMES})["']\s*:\s*""", re.IGNORECASE)
_ESCAPED_JSON_NAME: Final = re.compile(rf'\\"(?:{_NAMES})\\+"\s*:\s*', re.IGNORECASE)
_ENCODED_JSON_NAME: Final = re.compile(
    rf"%(?:25)*22(?:{_NAMES})%(?:25)*22(?:\s|\+|%(?:25)*20)*(?::|%(?:25)*3a)", re.IGNORECASE
)
_JSON_READER: Final = json.JSONDecoder()
_END_OF_STRING: Final = re.compile(r'(?<!\\)"')
_END_OF_VALUE: Final = re.compile(r"[&#;\s\"]")
_HEADER_LINE: Final = re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)[^\r\n]+", re.IGNORECASE)
_BEARER: Final = re.compile(r"\bbearer\s+[^\s\"',;]+", re.IGNORECASE)
_USERINFO: Final = re.compile(r"(?<=://)[^/?#\s]*@")

# What hides a letter of a known secret, in patterns of bounded length: a search takes time by the text's length only.
_PERCENT: Final = "%(?:25){0,6}"
_BACKSLASH: Final = rf"(?:\\|{_PERCENT}5c)"
_ENCODED: Final = re.compile(rf"{_PERCENT}([0-7][0-9a-f])")
_ESCAPED: Final = re.compile(r"\\u00([0-7][0-9a-f])")
_PIECES: Final = re.compile(r"\\+|.", re.DOTALL)

_Memo: TypeAlias = dict[int, tuple[object, object]]


def redact(value: Any) -> Any:
    """Copy a value with the credentials in it masked, at any depth.

    Mappings become dicts; lists, tuples and sets keep their kind; other objects are passed on as they are. A value
    under a sensitive key is masked whole, and strings are searched for `key=value` pairs and JSON text.

    Args:
        value: Anything: parameters, a batch command, an answer.

    Returns:
        The masked copy. A container inside itself becomes "<circular>".
    """
    try:
        return _copy(value, {})
    except RecursionError:
        return _TOO_DEEP


def redact_text(text: str) -> str:
    """Mask the credentials in free text such as a log line: pairs, JSON, bearer tokens and header lines.

    Args:
        text: The text; the time taken grows with its length only.

    Returns:
        The masked text.
    """
    without_headers = _HEADER_LINE.sub(rf"\1\2{REDACTED}", text)
    return _redact_string(_BEARER.sub(f"Bearer {REDACTED}", without_headers))


def redact_url(url: str) -> str:
    """Mask the credentials in a URL: query, fragment and the user information before the host.

    Args:
        url: Absolute or relative URL.

    Returns:
        The masked URL.
    """
    return _redact_string(_USERINFO.sub(f"{REDACTED}@", url))


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Copy HTTP headers with authorization and cookies masked, and the credentials inside the other values.

    Args:
        headers: Headers by name, in any case.

    Returns:
        The masked headers, names as given.
    """
    return {
        name: REDACTED if name.lower() in _SENSITIVE_HEADERS or _is_sensitive(name) else redact_text(value)
        for name, value in headers.items()
    }


def redact_validation(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copy the validation rows of a v3 error; a row about a sensitive field keeps only its words.

    Args:
        rows: Rows such as `{"field": "password", "message": "…"}`.

    Returns:
        The masked rows: beside field, message and code, everything that a row says of a sensitive field is masked.
    """
    return [_redact_row(row) for row in rows]


def scrub(text: str, secrets: Iterable[str]) -> str:
    """Mask known secret values wherever they occur in a text.

    They are found in any case of their letters, percent-encoded or escaped as in JSON, in part or whole, and however
    often.

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


def scrub_value(value: Any, secrets: Iterable[str]) -> Any:
    """Copy decoded JSON with known secret values masked: in its texts, the keys of its maps, and its numbers.

    Args:
        value: What a JSON reader gives.
        secrets: As for `scrub`.

    Returns:
        The masked copy; what lies too deep to be searched becomes "<too deep>".
    """
    return _scrubbed(value, tuple(secrets), _DEEPEST_SEARCHED)


def _copy(value: object, memo: _Memo) -> object:
    if isinstance(value, str):
        return _redact_string(value)
    if isinstance(value, bytes):
        return _redact_string(value.decode("latin-1")).encode("latin-1")
    if not _is_container(value):
        return value
    place = id(value)
    if place not in memo:
        # While it is being copied, a container that meets itself again finds this word instead of a copy. The memo
        # also keeps the container alive: the id of a dead one could be given to another.
        memo[place] = (value, _CIRCULAR)
        memo[place] = (value, _copy_container(value, memo))
    return memo[place][1]


def _is_container(value: object) -> bool:
    return isinstance(value, (Mapping, list, tuple, set, frozenset))


def _copy_container(value: object, memo: _Memo) -> object:
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key: REDACTED if _is_sensitive(key) else _copy(item, memo) for key, item in items}
    copies = [_copy(item, memo) for item in cast("Iterable[object]", value)]
    if isinstance(value, tuple):
        return tuple(copies)
    if isinstance(value, frozenset):
        return frozenset(copies)
    return set(copies) if isinstance(value, set) else copies


def _redact_row(row: Mapping[str, Any]) -> dict[str, Any]:
    field = row.get("field")
    about_secret = isinstance(field, str) and not _SENSITIVE.isdisjoint(_PATH_SEGMENTS.split(field.lower()))
    masked = redact(row)
    if not isinstance(masked, dict):
        return {"field": field}  # too deep to be walked
    masked = cast("dict[str, Any]", masked)
    if not about_secret:
        return masked
    return {name: value if name in _ROW_WORDS else REDACTED for name, value in masked.items()}


def _is_sensitive(name: object) -> bool:
    if not isinstance(name, str):
        return False
    lowered = name.lower()
    if lowered in _SENSITIVE:
        return True
    for _ in range(_DEEPEST_ENCODING):
        if "%" not in lowered and "+" not in lowered:
            break
        lowered = unquote_plus(lowered)
    return any(segment.strip().lower() in _SENSITIVE for segment in _SEGMENTS.split(lowered))


def _redact_string(text: str) -> str:
    if not _CLUE.search(text):
        return text
    return _mask_pairs(_mask_json(text))


def _mask_pairs(text: str) -> str:
    """Mask the values of sensitive `key=value` pairs, at every level of percent-encoding at once.

    Each level has its own place where a key may begin. An encoded separator ends nothing on the levels outside it,
    so that `token=a%26b` is masked whole while in `cmd=m%3Ftoken%3Da%26b%3D1` only the inner token is.
    """
    begins: list[int | None] = [0] * (_DEEPEST_ENCODING + 1)
    kept: list[str] = []
    copied, masking = 0, -1
    for kind, level, start, end in _marks(text):
        if masking >= 0:
            if kind in "=?" or level > masking:
                continue
            copied, masking = start, -1
        if kind != "=":
            begins[level:] = [end] * (len(begins) - level)
            continue
        begin = begins[level]
        if begin is not None and _is_sensitive(text[begin:start]):
            kept += [text[copied:end], REDACTED]
            masking = level
        # The value may itself be a query, encoded once more; on its own level it cannot begin another key.
        begins[level:] = [None] + [end] * (len(begins) - level - 1)
    return "".join(kept) + (text[copied:] if masking < 0 else "")


def _marks(text: str) -> Iterator[tuple[str, int, int, int]]:
    for mark in _MARK.finditer(text):
        encoded = mark[2]
        kind = _MARKS[encoded.lower()] if encoded else mark[0]
        level = 1 + len(mark[1]) // 2 if encoded else 0
        yield kind, min(level, _DEEPEST_ENCODING), mark.start(), mark.end()


def _mask_json(text: str) -> str:
    masked = _mask_after(_JSON_NAME, text, _end_of_json, with_quotes=True)
    masked = _mask_after(_ESCAPED_JSON_NAME, masked, _end_of(_END_OF_STRING))
    return _mask_after(_ENCODED_JSON_NAME, masked, _end_of(_END_OF_VALUE))


def _mask_after(
    name: re.Pattern[str], text: str, end_of_value: Callable[[str, int], int], *, with_quotes: bool = False
) -> str:
    mask = f'"{REDACTED}"' if with_quotes else REDACTED
    kept: list[str] = []
    position = 0
    while found := name.search(text, position):
        kept += [text[position : found.end()], mask]
        position = end_of_value(text, found.end())
    return "".join(kept) + text[position:]


def _end_of_json(text: str, start: int) -> int:
    try:
        return _JSON_READER.raw_decode(text, start)[1]
    except (ValueError, RecursionError):
        # Cut off or no JSON at all: nothing tells where the secret ends, so the rest goes with it.
        return len(text)


def _end_of(end: re.Pattern[str]) -> Callable[[str, int], int]:
    # JSON inside a string: its own structure is hidden by escapes, so the rest of that string goes.
    def position(text: str, start: int) -> int:
        found = end.search(text, start)
        return found.start() if found else len(text)

    return position


def _scrubbed(value: object, secrets: tuple[str, ...], depth: int) -> object:
    if isinstance(value, str):
        return scrub(value, secrets)
    if isinstance(value, (int, float)):
        # A secret of digits alone may have come back as a number.
        return value if scrub(text := str(value), secrets) == text else REDACTED
    if not isinstance(value, (dict, list)):
        return value
    if not depth:
        return _TOO_DEEP
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {scrub(key, secrets): _scrubbed(item, secrets, depth - 1) for key, item in items}
    return [_scrubbed(item, secrets, depth - 1) for item in cast("list[object]", value)]


def _may_show(text: str, secrets: Iterable[str]) -> bool:
    """False when no secret can be in the text, which is found out in a fraction of the time that a search takes."""
    lowered = text.lower()
    folded = _folded(lowered)
    return any(
        not _is_plain(secret) or secret in lowered or _folded(secret) in folded for secret in map(str.lower, secrets)
    )


def _is_plain(secret: str) -> bool:
    return secret.isascii() and secret.isprintable() and "%" not in secret and "\\" not in secret


def _folded(text: str) -> str:
    """A text in lower case without percent-encoding and escapes, as far as printable ASCII letters go."""
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
