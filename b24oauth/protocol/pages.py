"""What the page of a list holds: its rows, whole numbers, and the errors for a page that a walk cannot go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import ge, itemgetter
from typing import Any, Final

from b24oauth.errors import BadResponseError, RequestInfo
from b24oauth.narrowing import is_list, is_mapping

__all__ = ["last_in_order", "rows_in", "stuck", "unreadable", "whole_number"]

# Of a number of 64 bits. What is much longer Python refuses to read or to write, and no identifier is.
_MOST_DIGITS: Final = 20
_LARGEST: Final = 10**_MOST_DIGITS - 1


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
    """A whole number of at most 20 digits, which may be written as text; None for anything else."""
    if isinstance(value, str) and len(value) <= _MOST_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST:
        return value
    return None


def last_in_order(rows: Sequence[Any], key: str, after: int, method: str) -> int:
    """The identifier of the last row of a page, which must be in ascending order.

    Args:
        rows: The page, which is not empty.
        key: Field that holds the identifier.
        after: The identifier that the page begins behind.
        method: The list method, for the error.

    Raises:
        BadResponseError: The last row has no identifier, it is not behind `after`, or rows are in another order.
    """
    last = whole_number(rows[-1].get(key)) if is_mapping(rows[-1]) else None
    if last is None:
        raise unreadable(method, key)
    if last <= after:
        raise stuck(method, key)
    try:
        ids = list(map(int, map(itemgetter(key), rows)))
    except (KeyError, TypeError, ValueError):
        ids = [last]  # only the last row needs an identifier
    if ids[0] <= after or any(map(ge, ids, ids[1:])):
        raise _bad(
            method,
            f"The rows of {method} do not come in the order of `{key}`, so the walk cannot go by it. Name another "
            'field with id_key and cursor_id_key, or ask for paging="offset"',
        )
    return last


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
