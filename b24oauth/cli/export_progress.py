"""Shows how far an export is: a bar in a terminal, a line now and then elsewhere. On the standard error only."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TextIO

from b24oauth.exporting import ExportProgress

if TYPE_CHECKING:
    from rich.progress import Task
    from rich.text import Text

__all__ = ["PlainProgress", "Rate", "remaining", "shown"]

Show = Callable[[ExportProgress], None]

# Seconds between two plain lines.
_EVERY: Final = 5.0
# Seconds over which the rate is measured.
_WINDOW: Final = 15.0
_RATE_WIDTH: Final = 13


class Rate:
    """Rows a second, over the last seconds.

    Args:
        clock: Returns seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._points = deque[tuple[float, int]]()

    def at(self, rows: int) -> float | None:
        """The rate now; None while it is not known.

        Args:
            rows: Rows so far.
        """
        now = self._clock()
        if self._points and rows < self._points[-1][1]:
            self._points.clear()  # another phase has begun
        self._points.append((now, rows))
        while len(self._points) > 2 and now - self._points[1][0] >= _WINDOW:
            self._points.popleft()
        since, before = self._points[0]
        return (rows - before) / (now - since) if now > since and rows > before else None


def remaining(progress: ExportProgress, rate: float | None) -> float | None:
    """Seconds until all rows are there; None while that is not known."""
    if not rate or progress.total is None:
        return None
    return max(progress.total - progress.rows, 0) / rate


class PlainProgress:
    """Lines for a log.

    Args:
        stream: Where to.
        clock: Returns seconds.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._rate = Rate(clock)
        self._next = clock() + _EVERY
        self._phase = ""

    def __call__(self, progress: ExportProgress) -> None:
        """Writes a line, if the last one was some seconds ago or another phase has begun."""
        rate = self._rate.at(progress.rows)
        if progress.phase != self._phase:
            self._phase = progress.phase
            if progress.phase == "writing":
                self._print("writing the file")
            elif progress.resumed:
                self._print(f"going on after {progress.resumed:,} rows")
        if self._clock() >= self._next and progress.rows > 0:
            self._next = self._clock() + _EVERY
            self._print(line(progress, rate))

    def _print(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def line(progress: ExportProgress, rate: float | None) -> str:
    """One line about how far an export is."""
    of = "" if progress.total is None else f" of {progress.total:,}"
    parts = [f"{progress.rows:,}{of} rows {'read' if progress.phase == 'reading' else 'written'}"]
    if rate is not None:
        parts.append(f"{rate:,.0f} rows/s")
    left = remaining(progress, rate)
    if left is not None:
        parts.append(f"{_clock_time(left)} left")
    return ", ".join(parts)


@contextmanager
def shown(stream: TextIO, *, title: str, plain: bool = False) -> Generator[Show]:
    """Yields what shows the progress.

    Args:
        stream: Where to.
        title: What is exported.
        plain: Lines also in a terminal.
    """
    if plain or not stream.isatty():
        yield PlainProgress(stream)
        return
    from rich.console import Console  # noqa: PLC0415 - only in a terminal
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn  # noqa: PLC0415 - as above
    from rich.table import Column  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    rate = Rate()
    last: list[tuple[ExportProgress, float | None]] = []

    class Facts(ProgressColumn):
        """Rows, rate and the time that remains."""

        def render(self, task: Task) -> Text:  # noqa: ARG002 - the facts are those of the export
            if not last:
                return Text("waiting for the first page")
            progress, speed = last[-1]
            left = remaining(progress, speed)
            of = "" if progress.total is None else f"/{progress.total:,}"
            rows = f"{progress.rows:,}".rjust(len(of) - 1)
            fields = [f"{rows}{of}", "" if speed is None else f"{speed:,.0f} rows/s".rjust(_RATE_WIDTH)]
            fields.append("" if left is None else _clock_time(left))
            return Text("  ".join(field for field in fields if field))

    # The bar takes the room that is left; a long title is cut.
    columns = (
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        Facts(table_column=Column(no_wrap=True)),
    )
    with Progress(*columns, console=Console(file=stream), transient=True, expand=True) as bars:
        task = bars.add_task(title, total=None)

        def show(progress: ExportProgress) -> None:
            last[:] = [(progress, rate.at(progress.rows))]
            phase = title if progress.phase == "reading" else "writing"
            bars.update(task, completed=progress.rows, total=progress.total, description=phase)

        yield show


def _clock_time(seconds: float) -> str:
    minutes, left = divmod(int(seconds + 0.5), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{left:02}"
