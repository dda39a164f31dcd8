"""The journal of an unfinished export: what is read of it after a break, and which exports may go on."""

from __future__ import annotations

import attrs
import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.exporting.journal import Checkpoint, Header, check_same, parse, written

HEADER = Header(
    method="crm.deal.list", portal="member-1", format="jsonl", parameters="abc", resumable=True, begun="2026-01-02"
)
FIRST = Checkpoint(offset=10, rows=1, last=1)
SECOND = Checkpoint(offset=20, rows=2, last=2)
WHOLE = written(HEADER) + written(FIRST) + written(SECOND)


def test_the_last_checkpoint_counts() -> None:
    found = parse(WHOLE)
    assert found is not None
    assert (found.header, found.checkpoint, found.length) == (HEADER, SECOND, len(WHOLE))


@pytest.mark.parametrize("cut", range(len(WHOLE)))
def test_a_journal_cut_off_anywhere_gives_the_last_complete_checkpoint(cut: int) -> None:
    found = parse(WHOLE[:cut])
    header, first = len(written(HEADER)), len(written(HEADER) + written(FIRST))
    if cut < header:
        assert found is None
    else:
        assert found is not None
        assert found.checkpoint == (FIRST if cut >= first else Checkpoint())
        assert found.length == (first if cut >= first else header)


@pytest.mark.parametrize("garbage", [b"\0" * 40 + b"\n", b"{\n", b"[]\n", b'{"other": 1}\n'])
def test_what_follows_a_line_that_cannot_be_read_is_ignored(garbage: bytes) -> None:
    found = parse(written(HEADER) + written(FIRST) + garbage + written(SECOND))
    assert found is not None
    assert found.checkpoint == FIRST


def test_the_journal_of_another_version_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="another version"):
        parse(b'{"export": 99}\n')


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": "crm.lead.list"}, r"another method \(crm.deal.list, not crm.lead.list\)"),
        ({"portal": "member-2"}, "another portal"),
        ({"format": "csv"}, "another format"),
        ({"parameters": "def"}, "other parameters"),
        ({"state": "def"}, "another previous run"),
    ],
)
def test_an_export_of_something_else_does_not_go_on(change: dict[str, str], named: str) -> None:
    check_same(HEADER, attrs.evolve(HEADER, begun="later"), "deals.jsonl")
    with pytest.raises(ConfigurationError, match=named) as raised:
        check_same(HEADER, attrs.evolve(HEADER, **change), "deals.jsonl")
    assert "restart" in raised.value.message
