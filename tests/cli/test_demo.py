"""The demo as a newcomer runs it: a real process against a real server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from b24oauth import __version__
from b24oauth.cli import main
from b24oauth.cli.report import Check, Report


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from b24oauth.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_the_demo_holds_what_it_promises_and_shows_a_table() -> None:
    run = command("demo", "--plain")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "16 of 16 held" in run.stdout
    assert "1 token request" in run.stdout
    assert "fake" not in run.stdout.partition("saved pair")[2].partition("held")[0].replace("'***'", "")


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == f"b24oauth {__version__}"


def test_one_promise_that_does_not_hold_makes_the_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(report: Report) -> bool:
        report.check(Check("this holds", True, "yes"))
        report.check(Check("this does not", False, "no"))
        return report.summary()

    monkeypatch.setattr("b24oauth.cli.demo.run_demo", broken)
    assert main(["demo", "--plain"]) == 1


@pytest.mark.parametrize("missing", ["rich", "uvicorn"])
def test_a_missing_extra_names_its_installation(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from b24oauth.cli import main; sys.exit(main(['demo']))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert 'pip install "b24oauth[cli]"' in run.stderr
