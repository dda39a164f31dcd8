"""Makes the final file of all rows: sorts them, finds their columns, writes the format. One step at a time.

Everything here runs in a thread and may be repeated after a break: the rows stay until the final file has its name.
"""

from __future__ import annotations

import io
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import IO, Any, Final, cast

import attrs

from b24oauth.exporting.columns import Column, ColumnSet, UnfitError
from b24oauth.exporting.files import open_private, sync
from b24oauth.exporting.request import ExportRequest
from b24oauth.exporting.since import Changes, State, as_moment, digest, earlier, later, next_state
from b24oauth.exporting.sorting import sorted_lines
from b24oauth.exporting.spool import Spool
from b24oauth.exporting.tables import write_csv, write_lines
from b24oauth.exporting.values import as_columns
from b24oauth.shapes import is_mapping, is_sequence

__all__ = ["Finishing"]

# Rows of a step.
_STEP: Final = 2000


@attrs.define(kw_only=True)
class Finishing:
    """The last part of one export.

    Attributes:
        request: The export.
        spool: Its rows.
        declared: Columns that the portal declares, by normalized name.
        changes: Reads the changes of rows; None: all rows are exported in the order in which they came.
        before: State of the previous run; None: no state is kept.
        until: The latest change that the list had when the export began.
        unfit: Names of the columns that became text because a value did not fit.
    """

    request: ExportRequest
    spool: Spool
    declared: Mapping[str, Column] = attrs.field(factory=dict[str, Column])
    changes: Changes | None = None
    before: State | None = None
    until: str | None = None
    unfit: list[str] = attrs.field(factory=list[str])

    def steps(self) -> Generator[int]:
        """Writes the final file under its preliminary name, and the state beside it; yields rows so far."""
        spool = self.spool
        # Buffers write all of their data, an unbuffered file may take less.
        with io.BufferedRandom(cast("Any", open_private(spool.output))) as file:
            file.truncate()
            yield from self._written(file)
            sync(file)
        if self.changes is not None and self.before is not None:
            until = later(self.before.until, self.until)
            since = None if until is None else as_moment(earlier(until))
            state = next_state(self.before, until, self._recent(self.changes, since))
            with io.BufferedRandom(cast("Any", open_private(spool.state))) as file:
                file.truncate()
                file.write(state.written())
                sync(file)

    def _written(self, file: IO[bytes]) -> Iterator[int]:
        lines = self._sorted()
        if self.request.kind == "jsonl":
            yield from write_lines(lines, file)
            return
        columns = ColumnSet(self.declared)
        for number, line in enumerate(self.spool.lines(), 1):
            columns.see(_row(line))
            if number % _STEP == 0:
                yield 0
        if not columns.rows:
            self._empty(columns)
        selected = self._selected()
        if self.request.kind == "csv":
            rows = map(_row, lines)
            yield from write_csv(rows, columns.ordered(selected), file, guard=self.request.guard_formulas)
            return
        try:
            yield from self._parquet(columns.ordered(selected), file)
        except UnfitError:
            # Columns that are text fit all values, so the second try does not fail.
            for number, line in enumerate(self.spool.lines(), 1):
                columns.fit(_row(line))
                if number % _STEP == 0:
                    yield 0
            self.unfit = columns.unfit
            yield from self._parquet(columns.ordered(selected), file)

    def _parquet(self, columns: Sequence[Column], file: IO[bytes]) -> Iterator[int]:
        from b24oauth.exporting.parquet import write_parquet  # noqa: PLC0415 - the extra may not be installed

        file.seek(0)
        file.truncate()
        return write_parquet(((_row(line), len(line)) for line in self._sorted()), columns, file)

    def _sorted(self) -> Iterable[bytes]:
        changes = self.changes
        if changes is None:
            return self.spool.lines()

        def key(line: bytes) -> Any:
            moment, identifier = changes.place(json.loads(line))
            return moment.timestamp(), identifier  # numbers are compared faster

        return sorted_lines(self.spool.lines(), key, self.spool.final.parent)

    def _empty(self, columns: ColumnSet) -> None:
        """Without rows, the columns are those that were asked for, or else those that are declared."""
        selected = self._selected()
        for name in selected or [column.name for column in self.declared.values()]:
            columns.add(name)

    def _selected(self) -> list[str]:
        params: Any = self.request.params
        named = params.items() if is_mapping(params) else ()
        found: object = next((value for name, value in named if name.lower() == "select"), None)
        return [str(name) for name in found if "*" not in str(name)] if is_sequence(found) else []

    def _recent(self, changes: Changes, since: datetime | None) -> dict[str, tuple[str, str]]:
        """The rows that the next run will read again."""
        recent: dict[str, tuple[str, str]] = {}
        for row in map(json.loads, self.spool.lines()):
            moment, identifier = changes.place(row)
            if since is None or moment >= since:
                recent[str(identifier)] = (moment.isoformat(), digest(row))
        return recent


def _row(line: bytes) -> Mapping[str, Any]:
    return as_columns(json.loads(line))
