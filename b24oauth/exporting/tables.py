"""Writes rows as CSV. Generators yield the number of rows so far, so that the caller may stop between two steps."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, Final

from b24oauth.exporting.columns import Column
from b24oauth.exporting.values import as_text, guarded

__all__ = ["CsvWriter", "write_csv", "write_lines"]

# Rows of a step.
_STEP: Final = 2000


class CsvWriter:
    """Writes rows as CSV with a header, as RFC 4180 has it, in UTF-8.

    Args:
        file: The file.
        names: Names of the columns.
        guard: Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """

    def __init__(self, file: IO[bytes], names: Sequence[str], *, guard: bool) -> None:
        self._file = file
        self._names = names
        self._guard = guard
        self._text = io.StringIO(newline="")
        self._writer: Any = csv.writer(self._text)
        self._write(names)

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Writes rows; columns that a row does not have are empty."""
        for row in rows:
            self._write([as_text(row.get(name)) for name in self._names])
        self.flush()

    def flush(self) -> None:
        """Hands what was written to the file."""
        self._file.write(self._text.getvalue().encode())
        self._text.seek(0)
        self._text.truncate()

    def _write(self, cells: Sequence[str | None]) -> None:
        self._writer.writerow([guarded(cell) for cell in cells] if self._guard else cells)


def write_csv(
    rows: Iterable[Mapping[str, Any]], columns: Sequence[Column], file: IO[bytes], *, guard: bool
) -> Iterator[int]:
    """Writes a CSV file.

    Args:
        rows: The rows.
        columns: Their columns.
        file: The file.
        guard: As for `CsvWriter`.
    """
    writer, count = CsvWriter(file, [column.name for column in columns], guard=guard), 0
    for step in in_steps(rows, _STEP):
        writer.write(step)
        count += len(step)
        yield count
    writer.flush()


def write_lines(lines: Iterable[bytes], file: IO[bytes]) -> Iterator[int]:
    """Writes JSON lines."""
    count = 0
    for step in in_steps(lines, _STEP):
        file.writelines(step)
        count += len(step)
        yield count


def in_steps(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Items in lists of a size, the last one shorter."""
    held: list[Any] = []
    for item in items:
        held.append(item)
        if len(held) >= size:
            yield held
            held = []
    if held:
        yield held
