"""Sends the page requests of one walk, alone or in a batch, and measures how long they take."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from b24oauth.errors import AjaxError, SdkError
from b24oauth.lists.sizing import RequestSizing
from b24oauth.protocol.batch import Command, Row, batch_params, read_rows, times_by_method
from b24oauth.rest.client import HttpClient
from b24oauth.rest.retry import is_refused_command
from b24oauth.result import AjaxResult
from b24oauth.shapes import is_mapping

__all__ = ["NOT_IN_BATCH", "PageRequests", "SoftError"]

NOT_IN_BATCH: Final = "ERROR_BATCH_METHOD_NOT_ALLOWED"
_DAY: Final = 86_400.0


class SoftError(Exception):
    """A soft error in the middle of a walk."""

    def __init__(self, error: AjaxError) -> None:
        super().__init__(error.code)
        self.error = error


class PageRequests:
    """The requests of one walk.

    Args:
        http: Makes REST calls.
        method: REST method of the list.
        request_id: Shown in the portal's log, the same for all requests.
        timeout: For each request, with its waiting and repeats, seconds; None: no such limit.
        most: Pages in one request at most.

    Attributes:
        sizing: How many pages a request may ask for.
        batches: Pages may be requested in batches.
    """

    def __init__(self, http: HttpClient, method: str, *, request_id: str, timeout: float | None, most: int) -> None:
        self.sizing = RequestSizing(most, min(filter(None, (http.response_timeout, timeout)), default=None))
        self._http = http
        self._method = method
        self._request_id = request_id
        self._timeout = timeout
        self._refusals = http.refusals()
        self.batches = True

    @property
    def most(self) -> int:
        """Pages that the next request may ask for."""
        return self.sizing.most if self.batches else 1

    async def send(self, commands: Sequence[Command], *, counts: bool = False) -> list[Row | None]:
        """Sends one request and returns what became of each command; None where the response says nothing.

        Args:
            commands: One page each; a single one is sent as a call of its own.
            counts: The portal counts for a single page: when that takes too long, it is not tried again.

        Raises:
            AjaxError: The request as a whole failed.
            SoftError: It failed with a soft error.
        """
        call = partial(self._http.call, request_id=self._request_id, timeout=self._timeout, idempotent=True)
        if len(commands) == 1:
            answer = await call(self._method, commands[0].params, repeat_timeouts=not counts)
        else:
            answer = await call(
                "batch",
                batch_params(commands, self._http.api_version, halt=True),
                # A batch that timed out is not repeated as it was, but in smaller ones.
                repeat_timeouts=False,
                inner_methods=[self._method],
                times_of=partial(times_by_method, commands=commands),
            )
        for error in answer.get_errors():
            raise SoftError(error) if isinstance(error, AjaxError) else error
        self.sizing.took(len(commands), _duration(answer), answer.size)
        if len(commands) == 1:
            return [Row(payload=answer.payload)]
        return read_rows(answer.payload, commands, self._http.api_version)

    async def may_repeat(self, error: SdkError, refusals: int, token: str) -> bool:
        """Waits until a page that was refused may be requested again; False when that would not help.

        Args:
            error: Why it was refused.
            refusals: How often it was refused in a row, this time included.
            token: The access token before it was sent.
        """
        if error.code == NOT_IN_BATCH and self.batches:
            self.batches = False
            return True
        if not is_refused_command(error) or refusals >= self._http.max_attempts:
            return False
        return await self._refusals.wait(
            [(self._method, error)], attempt=refusals - 1, token=token, timeout=self._timeout
        )


def _duration(answer: AjaxResult[Any]) -> float:
    """How long the portal took, by its own account or by our clock, whichever is longer, seconds."""
    time = answer.payload.get("time")
    duration = time.get("duration") if is_mapping(time) else None
    elapsed = answer.elapsed or 0.0
    return max(elapsed, duration) if isinstance(duration, (int, float)) and 0 < duration < _DAY else elapsed
