"""A table of rows that are made from their id when they are read; only what a test changed is held."""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs

from b24oauth.testing.conditions import Row, Selection, comparable

__all__ = ["Page", "Table"]

MakeRow = Callable[[int], dict[str, Any]]
Snapshot = tuple[Sequence[int], dict[int, dict[str, Any]]]


@attrs.frozen(kw_only=True)
class Page:
    """Rows of one page, and how many rows fit in all, where that was asked for."""

    rows: list[Row]
    total: int | None


@attrs.define(eq=False)
class Table:
    """The rows of one kind that the portal holds, by ascending id.

    Attributes:
        make: Makes a row from its id; may be replaced, for example to have wider rows.
        id_field: Name of the id in a row.
    """

    make: MakeRow
    id_field: str
    _ids: Sequence[int]
    _written: dict[int, dict[str, Any]] = attrs.field(init=False, factory=dict[int, dict[str, Any]])

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, row_id: object) -> bool:
        return isinstance(row_id, int) and self._position(row_id) is not None

    @property
    def ids(self) -> Sequence[int]:
        """The ids that exist, ascending."""
        return self._ids

    def get(self, row_id: int) -> dict[str, Any] | None:
        """The row with this id, or None."""
        return self._row(row_id) if row_id in self else None

    def add(self, fields: Mapping[str, Any] | None = None, *, row_id: int | None = None) -> int:
        """Adds a row.

        Args:
            fields: Its values where they differ from the made ones.
            row_id: Its id; by default one more than the largest.

        Returns:
            The id of the row.

        Raises:
            ValueError: The id is taken.
        """
        last = self._ids[-1] if self._ids else 0
        row_id = last + 1 if row_id is None else row_id
        if row_id in self:
            raise ValueError(f"add: the table has a row {row_id} already; leave row_id out to get a free one")
        self._insert(row_id)
        self._write(row_id, fields or {})
        return row_id

    def update(self, row_id: int, fields: Mapping[str, Any]) -> bool:
        """Changes values of a row; returns whether there is such a row."""
        if row_id not in self:
            return False
        self._write(row_id, fields)
        return True

    def delete(self, row_id: int) -> bool:
        """Removes a row; returns whether there was one."""
        position = self._position(row_id)
        if position is None:
            return False
        self._ids = [*self._ids[:position], *self._ids[position + 1 :]]
        self._written.pop(row_id, None)
        return True

    def replace(self, ids: Iterable[int]) -> None:
        """Gives the table rows with these ids instead of its own."""
        self._ids = ids if isinstance(ids, range) and ids.step > 0 else sorted(set(ids))
        self._written = {}

    def snapshot(self) -> Snapshot:
        """The present state, for `restore`."""
        return self._ids, dict(self._written)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes back to a state that `snapshot` gave."""
        self._ids, self._written = snapshot[0], dict(snapshot[1])

    def page(
        self, selection: Selection, *, order: Sequence[tuple[str, bool]], offset: int, limit: int, count: bool
    ) -> Page:
        """One page of the rows that fit.

        Args:
            selection: Which rows fit.
            order: Fields to sort by, each with whether it descends; by default the ascending id.
            offset: Rows to leave out.
            limit: Rows to return at most.
            count: Whether to count all rows that fit.
        """
        ids = self._candidates(selection)
        field, descending = order[0] if order else (self.id_field, False)
        if field == self.id_field:
            return self._page_by_id(ids[::-1] if descending else ids, selection, offset, limit, count=count)
        rows = self._sorted(self._fitting(ids, selection), order)
        return Page(rows=rows[offset : offset + limit], total=len(rows) if count else None)

    def matching(self, selection: Selection) -> Iterator[Row]:
        """All rows that fit, by ascending id."""
        return self._fitting(self._candidates(selection), selection)

    def _page_by_id(self, ids: Sequence[int], selection: Selection, offset: int, limit: int, *, count: bool) -> Page:
        if not selection.tests:
            rows: list[Row] = [self._row(row_id) for row_id in ids[offset : offset + limit]]
            return Page(rows=rows, total=len(ids) if count else None)
        fitting = self._fitting(ids, selection)
        skipped = sum(1 for _ in itertools.islice(fitting, offset))
        rows = list(itertools.islice(fitting, limit))
        return Page(rows=rows, total=skipped + len(rows) + sum(1 for _ in fitting) if count else None)

    def _candidates(self, selection: Selection) -> Sequence[int]:
        if selection.ids is not None:
            return sorted(i for i in selection.ids if selection.low <= i <= selection.high and i in self)
        return self._ids[bisect_left(self._ids, selection.low) : bisect_right(self._ids, selection.high)]

    def _fitting(self, ids: Sequence[int], selection: Selection) -> Iterator[Row]:
        rows = map(self._row, ids)
        return (row for row in rows if all(test(row) for test in selection.tests))

    def _sorted(self, rows: Iterable[Row], order: Sequence[tuple[str, bool]]) -> list[Row]:
        ordered = list(rows)
        # Sorting is stable: by the least important field first.
        for field, descending in reversed(order):
            ordered.sort(key=_sort_key(field), reverse=descending)
        return ordered

    def _row(self, row_id: int) -> dict[str, Any]:
        row = self.make(row_id)
        written = self._written.get(row_id)
        return row | written if written else row

    def _write(self, row_id: int, fields: Mapping[str, Any]) -> None:
        values = {name: _as_stored(name, value) for name, value in fields.items() if name != self.id_field}
        if values:
            self._written[row_id] = self._written.get(row_id, {}) | values

    def _insert(self, row_id: int) -> None:
        ids = self._ids
        if isinstance(ids, range) and ids.step == 1 and row_id == ids.stop and ids:
            self._ids = range(ids.start, row_id + 1)
            return
        position = bisect_left(ids, row_id)
        self._ids = [*ids[:position], row_id, *ids[position:]]

    def _position(self, row_id: int) -> int | None:
        position = bisect_left(self._ids, row_id)
        return position if position < len(self._ids) and self._ids[position] == row_id else None


def _as_stored(name: str, value: Any) -> Any:
    # Bitrix24 answers `false` for an empty user field, whatever its type.
    return False if name.startswith("UF_") and value in (None, "", [], [""]) else value


def _sort_key(field: str) -> Callable[[Row], tuple[int, float, str]]:
    return lambda row: comparable(row.get(field))
