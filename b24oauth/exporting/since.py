"""Incremental exports: which rows changed since the previous run, and what the next run must know. Pure.

A run reads all rows that changed at `until` of the previous run or shortly before: changes of one second may become
visible one after another. Rows of that time that were exported before and are the same are left out by their digests.
`until` is the latest change that the list had before the run read its first row. So a row that changes while the run
reads is either in it as it is now, or belongs to the next run; the clock of this machine plays no part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import attrs

from b24oauth.errors import ConfigurationError
from b24oauth.exporting.columns import normalized
from b24oauth.exporting.values import as_columns, mask, row_line
from b24oauth.shapes import is_list, is_mapping

__all__ = ["Changes", "State", "as_moment", "digest", "earlier", "later", "next_state", "read_state", "state_path"]

_VERSION: Final = 1
# Changes may become visible so much later than their time says.
_OVERLAP: Final = timedelta(seconds=60)


@attrs.frozen(kw_only=True)
class State:
    """What a run leaves to the next one.

    Attributes:
        method: REST method.
        portal: Which portal the rows are of.
        parameters: Digest of the parameters that all runs have in common.
        until: The latest change that the list had when the run began; None: the list was empty.
        seen: Rows that changed shortly before `until` or later, by identifier: time and digest.
    """

    method: str
    portal: str
    parameters: str
    until: str | None
    seen: Mapping[str, tuple[str, str]]

    def written(self) -> bytes:
        """The state as the content of a file."""
        return json.dumps({"since": _VERSION, **attrs.asdict(self)}, indent=0).encode() + b"\n"

    def digest(self) -> str:
        """Tells two states apart."""
        return hashlib.sha256(self.written()).hexdigest()

    @property
    def since(self) -> str | None:
        """The time from which the next run reads."""
        return None if self.until is None else earlier(self.until)


def state_path(since: str | None, to: Path) -> Path | None:
    """Where the state of the runs is; None if there is none.

    Args:
        since: The option.
        to: The final file.

    Raises:
        ConfigurationError: `since` is a time without an offset from UTC.
    """
    if since is None or as_moment(since) is not None:
        return None
    if since == "last":
        return to.with_name(f"{to.name}.since")
    try:
        datetime.fromisoformat(since)
    except ValueError:
        return Path(since)
    raise ConfigurationError(
        f"since: {since} must have a time and an offset from UTC, such as 2026-01-31T00:00:00+00:00"
    )


def read_state(text: bytes, *, method: str, portal: str, parameters: str, name: str) -> State:
    """Reads the state of the previous run.

    Args:
        text: Content of the file.
        method: REST method of this run.
        portal: Portal of this run.
        parameters: Digest of the parameters of this run.
        name: Name of the file, for errors.

    Raises:
        ConfigurationError: The file holds something else, or the state of other runs.
    """
    try:
        found: Any = json.loads(text)
        version = found.pop("since")
        state = State(**found)
        until = state.until is None or as_moment(state.until) is not None
        seen = is_mapping(state.seen) and all(is_list(one) and len(one) == 2 for one in state.seen.values())
        good = version == _VERSION and until and seen
    except (ValueError, TypeError, KeyError, AttributeError):
        good, state = False, None
    if not good or state is None:
        raise ConfigurationError(f"since: {name} does not hold the state of an export")
    for what, was, now in (("method", state.method, method), ("portal", state.portal, portal)):
        if was != now:
            raise ConfigurationError(f"since: {name} belongs to another {what} ({was}, not {now}): name another file")
    if state.parameters != parameters:
        raise ConfigurationError(
            f"since: {name} belongs to runs with other parameters: export with the same ones, or name another file"
        )
    return state


@attrs.frozen
class Changes:
    """Reads the changes of rows.

    Attributes:
        field: Field of the last change, as the filter names it.
        id_key: Field of a row that identifies it.
    """

    field: str
    id_key: str

    def place(self, row: object) -> tuple[datetime, int]:
        """The time of the last change and the identifier of a row, by which rows are ordered.

        Raises:
            ConfigurationError: The row has no such field, or no time in it.
        """
        moment = as_moment(self.text_of(row))
        if moment is None:
            raise ConfigurationError(
                f"since: the rows have no time with an offset from UTC in {self.field}: name the field of the last "
                "change with modified_field"
            )
        return moment, int(as_columns(row)[self.id_key])

    def text_of(self, row: object) -> str | None:
        """The time of the last change as the portal writes it; None if there is none."""
        values = as_columns(row)
        found = values.get(self.field)
        if found is None:
            wanted = normalized(self.field)
            found = next((value for name, value in values.items() if normalized(name) == wanted), None)
        return found if isinstance(found, str) else None

    def latest(self, rows: Sequence[object]) -> str | None:
        """The latest change of some rows; None if there is none."""
        return later(*map(self.text_of, rows))

    def new(
        self, rows: Sequence[Any], since: str | None, seen: Mapping[str, tuple[str, str]], secrets: Sequence[str]
    ) -> list[Any]:
        """The rows that changed since the previous run.

        Args:
            rows: Rows.
            since: Time from which rows are wanted; None: all.
            seen: Rows that the previous run exported.
            secrets: Credentials that are masked in files.
        """
        bound, found = as_moment(since), list[Any]()
        for row in rows:
            moment, identifier = self.place(row)
            if bound is not None and moment < bound:
                continue  # the portal did not follow the condition
            known = seen.get(str(identifier))
            if known is None or known[1] != digest(row, secrets):
                found.append(row)
        return found


def digest(row: object, secrets: Sequence[str] = ()) -> str:
    """Tells whether a row is the same as before.

    Args:
        row: The row.
        secrets: Credentials that are masked in files.
    """
    return hashlib.sha256(mask(row_line(row), secrets)).hexdigest()[:16]


def next_state(before: State, until: str | None, written: Mapping[str, tuple[str, str]]) -> State:
    """The state for the next run.

    Args:
        before: State of the previous run, or an empty one.
        until: The latest change that the list had when this run began; not before the one of `before`.
        written: Rows of this run by identifier: time and digest.
    """
    bound = as_moment(None if until is None else earlier(until))
    seen = {**before.seen, **written}
    kept = {
        identifier: (text, digest)
        for identifier, (text, digest) in seen.items()
        if bound is None or (moment := as_moment(text)) is None or moment >= bound
    }
    return attrs.evolve(before, until=until, seen=kept)


def as_moment(text: str | None) -> datetime | None:
    """A date and time with an offset from UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def earlier(text: str) -> str:
    """The time shortly before another one, in the same form."""
    moment = as_moment(text)
    return text if moment is None else (moment - _OVERLAP).isoformat()


def later(*texts: str | None) -> str | None:
    """The latest of several times; None if there is none."""
    found = [(moment, text) for text in texts if text is not None and (moment := as_moment(text)) is not None]
    return max(found)[1] if found else None
