"""The `b24oauth` command: how it ends. The commands are in the other modules of this package, listed in `cli.app`."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Final

__all__ = ["main"]

# Exit status after SIGINT (128 + 2).
_INTERRUPTED: Final = 130
# What the extra installs.
_OF_THE_EXTRA: Final = ("cyclopts", "rich", "uvicorn")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        0 when all went well, 1 when something failed, 2 for wrong usage or when an extra is not installed, and what a
        shell expects after Ctrl-C.
    """
    try:
        status = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except KeyboardInterrupt:
        # Ctrl-C may arrive while the event loop starts; asyncio then prints warnings at exit.
        logging.disable()
        warnings.simplefilter("ignore")
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has ended. Without this, Python would report a failed flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _run(argv: list[str]) -> int:
    try:
        import cyclopts  # noqa: PLC0415 - the extra may not be installed

        from b24oauth.cli.app import command_line  # noqa: PLC0415 - as above
        from b24oauth.cli.problems import UsageError, explained  # noqa: PLC0415 - as little as needed is loaded
    except ModuleNotFoundError as error:
        return _missing(error)
    app = command_line(argv[0] if argv else "")
    try:
        status = app(argv, exit_on_error=False, result_action="return_value")
    except cyclopts.CycloptsError:
        return 2  # the message has been printed
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except ImportError as error:
        # cyclopts wraps what is missing when it loads a command.
        missing = error if isinstance(error, ModuleNotFoundError) else error.__cause__
        if not isinstance(missing, ModuleNotFoundError):
            raise
        return _missing(missing)
    except Exception as error:
        text = explained(error)
        if text is None:
            raise
        print(text, file=sys.stderr)
        return 1
    return status if isinstance(status, int) else 0


def _missing(error: ModuleNotFoundError) -> int:
    name = (error.name or "").partition(".")[0]
    if name in _OF_THE_EXTRA:
        print(f'`b24oauth` needs {name}: pip install "b24oauth[cli]"', file=sys.stderr)
        return 2
    if "pip install" not in str(error):
        raise error
    print(error, file=sys.stderr)
    return 2
