"""What the metadata promises: extras that are proved, links that are absolute, a README that PyPI renders."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.packaging.smoke import PROOFS

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_extra_is_proved_by_the_smoke_session() -> None:
    assert set(PROOFS) == set(PROJECT["optional-dependencies"])


def test_every_extra_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row.split("|")[1])}
    assert named == set(PROJECT["optional-dependencies"])


def test_links_and_pictures_of_the_readme_are_absolute() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", readme)
    assert len(targets) > 10
    assert [target for target in targets if not target.startswith("https://")] == []


def test_pypi_renders_the_readme() -> None:
    pytest.importorskip("comrak", reason="the build session checks it with twine")
    from readme_renderer import markdown

    html = markdown.render((ROOT / "README.md").read_text(encoding="utf-8"))
    assert html is not None
    assert html.count("<pre") == 4
    assert "<table>" in html


def test_the_classifiers_name_the_versions_of_python_that_are_tested() -> None:
    named = [one.rpartition(" :: ")[2] for one in PROJECT["classifiers"] if re.fullmatch(r".* :: 3\.\d+", one)]
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    tested = re.search(r"python: (\[.*\])", workflow)
    assert tested is not None
    assert re.findall(r"3\.\d+", tested[1]) == named
    assert PROJECT["requires-python"] == f">={named[0]}"
