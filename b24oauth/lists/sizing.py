"""How many pages of a list one request may ask for: it must end well before every timeout, its response be small."""

from __future__ import annotations

from typing import Final

__all__ = ["RequestSizing"]

# The portal ends a request that takes longer, seconds.
# Source: https://apidocs.bitrix24.com/limits.html
_PORTAL_LIMIT: Final = 60.0
# Share of the shortest timeout that a request may be expected to take: pages are not equally slow.
_SHARE: Final = 0.5
# Bytes that a response may be expected to have: what is done with all of it at once must not stall the event loop.
_MOST_BYTES: Final = 2_500_000
# How many requests in a row may time out before the walk gives up.
_MOST_TIMEOUTS: Final = 3


class RequestSizing:
    """Sizes the requests of one walk by the time that the previous ones took, and by their responses.

    Args:
        most: Pages in one request at most.
        timeout: How long the client waits for a response, seconds; None: as long as the portal may take.

    Attributes:
        seconds: How long the last request took; None before the first one.
    """

    def __init__(self, most: int, timeout: float | None) -> None:
        self.seconds: float | None = None
        self._most = self._cap = most
        self._budget = _SHARE * min(_PORTAL_LIMIT, timeout or _PORTAL_LIMIT)
        self._page = 0.0
        self._page_bytes = 0.0
        self._timeouts = 0

    @property
    def most(self) -> int:
        """Pages that the next request may ask for."""
        most = self._cap
        if self._page * most > self._budget:
            most = int(self._budget / self._page)
        if self._page_bytes * most > _MOST_BYTES:
            most = int(_MOST_BYTES / self._page_bytes)
        return max(1, most)

    def took(self, pages: int, seconds: float, size: int = 0) -> None:
        """Notes how long a request took.

        Args:
            pages: How many pages it requested.
            seconds: Its duration.
            size: Bytes of its response.
        """
        self.seconds = seconds
        self._page_bytes = max(size / pages, 0.8 * self._page_bytes)
        # The slower of this request and a little less than the slowest of late: a fast one does not speak for the rest.
        self._page = max(seconds / pages, 0.8 * self._page)
        if pages >= self._cap:
            self._cap = min(self._most, self._cap + self._cap // 4 + 1)
        self._timeouts = 0

    def timed_out(self, pages: int) -> bool:
        """Halves the next requests; False when the walk must not try again.

        Args:
            pages: How many pages it requested.
        """
        # Larger requests were sent before the last timeout was noticed.
        if pages <= self._cap:
            self._timeouts += 1
            self._cap = max(1, pages // 2)
        return pages > 1 and self._timeouts <= _MOST_TIMEOUTS
