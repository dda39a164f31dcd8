"""Limits that several processes share: the state of a portal's bucket and how it changes. Pure; times are the server's.

A store or server keeps one state for each portal and source address and changes it in one step. The script for Redis in
`limits.redis` does the same as the functions here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import attrs

__all__ = ["Budget", "Reservation", "Reserve", "SharedLimits", "SharedState", "refuse", "reserve"]

# Without refusals for so long, a rate that was lowered is raised by a step; seconds.
RAISE_AFTER: Final = 30.0
_RAISED_BY: Final = 1.1
_LOWERED_TO: Final = 0.75
# A level from this share of the burst on tells that the rate is too high; below, that the burst is.
_NEARLY_FULL: Final = 0.8
# A state that is further ahead was written before the clock was set back; seconds.
_FURTHEST: Final = 900.0
# Reports of execution time older than this are forgotten; seconds.
_FORGET_AFTER: Final = 660.0


@attrs.frozen
class Budget:
    """What is known of a method's execution time.

    Attributes:
        used: Execution time used within the window, seconds.
        resets_in: Seconds until the budget is renewed; 0 if unknown.
        blocked_for: Seconds until the method may be called again; 0 if the portal did not refuse it.
    """

    used: float
    resets_in: float = 0.0
    blocked_for: float = 0.0


@attrs.frozen(kw_only=True)
class Reserve:
    """A request for an admission.

    Attributes:
        burst: Requests that may be sent at once, as configured.
        rate: Requests a second, as configured.
        margin: Requests that are kept free, because requests reach the portal later than they are admitted.
        given_back: Admissions of this process that were not used.
        resets: True to forget what is known of the portal.
        budgets: What this process has learned of execution times, by method.
        known_budgets: Version of the budgets that this process knows.
    """

    burst: float
    rate: float
    margin: float
    given_back: int = 0
    resets: bool = False
    budgets: Mapping[str, Budget] = attrs.field(factory=dict[str, Budget])
    known_budgets: int = 0


@attrs.frozen
class Reservation:
    """The place of a request in the portal's bucket.

    Attributes:
        wait: Seconds until the request may be sent.
        level: How full the bucket is then, in requests, this one included.
        burst: Requests that may be sent at once, as it is now.
        rate: Requests a second, as it is now.
        epoch: Grows with each refusal: a reservation of an earlier epoch is void.
        budgets: What other processes have learned of execution times, by method; None if there is nothing new.
        budgets_version: Version of these budgets.
    """

    wait: float
    level: float
    burst: float
    rate: float
    epoch: int
    budgets: Mapping[str, Budget] | None = None
    budgets_version: int = 0


class SharedLimits(Protocol):
    """The shared limits of one portal and source address. Each method raises `StoreError` if it cannot."""

    async def reserve(self, wanted: Reserve) -> Reservation:
        """Reserves an admission, in one step."""
        ...

    async def epoch(self) -> int:
        """The current epoch, which tells whether a reservation is void."""
        ...

    async def refuse(self, wanted: Reserve, *, level: float, sent_epoch: int, retry_after: float, adapts: bool) -> None:
        """Notes that the portal refused a request because of its rate.

        Args:
            wanted: What the process is configured to.
            level: Level of the refused request's reservation; infinite when it had none.
            sent_epoch: Epoch of the refused request's reservation: refusals of one burst count once.
            retry_after: How long the portal asked to wait, seconds.
            adapts: Whether the rate is lowered.
        """
        ...

    async def aclose(self) -> None:
        """Closes connections and files."""
        ...


@attrs.define
class SharedState:
    """What is kept of a portal. A dictionary of it is plain JSON.

    Attributes:
        empty_at: When the bucket is empty if nothing is added, Unix timestamp in seconds.
        held_until: When the portal may be asked again after it named a time, likewise.
        burst: Requests that may be sent at once, if they are fewer than configured; 0 if not.
        rate: Requests a second, likewise.
        epoch: Number of refusals.
        changed_at: When the rate was lowered or raised last.
        budgets: Execution times by method: used, when it resets, until when it is blocked, when it was reported.
        budgets_version: Grows with each report.
    """

    empty_at: float = 0.0
    held_until: float = 0.0
    burst: float = 0.0
    rate: float = 0.0
    epoch: int = 0
    changed_at: float = 0.0
    budgets: dict[str, list[float]] = attrs.field(factory=dict[str, list[float]])
    budgets_version: int = 0

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values."""
        return attrs.asdict(self)


def reserve(state: SharedState, wanted: Reserve, now: float) -> Reservation:
    """Takes the next place in the bucket; changes `state`.

    Args:
        state: What is kept of the portal.
        wanted: The request.
        now: The server's time, Unix timestamp in seconds.
    """
    if wanted.resets:
        state.empty_at = state.held_until = state.burst = state.rate = state.changed_at = 0.0
        state.budgets = {}
        state.epoch += 1
    _mend(state, wanted, now)
    _recover(state, wanted, now)
    burst, rate = _in_force(state, wanted)
    state.empty_at = max(now, state.empty_at - wanted.given_back / rate)
    before = (state.empty_at - now) * rate
    room = max(1.0, burst - wanted.margin)
    wait = max(0.0, (before + 1 - room) / rate)
    state.empty_at += 1 / rate
    _report(state, wanted.budgets, now)
    news = None
    if state.budgets_version != wanted.known_budgets:
        news = {method: _read(entry, now) for method, entry in state.budgets.items()}
    level = min(before + 1, room)
    return Reservation(wait, level, burst, rate, state.epoch, news, state.budgets_version)


def refuse(
    state: SharedState, wanted: Reserve, now: float, *, level: float, sent_epoch: int, retry_after: float, adapts: bool
) -> None:
    """Notes a refusal; changes `state`: the portal's bucket is full, so ours is.

    Args:
        state: What is kept of the portal.
        wanted: What the process is configured to.
        now: The server's time, Unix timestamp in seconds.
        level: Level of the refused request's reservation; infinite when it had none.
        sent_epoch: Epoch of the refused request's reservation.
        retry_after: How long the portal asked to wait, seconds.
        adapts: Whether the rate is lowered.
    """
    _mend(state, wanted, now)
    burst, rate = _in_force(state, wanted)
    state.held_until = max(state.held_until, now + retry_after)
    if sent_epoch < state.epoch:
        # It was sent before an earlier refusal was known.
        state.empty_at = max(state.empty_at, max(now, state.held_until) + burst / rate)
        return
    if adapts:
        if level < burst * _NEARLY_FULL:
            state.burst = max(1.0, level - 1)
        else:
            state.rate = rate * _LOWERED_TO
        state.changed_at = now
        burst, rate = _in_force(state, wanted)
    state.empty_at = max(now, state.held_until) + burst / rate
    state.epoch += 1


def _mend(state: SharedState, wanted: Reserve, now: float) -> None:
    """After the clock was set back, takes the bucket for full: nobody must wait for times that are far away."""
    burst, rate = _in_force(state, wanted)
    if max(state.empty_at, state.held_until, state.changed_at) > now + _FURTHEST + burst / rate:
        state.empty_at, state.held_until, state.changed_at = now + burst / rate, 0.0, now


def _in_force(state: SharedState, wanted: Reserve) -> tuple[float, float]:
    burst = min(state.burst, wanted.burst) if state.burst else wanted.burst
    rate = min(state.rate, wanted.rate) if state.rate else wanted.rate
    return burst, rate


def _recover(state: SharedState, wanted: Reserve, now: float) -> None:
    """Raises what was lowered, a step at a time."""
    if not (state.burst or state.rate) or now - state.changed_at < RAISE_AFTER:
        return
    state.changed_at = now
    state.rate = _raised(state.rate, wanted.rate, 0.0)
    state.burst = _raised(state.burst, wanted.burst, 1.0)


def _raised(value: float, configured: float, step: float) -> float:
    raised = value * _RAISED_BY + step
    return 0.0 if not value or raised >= configured else raised


def _report(state: SharedState, budgets: Mapping[str, Budget], now: float) -> None:
    if not budgets:
        return
    for method in [method for method, entry in state.budgets.items() if now - entry[3] > _FORGET_AFTER]:
        del state.budgets[method]
    for method, budget in budgets.items():
        resets_at = now + budget.resets_in if budget.resets_in else 0.0
        blocked_until = now + budget.blocked_for if budget.blocked_for else 0.0
        state.budgets[method] = [budget.used, resets_at, blocked_until, now]
    state.budgets_version += 1


def _read(entry: list[float], now: float) -> Budget:
    used, resets_at, blocked_until, _ = entry
    return Budget(used, max(0.0, resets_at - now), max(0.0, blocked_until - now))
