"""Sorting of more lines than memory shall hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from b24oauth.exporting.sorting import sorted_lines


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.lists(st.integers(0, 10**6)), run_size=st.integers(1, 200))
def test_lines_are_sorted_whatever_the_size_of_a_run(tmp_path: Path, numbers: list[int], run_size: int) -> None:
    lines = [b"%d\n" % number for number in numbers]
    found = list(sorted_lines(iter(lines), int, tmp_path, run_size=run_size))
    assert list(map(int, found)) == sorted(numbers)


def test_nothing_is_left_of_runs_when_the_reader_stops(tmp_path: Path) -> None:
    lines = sorted_lines((b"%d\n" % number for number in range(1000)), int, tmp_path, run_size=100)
    assert next(lines) == b"0\n"
    lines.close()  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("lines", [[], [b"1\n"]])
def test_few_lines(tmp_path: Path, lines: list[bytes]) -> None:
    assert list(sorted_lines(lines, int, tmp_path)) == lines
