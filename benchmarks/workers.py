"""The contestants' processes as the benchmark sees them: started once, on the client's core, asked job by job."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import attrs

from benchmarks.contestants import CONTESTANTS, Contestant

__all__ = ["JobError", "Worker", "Workers", "workers"]

Answer = dict[str, Any]
# Seconds that a job may take; the longest are some twenty.
PATIENCE = 180
PEERS = Path(__file__).parent / "contestants" / "peers.mjs"


class JobError(Exception):
    """A contestant could not do its job; the text is what it said."""


@attrs.define(eq=False)
class Worker:
    """One contestant's process.

    Attributes:
        name: The contestant.
    """

    name: str
    _process: subprocess.Popen[str]

    def ask(self, job: str, **options: Any) -> Answer:
        """Lets it do a job.

        Raises:
            JobError: It failed.
        """
        self.send(job, **options)
        return self.receive()

    def send(self, job: str, **options: Any) -> None:
        """Lets it begin; `receive` waits for the end."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"job": job, **options}) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Answer:
        """What the job that was sent came to.

        Raises:
            JobError: It failed, or its process ended or did not answer in time.
        """
        assert self._process.stdout is not None
        patience = threading.Timer(PATIENCE, self._process.kill)
        patience.start()
        try:
            line = self._process.stdout.readline()
        finally:
            patience.cancel()
        if not line:
            raise JobError(f"its process ended with {self._process.wait()}")
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise JobError(answer["error"])
        return answer


@attrs.define(eq=False)
class Workers:
    """All contestants that can run here.

    Attributes:
        missing: Why the others cannot, by name.
    """

    _node_modules: Path | None
    _stack: ExitStack
    _running: dict[tuple[str, str], Worker] = attrs.field(factory=dict[tuple[str, str], Worker])
    missing: dict[str, str] = attrs.field(factory=dict[str, str])

    def get(self, name: str, job: str = "") -> Worker | None:
        """A process of the contestant's, or None with the reason in `missing`.

        Args:
            name: The contestant.
            job: What the process is kept for, where one shall not be warmed by other jobs.
        """
        if name in self.missing:
            return None
        if (name, job) in self._running:
            return self._running[name, job]
        command = self._command(CONTESTANTS[name])
        if command is None:
            return None
        self._running[name, job] = self._stack.enter_context(_started(name, command))
        return self._running[name, job]

    @contextmanager
    def alone(self, name: str) -> Iterator[Worker | None]:
        """A process of the contestant's that ends with the block; None with the reason in `missing`."""
        command = None if name in self.missing else self._command(CONTESTANTS[name])
        if command is None:
            yield None
            return
        with _started(name, command) as worker:
            yield worker

    def each(self, names: Iterable[str], ask: Callable[[Worker], None], jobs: Mapping[str, str] | None = None) -> None:
        """Asks those that can run here, in turn; who fails is missing from then on, with the reason.

        Args:
            names: Whom to ask.
            ask: What to do with each.
            jobs: For which job's process to ask, by name, where it is not the same for all.
        """
        for name in names:
            worker = self.get(name, (jobs or {}).get(name, ""))
            if worker is None:
                continue
            try:
                ask(worker)
            except JobError as error:
                print(f"{name} failed: {error}", file=sys.stderr)
                self.missing[name] = f"failed: {str(error).strip().splitlines()[-1]}"

    def _command(self, contestant: Contestant) -> list[str] | None:
        if contestant.module == PEERS.name:
            node = shutil.which("node")
            if node is None:
                self.missing[contestant.name] = "no Node here"
            elif self._node_modules is None or not self._node_modules.exists():
                self.missing[contestant.name] = "no Node package here: run `nox -s bench`"
            else:
                return [node, "--expose-gc", str(PEERS), str(self._node_modules.parent)]
            return None
        if contestant.requires is not None and importlib.util.find_spec(contestant.requires) is None:
            self.missing[contestant.name] = f"no {contestant.requires} here"
            return None
        return [sys.executable, "-m", "benchmarks.worker", contestant.name]


@contextmanager
def _started(name: str, command: list[str]) -> Iterator[Worker]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Worker(name, process)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def workers(node_modules: Path | None) -> Iterator[Workers]:
    """Starts contestants when they are first asked for, and ends them.

    Args:
        node_modules: Where npm installed the JS SDK; None when it did not.
    """
    with ExitStack() as stack:
        yield Workers(node_modules, stack)
