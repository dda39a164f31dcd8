"""Sorts any number of lines in bounded memory: sorted runs in temporary files, which are merged."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

__all__ = ["sorted_lines"]

# Bytes that are sorted in memory.
_RUN: Final = 16 << 20


def sorted_lines(
    lines: Iterable[bytes], key: Callable[[bytes], Any], folder: Path, *, run_size: int = _RUN
) -> Iterator[bytes]:
    """Yields lines in the order of a key.

    Args:
        lines: Lines, each with its line feed.
        key: What to sort by.
        folder: Where temporary files are put; they have no name there, or are removed with the process.
        run_size: Bytes that are sorted in memory.
    """
    with ExitStack() as stack:
        runs: list[IO[bytes]] = []
        held, size = list[bytes](), 0
        for line in lines:
            held.append(line)
            size += len(line)
            if size >= run_size:
                runs.append(_run(held, key, folder, stack))
                held, size = [], 0
        held.sort(key=key)
        yield from heapq.merge(*runs, held, key=key) if runs else held


def _run(lines: list[bytes], key: Callable[[bytes], Any], folder: Path, stack: ExitStack) -> IO[bytes]:
    lines.sort(key=key)
    file = stack.enter_context(tempfile.TemporaryFile(dir=folder))  # noqa: SIM115 - closed with the stack
    file.writelines(lines)
    file.seek(0)
    return file
