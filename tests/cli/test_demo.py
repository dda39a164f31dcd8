"""The demo as a newcomer runs it: a real process against a real server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from b24oauth import __version__
from b24oauth.cli import demo, main
from b24oauth.testing import faults


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from b24oauth.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_demo_holds_what_it_promises_and_shows_a_table() -> None:
    run = command("demo", "--plain")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "16 of 16 held" in run.stdout
    assert "1 token request" in run.stdout
    assert "throttled: none refused, none lost: 120 calls, 0 refusals" in run.stdout
    assert "access_token='***', refresh_token='***'" in run.stdout


def test_processes_share_one_renewal_and_one_bucket() -> None:
    run = command("demo", "--plain", "--processes", "4")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "4 of 4 held" in run.stdout
    assert "one renewal for all processes: 1 token request" in run.stdout
    assert run.stdout.count(": 30 calls in") == 4


@pytest.mark.parametrize("number", ["0", "33", "many"])
def test_a_number_of_processes_that_makes_no_sense_is_refused(number: str) -> None:
    run = command("demo", "--processes", number)
    assert run.returncode == 2
    assert "--processes" in run.stderr


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"b24oauth {__version__}"


def test_one_promise_that_does_not_hold_makes_the_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = faults.status(403, error="ACCESS_DENIED")
    monkeypatch.setattr(demo, "SURVIVED", (("a refusal", refusal),))
    monkeypatch.setattr(demo, "CALLS", 2)
    monkeypatch.setattr(demo, "THROTTLED", 11)
    assert main(["demo", "--plain"]) == 1
    shown = capsys.readouterr().out
    assert "FAILED  survives a refusal: [AccessDeniedError]" in shown
    assert "7 of 8 held" in shown


@pytest.mark.parametrize("missing", ["cyclopts", "rich", "uvicorn"])
def test_a_missing_extra_names_its_installation(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from b24oauth.cli import main; sys.exit(main(['demo']))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert 'pip install "b24oauth[cli]"' in run.stderr


@pytest.mark.parametrize("seconds", [0.02, 0.3, 0.8, 1.5, 3.0])
def test_ctrl_c_ends_the_demo_quietly_whenever_it_comes(seconds: float) -> None:
    # A process that is started in the background may have inherited that Ctrl-C is ignored.
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "from b24oauth.cli import main; print('ready', flush=True); sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "demo", "--plain"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (130, "")
