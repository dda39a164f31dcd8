"""One page of a list: its rows, their identifiers, and the errors for a page from which a walk cannot go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import ge, itemgetter, le
from typing import Any, Final

import attrs

from b24oauth.errors import BadResponseError, ListChangedError, RequestInfo
from b24oauth.shapes import is_list, is_mapping, whole_number

__all__ = [
    "RowsReader",
    "UnorderedRowsError",
    "cannot_go_on",
    "last_in_order",
    "list_changed",
    "not_advancing",
    "walk_error",
    "whole_number",
]

_CODE: Final = "B24OAUTH_LIST_WALK"


class UnorderedRowsError(BadResponseError):
    """The rows of a list cannot be walked by their identifiers; a walk by position may still read them."""


@attrs.define
class RowsReader:
    """Finds the rows in the pages of one list.

    Attributes:
        method: REST method, for errors.
        key: Where the rows are inside `result`, with dots between nested keys; empty: `result` is the list; None: in
            the only list of mappings of the first page.
        by_code: The rows are the values of a mapping by code.
        certain: The caller named the key; a key from the documentation gives way to the only list of mappings.
        keyed: The last page was a mapping, so its rows have no positions.
    """

    method: str
    key: str | None = None
    by_code: bool = False
    certain: bool = False
    keyed: bool = False

    def read(self, payload: Mapping[str, Any]) -> list[Any]:
        """The rows of a page.

        Args:
            payload: The decoded body of the response.

        Raises:
            BadResponseError: There are no rows, or several lists could be the rows; the message names the remedy.
        """
        result = payload.get("result")
        # PHP writes an empty mapping as an empty list.
        if result == []:
            return []
        if self.key is not None:
            rows = self._rows(_inside(result, self.key))
            if rows is not None:
                return rows
            if self.certain:
                raise self._missing(result)
        self.key = self._only_key(result)
        rows = self._rows(_inside(result, self.key))
        return [] if rows is None else rows

    def _rows(self, value: object) -> list[Any] | None:
        self.keyed = is_mapping(value)
        if is_list(value):
            return value
        if not is_mapping(value):
            return None
        rows = list(value.values())
        if self.by_code:
            return rows if all(map(is_mapping, rows)) else None
        # PHP writes a list with gaps as a mapping by position.
        return rows if all(map(str.isdigit, value)) else None

    def _only_key(self, result: object) -> str:
        if is_list(result) or (is_mapping(result) and result and _holds_rows(result)):
            return ""
        parts: Mapping[str, Any] = result if is_mapping(result) else {}
        if self.key is None and any(str(name).lower() == "id" for name in parts):
            raise walk_error(
                self.method,
                f"{self.method} returns one record instead of rows: read it with a plain call. If it does return rows, "
                "name their key with custom_key_for_result",
            )
        candidates = [name for name, value in parts.items() if _holds_rows(value)]
        if not candidates and self.key is None:
            candidates = [name for name, value in parts.items() if value == []]
        if len(candidates) != 1:
            raise self._missing(result)
        return candidates[0]

    def _missing(self, result: object) -> BadResponseError:
        names = _names_in(result) if is_mapping(result) else ""
        if self.by_code:
            return walk_error(
                self.method, f"{self.method} returns a mapping by code instead of rows: read it with a plain call"
            )
        where = f" under `{self.key}`" if self.key else ""
        return walk_error(
            self.method,
            f"The response to {self.method} has no single list of rows{where}{names}. "
            "Name the key of the rows with custom_key_for_result",
        )


def _inside(result: object, key: str) -> object:
    for name in key.split(".") if key else ():
        result = result.get(name) if is_mapping(result) else None
    return result


def _holds_rows(value: object) -> bool:
    if is_mapping(value):
        value = list(value.values()) if all(map(str.isdigit, value)) else []
    return is_list(value) and bool(value) and all(map(is_mapping, value))


def _names_in(result: Mapping[str, Any]) -> str:
    # A key may be data, and data may be a secret: only keys that look like names are shown.
    names = [name for name in list(result)[:5] if name.isascii() and name.replace("_", "").isalpha()]
    return f"; it has {', '.join(names)}" if names else ""


def last_in_order(rows: Sequence[Any], key: str, after: int | None, method: str, *, descending: bool = False) -> int:
    """The identifier of the last row of a page whose rows are in order.

    Args:
        rows: The page, which is not empty.
        key: Field that holds the identifier.
        after: The identifier that the page starts after; None: the page is the first of a descending walk.
        method: REST method, for the error.
        descending: The greatest identifier comes first.

    Raises:
        BadResponseError: The last row has no identifier, it does not come after `after`, or rows are in another order.
    """
    last = whole_number(rows[-1].get(key)) if is_mapping(rows[-1]) else None
    if last is None:
        raise cannot_go_on(method, key)
    if after is not None and (last >= after if descending else last <= after):
        raise not_advancing(method, key)
    try:
        ids = list(map(int, map(itemgetter(key), rows)))
    except (KeyError, TypeError, ValueError):
        ids = [last]  # only the last row needs an identifier
    starts_before = after is not None and (ids[0] >= after if descending else ids[0] <= after)
    if starts_before or any(map(le if descending else ge, ids, ids[1:])):
        raise _unordered(
            method,
            f"The rows of {method} do not come in the order of `{key}`, so they cannot be walked by it. Leave paging "
            "and id_key out, so that the walk chooses a way that the portal follows",
        )
    return last


def cannot_go_on(method: str, key: str) -> UnorderedRowsError:
    """The error for a page whose last row has no identifier."""
    return _unordered(
        method,
        f"The walk of {method} cannot go on: the last row has no usable `{key}`. Name the field with id_key "
        "(cursor_field for tails) and keep it in `select`",
    )


def not_advancing(method: str, key: str) -> UnorderedRowsError:
    """The error for a page that starts again where the page before it did."""
    return _unordered(
        method, f"The walk of {method} does not advance: `{key}` of the last row does not come after the page before it"
    )


def list_changed(method: str) -> ListChangedError:
    """The error for rows that move while they are read by position."""
    return ListChangedError(
        f"Rows of {method} were added or deleted while they were read by position, so rows may be missing. Read the "
        "list again, or pass allow_changes=True to accept that",
        method=method,
    )


def walk_error(method: str, message: str) -> BadResponseError:
    """The error for a list that cannot be read to its end in any way."""
    return BadResponseError(message, code=_CODE, status=200, request_info=RequestInfo(method=method))


def _unordered(method: str, message: str) -> UnorderedRowsError:
    return UnorderedRowsError(message, code=_CODE, status=200, request_info=RequestInfo(method=method))
