"""Masks credentials in parameters, texts and validation rows, by the names in front of them.

`code` and `state` are credentials beside the names of an authorization only: elsewhere they are errors and regions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias, cast
from urllib.parse import unquote_plus

__all__ = [
    "CREDENTIALS",
    "REDACTED",
    "SENSITIVE_KEYS",
    "TOO_DEEP",
    "redact",
    "redact_text",
    "redact_validation",
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
# Includes names that the JS SDK does not mask, used in placement and bot requests.
CREDENTIALS: Final = (*SENSITIVE_KEYS, "auth_id", "refresh_id", "bottoken")
REDACTED: Final = "***REDACTED***"

_CIRCULAR: Final = "<circular>"
TOO_DEEP: Final = "<too deep>"
# Keys of a validation entry that never contain the rejected value.
_ROW_WORDS: Final = frozenset({"field", "message", "code"})

# A batch command is a query string (percent-encoded once); a URL inside it is encoded twice. Deeper levels are treated
# like level two.
_DEEPEST_ENCODING: Final = 2
_MARKS: Final = {"3f": "?", "26": "&", "23": "#", "3b": ";", "3d": "="}
_MARK: Final = re.compile(r"[?&#;=]|%((?:25)*)(3f|26|23|3b|3d)", re.IGNORECASE)
_SEGMENTS: Final = re.compile(r"[\[\]?&]+")
_PATH_SEGMENTS: Final = re.compile(r"[\[\].]+")


class _Names:
    """Names of credentials, and the patterns that find them in JSON: plain, escaped in a string, or encoded."""

    def __init__(self, *names: str) -> None:
        either = "|".join(names)
        self.names = frozenset(names)
        self.in_json = re.compile(rf"""(?<!\\)["'](?:{either})["']\s*:\s*""", re.IGNORECASE)
        self.in_escaped_json = re.compile(rf'\\"(?:{either})\\+"\s*:\s*', re.IGNORECASE)
        self.in_encoded_json = re.compile(
            rf"%(?:25)*22(?:{either})%(?:25)*22(?:\s|\+|%(?:25)*20)*(?::|%(?:25)*3a)", re.IGNORECASE
        )


_ANYWHERE: Final = _Names(*CREDENTIALS)
_IN_AUTHORIZATIONS: Final = _Names(*CREDENTIALS, "code", "state")
# Parameter names of token requests and of the OAuth redirect URL.
_MARKS_OF_AUTHORIZATIONS: Final = frozenset({"client_id", "grant_type", "server_domain"})
_AUTHORIZATION: Final = re.compile(
    r"(?:client_id|grant_type|server_domain)(?:=|%(?:25)*3d)|oauth(?:/|%(?:25)*2f)authorize", re.IGNORECASE
)
_AUTHORIZATION_IN_JSON: Final = re.compile(
    r"""["'](?:client_id|grant_type|server_domain)\\*["']\s*:|%22(?:client_id|grant_type|server_domain)%22""",
    re.IGNORECASE,
)
_SPACE: Final = re.compile(r"[\s\"'<>]")
# Quick check: a credential name, or percent-encoded characters that may form one. Most texts have neither.
_CLUES: Final = ("auth", "password", "token", "secret", "sessid", "key", "signature", "refresh_id", "code", "state")
_ENCODED_CLUE: Final = re.compile(r"%(?:25)*(?:[46][1-9a-f]|[57][0-9a]|3[0-9]|5f)", re.IGNORECASE)
_JSON_READER: Final = json.JSONDecoder()
_END_OF_STRING: Final = re.compile(r'(?<!\\)"')
_END_OF_VALUE: Final = re.compile(r"[&#;\s\"]")
_HEADER_LINE: Final = re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie)(\s*[:=]\s*)[^\r\n]+", re.IGNORECASE)
_BEARER: Final = re.compile(r"\bbearer\s+[^\s\"',;]+", re.IGNORECASE)

_Memo: TypeAlias = dict[int, tuple[object, object]]


def redact(value: Any) -> Any:
    """Copy a value with the credentials in it masked, at any depth.

    Mappings become dicts; lists, tuples and sets keep their kind; other objects are passed on as they are. A value
    under a sensitive key is masked whole, and strings are searched for `key=value` pairs and JSON text.

    Args:
        value: Anything: parameters, a batch command, a response.

    Returns:
        The masked copy. A container inside itself becomes "<circular>".
    """
    try:
        return _copy(value, {})
    except RecursionError:
        return TOO_DEEP


def redact_text(text: str) -> str:
    """Mask the credentials in free text such as a log line: pairs, JSON, bearer tokens and header lines.

    Args:
        text: The text. Runs in linear time.

    Returns:
        The masked text.
    """
    lowered = text.lower()
    if "authorization" in lowered or "cookie" in lowered:
        text = _HEADER_LINE.sub(rf"\1\2{REDACTED}", text)
    if "bearer" in lowered:
        text = _BEARER.sub(f"Bearer {REDACTED}", text)
    return _redact_string(text)


def redact_validation(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Copy the validation rows of a v3 error; a row about a sensitive field keeps only its words.

    Args:
        rows: Rows such as `{"field": "password", "message": "…"}`.

    Returns:
        The masked rows: beside field, message and code, everything that a row says of a sensitive field is masked.
    """
    return [_redact_row(row) for row in rows]


def _copy(value: object, memo: _Memo) -> object:
    if isinstance(value, str):
        return _redact_string(value)
    if isinstance(value, bytes):
        return _redact_string(value.decode("latin-1")).encode("latin-1")
    if not _is_container(value):
        return value
    place = id(value)
    if place not in memo:
        # A self-reference met during the copy becomes "<circular>". The memo also keeps the container alive, because
        # ids of freed objects are reused.
        memo[place] = (value, _CIRCULAR)
        memo[place] = (value, _copy_container(value, memo))
    return memo[place][1]


def _is_container(value: object) -> bool:
    return isinstance(value, (Mapping, list, tuple, set, frozenset))


def _copy_container(value: object, memo: _Memo) -> object:
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        is_authorization = any(str(key).lower() in _MARKS_OF_AUTHORIZATIONS for key, _ in items)
        names = (_IN_AUTHORIZATIONS if is_authorization else _ANYWHERE).names
        return {key: REDACTED if _is_sensitive(key, names) else _copy(item, memo) for key, item in items}
    copies = [_copy(item, memo) for item in cast("Iterable[object]", value)]
    if isinstance(value, tuple):
        return tuple(copies)
    if isinstance(value, frozenset):
        return frozenset(copies)
    return set(copies) if isinstance(value, set) else copies


def _redact_row(row: Mapping[str, Any]) -> dict[str, Any]:
    field = row.get("field")
    about_secret = isinstance(field, str) and not _ANYWHERE.names.isdisjoint(_PATH_SEGMENTS.split(field.lower()))
    masked = redact(row)
    if not isinstance(masked, dict):
        return {"field": field}  # nested too deeply to be copied
    masked = cast("dict[str, Any]", masked)
    if not about_secret:
        return masked
    return {name: value if name in _ROW_WORDS else REDACTED for name, value in masked.items()}


def _is_sensitive(name: object, names: frozenset[str] = _ANYWHERE.names) -> bool:
    if not isinstance(name, str):
        return False
    lowered = name.lower()
    if lowered in names:
        return True
    while "%25" in lowered:
        lowered = lowered.replace("%25", "%")
    lowered = unquote_plus(lowered)
    return any(segment.strip().lower() in names for segment in _SEGMENTS.split(lowered))


def _redact_string(text: str) -> str:
    lowered = text.lower()
    if not any(clue in lowered for clue in _CLUES) and not ("%" in text and _ENCODED_CLUE.search(text)):
        return text
    in_json = _IN_AUTHORIZATIONS if _AUTHORIZATION_IN_JSON.search(text) else _ANYWHERE
    return _mask_pairs(_mask_authorizations(_mask_json(text, in_json)), _ANYWHERE.names)


def _mask_authorizations(text: str) -> str:
    """Mask `code` and `state` in OAuth URLs and form bodies (strings without spaces)."""
    kept: list[str] = []
    copied = 0
    while found := _AUTHORIZATION.search(text, copied):
        before = _SPACE.split(text[copied : found.start()])[-1]
        start, space = found.start() - len(before), _SPACE.search(text, found.end())
        end = space.start() if space else len(text)
        kept += [text[copied:start], _mask_pairs(text[start:end], _IN_AUTHORIZATIONS.names)]
        copied = end
    return "".join(kept) + text[copied:]


def _mask_pairs(text: str, names: frozenset[str]) -> str:
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
        if begin is not None and _is_sensitive(text[begin:start], names):
            kept += [text[copied:end], REDACTED]
            masking = level
        # The value may contain a nested, more deeply encoded query, but no further key of the same level.
        begins[level:] = [None] + [end] * (len(begins) - level - 1)
    return "".join(kept) + (text[copied:] if masking < 0 else "")


def _marks(text: str) -> Iterator[tuple[str, int, int, int]]:
    for mark in _MARK.finditer(text):
        encoded = mark[2]
        kind = _MARKS[encoded.lower()] if encoded else mark[0]
        level = 1 + len(mark[1]) // 2 if encoded else 0
        yield kind, min(level, _DEEPEST_ENCODING), mark.start(), mark.end()


def _mask_json(text: str, names: _Names) -> str:
    masked = _mask_after(names.in_json, text, _end_of_json, with_quotes=True)
    masked = _mask_after(names.in_escaped_json, masked, _end_of(_END_OF_STRING))
    return _mask_after(names.in_encoded_json, masked, _end_of(_END_OF_VALUE))


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
        # Truncated or invalid JSON: the end of the secret is unknown, so mask the rest.
        return len(text)


def _end_of(end: re.Pattern[str]) -> Callable[[str, int], int]:
    # JSON inside a string: its own structure is hidden by escapes, so the rest of that string goes.
    def position(text: str, start: int) -> int:
        found = end.search(text, start)
        return found.start() if found else len(text)

    return position
