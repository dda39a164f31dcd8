"""What commands use of the system: the keyring, the browser, and the terminal."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from b24oauth.models import B24OAuthParams
from b24oauth.testing import FakePortal
from tests.cli.conftest import START, Run, use_up_half_of_the_time
from tests.support.servers import free_port

Put = Callable[[B24OAuthParams], None]

# What the package keyring offers, over a file.
KEYRING = """
import json, os, pathlib
from keyring import errors
FILE = pathlib.Path(os.environ["KEYRING_FILE"])

def _all():
    return json.loads(FILE.read_text()) if FILE.exists() else {}

def get_password(service, name):
    if os.environ.get("KEYRING_IS_LOCKED"):
        raise errors.KeyringError("S3CR3T")
    return _all().get(f"{service} {name}")

def set_password(service, name, value):
    if os.environ.get("KEYRING_IS_LOCKED"):
        raise errors.KeyringError("S3CR3T")
    FILE.write_text(json.dumps({**_all(), f"{service} {name}": value}))
"""
# A browser that follows the redirect of the authorization page, and stays open as long as the command runs.
BROWSER = """
import os, sys, time, httpx
os.close(1), os.close(2)
redirect = httpx.URL(httpx.get(sys.argv[2], trust_env=False).headers["location"])
httpx.get(f"http://127.0.0.1:{sys.argv[1]}/?{redirect.query.decode()}", trust_env=False)
command = os.getppid()
while os.getppid() == command:
    time.sleep(0.05)
"""


@pytest.fixture
def with_keyring(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment, with a keyring in the place of the system's."""
    package = tmp_path / "modules" / "keyring"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(KEYRING)
    (package / "errors.py").write_text("class KeyringError(RuntimeError):\n    pass\n")
    return {
        "PYTHONPATH": os.pathsep.join([str(package.parent), environment.get("PYTHONPATH", "")]),
        "KEYRING_FILE": str(tmp_path / "keyring.json"),
    }


@pytest.fixture
def log_in(portal: FakePortal, with_keyring: dict[str, str], run: Run, tmp_path: Path) -> Run:
    """Runs `login`, whose browser returns by itself."""
    port, browser = free_port(), tmp_path / "browser.py"
    browser.write_text(BROWSER)
    variables = {**with_keyring, "BROWSER": f"{sys.executable} {browser} {port} %s"}
    arguments = ("login", urlsplit(portal.origin).netloc, "--port", str(port), "--timeout", "60")
    return lambda *more, **changes: run(*arguments, *more, **{**variables, **changes})


def test_login_opens_the_browser_once_its_page_can_be_reached(log_in: Run, run: Run) -> None:
    done = log_in()
    assert done.returncode == 0, done.stderr
    assert "is stored" in done.stdout
    assert run("call", "profile", "--json").returncode == 0


def test_a_remembered_application_is_found_in_the_keyring(log_in: Run, with_keyring: dict[str, str], run: Run) -> None:
    done = log_in("--remember")
    assert done.returncode == 0, done.stderr
    unset = {"B24OAUTH_CLIENT_ID": None, "B24OAUTH_CLIENT_SECRET": None}
    assert run("call", "profile", "--json", **with_keyring, **unset).returncode == 0
    without = run("call", "profile", "--json", **{**with_keyring, "KEYRING_IS_LOCKED": "1"}, **unset)
    assert without.returncode == 2
    assert "B24OAUTH_CLIENT_ID is not set" in without.stderr


def test_a_keyring_that_cannot_be_written_does_not_undo_the_login(log_in: Run, run: Run) -> None:
    done = log_in("--remember", KEYRING_IS_LOCKED="1")
    assert done.returncode == 0, done.stderr
    assert "The keyring could not be written (KeyringError): set B24OAUTH_CLIENT_ID" in done.stderr
    assert "S3CR3T" not in done.stderr
    assert run("call", "profile", "--json").returncode == 0


def in_terminal(command: list[str], environment: dict[str, str], *, until: str = "", ends: bool = True) -> str:
    """What a command shows in a terminal, with control sequences; Ctrl-C ends it when it has shown `until`."""
    master, slave = pty.openpty()
    process = subprocess.Popen(command, env=environment, stdin=slave, stdout=slave, stderr=slave, close_fds=True)
    os.close(slave)
    shown, end, stopped = b"", time.monotonic() + 60, False
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # Linux tells the end of a terminal like this
            break
        if not part:
            break
        shown += part
        if until and not stopped and shown.count(until.encode()) > 1:
            stopped = True
            process.send_signal(signal.SIGINT)
        assert time.monotonic() < end, shown
    os.close(master)
    process.wait(30)
    assert process.returncode == (0 if ends else 130), shown
    return shown.decode()


@pytest.mark.parametrize("no_color", [False, True])
def test_colours_are_shown_in_a_terminal_unless_no_color_is_set(
    portal: FakePortal, put: Put, environment: dict[str, str], no_color: bool
) -> None:
    put(portal.issue())
    colours = {"TERM": "xterm-256color", **({"NO_COLOR": "1"} if no_color else {})}
    kept = {name: value for name, value in environment.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    shown = in_terminal([sys.executable, "-c", START, "call", "profile"], {**kept, **colours})
    assert "NAME" in shown
    # Bold text may be shown all the same.
    assert bool(re.search(r"\x1b\[(?:\d+;)*[39][0-8]m", shown)) is not no_color


def test_limits_are_shown_again_and_again_until_ctrl_c(
    portal: FakePortal, put: Put, environment: dict[str, str], store_path: Path
) -> None:
    put(portal.issue())
    use_up_half_of_the_time(portal, store_path)
    command = [sys.executable, "-c", START, "limits", "--watch", "--interval", "0.1"]
    shown = in_terminal(command, {**environment, "TERM": "xterm"}, until="crm.deal.list", ends=False)
    assert "Traceback" not in shown
