"""How much execution time each method has left at the portal; for batches, each inner method."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import attrs

from b24oauth.limits.params import OperatingLimitConfig
from b24oauth.sharing import Budget

__all__ = ["OperatingLimiter", "OperatingUse"]

# Safety margin: calls started just below the limit would exceed it.
_RESERVE = 5.0
_SHORTEST_LIMIT = 1.0
_WAIT_WITHOUT_RESET = 5.0
_AFTER_RESET = 1.0
_AFTER_REFUSAL = 10.0
_MEMORY_BEYOND_WINDOW = 10.0
_LARGEST_NUMBER = 1e12
# Other processes learn of a method that has used this share of its limit.
_WORTH_TELLING = 0.5
_NONE: Final = frozenset[str]()


@attrs.define
class OperatingUse:
    """What the portal last said about one method.

    Attributes:
        operating: Execution time used within the window, seconds.
        reset_at: When the portal renews the budget, Unix timestamp of the portal.
        resets_as_told: The same by the clock of the event loop, seconds.
        resets: The same, within the window.
        updated: When it was said, seconds of the loop's clock, as all that follow.
        refused: When the method was last refused.
        blocked_until: When a refused method may be tried again; None when it was not refused.
    """

    operating: float = 0.0
    reset_at: float = 0.0
    resets_as_told: float = -math.inf
    resets: float = -math.inf
    updated: float = 0.0
    refused: float = -math.inf
    blocked_until: float | None = None


class OperatingLimiter:
    """Tells how long a method must wait for its budget.

    Args:
        config: The budget.
        wall_clock: Returns Unix time; used only to convert the portal's reset timestamp, because the system clock may
            be changed at any time.
        loop_time: The clock that everything is counted by, seconds; by default the running event loop's.

    Attributes:
        config: The budget.
        heavy_requests: Responses of methods that had used up much of their budget.
        shares: Whether other processes learn what this one knows, see `take_news`.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    __slots__ = ("_news", "_now", "_uses", "_wall_clock", "config", "heavy_requests", "shares")

    def __init__(
        self,
        config: OperatingLimitConfig,
        *,
        wall_clock: Callable[[], float],
        loop_time: Callable[[], float] | None = None,
    ) -> None:
        self.config = config
        self.heavy_requests = 0
        self.shares = False
        self._wall_clock = wall_clock
        self._now = loop_time or _running_loop_time
        self._uses: dict[str, OperatingUse] = {}
        self._news: frozenset[str] = _NONE

    def is_below(self, methods: Collection[str], seconds: float) -> bool:
        """True if no method is blocked and each has used less than `seconds`, according to the portal's last reports.

        Args:
            methods: The methods.
            seconds: Execution time.
        """
        for method in methods:
            use = self._uses.get(method)
            if use is not None and (use.operating >= seconds or use.blocked_until is not None):
                return False
        return True

    @property
    def exhausted_from(self) -> float:
        """Execution time from which a method waits, seconds."""
        return max(_SHORTEST_LIMIT, self.config.limit - _RESERVE)

    def use_of(self, method: str) -> OperatingUse | None:
        """What is known of a method, None when nothing is or it is too old."""
        use = self._uses.get(method)
        if use is None:
            return None
        if self._now() - use.updated > self.config.window + _MEMORY_BEYOND_WINDOW:
            del self._uses[method]
            return None
        return use

    def time_to_free(self, method: str, *, guess: float = _WAIT_WITHOUT_RESET) -> float:
        """Seconds until a method may be called, 0 when it may be now.

        Args:
            method: The method, for a batch the inner one.
            guess: Wait in seconds if the portal did not report a reset time.
        """
        use = self.use_of(method)
        if use is None:
            return 0.0
        if use.blocked_until is not None:
            return max(0.0, use.blocked_until - self._now())
        if use.operating < self.exhausted_from:
            return 0.0
        return self._until_after_reset(use) or guess

    def until_reset(self, use: OperatingUse) -> float:
        """Seconds until the budget is renewed as the portal tells it, 0 when that is not known.

        Args:
            use: What is known of the method.
        """
        return max(0.0, use.resets_as_told - self._now())

    def _until_after_reset(self, use: OperatingUse) -> float:
        left = use.resets - self._now()
        return left + _AFTER_RESET if left > 0 else 0.0

    def refused(self, method: str, *, retry_after: float = 0.0) -> float:
        """Notes that the portal refused a method for its execution time.

        Args:
            method: The method.
            retry_after: How long the portal asked to wait, seconds.

        Returns:
            Seconds until the method may be called again.
        """
        now, known = self._now(), self.use_of(method)
        until = self._until_after_reset(known) if known else 0.0
        wait = max(_AFTER_REFUSAL, self.time_to_free(method), until, retry_after)
        use = self._uses.setdefault(method, OperatingUse())
        use.refused = now
        use.updated = use.blocked_until = now + wait
        if self.shares:
            self._news |= {method}
        return wait

    def take_news(self) -> dict[str, Budget]:
        """What other processes should know; each piece is given once."""
        if not self._news:
            return {}
        methods, self._news = self._news, _NONE
        return {method: self._budget_of(use) for method in methods if (use := self.use_of(method)) is not None}

    def put_back_news(self, methods: Collection[str]) -> None:
        """Notes that other processes did not get the news of these methods."""
        self._news = self._news.union(methods)

    def _budget_of(self, use: OperatingUse) -> Budget:
        now = self._now()
        blocked = 0.0 if use.blocked_until is None else max(0.0, use.blocked_until - now)
        return Budget(use.operating, max(0.0, use.resets - now), blocked)

    def hear(self, method: str, budget: Budget) -> None:
        """Notes what another process has learned; what this one knows stays if it is more.

        Args:
            method: The method, for a batch the inner one.
            budget: What is known of its execution time.
        """
        now = self._now()
        use = self._uses.setdefault(method, OperatingUse(updated=now))
        if budget.used > use.operating or use.resets <= now:
            use.operating, use.updated = budget.used, max(use.updated, now)
            use.resets = use.resets_as_told = now + min(budget.resets_in, self.config.window)
        if budget.blocked_for > 0:
            until = now + min(budget.blocked_for, self.config.window)
            use.blocked_until = max(use.blocked_until or 0.0, until)
            use.refused, use.updated = now, max(use.updated, use.blocked_until)

    def observe(
        self, method: str, time: Mapping[str, Any] | None, *, sent_ago: float = 0.0, now: float | None = None
    ) -> None:
        """Notes what a response says about a method's execution time.

        Args:
            method: The method, for a batch the inner one.
            time: The response's `time`; it and its parts may be absent.
            sent_ago: How long ago the call was sent, seconds.
            now: Current event-loop time, if already known to the caller.
        """
        # PHP writes an empty `time` as a list.
        if not isinstance(time, Mapping):
            return
        operating = _number(time.get("operating"))
        if operating is None:
            return
        use = self._uses.get(method)
        if use is None:
            use = self._uses[method] = OperatingUse()
        now = self._now() if now is None else now
        reset_at = _number(time.get("operating_reset_at"))
        # Usage only grows until the reset; a smaller value comes from a response that arrived out of order.
        overtaken = (
            operating < use.operating
            and now < use.resets
            and reset_at is not None
            and 0 <= use.reset_at - reset_at <= self.config.window
        )
        if not overtaken:
            use.operating = operating
            if reset_at is not None:
                left = max(0.0, reset_at - self._wall_clock())
                use.reset_at, use.resets_as_told = reset_at, now + left
                # A reset is never more than one window away, whatever the system clock says.
                use.resets = now + min(left, self.config.window)
        if now - sent_ago >= use.refused:
            use.blocked_until = None
        if use.blocked_until is None:
            use.updated = now
        if operating / self.config.limit * 100 > self.config.heavy_percent:
            self.heavy_requests += 1
        if self.shares and operating >= self.config.limit * _WORTH_TELLING:
            self._news |= {method}

    def reset(self) -> None:
        """Forgets everything."""
        self._uses.clear()
        self.heavy_requests = 0

    def stats(self) -> dict[str, float]:
        """Execution time used by each method, seconds."""
        return {method: round(use.operating, 2) for method, use in self._uses.items()}


def _running_loop_time() -> float:
    return asyncio.get_running_loop().time()


def _number(value: object) -> float | None:
    if type(value) is float or type(value) is int:
        # Neither NaN nor infinity, which would make calls wait forever.
        return float(value) if -_LARGEST_NUMBER < value < _LARGEST_NUMBER else None
    return None
