"""Incremental exports: times, states, and which rows are new."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from b24oauth.errors import ConfigurationError
from b24oauth.exporting.since import Changes, State, as_moment, digest, later, next_state, read_state, state_path

CHANGES = Changes("DATE_MODIFY", "ID")
FACTS = {"method": "crm.deal.list", "portal": "member-1", "parameters": "abc"}
BEFORE = State(**FACTS, until="2026-01-01T12:00:00+03:00", seen={})


def row(identifier: int, time: str, **fields: Any) -> dict[str, Any]:
    return {"ID": str(identifier), "DATE_MODIFY": f"2026-01-01T{time}+03:00", **fields}


def test_a_time_has_no_state_and_last_has_one_next_to_the_file() -> None:
    to = Path("folder/deals.csv")
    assert state_path(None, to) is None
    assert state_path("2026-01-01T00:00:00Z", to) is None
    assert state_path("last", to) == Path("folder/deals.csv.since")
    assert state_path("other/state.json", to) == Path("other/state.json")


@pytest.mark.parametrize("text", ["2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00"])
def test_a_time_without_an_offset_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="offset from UTC"):
        state_path(text, Path("deals.csv"))


def test_the_next_run_reads_from_a_minute_before_the_latest_change() -> None:
    assert BEFORE.since == "2026-01-01T11:59:00+03:00"
    assert attrs.evolve(BEFORE, until=None).since is None


def test_rows_that_were_exported_as_they_are_are_not_new() -> None:
    same, changed, other = row(1, "12:00:00"), row(2, "12:00:00", TITLE="new"), row(3, "12:00:00")
    seen = {"1": ("", digest(same)), "2": ("", digest(row(2, "12:00:00", TITLE="old")))}
    assert CHANGES.new([same, changed, other], BEFORE.since, seen, ()) == [changed, other]


def test_rows_that_a_portal_returns_in_spite_of_the_condition_are_not_new() -> None:
    rows = [row(1, "11:58:59"), row(2, "11:59:00")]
    assert CHANGES.new(rows, BEFORE.since, {}, ()) == rows[1:]
    assert CHANGES.new(rows, None, {}, ()) == rows


def test_a_masked_credential_makes_no_row_new() -> None:
    first, second = row(1, "12:00:00", url="?auth=token-one"), row(1, "12:00:00", url="?auth=token-two")
    seen = {"1": ("", digest(first, ["token-one"]))}
    assert CHANGES.new([second], None, seen, ["token-two"]) == []


def test_times_are_compared_as_times() -> None:
    assert later("2026-01-01T12:00:00+03:00", None, "2026-01-01T10:00:00+00:00") == "2026-01-01T10:00:00+00:00"
    assert later(None, "", "yesterday") is None


def test_the_field_is_found_in_any_spelling() -> None:
    assert Changes("CHANGED_DATE", "id").place({"id": 5, "changedDate": "2026-01-01T00:00:00+00:00"}) == (
        datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        5,
    )


@pytest.mark.parametrize("value", [None, "", "01.02.2026 10:00:00", "2026-01-01T00:00:00", 5])
def test_rows_without_a_time_are_refused_with_the_remedy(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="modified_field"):
        CHANGES.place({"ID": "1", "DATE_MODIFY": value})


def test_the_state_keeps_what_the_next_run_reads_again() -> None:
    before = attrs.evolve(
        BEFORE, seen={"1": ("2026-01-01T12:00:00+03:00", "a"), "2": ("2026-01-01T12:04:30+03:00", "b")}
    )
    written = {"3": ("2026-01-01T12:04:00+03:00", "c"), "4": ("2026-01-01T12:03:59+03:00", "d")}
    state = next_state(before, "2026-01-01T12:05:00+03:00", written)
    assert state.until == "2026-01-01T12:05:00+03:00"
    assert set(state.seen) == {"2", "3"}


def test_a_state_reads_back_as_it_was() -> None:
    state = attrs.evolve(BEFORE, seen={"1": ("2026-01-01T12:00:00+03:00", "a")})
    assert read_state(state.written(), **FACTS, name="x").digest() == state.digest()
    assert as_moment(state.until) is not None


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"{}", b'{"since": 2}', b'{"since": 1, "method": "x"}', BEFORE.written().replace(b"{}", b'{"1": 2}')],
)
def test_a_file_that_holds_something_else_is_refused(text: bytes) -> None:
    with pytest.raises(ConfigurationError, match="does not hold the state"):
        read_state(text, **FACTS, name="x")


@pytest.mark.parametrize("name", sorted(FACTS))
def test_the_state_of_other_runs_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="belongs to"):
        read_state(BEFORE.written(), **{**FACTS, name: "other"}, name="x")
