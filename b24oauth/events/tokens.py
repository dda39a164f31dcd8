"""Events of token pairs."""

from __future__ import annotations

import logging
from typing import Literal

import attrs

from b24oauth.events.levels import TRACE
from b24oauth.events.wording import failure

__all__ = [
    "PairNotSaved",
    "PortalMoved",
    "RefreshAwaited",
    "RefreshFailed",
    "RefreshFinished",
    "RefreshOutcome",
    "RefreshStarted",
    "TokenRefreshed",
    "UserChanged",
]

RefreshOutcome = Literal["renewed", "found", "error"]


@attrs.frozen(kw_only=True)
class RefreshStarted:
    """A refresh begins, which all calls share that need a new token. `RefreshFinished` follows in any case.

    It is emitted where the first caller needs the token. The refresh runs in a task of its own.

    Attributes:
        level: Below those of `logging`.
        refresh_id: Number of the refresh, unique in this process; its events have the same.
        member_id: The portal.
        portal: Its host.
    """

    level: int = TRACE
    refresh_id: int
    member_id: str
    portal: str

    def __str__(self) -> str:
        return f"The token pair of portal {self.member_id} is being renewed"


@attrs.frozen(kw_only=True)
class RefreshAwaited:
    """A caller begins to wait for a refresh. It is emitted in the task of the caller.

    Attributes:
        level: Below those of `logging`.
        refresh_id: Number of the refresh.
        member_id: The portal.
        portal: Its host.
    """

    level: int = TRACE
    refresh_id: int
    member_id: str
    portal: str

    def __str__(self) -> str:
        return f"A call waits until the token pair of portal {self.member_id} is renewed"


@attrs.frozen(kw_only=True)
class RefreshFinished:
    """A refresh has ended, before the waiting callers go on.

    Attributes:
        level: Below those of `logging`.
        refresh_id: Number of the refresh.
        member_id: The portal.
        portal: Its host when the refresh began.
        duration: How long it took, waiting for other processes and saving included, seconds.
        is_new: True for a new pair; False when the token store had a pair that is valid, or after a failure.
        error_code: Code of the error; None for a success.
        error_type: Class of the error; None for a success.
        error_text: What the error says; None for a success.
    """

    level: int = TRACE
    refresh_id: int
    member_id: str
    portal: str
    duration: float
    is_new: bool
    error_code: str | None = None
    error_type: str | None = None
    error_text: str | None = None

    @property
    def outcome(self) -> RefreshOutcome:
        """How it ended: "renewed", "found" for a pair of the token store, or "error"."""
        if self.error_code is not None:
            return "error"
        return "renewed" if self.is_new else "found"

    def __str__(self) -> str:
        what = "a new pair" if self.is_new else "the pair of the token store"
        if self.error_type is not None:
            what = f"{self.error_code}: {self.error_text}"
        return f"The refresh for portal {self.member_id} ended after {self.duration:.3f} s: {what}"


@attrs.frozen(kw_only=True)
class TokenRefreshed:
    """A token pair was renewed, and saved where there is a store or a callback.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        seconds: How long it took.
    """

    level: int = logging.INFO
    member_id: str
    seconds: float

    def __str__(self) -> str:
        return f"The token pair of portal {self.member_id} was renewed in {self.seconds:.3f} s"


@attrs.frozen(kw_only=True)
class RefreshFailed:
    """A token pair could not be renewed.

    Attributes:
        level: ERROR when only a new authorization helps, else WARNING.
        member_id: The portal.
        status: HTTP status; 0 without a response.
        error_code: Code of the error.
        error_text: What the error says.
        needs_reauth: True when only a new authorization helps.
    """

    level: int
    member_id: str
    status: int
    error_code: str
    error_text: str
    needs_reauth: bool

    def __str__(self) -> str:
        remedy = "; the application must be authorized again" if self.needs_reauth else ""
        what = f"{failure(self.status, self.error_code)}: {self.error_text}"
        return f"The token pair of portal {self.member_id} could not be renewed: {what}{remedy}"


@attrs.frozen(kw_only=True)
class PairNotSaved:
    """A new token pair could not be saved, or the token store failed while it was read.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        error_text: What failed, without secrets.
    """

    level: int = logging.ERROR
    member_id: str
    error_text: str

    def __str__(self) -> str:
        return f"Portal {self.member_id}: {self.error_text}"


@attrs.frozen(kw_only=True)
class PortalMoved:
    """A token refresh returned a new URL for the portal.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        before: Its host before.
        after: Its host now.
    """

    level: int = logging.INFO
    member_id: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"Portal {self.member_id} moved from {self.before} to {self.after}"


@attrs.frozen(kw_only=True)
class UserChanged:
    """A token refresh returned a pair of a different user; the application's permissions may have changed.

    Attributes:
        level: As of `logging`.
        member_id: The portal.
        before: The user before.
        after: The user now.
    """

    level: int = logging.WARNING
    member_id: str
    before: int
    after: int

    def __str__(self) -> str:
        return f"The token pair of portal {self.member_id} is now of user {self.after}, no longer of {self.before}"
