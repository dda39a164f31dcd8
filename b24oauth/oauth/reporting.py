"""Creates the events of one refresh, only if an observer wants them."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any, Final, Self

from b24oauth.errors import SdkError
from b24oauth.events import TRACE, RefreshAwaited, RefreshFinished, RefreshStarted
from b24oauth.models import B24OAuthParams
from b24oauth.oauth.outcomes import Outcome
from b24oauth.observing import Log
from b24oauth.protocol.endpoints import host_of

__all__ = ["RefreshReport"]

# Shared by all clients: one observer may have several of them.
_REFRESH_IDS: Final = itertools.count(1)


class RefreshReport:
    """Tells the observers about one refresh.

    Args:
        log: Knows them.
        pair: The pair to renew.
        renewals: How many pairs were obtained before.
    """

    __slots__ = ("_facts", "_log", "_renewals", "_started")

    def __init__(self, log: Log, pair: B24OAuthParams, renewals: int) -> None:
        self._log = log
        self._facts: dict[str, Any] = {
            "refresh_id": next(_REFRESH_IDS),
            "member_id": pair.member_id,
            "portal": host_of(pair.client_endpoint),
        }
        self._renewals = renewals
        self._started = asyncio.get_running_loop().time()

    @classmethod
    def started(cls, log: Log, pair: B24OAuthParams, renewals: int) -> Self | None:
        """The report of a refresh that begins now; None when nobody observes it."""
        if not log.is_enabled_for(TRACE):
            return None
        report = cls(log, pair, renewals)
        log.emit(RefreshStarted(**report._facts))
        return report

    def awaited(self) -> None:
        """A caller begins to wait for it."""
        self._log.emit(RefreshAwaited(**self._facts))

    def finished(self, task: asyncio.Task[Outcome], renewals: int) -> None:
        """It has ended.

        Args:
            task: The task that it ran in, which is done.
            renewals: How many pairs were obtained until now.
        """
        error = _error_of(task)
        name = None if error is None else type(error).__name__
        # The text of an error that is not ours is not shown, since it may repeat a token.
        code, text = (error.code, error.message) if isinstance(error, SdkError) else (name, name)
        self._log.emit(
            RefreshFinished(
                **self._facts,
                duration=asyncio.get_running_loop().time() - self._started,
                is_new=error is None and renewals > self._renewals,
                error_code=code,
                error_type=name,
                error_text=text,
            )
        )


def _error_of(task: asyncio.Task[Outcome]) -> BaseException | None:
    """What the refresh failed with; None for a success."""
    if task.cancelled():
        return asyncio.CancelledError()
    raised = task.exception()
    if raised is not None:
        return raised
    outcome = task.result()
    return None if isinstance(outcome, B24OAuthParams) else outcome.error()
