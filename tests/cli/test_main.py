"""The command as a whole: help, completion, exit statuses and streams."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from b24oauth.cli import main
from tests.cli.conftest import Run

COMMANDS = ("login", "tokens", "call", "batch", "methods", "limits", "doctor", "portal", "demo", "reencrypt")


def test_help_lists_the_commands_and_loads_none_of_them() -> None:
    code = "import sys; from b24oauth.cli import main; main(['--help']); "
    code += "print([name for name in sys.modules if name in ('httpx', 'b24oauth.client', 'b24oauth.testing')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f" {name} " in done.stdout for name in COMMANDS)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"b24oauth {name}" in shown
    assert "--no-" not in shown.replace("--no-browser", "")


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["call"], ["call", "profile", "--nothing=1"], ["limits", "--interval", "x"]]
)
def test_wrong_usage_ends_with_2_and_says_so_on_the_standard_error(arguments: list[str], run: Run) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error" in done.stderr or "is no option" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("doctor", "refresh", "member"))


def test_a_reader_that_ends_early_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "b24oauth", "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")
