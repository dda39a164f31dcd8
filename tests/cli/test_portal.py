"""The command that serves a fake portal: what it prints runs as it stands."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from b24oauth.cli import main

START = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
START += "import sys; from b24oauth.cli import main; sys.exit(main())"


@pytest.fixture
def printed() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", START, "portal"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    text = ""
    while text.count("asyncio.run(main())") < 2:
        line = process.stdout.readline()
        assert line
        text += line
    yield text
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")


def test_the_programs_that_are_printed_run_as_they_stand(printed: str) -> None:
    _, hook, oauth = printed.replace("A webhook:\n", "~").replace("OAuth:\n", "~").split("~")
    for program in (hook, oauth):
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout, run.stderr) == (0, "Deal 1\n", "")


def test_a_port_that_cannot_be_had_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["portal", "--port", "70000"]) == 2
    assert "port" in capsys.readouterr().err


def test_the_package_is_the_command_too() -> None:
    run = subprocess.run([sys.executable, "-m", "b24oauth", "--version"], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("b24oauth ")
