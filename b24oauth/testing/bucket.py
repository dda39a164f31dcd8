"""The portal's two budgets, counted exactly: requests in a leaky bucket, operating seconds in one-minute baskets."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

from b24oauth.testing.messages import RestError

__all__ = ["LeakyBucket", "OperatingBudget"]

_BASKET = 60
_BASKETS = 10
# The Unix time is a float with a resolution of a quarter microsecond: a place freed at this very instant is free.
_TOLERANCE = 1e-5


@attrs.define(eq=False, kw_only=True)
class LeakyBucket:
    """A counter that every admitted request raises by one and that drains at a constant rate.

    Attributes:
        burst: Requests admitted at once, or None without a limit.
        drain: Requests drained a second, or None when the bucket never drains.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    burst: float | None
    drain: float | None
    now: Callable[[], float]
    refused: int = 0
    _level: float = 0.0
    _seen: float = 0.0

    def admit(self) -> None:
        """Takes one place in the bucket.

        Raises:
            RestError: 503 `QUERY_LIMIT_EXCEEDED`: the bucket is full; the refused request does not fill it.
        """
        if self.burst is None:
            return
        now = self.now()
        self._level = max(0.0, self._level - (now - self._seen) * (self.drain or 0.0))
        self._seen = now
        if self._level + 1 > self.burst + _TOLERANCE:
            self.refused += 1
            raise RestError("QUERY_LIMIT_EXCEEDED", "Too many requests", status=503)
        self._level += 1


@attrs.define(eq=False, kw_only=True)
class OperatingBudget:
    """Seconds of execution per method over the last ten one-minute baskets.

    Attributes:
        costs: Seconds charged for one call, by method; others are free.
        limit: Seconds allowed within the ten baskets.

    Source: https://apidocs.bitrix24.com/limits.html
    """

    costs: Mapping[str, float]
    limit: float
    now: Callable[[], float]
    _baskets: dict[str, dict[int, float]] = attrs.field(init=False, factory=dict[str, dict[int, float]])

    def admit(self, method: str) -> None:
        """Checks that the method has not used its budget up.

        Raises:
            RestError: 429 `OPERATION_TIME_LIMIT`.
        """
        if method in self._baskets and self.used(method) >= self.limit:
            raise RestError("OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.", status=429)

    def charge(self, method: str) -> None:
        """Adds the cost of one call to the current basket."""
        cost = self.costs.get(method)
        if cost:
            basket = int(self.now() // _BASKET)
            baskets = self._baskets.setdefault(method, {})
            baskets[basket] = baskets.get(basket, 0.0) + cost

    def used(self, method: str) -> float:
        """Seconds that the method has used within the ten baskets."""
        return sum(self._current(method).values())

    def reset_at(self, method: str) -> int:
        """Unix time in seconds at which the oldest basket that counts is emptied."""
        oldest = min(self._current(method), default=int(self.now() // _BASKET))
        return (oldest + _BASKETS) * _BASKET

    def _current(self, method: str) -> dict[int, float]:
        baskets = self._baskets.get(method)
        if not baskets:
            return {}
        first = int(self.now() // _BASKET) - _BASKETS + 1
        if min(baskets) < first:
            baskets = self._baskets[method] = {basket: cost for basket, cost in baskets.items() if basket >= first}
        return baskets
