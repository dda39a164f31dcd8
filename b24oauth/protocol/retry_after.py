"""The header `Retry-After`: how long the portal asks to wait."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["retry_after"]

# Digits of a number of seconds that is worth reading.
_LONGEST: Final = 9


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a response asks to wait; None when it does not say, or says it unreadably.

    A date is compared with the response's own `Date`, so that no clock of ours matters.

    Args:
        headers: Headers of the response, names in lower case.

    Source: https://www.rfc-editor.org/rfc/rfc9110#name-retry-after
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value) if len(value) <= _LONGEST else None
    then, now = _date(value), _date(headers.get("date", ""))
    return None if then is None or now is None else max(0.0, (then - now).total_seconds())


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text.strip())
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return date if date.tzinfo is not None else date.replace(tzinfo=UTC)
