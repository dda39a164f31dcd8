"""What the page of a list holds: its rows, whole numbers, and the errors for a page that a walk cannot go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from b24oauth.errors import BadResponseError, RequestInfo
from b24oauth.narrowing import is_list, is_mapping

__all__ = ["rows_in", "stuck", "unreadable", "whole_number"]


def rows_in(payload: Mapping[str, Any], key: str | None, method: str) -> list[Any]:
    """The rows of a page.

    Args:
        payload: The decoded body of the answer.
        key: Where they are inside of `result`; None: `result` is the list.
        method: The list method, for the error.

    Raises:
        BadResponseError: There are none; names the remedy.
    """
    result = payload.get("result")
    rows: Any = result
    if key is not None:
        # PHP writes an empty map as an empty list.
        rows = result.get(key) if is_mapping(result) else (result if result == [] else None)
    if is_mapping(rows) and all(map(str.isdigit, rows)):
        return list(rows.values())
    if is_list(rows):
        return rows
    where = f"under `{key}`" if key is not None else "in `result`"
    hint = "" if not is_mapping(result) else _names_in(result)
    raise _bad(method, f"The answer to {method} has no rows {where}{hint}: set custom_key_for_result")


def _names_in(result: Mapping[str, Any]) -> str:
    # Data may stand in the place of a name, and data may be a secret: only what reads as a name is repeated.
    names = [name for name in list(result)[:5] if name.isascii() and name.replace("_", "").isalpha()]
    return f"; it has {', '.join(names)}" if names else ""


def whole_number(value: object) -> int | None:
    """A whole number, which may be written as text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def unreadable(method: str, key: str) -> BadResponseError:
    """The error for a row that a walk cannot go on from."""
    return _bad(
        method,
        f"The walk of {method} cannot go on: the last row has no usable `{key}`. Name the field with id_key "
        "(cursor_field for tails), and keep it in `select`",
    )


def stuck(method: str, key: str) -> BadResponseError:
    """The error for a page that does not lead on."""
    return _bad(method, f"The walk of {method} does not advance: `{key}` of the last row is not behind the page before")


def _bad(method: str, message: str) -> BadResponseError:
    return BadResponseError(message, code="B24OAUTH_LIST_WALK", status=200, request_info=RequestInfo(method=method))
