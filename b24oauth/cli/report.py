"""Console output of the demo: lines while it runs, a table at the end."""

from __future__ import annotations

import attrs
from rich.console import Console
from rich.markup import escape
from rich.table import Table

__all__ = ["Check", "Report"]


@attrs.frozen
class Check:
    """One thing the demo promises.

    Attributes:
        name: What is promised.
        held: Whether it was so.
        measured: What was seen.
    """

    name: str
    held: bool
    measured: str


class Report:
    """Collects checks and prints them.

    Args:
        plain: Without colours.
    """

    def __init__(self, *, plain: bool = False) -> None:
        self._console = Console(no_color=plain, highlight=False, soft_wrap=True)
        self._checks: list[Check] = []

    def step(self, title: str) -> None:
        """A new part of the demo begins."""
        self._console.print(f"\n[bold]{escape(title)}[/bold]")

    def line(self, text: str) -> None:
        """Something worth seeing."""
        self._console.print(f"  {text}", markup=False)

    def check(self, check: Check) -> None:
        """Something that held or did not."""
        self._checks.append(check)
        mark = "[green]held[/green]" if check.held else "[red]FAILED[/red]"
        # An error's text begins with its class in brackets, which would be read as a style.
        self._console.print(f"  {mark}  {escape(f'{check.name}: {check.measured}')}")

    def summary(self) -> bool:
        """Prints the table; True when everything held."""
        table = Table(title="b24oauth demo", title_justify="left")
        table.add_column("promise")
        table.add_column("held", justify="center")
        table.add_column("measured")
        for check in self._checks:
            table.add_row(escape(check.name), "yes" if check.held else "NO", escape(check.measured))
        held = sum(check.held for check in self._checks)
        self._console.print()
        self._console.print(table)
        self._console.print(f"{held} of {len(self._checks)} held")
        return held == len(self._checks)
