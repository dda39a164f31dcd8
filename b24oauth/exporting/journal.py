"""The journal beside an unfinished export: what is exported, and how much of it is durably in the file. Pure.

Each line is a JSON object. The first one is the header; each checkpoint after it is written once the rows before it are
on the disk. A line that a killed process left unfinished is ignored.
"""

from __future__ import annotations

import json
from typing import Any, Final

import attrs

from b24oauth.errors import ConfigurationError
from b24oauth.shapes import is_mapping

__all__ = ["Checkpoint", "Header", "Journal", "check_same", "parse", "written"]

_VERSION: Final = 1


@attrs.frozen(kw_only=True)
class Header:
    """What is exported.

    Attributes:
        method: REST method.
        portal: Which portal the rows are of.
        format: Format of the file.
        parameters: Digest of the parameters and options.
        resumable: The export can go on after its last row.
        begun: When it began, ISO 8601.
        state: Digest of the state of the previous run; empty for the first run.
        until: The latest change that the list had when the export began, as the portal wrote it; None: not known.
    """

    method: str
    portal: str
    format: str
    parameters: str
    resumable: bool
    begun: str
    state: str = ""
    until: str | None = None


@attrs.frozen(kw_only=True)
class Checkpoint:
    """How much is durably in the file.

    Attributes:
        offset: Bytes of the file.
        rows: Rows in them.
        last: Identifier of the last row; None: no row, or rows have none.
        complete: These are all rows.
        finished: The final file is written, under its name or beside it.
    """

    offset: int = 0
    rows: int = 0
    last: int | None = None
    complete: bool = False
    finished: bool = False


@attrs.frozen
class Journal:
    """What a journal says.

    Attributes:
        header: What is exported.
        checkpoint: The last checkpoint.
        length: Bytes of the journal that can be read.
    """

    header: Header
    checkpoint: Checkpoint
    length: int

    @property
    def is_empty(self) -> bool:
        """True if nothing would be lost without it."""
        return self.checkpoint.rows == 0 and not self.checkpoint.complete


def written(entry: Header | Checkpoint) -> bytes:
    """One line of a journal."""
    version = {"export": _VERSION} if isinstance(entry, Header) else {}
    return json.dumps({**version, **attrs.asdict(entry)}).encode() + b"\n"


def parse(data: bytes) -> Journal | None:
    """Reads a journal; None if not even its header is complete.

    Raises:
        ConfigurationError: It is the journal of another version.
    """
    header: Header | None = None
    checkpoint, length = Checkpoint(), 0
    for line in data.splitlines(keepends=True):
        entry = _entry(line)
        if entry is None:
            break  # what follows was not on the disk when the machine or the process ended
        if header is None:
            if entry.pop("export", None) != _VERSION:
                raise ConfigurationError("The journal was written by another version of b24oauth: restart the export")
            header = _made(Header, entry)
        else:
            found = _made(Checkpoint, entry)
            if found is None:
                break
            checkpoint = found
        if header is None:
            return None
        length += len(line)
    return None if header is None else Journal(header, checkpoint, length)


def check_same(found: Header, wanted: Header, name: str) -> None:
    """Refuses to go on with an export of something else.

    Args:
        found: What the unfinished export is of.
        wanted: What is to be exported now.
        name: Name of the final file.

    Raises:
        ConfigurationError: Says what differs.
    """
    differing = {
        "method": (found.method, wanted.method),
        "portal": (found.portal, wanted.portal),
        "format": (found.format, wanted.format),
    }
    facts = [f"another {fact} ({was}, not {now})" for fact, (was, now) in differing.items() if was != now]
    if not facts and found.parameters != wanted.parameters:
        facts = ["other parameters or options"]
    if not facts and found.state != wanted.state:
        facts = ["another previous run"]
    if facts:
        raise ConfigurationError(
            f"An unfinished export to {name} began {found.begun} with {' and '.join(facts)}: repeat it as it was, or "
            "begin anew with restart",
            code="B24OAUTH_EXPORT_DIFFERS",
        )


def _entry(line: bytes) -> dict[str, Any] | None:
    if not line.endswith(b"\n"):
        return None
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return dict(entry) if is_mapping(entry) else None


def _made(kind: Any, entry: dict[str, Any]) -> Any:
    try:
        return kind(**entry)
    except TypeError:
        return None
