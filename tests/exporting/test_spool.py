"""The unfinished file: what survives a break, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from b24oauth.errors import ConfigurationError, SdkError
from b24oauth.exporting.journal import Header
from b24oauth.exporting.spool import Spool

HEADER = Header(method="x.list", portal="p", format="jsonl", parameters="abc", resumable=True, begun="now")
ROWS = [{"ID": str(number), "TITLE": "Ü" * number} for number in range(1, 8)]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = begun(tmp_path / "rows.jsonl")
    yield spool
    spool.close()


def begun(final: Path) -> Spool:
    spool = Spool(final)
    assert spool.open() is None
    spool.begin(HEADER)
    spool.identify("ID", descending=False)
    return spool


def reopened(spool: Spool) -> Spool:
    spool.close()
    again = Spool(spool.final)
    assert again.open() is not None
    try:
        again.resume("ID")
    except ConfigurationError:
        again.close()
        raise
    again.identify("ID", descending=False)
    return again


def read(spool: Spool) -> list[Any]:
    return [json.loads(line) for line in spool.lines()]


def test_rows_are_there_again_after_a_break(spool: Spool) -> None:
    spool.append(ROWS[:3])
    spool.append(ROWS[3:5])
    again = reopened(spool)
    assert (again.checkpoint.rows, again.checkpoint.last) == (5, 5)
    again.append(ROWS[5:])
    assert read(again) == ROWS
    again.close()


@pytest.mark.parametrize("tail", [b"{", b'{"ID":"9"}\n', b"\0" * 5000])
def test_what_was_written_after_the_last_checkpoint_is_cut_off(spool: Spool, tail: bytes) -> None:
    spool.append(ROWS[:3])
    with spool.part.open("ab") as file:
        file.write(tail)
    again = reopened(spool)
    again.append(ROWS[3:])
    assert again.part.read_bytes().splitlines() == [line.rstrip(b"\n") for line in again.lines()]
    assert read(again) == ROWS
    again.close()


def test_a_checkpoint_that_was_not_finished_is_overwritten(spool: Spool) -> None:
    spool.append(ROWS[:3])
    spool.append(ROWS[3:4])
    spool.close()
    with spool.journal.open("r+b") as file:
        file.truncate(spool.journal.stat().st_size - 7)
    again = reopened(spool)
    assert again.checkpoint.rows == 3
    again.append(ROWS[3:])
    again = reopened(again)
    assert read(again) == ROWS
    again.close()


def test_a_file_without_the_rows_of_its_journal_is_refused(spool: Spool) -> None:
    spool.append(ROWS)
    spool.close()
    os.truncate(spool.part, 10)
    with pytest.raises(ConfigurationError, match="is shorter than"):
        reopened(spool)


def test_a_file_whose_last_row_is_another_one_is_refused(spool: Spool) -> None:
    spool.append(ROWS)
    spool.close()
    spool.part.write_bytes(spool.part.read_bytes().replace(b'"ID":"7"', b'"ID":"8"'))
    with pytest.raises(ConfigurationError, match="does not end with the row 7"):
        reopened(spool)


def test_the_last_row_may_be_longer_than_what_is_read_at_once(spool: Spool) -> None:
    spool.append([*ROWS, {"ID": "8", "TITLE": "x" * 300_000}])
    again = reopened(spool)
    assert again.checkpoint.last == 8
    again.close()


def test_two_exports_to_one_file_at_a_time_are_refused(spool: Spool) -> None:
    other = Spool(spool.final)
    with pytest.raises(ConfigurationError, match="Another process"):
        other.open()
    spool.append(ROWS)
    other.close()
    assert read(spool) == ROWS


def test_a_file_that_is_no_unfinished_export_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "x.csv.part").write_text("mine")
    with pytest.raises(ConfigurationError, match="belongs to no export"):
        Spool(tmp_path / "x.csv").open()
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv.part"]
    assert (tmp_path / "x.csv.part").read_text() == "mine"


@pytest.mark.parametrize("rows", [[{"ID": "2"}, {"ID": "2"}], [{"ID": "2"}, {"ID": "1"}]])
def test_rows_out_of_order_are_refused(spool: Spool, rows: list[Any]) -> None:
    with pytest.raises(SdkError, match="order of `ID`"):
        spool.append(rows)
    assert spool.checkpoint.rows == 0


@pytest.mark.parametrize("row", [{}, {"ID": "x"}, {"ID": None}, "text"])
def test_rows_without_an_identifier_are_refused(spool: Spool, row: Any) -> None:
    with pytest.raises(SdkError, match="no usable `ID`"):
        spool.append([row])


def test_the_files_are_private_and_gone_at_the_end(spool: Spool) -> None:
    spool.append(ROWS)
    spool.complete()
    assert {path.stat().st_mode & 0o777 for path in spool.final.parent.iterdir()} == {0o600}
    spool.finish(None, as_it_is=True)
    assert [path.name for path in spool.final.parent.iterdir()] == ["rows.jsonl"]


def test_nothing_is_left_of_an_export_that_failed_before_its_first_row(spool: Spool) -> None:
    spool.close()
    assert list(spool.final.parent.iterdir()) == []


class _BreakError(Exception):
    pass


@pytest.mark.parametrize("as_it_is", [True, False])
@pytest.mark.parametrize("step", range(8))
def test_finishing_can_be_repeated_after_a_break_at_any_step(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, step: int, as_it_is: bool
) -> None:
    """Each change of a name, removal and write of the journal is a step; the break comes before it."""
    state_path = spool.final.with_name("state")
    spool.append(ROWS)
    spool.complete()
    if not as_it_is:
        spool.output.write_bytes(b"final\n")
        spool.state.write_bytes(b"new\n")
        state_path.write_bytes(b"old\n")
    content = spool.part.read_bytes() if as_it_is else b"final\n"
    left = step

    def counted(work: Any) -> Any:
        def run(*args: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                raise _BreakError
            left -= 1
            return work(*args, **options)

        return run

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", counted(os.replace))
        patch.setattr(Path, "unlink", counted(Path.unlink))
        patch.setattr(Spool, "_note", counted(Spool._note))
        with suppress(_BreakError):
            spool.finish(state_path, as_it_is=as_it_is)
        spool.close()
    if spool.journal.exists():
        again = reopened(spool)
        again.finish(state_path, as_it_is=as_it_is)
        again.close()
    assert spool.final.read_bytes() == content
    if not as_it_is:
        assert state_path.read_bytes() == b"new\n"
    names = {"rows.jsonl"} if as_it_is else {"rows.jsonl", "state"}
    assert {path.name for path in spool.final.parent.iterdir()} == names
