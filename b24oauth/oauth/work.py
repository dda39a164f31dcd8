"""Tracks (in a context variable) the refresh that the current code runs in, to detect callbacks that would deadlock."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Final

import attrs

from b24oauth.errors import ClientStateError
from b24oauth.oauth.outcomes import Outcome
from b24oauth.oauth.reporting import RefreshReport
from b24oauth.storing import TokenKey, TokenStore

__all__ = ["WORK_OF_THIS_CONTEXT", "Work", "is_leased_here", "would_wait_for_itself"]


@attrs.define(eq=False)
class Work:
    """One run of the task, as code that it calls can recognize it.

    Attributes:
        renews: False when it only looks into the store.
        report: Tells the observers about it; None when nobody observes it.
        leased: The store and the key that it holds the lease of.
    """

    renews: bool
    report: RefreshReport | None = None
    leased: tuple[TokenStore, TokenKey] | None = None

    def ended(self, task: asyncio.Task[Outcome], renewals: int) -> None:
        """Its task is done.

        Args:
            task: The task.
            renewals: How many pairs were obtained until now.
        """
        # A task started by a callback may outlive the refresh and wait for the lease.
        self.leased = None
        if self.report is not None:
            self.report.finished(task, renewals)


# The refresh that called the current code, if any; distinguishes API calls made in a refresh callback from all others.
WORK_OF_THIS_CONTEXT: Final[contextvars.ContextVar[Work]] = contextvars.ContextVar("b24oauth_renewal")


def is_leased_here(store: TokenStore | None, key: TokenKey) -> bool:
    """True for code that a refresh calls which holds the lease of this pair."""
    work = WORK_OF_THIS_CONTEXT.get(None)
    if work is None or work.leased is None:
        return False
    leased, leased_key = work.leased
    return leased is store and leased_key == key


def would_wait_for_itself() -> ClientStateError:
    """The error of a callback that waits for the renewal that it is called by."""
    return ClientStateError(
        "A callback of the renewal waits for the renewal, which waits for the callback (a deadlock): "
        "call the API after the callback, or with a token of your own",
        code="B24OAUTH_RENEWAL_DEADLOCK",
    )
