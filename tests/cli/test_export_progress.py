"""What is shown while rows are exported."""

from __future__ import annotations

import io

import pytest

from b24oauth.cli.export_progress import PlainProgress, Rate, line, remaining, shown
from b24oauth.exporting import ExportProgress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def step(rows: int, total: int | None = None, resumed: int = 0, phase: str = "reading") -> ExportProgress:
    return ExportProgress(phase=phase, rows=rows, total=total, resumed=resumed)  # type: ignore[arg-type]


def test_the_rate_is_that_of_the_last_seconds_and_not_of_rows_from_before() -> None:
    clock = Clock()
    rate = Rate(clock)
    assert rate.at(50_000) is None
    clock.now = 2
    assert rate.at(50_200) == 100
    for second in range(3, 60):
        clock.now = second
        last = rate.at(50_200 + (second - 2) * 10)
    assert last == 10


def test_another_phase_has_a_rate_of_its_own() -> None:
    clock = Clock()
    rate = Rate(clock)
    rate.at(100)
    clock.now = 1
    assert rate.at(200) == 100
    assert rate.at(0) is None


@pytest.mark.parametrize(
    ("progress", "rate", "text"),
    [
        (step(50), None, "50 rows read"),
        (step(1500, 3000), 100.0, "1,500 of 3,000 rows read, 100 rows/s, 0:00:15 left"),
        (step(1500, 3000, phase="writing"), None, "1,500 of 3,000 rows written"),
        (step(0, 400_000), 50.0, "0 of 400,000 rows read, 50 rows/s, 2:13:20 left"),
        (step(4000, 3000), 1.0, "4,000 of 3,000 rows read, 1 rows/s, 0:00:00 left"),
    ],
)
def test_a_line_says_what_is_known(progress: ExportProgress, rate: float | None, text: str) -> None:
    assert line(progress, rate) == text


def test_without_a_total_nothing_remains_that_is_known() -> None:
    assert remaining(step(5), 1.0) is None
    assert remaining(step(5, 10), None) is None
    assert remaining(step(5, 10), 0.0) is None


def test_plain_lines_come_every_few_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    show = PlainProgress(stream, clock)
    for second in range(13):
        clock.now = second
        show(step(second * 100, 1200))
    show(step(100, 1200, phase="writing"))
    assert stream.getvalue().splitlines() == [
        "500 of 1,200 rows read, 100 rows/s, 0:00:07 left",
        "1,000 of 1,200 rows read, 100 rows/s, 0:00:02 left",
        "writing the file",
    ]


def test_an_export_that_goes_on_says_so_at_once() -> None:
    stream = io.StringIO()
    PlainProgress(stream, Clock())(step(700, None, resumed=650))
    assert stream.getvalue() == "going on after 650 rows\n"


def test_what_is_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    with shown(stream, title="crm.deal.list") as show:
        assert isinstance(show, PlainProgress)


def test_a_terminal_gets_a_bar() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with shown(stream, title="crm.deal.list") as show:
        show(step(50, 100))
    assert "50/100" in stream.getvalue()
