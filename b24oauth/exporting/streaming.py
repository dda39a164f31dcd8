"""Exports a list to a stream, such as the standard output: nothing is kept, so a break cannot be repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import IO, Any, TypeAlias

import attrs

from b24oauth.errors import ConfigurationError
from b24oauth.exporting.exporter import Client, ExportProgress, OnProgress, secrets_of
from b24oauth.exporting.request import ExportRequest
from b24oauth.exporting.tables import CsvWriter
from b24oauth.exporting.threads import in_thread
from b24oauth.exporting.values import as_columns, mask, row_line

__all__ = ["export_to_stream"]

Write: TypeAlias = Callable[[Sequence[Any], Sequence[str]], None]


async def export_to_stream(
    client: Client, request: ExportRequest, stream: IO[bytes], *, on_progress: OnProgress | None = None
) -> int:
    """Writes all rows of a list method to a stream as they come, as JSON lines or CSV.

    Args:
        client: The client of the portal.
        request: What is exported; `to` only names it.
        stream: Where to; it is flushed after each page and stays open.
        on_progress: A function that is called after each page; it must not block.

    Returns:
        Number of rows.

    Raises:
        ConfigurationError: The format or an option needs a file; or a row has a column that the first page does not
            have, and CSV has one header.
        AjaxError: A request failed; the rows before it were written.
        OSError: The stream takes no more.
    """
    unfit = [name for name in ("since", "restart", "overwrite") if getattr(request, name)]
    if request.kind == "parquet" or unfit:
        what = "Parquet" if request.kind == "parquet" else unfit[0]
        raise ConfigurationError(f"{what} needs a file: an export to a stream keeps nothing")
    write: Write = _Csv(stream, guard=request.guard_formulas).write if request.kind == "csv" else _Lines(stream).write
    count, total = 0, None

    def note(_: int, of: int | None) -> None:
        nonlocal total
        total = of if request.limit is None or of is None else min(of, request.limit)

    async with client.pages(request.method, request.params, on_progress=note, **request.walk_options(None, 0)) as pages:
        async for page in pages:
            # The next pages are requested meanwhile, but no more than the walk holds: a slow reader slows it down.
            await in_thread(write, page, secrets_of(client))
            count += len(page)
            if on_progress is not None:
                on_progress(ExportProgress(phase="reading", rows=count, total=total, resumed=0))
    return count


@attrs.frozen
class _Lines:
    stream: IO[bytes]

    def write(self, rows: Sequence[Any], secrets: Sequence[str]) -> None:
        self.stream.write(mask(b"".join(map(row_line, rows)), secrets))
        self.stream.flush()


class _Csv:
    def __init__(self, stream: IO[bytes], *, guard: bool) -> None:
        self._stream = stream
        self._guard = guard
        self._writer: CsvWriter | None = None
        self._names: frozenset[str] = frozenset()

    def write(self, rows: Sequence[Any], secrets: Sequence[str]) -> None:
        found = [as_columns(row) for row in rows]
        if self._writer is None:
            names = list(dict.fromkeys(name for row in found for name in row))
            self._names = frozenset(names)
            self._writer = CsvWriter(self._stream, names, guard=self._guard)
        for row in found:
            if not self._names.issuperset(row):
                name = next(name for name in row if name not in self._names)
                raise ConfigurationError(
                    f"A row has the column {name}, which the header does not have: name the columns with select, or "
                    "export to a file, whose header is made of all rows"
                )
        self._writer.write([_masked(row, secrets) for row in found])
        self._stream.flush()


def _masked(row: Any, secrets: Sequence[str]) -> Any:
    return json.loads(mask(row_line(row), secrets)) if secrets else row
