"""Waits until temporarily rejected batch commands may be retried."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from b24oauth.error_codes import Retry, meaning_of
from b24oauth.errors import SdkError
from b24oauth.rest.retry import rate_backoff_factor
from b24oauth.rest.services import Services

__all__ = ["Refusals"]


class Refusals:
    """Of one batch, or of one list.

    Args:
        services: Know the token and the limits.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._renewed_to = ""

    async def wait(
        self, refused: Sequence[tuple[str, SdkError]], *, attempt: int, token: str, timeout: float | None
    ) -> bool:
        """Waits until they may be sent again, with a renewed token if theirs was refused.

        Args:
            refused: Method and error of each command.
            attempt: How often they were repeated before.
            token: The access token before they were sent.
            timeout: Seconds that may pass; None for no such limit.

        Returns:
            False if a retry is pointless: the refreshed token was also rejected, or the wait would exceed `timeout`.

        Raises:
            RefreshTokenError: The pair could not be renewed.
            TokenPersistenceError: The renewed pair could not be saved.
        """
        kinds = {meaning_of(error.code, error.status).retry for _, error in refused}
        if Retry.AFTER_RENEWAL in kinds and token == self._renewed_to:
            return False
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        deadline = asyncio.timeout_at(end)
        try:
            async with deadline:
                if Retry.AFTER_RENEWAL in kinds:
                    pair = await self._services.credentials.after_refusal(token, accepted=False)
                    if pair is None:
                        return False
                    self._renewed_to = pair.access_token
                pause = await self._pause(refused, attempt)
                if end is not None and loop.time() + pause > end:
                    return False
                if pause > 0:
                    await self._services.pause(pause)
        except TimeoutError:
            if not deadline.expired():
                raise
            return False
        return True

    async def _pause(self, refused: Sequence[tuple[str, SdkError]], attempt: int) -> float:
        limits, pauses = self._services.limits, [0.0]
        kinds = [(method, meaning_of(error.code, error.status, method=method).retry) for method, error in refused]
        if any(kind is Retry.RATE for _, kind in kinds):
            pauses.append(await limits.rate_refused() * rate_backoff_factor(attempt))
        used_up = [method for method, kind in kinds if kind is Retry.OPERATING]
        if used_up:
            pauses.append(limits.budget_refused(used_up))
        return max(pauses)
