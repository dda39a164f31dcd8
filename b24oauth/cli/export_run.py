"""Runs one export of the command line: signals, progress, what is said at the end, and the exit status."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from typing import Any, Final

import attrs

from b24oauth.cli.export_progress import shown
from b24oauth.errors import ConfigurationError, InvalidParamsError, SdkError
from b24oauth.exporting import ExportReport, ExportRequest, export, export_to_stream, rows_kept
from b24oauth.exporting.exporter import Client

__all__ = ["STDOUT", "ExportRun", "read_conditions"]

# As the name of the file: the standard output.
STDOUT: Final = "-"
_FAILED: Final = 1
_MISUSED: Final = 2
# What a shell expects of a process that a signal has ended: 128 and the number of the signal.
_SIGNALLED: Final = 128
_BROKEN_PIPE: Final = 13
_OPERATORS: Final = "!<>=@%~*?"
# Options by the names that the library's messages have.
_OPTIONS: Final = re.compile(r"\b(restart|overwrite|modified_field|cursor_id_key|id_key|guard_formulas)\b")

OpenClient = Callable[[], AbstractAsyncContextManager[Client]]


def read_conditions(texts: Sequence[str]) -> dict[str, Any]:
    """A filter of conditions such as ``>OPPORTUNITY=100``; a value in brackets is a JSON list.

    Raises:
        ConfigurationError: A condition cannot be read, or is given twice.
    """
    conditions: dict[str, Any] = {}
    for text in texts:
        name = text.lstrip(_OPERATORS)
        operator = text[: len(text) - len(name)]
        field, equals, value = name.partition("=")
        key = f"{operator}{field}"
        if not field or not equals:
            raise ConfigurationError(
                f"--filter {text}: must be a field, an equals sign and a value: '>OPPORTUNITY=100'"
            )
        if key in conditions:
            raise ConfigurationError(f"--filter {key}: is given twice; several values are '@{field}=[1, 2]'")
        conditions[key] = _value(key, value)
    return conditions


def _value(key: str, text: str) -> Any:
    if not text.startswith("["):
        return text
    try:
        return json.loads(text)
    except ValueError:
        raise ConfigurationError(f"--filter {key}: begins with a bracket, but is no JSON list") from None


@attrs.frozen(kw_only=True)
class ExportRun:
    """One export.

    Attributes:
        request: What is exported.
        open_client: Opens the client.
        as_json: What was done is said as JSON.
        plain: Lines instead of a bar.
    """

    request: ExportRequest
    open_client: OpenClient
    as_json: bool = False
    plain: bool = False

    @property
    def to_stdout(self) -> bool:
        """Rows go to the standard output."""
        return str(self.request.to) == STDOUT

    def run(self) -> int:
        """Exports, and returns the exit status."""
        received: list[int] = []
        try:
            asyncio.run(self._main(received))
        except (KeyboardInterrupt, asyncio.CancelledError):
            number = received[0] if received else signal.SIGINT
            self._say(f"Interrupted. {self._what_is_kept()}")
            return _SIGNALLED + number
        except BrokenPipeError:
            # The reader wants no more. What Python would still flush at exit goes nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return _SIGNALLED + _BROKEN_PIPE
        except (ConfigurationError, InvalidParamsError) as error:
            self._say(_for_command(error))
            return _MISUSED
        except ModuleNotFoundError as error:
            self._say(str(error))
            return _MISUSED
        except (SdkError, OSError) as error:
            what = _for_command(error) if isinstance(error, SdkError) else str(error)
            self._say(f"{self.request.method}: {what}\n{self._what_is_kept()}")
            return _FAILED
        return 0

    async def _main(self, received: list[int]) -> None:
        with _terminated(received):
            async with self.open_client() as client:
                with shown(sys.stderr, title=self.request.method, plain=self.plain) as show:
                    if self.to_stdout:
                        rows = await export_to_stream(client, self.request, sys.stdout.buffer, on_progress=show)
                        report = None
                    else:
                        report = await export(client, self.request, on_progress=show)
                        rows = report.rows
        if report is None:
            self._say(json.dumps({"rows": rows}) if self.as_json else f"{rows:,} rows")
        else:
            self._report(report)

    def _report(self, report: ExportReport) -> None:
        for name in report.text_columns:
            self._say(f"The column {name} is text: a value does not fit its declared type")
        if self.as_json:
            facts = attrs.asdict(report) | {"path": str(report.path), "state": report.state and str(report.state)}
            print(json.dumps(facts))
            return
        resumed = f", {report.resumed:,} of them from before" if report.resumed else ""
        print(f"{report.rows:,} rows in {report.path}{resumed}")

    def _what_is_kept(self) -> str:
        if self.to_stdout:
            return "The output is incomplete"
        rows = rows_kept(self.request.to)
        if not rows:
            return "No rows are kept"
        if self.request.identifier is None:
            return "Run the same command again; its rows have no identifier to go on by, so it begins anew"
        return f"{rows:,} rows are kept. Run the same command again to go on after them"

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _for_command(error: SdkError) -> str:
    """A message with the options as the command line spells them."""
    message = error.message.replace('paging="offset"', "--paging offset").replace('paging="keyset"', "--paging keyset")
    return _OPTIONS.sub(lambda found: f"--{found[0].replace('_', '-')}", message)


@contextmanager
def _terminated(received: list[int]) -> Generator[None]:
    """While it is open, SIGTERM cancels the current task, as Ctrl-C does."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel() -> None:
        received.append(signal.SIGTERM)
        if task is not None:
            task.cancel()

    with suppress(NotImplementedError):  # Windows has no such signal
        loop.add_signal_handler(signal.SIGTERM, cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
