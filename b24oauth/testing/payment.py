"""How the application on a fake portal is paid for."""

from __future__ import annotations

import attrs

from b24oauth.testing.messages import RestError

__all__ = ["Payment"]


@attrs.define(kw_only=True)
class Payment:
    """How the application is paid for; a test may change it at any time.

    Attributes:
        status: ``L`` for a local application, ``F`` free, ``D`` demo, ``T`` trial, ``P`` paid, ``S`` subscription.
        days: Days that are left, below 0 in the grace period; None without an end.
        is_required: True when the grace period is over: calls and token requests are refused.

    Source: https://apidocs.bitrix24.com/api-reference/common/system/app-info.html
    """

    status: str = "L"
    days: int | None = None
    is_required: bool = False

    @property
    def is_expired(self) -> bool:
        """True when the time is over: the portal sends no events and starts no robots."""
        return self.is_required or (self.days is not None and self.days < 0)

    def check(self, *, status: int) -> None:
        """Refuses a request when the grace period is over.

        Args:
            status: HTTP status of the refusal.

        Raises:
            RestError: `PAYMENT_REQUIRED`.
        """
        if self.is_required:
            raise RestError("PAYMENT_REQUIRED", "Payment required", status=status)
