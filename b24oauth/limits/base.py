"""The interface of the request-rate limiter used by `RestrictionManager`.

The bucket of this process is in `rate`. One that several processes share is another implementation of `Bucket`; it is
handed to `RestrictionManager(bucket=…)`. All times are of the event loop's clock.
"""

from __future__ import annotations

from typing import Protocol

import attrs

from b24oauth.limits.params import RateLimitConfig

__all__ = ["Admission", "Bucket"]


@attrs.frozen
class Admission:
    """One request's permission to be sent.

    Attributes:
        at: When it was given, seconds.
        taken: Number of requests accepted by the portal up to then, including this one (estimate).
    """

    at: float
    taken: int


class Bucket(Protocol):
    """Gives admissions in the order in which they are asked for, at the portal's pace."""

    @property
    def config(self) -> RateLimitConfig:
        """The bucket as configured."""
        ...

    @property
    def burst_limit(self) -> float:
        """Requests that may be sent at once, as it is now."""
        ...

    @property
    def drain_rate(self) -> float:
        """Requests a second, as it is now."""
        ...

    @property
    def recent_errors(self) -> int:
        """Refusals of the last minute that did not change the rate."""
        ...

    @property
    def recent_successes(self) -> int:
        """Successes since the last refusal or change of the rate."""
        ...

    async def set_config(self, config: RateLimitConfig) -> None:
        """Replaces the configuration; waiting requests continue with the new one."""
        ...

    def reset(self) -> None:
        """Resets to the configured rate and discards the estimate."""
        ...

    def room(self, calls: int) -> int:
        """How many of so many requests would be admitted at once."""
        ...

    async def acquire_at_once(self) -> Admission | None:
        """An admission that need not be waited for, else None."""
        ...

    async def acquire_in_line(self) -> Admission:
        """Waits in the queue for an admission. A cancelled waiter takes no capacity."""
        ...

    def not_sent(self, admission: Admission) -> None:
        """Notes that an admitted request did not reach the portal: its place is free again."""
        ...

    async def refused(self, admission: Admission | None = None, *, retry_after: float = 0.0) -> float:
        """Notes that the portal refused a request because of its rate: nobody sends until the bucket has drained.

        Args:
            admission: Of the refused request; None when it had none of its own, as a command of a batch.
            retry_after: How long the portal asked to wait, seconds.

        Returns:
            Seconds after which another request may be tried.
        """
        ...

    def succeeded(self, admission: Admission | None = None, *, now: float | None = None) -> bool:
        """Notes that the portal took a request.

        Args:
            admission: Of the request.
            now: The time, if the caller has looked at the clock.

        Returns:
            True when the rate was changed.
        """
        ...
