"""What a runner reports about its portals."""

from __future__ import annotations

from typing import Any, Literal

import attrs

from b24oauth.errors import SdkError

__all__ = ["PortalHealth", "PortalState", "PortalWork", "RunnerHealth"]

PortalState = Literal["waiting", "working", "idle", "failing", "standby"]


@attrs.frozen(kw_only=True)
class PortalHealth:
    """The work of one portal. Times are Unix timestamps in seconds.

    Attributes:
        member_id: The portal.
        state: "waiting" for its turn in this process, "working", "idle" until it is due again, "failing": it waits
            after an error, or "standby": another process does its work.
        since: When the state began.
        age: Seconds since the last success, or since the runner found the portal.
        last_success: When `consume` last returned; None if it did not yet.
        last_error: The last error; None without one. Only errors of b24oauth are shown with their text.
        last_error_at: When it occurred.
        failures: How many errors there were since the last success.
    """

    member_id: str
    state: PortalState
    since: float
    age: float
    last_success: float | None
    last_error: str | None
    last_error_at: float | None
    failures: int


@attrs.frozen(kw_only=True)
class RunnerHealth:
    """The state of a runner.

    Attributes:
        name: The name of its work.
        is_running: False before the start, and once it has been asked to stop.
        failing: How many portals are failing.
        portals: The portals, by `member_id`.
    """

    name: str
    is_running: bool
    failing: int
    portals: tuple[PortalHealth, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return attrs.asdict(self) | {"portals": [attrs.asdict(portal) for portal in self.portals]}


@attrs.define(eq=False)
class PortalWork:
    """What is known of the work of one portal. It is changed by the task of this portal only.

    Attributes:
        member_id: The portal.
        found_at: When the runner found it, Unix timestamp in seconds.
    """

    member_id: str
    found_at: float
    _state: PortalState = attrs.field(default="waiting", init=False)
    _since: float = attrs.field(default=attrs.Factory(lambda self: self.found_at, takes_self=True), init=False)
    _succeeded_at: float | None = attrs.field(default=None, init=False)
    _error: str | None = attrs.field(default=None, init=False)
    _failed_at: float | None = attrs.field(default=None, init=False)
    failures: int = attrs.field(default=0, init=False)

    def enter(self, state: PortalState, now: float) -> None:
        """Changes the state."""
        self._state, self._since = state, now

    def succeeded(self, now: float) -> None:
        """Notes that `consume` has returned."""
        self._succeeded_at, self.failures = now, 0
        self.enter("idle", now)

    def failed(self, error: Exception, now: float) -> None:
        """Notes an error."""
        # The text of another library's error may hold a token.
        self._error = str(error) if isinstance(error, SdkError) else type(error).__name__
        self._failed_at, self.failures = now, self.failures + 1
        self.enter("failing", now)

    @property
    def is_failing(self) -> bool:
        """True while it waits after an error."""
        return self._state == "failing"

    def health(self, now: float) -> PortalHealth:
        """The report."""
        last = self.found_at if self._succeeded_at is None else self._succeeded_at
        return PortalHealth(
            member_id=self.member_id,
            state=self._state,
            since=self._since,
            age=max(0.0, now - last),
            last_success=self._succeeded_at,
            last_error=self._error,
            last_error_at=self._failed_at,
            failures=self.failures,
        )
