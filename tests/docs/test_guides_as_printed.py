"""The first programs of the guides run as they are printed, against the fake portal that each page names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from tests.docs.pages import DOCS, ROOT, snippets
from tests.support.servers import free_port

pytestmark = pytest.mark.slow
WAIT = 90.0


class Terminal:
    """A command that runs in a folder: what it prints, and what is typed."""

    def __init__(self, process: subprocess.Popen[str], output: Path) -> None:
        self.process, self._output = process, output

    def text(self) -> str:
        return self._output.read_text(encoding="utf-8")

    def type(self, line: str) -> None:
        stdin: IO[str] | None = self.process.stdin
        assert stdin is not None
        stdin.write(line + "\n")
        stdin.flush()

    def wait_for(self, text: str, *, times: int = 1) -> None:
        end = time.monotonic() + WAIT
        while self.text().count(text) < times:
            assert time.monotonic() < end, f"{text!r} is not in:\n{self.text()}"
            assert self.process.poll() is None, self.text()
            time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


Start = Callable[..., Terminal]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts commands of Python modules or files."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with ExitStack() as stack:
        numbers = iter(range(100))

        def run(*arguments: str) -> Terminal:
            output = tmp_path / f"output-{next(numbers)}"
            file = stack.enter_context(output.open("w"))
            process = subprocess.Popen(
                [sys.executable, *arguments], cwd=tmp_path, env=environment, text=True,
                stdin=subprocess.PIPE, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
            stack.enter_context(process)
            stack.callback(process.kill)
            return Terminal(process, output)

        yield run


def program(page: str, folder: Path, name: str, ports: dict[str, str]) -> None:
    """Saves the first program of a page, as the page tells its readers to."""
    text = (DOCS / page).read_text(encoding="utf-8")
    assert f"Save it as `{name}.py`" in text
    first = snippets(DOCS / page)[0]
    for printed, free in ports.items():
        first = first.replace(printed, free)
    (folder / f"{name}.py").write_text(first, encoding="utf-8")


def wait_until_registered(portal: Terminal, event: str) -> None:
    """Waits until the handler of the installation has bound an event."""
    end = time.monotonic() + WAIT
    while event not in portal.text().partition("removes the application")[2]:
        assert time.monotonic() < end, portal.text()
        portal.type("bindings")
        time.sleep(0.1)


def test_the_application_gets_events_and_knows_the_portal_after_a_restart(start: Start, tmp_path: Path) -> None:
    ports = {"8000": str(free_port()), "8100": str(free_port())}
    program("applications.md", tmp_path, "app", ports)
    serve = ("-m", "uvicorn", "app:web", "--port", ports["8000"])
    application = start(*serve)
    address = f"http://127.0.0.1:{ports['8000']}/bitrix24"
    portal = start("-m", "b24oauth", "portal", "--port", ports["8100"], "--app", address)
    portal.wait_for("The application is installed")
    wait_until_registered(portal, "ONCRMDEALADD")
    portal.type("")
    application.wait_for("A new deal")
    application.stop()
    application = start(*serve)
    application.wait_for("running on")
    portal.type("")
    application.wait_for("A new deal")


def test_the_worker_reads_the_events_that_the_portal_keeps(start: Start, tmp_path: Path) -> None:
    ports = {"8000": str(free_port()), "8100": str(free_port()), "poll=5": "poll=1, discover=1"}
    program("workers.md", tmp_path, "worker", ports)
    start("-m", "uvicorn", "worker:web", "--port", ports["8000"])
    address = f"http://127.0.0.1:{ports['8000']}/"
    portal = start("-m", "b24oauth", "portal", "--port", ports["8100"], "--app", address)
    portal.wait_for("The application is installed")
    wait_until_registered(portal, "ONCRMDEALADD")
    portal.type("")
    worker = start("worker.py")
    worker.wait_for("A new deal")
    worker.stop()
    portal.type("")
    portal.wait_for("Deal 122 is added")
    start("worker.py").wait_for("A new deal")


def test_the_bot_answers_and_goes_on_after_both_were_started_again(start: Start, tmp_path: Path) -> None:
    port = str(free_port())
    program("bots.md", tmp_path, "bot", {"8000": port})
    for text in ("first", "second"):
        portal = start("-m", "b24oauth", "portal", "--bot", "--port", port)
        portal.wait_for(f"listens at http://127.0.0.1:{port}")
        bot = start("bot.py")
        portal.wait_for("Echo is registered")
        portal.type(f"the {text} time")
        portal.wait_for(f"Echo: the {text} time")
        bot.stop()
        portal.stop()
