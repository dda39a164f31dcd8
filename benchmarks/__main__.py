"""All benchmarks in one command.

Usage: python -m benchmarks [--quick] [--rounds N] [--only calls,export,…] [--out FOLDER] [--publish]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from benchmarks.machine import machine, node_version, pin, versions
from benchmarks.portal import ServedPortal, served_portal
from benchmarks.report import Run, markdown, publish, write
from benchmarks.samples import Section, Setup
from benchmarks.tables.calls import call_costs
from benchmarks.tables.connections import connection_costs
from benchmarks.tables.export import exports, long_exports, slow_exports
from benchmarks.tables.imports import import_times
from benchmarks.tables.million import million_rows
from benchmarks.tables.objects import object_costs
from benchmarks.tables.portals import many_portals
from benchmarks.tables.queue import queue_costs
from benchmarks.tables.stall import stalls
from benchmarks.tables.storm import storms
from benchmarks.workers import Workers, workers

HERE = Path(__file__).parent
NODE_PACKAGE = "@bitrix24/b24jssdk"


def tables(portal: ServedPortal, workers: Workers, setup: Setup) -> Mapping[str, Callable[[], Section]]:
    """Every table by its key, in the order of the report."""
    return {
        "calls": partial(call_costs, portal, workers, setup),
        "queue": partial(queue_costs, portal, workers, setup),
        "export": partial(exports, portal, workers, setup),
        "export_long": partial(long_exports, portal, workers, setup),
        "export_slow_commands": partial(slow_exports, portal, workers, setup),
        "million_rows": partial(million_rows, portal, workers, setup),
        "stall": partial(stalls, portal, workers, setup),
        "storm": storms,
        "portals": partial(many_portals, portal, workers, setup),
        "connections": partial(connection_costs, workers, setup),
        "objects": partial(object_costs, portal, workers, setup),
        "imports": partial(import_times, setup),
    }


def run_all(setup: Setup, only: frozenset[str], node_modules: Path | None) -> Run:
    """Measures everything, or what `only` names."""
    started = time.monotonic()
    with served_portal() as portal:
        pin("client")
        with workers(node_modules) as found:
            known = tables(portal, found, setup)
            unknown = sorted(only - set(known))
            if unknown:
                raise SystemExit(f"--only: no table {', '.join(unknown)}; there are {', '.join(known)}")
            sections: list[Section] = []
            for key, measure in known.items():
                if not only or key in only:
                    print(f"{time.monotonic() - started:4.0f} s  {key}", file=sys.stderr)
                    sections.append(measure())
    return Run(
        when=datetime.now(UTC).isoformat(sep=" ", timespec="minutes"),
        seconds=time.monotonic() - started,
        options=f"{setup.rounds} rounds{', quick' if setup.quick else ''}",
        machine=machine(),
        versions={
            **versions(),
            "Node": node_version(shutil.which("node")),
            NODE_PACKAGE: _node_package_version(node_modules),
        },
        sections=sections,
    )


def _node_package_version(node_modules: Path | None) -> str:
    manifest = None if node_modules is None else node_modules / NODE_PACKAGE / "package.json"
    if manifest is None or not manifest.exists():
        return "absent"
    version: str = json.loads(manifest.read_text())["version"]
    return version


def main() -> None:
    """Reads the command line, measures, writes and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes and fewer rounds, about three minutes")
    parser.add_argument("--rounds", type=int, help="interleaved rounds of each table (5; quick: 2)")
    parser.add_argument("--only", default="", help="keys of tables, separated by commas")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where report, JSON and pictures go")
    parser.add_argument("--node-modules", type=Path, help="where npm installed the JS SDK")
    parser.add_argument("--publish", action="store_true", help="also put the tables into benchmarks/README.md")
    given = parser.parse_args()
    setup = Setup(rounds=given.rounds or (2 if given.quick else 5), quick=given.quick)
    node_modules = given.node_modules and given.node_modules.resolve()
    run = run_all(setup, frozenset(filter(None, given.only.split(","))), node_modules)
    write(run, given.out)
    if given.publish:
        publish(run, HERE / "README.md")
    print(markdown(run, pictures=str(given.out), level=2))


if __name__ == "__main__":
    main()
