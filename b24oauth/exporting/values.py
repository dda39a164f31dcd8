"""Rows as lines of JSON and values as text. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from b24oauth.redaction import REDACTED
from b24oauth.shapes import is_mapping

__all__ = ["as_columns", "as_text", "guarded", "mask", "row_line", "sendable"]

# Characters that begin a formula in a spreadsheet.
# Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER: Final = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?", re.ASCII)


def row_line(row: object) -> bytes:
    """A row as one line of JSON with its line feed.

    Raises:
        ValueError: The row holds a number that JSON cannot express.
    """
    text = json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        # A lone surrogate has no form in UTF-8, only an escaped one.
        return json.dumps(row, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def mask(lines: bytes, secrets: Iterable[str]) -> bytes:
    """Lines without the client's own credentials: addresses of files may contain the access token.

    Args:
        lines: Lines of JSON.
        secrets: Credentials, which need no escaping in JSON.
    """
    for secret in secrets:
        lines = lines.replace(secret.encode(), REDACTED.encode())
    return lines


def as_columns(row: object) -> Mapping[str, Any]:
    """The values of a row by column; rows of some methods are plain values."""
    return row if is_mapping(row) else {"value": row}


def as_text(value: object) -> str | None:
    """A value as text: text as it is, None for null, anything else as JSON."""
    if value is None:
        return None
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return sendable(value)


def sendable(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot express, as their escape sequences."""
    return text.encode(errors="backslashreplace").decode()


def guarded(text: str | None) -> str | None:
    """The text with an apostrophe in front if a spreadsheet would take it for a formula; numbers stay as they are."""
    if text and text.startswith(_FORMULA) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
