"""The unfinished file of an export: lines of JSON, of which a journal beside it says how far they are on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import attrs

from b24oauth.errors import ConfigurationError, SdkError
from b24oauth.exporting.files import lock, open_private, sync, sync_folder
from b24oauth.exporting.journal import Checkpoint, Header, Journal, parse, written
from b24oauth.exporting.values import as_columns, mask, row_line
from b24oauth.shapes import whole_number

__all__ = ["Spool", "rows_kept"]

_BLOCK: Final = 1 << 16


class Spool:
    """The rows of one export until its file is complete. Only one process has it open.

    The place where an export goes on is read from the rows themselves: the journal says how many bytes are on the disk,
    what follows is cut off, and the last row of the rest has the identifier to continue after.

    Args:
        final: Path of the final file; the others have its name with a suffix.

    Attributes:
        part: The unfinished file.
        output: The final file until it gets its name.
        state: The state of this run until it gets its name.
        found: What the journal says; None: nothing was begun.
        checkpoint: How far rows are on the disk.
    """

    def __init__(self, final: Path) -> None:
        self.final = final
        self.part = final.with_name(f"{final.name}.part")
        self.journal = final.with_name(f"{final.name}.part.journal")
        self.output = final.with_name(f"{final.name}.part.out")
        self.state = final.with_name(f"{final.name}.part.since")
        self.checkpoint = Checkpoint()
        self.found: Journal | None = None
        self._journal: IO[bytes] | None = None
        self._rows: IO[bytes] | None = None
        self._id_key: str | None = None
        self._descending = False

    def open(self, anew: bool = False) -> Journal | None:
        """Takes the lock and reads what was begun.

        Args:
            anew: What was begun is of no interest.

        Returns:
            What was begun; None if nothing was.

        Raises:
            ConfigurationError: Another process is writing, the journal is one of another version, or the place of the
                unfinished file is taken.
            OSError: The file cannot be opened.
        """
        if not anew and self.part.exists() and not self.journal.exists():
            raise ConfigurationError(f"{self.part} exists and belongs to no export: remove it, or name another file")
        while self._journal is None:
            file = open_private(self.journal)
            if not lock(file):
                file.close()
                raise ConfigurationError(f"Another process is exporting to {self.final}: wait for it, or name another")
            if _is_still(file, self.journal):
                self._journal = file
            else:
                file.close()  # the process that had the lock has finished, and removed its journal
        self._journal.seek(0)
        self.found = None if anew else parse(self._journal.read())
        return self.found

    def begin(self, header: Header) -> None:
        """Begins anew: what was there is cut off."""
        self.found = None
        self.output.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)
        # The journal first: rows without a journal are never taken for the rows of this export.
        journal = self._opened()
        journal.seek(0)
        journal.truncate()
        sync(journal)
        self._rows = open_private(self.part)
        self._rows.truncate()
        sync(self._rows)
        self._write(journal, written(header))
        sync(journal)
        sync_folder(self.final.parent)
        self.checkpoint = Checkpoint()

    def resume(self, id_key: str | None) -> None:
        """Goes on after the last row that is on the disk.

        Args:
            id_key: Field of a row that identifies it; None: rows have none.

        Raises:
            ConfigurationError: The file and its journal do not fit together.
        """
        if self.found is None:
            raise ConfigurationError(f"There is no unfinished export to {self.final}")
        checkpoint, journal = self.found.checkpoint, self._opened()
        journal.truncate(self.found.length)
        journal.seek(self.found.length)
        if not checkpoint.finished or self.part.exists():
            self._rows = open_private(self.part)
            if os.fstat(self._rows.fileno()).st_size < checkpoint.offset:
                raise self._unfit(f"is shorter than the {checkpoint.offset} bytes that its journal says")
            self._rows.truncate(checkpoint.offset)
            self._rows.seek(checkpoint.offset)
            sync(self._rows)
        last = None if id_key is None else self._last_identifier(id_key, checkpoint)
        self.checkpoint = attrs.evolve(checkpoint, last=last)

    def identify(self, id_key: str | None, *, descending: bool) -> None:
        """From now on each row must come after the one before it.

        Args:
            id_key: Field of a row that identifies it; None: rows have none.
            descending: The greatest identifier comes first.
        """
        self._id_key, self._descending = id_key, descending

    def append(self, rows: Sequence[Any], secrets: Iterable[str] = ()) -> None:
        """Writes rows, and returns when they are on the disk.

        Args:
            rows: The rows.
            secrets: Credentials of the client, which are masked.

        Raises:
            SdkError: A row has no identifier, or comes out of order.
            OSError: The disk is full, for example.
        """
        last = self.checkpoint.last
        if self._id_key is not None:
            for row in rows:
                last = self._next(row, last)
        block = mask(b"".join(map(row_line, rows)), secrets)
        file = self._open_rows()
        self._write(file, block)
        sync(file)
        offset, count = self.checkpoint.offset + len(block), self.checkpoint.rows + len(rows)
        self._note(attrs.evolve(self.checkpoint, offset=offset, rows=count, last=last))

    def complete(self) -> None:
        """All rows are written."""
        if not self.checkpoint.complete:
            self._note(attrs.evolve(self.checkpoint, complete=True))

    def finish(self, state_path: Path | None, *, as_it_is: bool) -> None:
        """Gives the final file its name, and removes the others. May be repeated after a break.

        Args:
            state_path: Where the state of this run is saved; None if it is not saved.
            as_it_is: The unfinished file is the final one.
        """
        if not self.checkpoint.finished:
            self._note(attrs.evolve(self.checkpoint, finished=True))
        self._close_rows()
        output = self.part if as_it_is else self.output
        if output.exists():
            os.replace(output, self.final)  # noqa: PTH105 - in place of an existing file on every system
            sync_folder(self.final.parent)
        if state_path is not None and self.state.exists():
            os.replace(self.state, state_path)  # noqa: PTH105 - as above
            sync_folder(state_path.parent)
        self.part.unlink(missing_ok=True)
        # Last: without a journal nothing is left to repeat. Windows removes no open file.
        if os.name == "nt":
            self.close()
        self.journal.unlink(missing_ok=True)
        self.close()

    def lines(self) -> Iterator[bytes]:
        """The rows that are on the disk, as lines."""
        left = self.checkpoint.offset
        with self.part.open("rb") as file:
            while left > 0:
                line = file.readline()
                if not line.endswith(b"\n"):
                    raise self._unfit("ends in the middle of a row")
                left -= len(line)
                yield line

    def close(self) -> None:
        """Closes the files; rows that are on the disk stay, files without rows do not."""
        self._close_rows()
        if self._journal is not None:
            is_empty = self.checkpoint.rows == 0 and not self.checkpoint.complete
            if is_empty and (self.found is None or self.found.is_empty) and os.name == "posix":
                self.part.unlink(missing_ok=True)
                self.journal.unlink(missing_ok=True)
            self._journal.close()
            self._journal = None

    def _close_rows(self) -> None:
        if self._rows is not None:
            self._rows.close()
            self._rows = None

    def _note(self, checkpoint: Checkpoint) -> None:
        journal = self._opened()
        self._write(journal, written(checkpoint))
        sync(journal)
        self.checkpoint = checkpoint

    def _next(self, row: object, last: int | None) -> int:
        key = self._id_key or ""
        number = whole_number(as_columns(row).get(key))
        if number is None:
            raise SdkError(
                f"A row has no usable `{key}`, by which the export would go on: name another field with id_key, or "
                'read the list by position with paging="offset"',
                code="B24OAUTH_EXPORT_NO_IDENTIFIER",
            )
        if last is not None and (number >= last if self._descending else number <= last):
            raise SdkError(
                f"The rows do not come in the order of `{key}`, so the export could not go on by it: read the list by "
                'position with paging="offset"',
                code="B24OAUTH_EXPORT_ORDER",
            )
        return number

    def _last_identifier(self, id_key: str, checkpoint: Checkpoint) -> int | None:
        if checkpoint.rows == 0 or self._rows is None:
            return checkpoint.last
        line = _last_line(self._rows, checkpoint.offset)
        try:
            last = whole_number(as_columns(json.loads(line)).get(id_key))
        except ValueError:
            last = None
        if last is None or last != checkpoint.last:
            raise self._unfit(f"does not end with the row {checkpoint.last}, as its journal says")
        self._rows.seek(checkpoint.offset)
        return last

    def _unfit(self, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.part} {problem}: it was changed by something else. Begin anew with restart",
            code="B24OAUTH_EXPORT_CHANGED",
        )

    def _opened(self) -> IO[bytes]:
        if self._journal is None:
            raise ConfigurationError("The export is not open")
        return self._journal

    def _open_rows(self) -> IO[bytes]:
        if self._rows is None:
            raise ConfigurationError("The export has no rows to write")
        return self._rows

    @staticmethod
    def _write(file: IO[bytes], data: bytes) -> None:
        left = memoryview(data)
        while left:
            # An unbuffered file may take less than all.
            left = left[file.write(left) :]


def rows_kept(final: Path) -> int:
    """How many rows of an unfinished export are on the disk.

    Args:
        final: The final file.
    """
    try:
        found = parse(Spool(final).journal.read_bytes())
    except FileNotFoundError:
        return 0
    return 0 if found is None else found.checkpoint.rows


def _is_still(file: IO[bytes], path: Path) -> bool:
    """True if an open file has its name still."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    opened = os.fstat(file.fileno())
    return (opened.st_ino, opened.st_dev) == (found.st_ino, found.st_dev)


def _last_line(file: IO[bytes], end: int) -> bytes:
    """The last line before a position of a file."""
    tail, start = b"", end
    while start > 0 and b"\n" not in tail[:-1]:
        size = min(_BLOCK, start)
        start -= size
        file.seek(start)
        tail = file.read(size) + tail
    return tail[:-1].rpartition(b"\n")[2]
