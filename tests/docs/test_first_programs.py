"""The programs of the README and of the first page run as they stand against the command that they name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, ROOT, snippets
from tests.support.servers import free_port

PAGES = [ROOT / "README.md", DOCS / "quickstart.md"]


@pytest.fixture
def port() -> Iterator[int]:
    """The port of `b24oauth portal`."""
    port = free_port()
    command = [sys.executable, "-m", "b24oauth", "portal", "--port", str(port)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as portal:
        assert portal.stdout is not None
        try:
            assert f"127.0.0.1:{port}" in portal.stdout.readline()
            yield port
        finally:
            portal.terminate()
            portal.stdout.read()


def output(program: str, folder: Path) -> str:
    (folder / "program.py").write_text(program, encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    run = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_command_that_a_page_names_serves_its_programs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "b24oauth portal --port 8000" in text
    assert "127.0.0.1:8000" in text


def test_the_program_of_the_readme_runs_twice(port: int, tmp_path: Path) -> None:
    (program,) = snippets(ROOT / "README.md")
    first = output(program.replace("8000", str(port)), tmp_path)
    assert output(program.replace("8000", str(port)), tmp_path) == first
    assert first.splitlines()[1:] == ["Deal 118", "Deal 119", "Deal 120"]


def test_the_programs_of_the_first_page_run_one_after_another(port: int, tmp_path: Path) -> None:
    hook, oauth, careful = [snippet.replace("8000", str(port)) for snippet in snippets(DOCS / "quickstart.md")]
    assert output(hook, tmp_path).splitlines()[::20] == ["Deal 1", "120 Deal 120"]
    made = [output(oauth, tmp_path).splitlines()[1] for _ in range(2)]
    assert made == ["made deal 121", "made deal 122"]
    address = next(line for line in hook.splitlines() if line.startswith("URL"))
    assert "404" not in output(careful.replace("\n\n\nasync", f"\n\n{address}\n\n\nasync", 1), tmp_path).split()[:1]
