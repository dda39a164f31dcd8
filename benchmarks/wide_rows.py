"""Deals of a given size: the fake portal's own have about 300 bytes, those of real portals 1 to 2 KB."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ROW_BYTES", "widened"]

# The sizes that the tables of lists compare, bytes of JSON text.
ROW_BYTES = (500, 2000)

_VALUE = "Value of a user field"
# Sizes are those of a row with an id in the middle of what the tables read.
_USUAL_ID = 50_000

MakeRow = Callable[[int], dict[str, Any]]


def widened(make: MakeRow, size: int) -> MakeRow:
    """A function that makes the same rows with user fields added to them.

    Args:
        make: Makes a row from its id.
        size: Bytes of JSON text that a row shall have, give or take a few.

    Raises:
        ValueError: The rows are larger already.
    """
    missing = size - _size(make(_USUAL_ID))
    if missing < 0:
        raise ValueError(f"rows have {size - missing} bytes without user fields, more than {size}")
    fields: dict[str, str] = {}
    for number in itertools.count(1_700_000_001):
        name = f"UF_CRM_{number}"
        # Quotes, colon and comma of a field.
        taken = len(name) + 6
        if missing < taken:
            break
        # The last field is longer where there is no room for another one.
        room = missing - taken
        value = _VALUE if room >= len(_VALUE) + taken else (_VALUE * 3)[:room]
        fields[name] = value
        missing -= taken + len(value)
    return lambda row_id: make(row_id) | fields


def _size(row: Mapping[str, Any]) -> int:
    return len(json.dumps(row, separators=(",", ":")))
