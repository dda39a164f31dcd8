"""Reading walks to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any


async def pages_of(walk: AsyncIterator[list[Any]]) -> list[list[Any]]:
    return [page async for page in walk]


async def rows_of(walk: AsyncIterator[list[Any]]) -> list[Any]:
    return [row for page in await pages_of(walk) for row in page]


def ids(rows: list[Any], key: str = "ID") -> list[int]:
    return [int(row[key]) for row in rows]
