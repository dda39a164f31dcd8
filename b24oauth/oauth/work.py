"""Tracks (in a context variable) the refresh that the current code runs in, to detect callbacks that would deadlock."""

from __future__ import annotations

import contextvars
from typing import Final

import attrs

from b24oauth.errors import ClientStateError
from b24oauth.storing import TokenKey, TokenStore

__all__ = ["WORK_OF_THIS_CONTEXT", "Work", "would_wait_for_itself"]


@attrs.define(eq=False)
class Work:
    """One run of the task, as code that it calls can recognize it.

    Attributes:
        renews: False when it only looks into the store.
        leased: The store and the key that it holds the lease of.
    """

    renews: bool
    leased: tuple[TokenStore, TokenKey] | None = None


# The refresh that called the current code, if any; distinguishes API calls made in a refresh callback from all others.
WORK_OF_THIS_CONTEXT: Final[contextvars.ContextVar[Work]] = contextvars.ContextVar("b24oauth_renewal")


def would_wait_for_itself() -> ClientStateError:
    """The error of a callback that waits for the renewal that it is called by."""
    return ClientStateError(
        "A callback of the renewal waits for the renewal, which waits for the callback (a deadlock): "
        "call the API after the callback, or with a token of your own",
        code="B24OAUTH_RENEWAL_DEADLOCK",
    )
