"""`b24oauth completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

from typing import Literal

from b24oauth.cli.app import command_line

__all__ = ["completion"]


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print the completion script of a shell.

    For bash: b24oauth completion bash > ~/.local/share/bash-completion/completions/b24oauth

    Args:
        shell: The shell.
    """
    print(command_line("").generate_completion(shell=shell))
