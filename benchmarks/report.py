"""The report of a run: Markdown for people, JSON for programs, SVG pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from benchmarks.samples import Check, Section

__all__ = ["Run", "publish", "write"]

BEGIN, END = "<!-- last run: begin -->", "<!-- last run: end -->"
HOW_TO_READ = (
    "Medians, in brackets the least and the largest of the rounds. Ratios are taken within a round, of which the median"
    " is shown. CPU is user and system time of the client's process."
)
WORDS = {True: "met", False: "NOT MET", None: "not measured"}


@attrs.frozen(kw_only=True)
class Run:
    """What one run of the benchmarks found.

    Attributes:
        when: Date and time, UTC.
        seconds: How long it took.
        options: Rounds and size.
        machine: What it ran on.
        versions: What was measured.
        sections: The tables.
    """

    when: str
    seconds: float
    options: str
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]
    sections: Sequence[Section]


def write(run: Run, out: Path) -> None:
    """Writes `report.md`, `results.json` and the pictures into a folder."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.md").write_text("# Benchmarks of b24oauth\n\n" + markdown(run, pictures=".", level=2))
    (out / "results.json").write_text(json.dumps(_as_json(run), indent=1) + "\n")
    _draw(run, out)


def publish(run: Run, readme: Path) -> None:
    """Puts the tables between the marks of a README, and the pictures into `last-run/` beside it."""
    before, begin, rest = readme.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} has no lines {BEGIN} and {END}")
    tables = markdown(run, pictures="last-run", level=3)
    readme.write_text(f"{before}{begin}\n\n{tables}\n{end}{after}")
    (readme.parent / "last-run").mkdir(exist_ok=True)
    _draw(run, readme.parent / "last-run")


def markdown(run: Run, *, pictures: str, level: int) -> str:
    """The report as text.

    Args:
        run: The run.
        pictures: The folder of the pictures, as links name it.
        level: Of the headings.
    """
    mark = "#" * level
    lines = [
        f"{run.when}, {run.options}, {run.seconds:.0f} s. {_facts(run.machine)}",
        "",
        ", ".join(f"{name} {version}" for name, version in run.versions.items()) + ".",
        "",
        HOW_TO_READ,
        "",
    ]
    for section in run.sections:
        lines += [f"{mark} {section.title}", "", *_table(section.columns, section.rows), ""]
        lines += [line for note in section.notes for line in (note, "")]
        lines += [line for name in section.pictures for line in (f"![{section.title}]({pictures}/{name})", "")]
    lines += [f"{mark} Bounds", "", *_bounds([check for section in run.sections for check in section.checks])]
    return "\n".join(lines) + "\n"


def _facts(machine: Mapping[str, str | int]) -> str:
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']},"
        f" {machine['python']}."
    )


def _bounds(checks: Sequence[Check]) -> list[str]:
    rows = [
        [
            check.what,
            "" if check.value is None else f"{check.value:,.2f}",
            f"{'at most' if check.most else 'at least'} {check.bound:,g}",
            WORDS[check.met],
        ]
        for check in checks
    ]
    return _table(("what", "measured", "bound", ""), rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    heads = "".join("---|" if number == 0 else "--:|" for number in range(len(columns)))
    return [f"| {' | '.join(columns)} |", f"|{heads}", *(f"| {' | '.join(row)} |" for row in rows)]


def _draw(run: Run, folder: Path) -> None:
    for section in run.sections:
        for name, svg in section.pictures.items():
            (folder / name).write_text(svg)


def _as_json(run: Run) -> dict[str, Any]:
    return {
        "when": run.when,
        "seconds": run.seconds,
        "options": run.options,
        "machine": dict(run.machine),
        "versions": dict(run.versions),
        "tables": {
            section.key: {
                "title": section.title,
                "columns": list(section.columns),
                "rows": [list(row) for row in section.rows],
                "notes": list(section.notes),
                "checks": [attrs.asdict(check) | {"met": check.met} for check in section.checks],
                "data": dict(section.data),
            }
            for section in run.sections
        },
    }
