"""Event classes: frozen, without secrets; `str(event)` is a log message."""

from __future__ import annotations

from b24oauth.events.calls import (
    AttemptFinished,
    AttemptStarted,
    CallEvent,
    CallFinished,
    CallStarted,
    Outcome,
    Reason,
    RequestContent,
    RequestFinished,
    RequestStarted,
    ResponseContent,
    Retrying,
    Throttled,
)
from b24oauth.events.levels import CONTENT, TRACE
from b24oauth.events.notices import Notice
from b24oauth.events.tokens import (
    PairNotSaved,
    PortalMoved,
    RefreshAwaited,
    RefreshFailed,
    RefreshFinished,
    RefreshOutcome,
    RefreshStarted,
    TokenRefreshed,
    UserChanged,
)

__all__ = [
    "CONTENT",
    "TRACE",
    "AttemptFinished",
    "AttemptStarted",
    "CallEvent",
    "CallFinished",
    "CallStarted",
    "Event",
    "Notice",
    "Outcome",
    "PairNotSaved",
    "PortalMoved",
    "Reason",
    "RefreshAwaited",
    "RefreshFailed",
    "RefreshFinished",
    "RefreshOutcome",
    "RefreshStarted",
    "RequestContent",
    "RequestFinished",
    "RequestStarted",
    "ResponseContent",
    "Retrying",
    "Throttled",
    "TokenRefreshed",
    "UserChanged",
]

Event = (
    CallStarted
    | AttemptStarted
    | RequestStarted
    | RequestContent
    | ResponseContent
    | RequestFinished
    | AttemptFinished
    | Retrying
    | CallFinished
    | Throttled
    | RefreshStarted
    | RefreshAwaited
    | RefreshFinished
    | TokenRefreshed
    | RefreshFailed
    | PairNotSaved
    | PortalMoved
    | UserChanged
    | Notice
)
