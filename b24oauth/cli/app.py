"""The commands by name. A command's module is loaded when the command runs, so that `b24oauth --help` is quick."""

from __future__ import annotations

from typing import Final

import cyclopts

from b24oauth._version import __version__

__all__ = ["command_line"]

# Where each command is, and what the list of commands says about it.
_COMMANDS: Final = {
    "login": ("login:login", "Authorize the application on a portal and store the token pair."),
    "tokens": ("tokens:tokens", "Show, renew, remove and encrypt the stored token pairs."),
    "call": ("call:call", "Call one REST method and print its result."),
    "batch": ("batch:batch", "Call any number of REST methods from a file."),
    "export": ("export:export", "Export all rows of a list method to a file."),
    "methods": ("methods:methods", "List the REST methods and scopes of the portal."),
    "limits": ("limits:limits", "Show what is known of the portal's limits."),
    "doctor": ("doctor:doctor", "Check credentials, store, connections and the application on the portal."),
    "completion": ("completion:completion", "Print the completion script of a shell."),
    "demo": ("demo:demo", "Run 200 calls and a set of faults against an embedded portal."),
    "portal": ("portal:portal", "Serve a fake portal to try programs against."),
    "reencrypt": ("reencrypt:reencrypt", "Encrypt the records of a store with a new key."),
}


def command_line(chosen: str) -> cyclopts.App:
    """The command with all of its subcommands.

    Args:
        chosen: The subcommand that is about to run; empty if there is none.
    """
    app = cyclopts.App(
        name="b24oauth",
        version=f"b24oauth {__version__}",
        version_flags=["--version"],
        help="Talks to Bitrix24 over OAuth 2.0.",
        # Flags are off by default; no --no-flag is needed.
        default_parameter=cyclopts.Parameter(negative=()),
        suppress_keyboard_interrupt=False,
    )
    for name, (path, summary) in _COMMANDS.items():
        # A summary given here would replace the docstring, which is the help of the chosen command.
        app.command(f"b24oauth.cli.{path}", name=name, help=None if name == chosen else summary)
    return app
