"""What commands print: results on the standard output, everything else on the standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, TypeAlias

from cyclopts import Parameter

__all__ = ["AsJson", "as_text", "note", "print_json", "print_table"]

AsJson: TypeAlias = Annotated[bool, Parameter(name="--json", help="Print JSON for programs.")]
"""The option `--json` of a command."""


def note(text: str) -> None:
    """Prints what is not a result.

    Args:
        text: One or more lines.
    """
    print(text, file=sys.stderr, flush=True)


def as_text(value: object) -> str:
    """A value as JSON in one line.

    Args:
        value: Plain values; others are written as text.
    """
    return json.dumps(value, ensure_ascii=False, default=str)


def print_json(value: Any, *, compact: bool) -> None:
    """Prints a JSON document, in colours on a terminal.

    Args:
        value: Plain values.
        compact: In one line and without colours, for programs.
    """
    if compact or not sys.stdout.isatty():
        print(json.dumps(value, ensure_ascii=False, default=str, indent=None if compact else 2), flush=True)
        return
    from rich.console import Console  # noqa: PLC0415 - not needed for pipes

    Console().print_json(data=value, default=str)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table.

    Args:
        columns: Their titles.
        rows: One cell for each column.
    """
    from rich.console import Console  # noqa: PLC0415 - not needed with --json
    from rich.table import Table  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
    else:
        # A pipe has no width: nothing is wrapped or cut.
        Console(highlight=False, width=10_000).print(table)
