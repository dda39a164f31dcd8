"""The `b24oauth` command: argument parsing. The subcommands are in the other modules of this package."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import sys
import warnings
from collections.abc import Sequence
from typing import Final

from b24oauth._version import __version__
from b24oauth.errors import ConfigurationError, StoreError

__all__ = ["main"]

# Exit status after SIGINT (128 + 2).
_INTERRUPTED: Final = 130
_MOST_PROCESSES: Final = 32


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: Arguments; those of the process by default.

    Returns:
        0 when all went well, 1 when a demo check failed, a port is taken or a store fails, 2 when an extra is not
        installed, and what a shell expects after Ctrl-C.
    """
    parser = argparse.ArgumentParser(prog="b24oauth", description="Talks to Bitrix24 over OAuth 2.0.")
    parser.add_argument("--version", action="version", version=f"b24oauth {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="run 200 calls and a set of faults against an embedded portal")
    demo.add_argument("--plain", action="store_true", help="no colours")
    demo.add_argument("--processes", type=_number, help="show so many processes that share one store instead")
    portal = commands.add_parser("portal", help="serve a fake portal to try programs against")
    portal.add_argument("--host", default="127.0.0.1", help="address to listen at")
    portal.add_argument("--port", type=int, default=0, help="port to listen at; a free one by default")
    portal.add_argument("--bot", action="store_true", help="chat with your bot in this terminal")
    encrypt = commands.add_parser("reencrypt", help="encrypt the records of a store with a new key")
    encrypt.add_argument("store", help="path of a SQLite file or a folder, or the URL of a Redis server or a database")
    encrypt.add_argument("--client-id", required=True, help="the application; the keys are read from B24OAUTH_KEYS")
    arguments = parser.parse_args(argv)
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        # Ctrl-C may arrive while the event loop starts; asyncio then prints warnings at exit.
        logging.disable()
        warnings.simplefilter("ignore")
        return _INTERRUPTED


def _run(arguments: argparse.Namespace) -> int:
    if arguments.command == "reencrypt":
        return _reencrypt(arguments.store, arguments.client_id)
    try:
        importlib.import_module("uvicorn")  # the portal asks for it only when it is served
        if arguments.command == "portal":
            return _serve(arguments.host, arguments.port, bot=arguments.bot)
        from b24oauth.cli.demo import run_demo  # noqa: PLC0415 - the extra may not be installed
        from b24oauth.cli.processes import run_processes  # noqa: PLC0415 - as above
        from b24oauth.cli.report import Report  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        print(f'`b24oauth {arguments.command}` needs {error.name}: pip install "b24oauth[cli]"', file=sys.stderr)
        return 2
    report = Report(plain=arguments.plain)
    demo = run_processes(report, arguments.processes) if arguments.processes else run_demo(report)
    return 0 if asyncio.run(demo) else 1


def _reencrypt(store: str, client_id: str) -> int:
    from b24oauth.cli.reencrypt import reencrypt  # noqa: PLC0415 - as little as needed is loaded

    try:
        number = asyncio.run(reencrypt(store, client_id))
    except (ConfigurationError, StoreError) as error:
        print(error.message, file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{number} records are encrypted with the first key")
    return 0


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= _MOST_PROCESSES:
        raise argparse.ArgumentTypeError(f"must be from 1 to {_MOST_PROCESSES}")
    return number


def _serve(host: str, port: int, *, bot: bool) -> int:
    from b24oauth.cli.chat import run_chat, typed_lines  # noqa: PLC0415 - as little as needed is loaded
    from b24oauth.cli.portal import run_portal  # noqa: PLC0415 - as above

    served = run_chat(host=host, port=port, lines=typed_lines()) if bot else run_portal(host=host, port=port)
    try:
        asyncio.run(served)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
