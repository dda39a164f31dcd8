"""Streaming responses."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from math import inf
from typing import Self

from b24oauth.wire.bodies import BadEncodingError, Unpacker
from b24oauth.wire.deadlines import Deadline
from b24oauth.wire.failures import NoResponse, Place, badly_packed, is_failure, no_response
from b24oauth.wire.lifetime import Lifetime
from b24oauth.wire.requests import Opened
from b24oauth.wire.silence import unlogged

__all__ = ["StreamedResponse"]


class StreamedResponse:
    """A response whose body is read part by part: iterate over it.

    Attributes:
        status: HTTP status.
        headers: Headers, names in any case.
    """

    def __init__(self, opened: Opened, place: Place, timeout: float, lifetime: Lifetime) -> None:
        self.status = opened.status
        self.headers = opened.headers
        self._opened = opened
        self._place = place
        self._timeout = timeout
        self._lifetime = lifetime
        is_packed = bool(opened.encoding) and opened.content is None
        self._unpacker = Unpacker(opened.encoding, limit=sys.maxsize) if is_packed else None
        self._ready: Iterator[bytes] = iter((opened.content,) if opened.content else ())
        self._is_complete = opened.content is not None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next part.

        Raises:
            NoResponse: The body broke off, or nothing came in time.
            ClientStateError: The client is closed.
        """
        self._lifetime.enter()
        deadline = Deadline(None if self._timeout == inf else self._timeout)
        try:
            async with deadline:
                while (part := next(self._ready, None)) is None and not self._is_complete:
                    with unlogged():
                        data = await self._opened.read()
                    self._is_complete = not data
                    if self._unpacker is None:
                        self._ready = iter((data,) if data else ())
                    elif data:
                        self._ready = self._unpacker.feed(data)
                    else:
                        self._unpacker.finish()
            if part is not None:
                return part
        except TimeoutError as error:
            if deadline.expired():
                reason = f"no more of the response from {self._place.host} within {self._timeout:g} seconds"
                failure = NoResponse(reason, sent=True, timed_out=True)
            else:
                failure = no_response(error, self._place, sent=True)
        except BadEncodingError:
            failure = badly_packed(self._place)
        except Exception as error:
            if not is_failure(error):
                raise
            failure = no_response(error, self._place, sent=True)
        else:
            raise StopAsyncIteration
        # Raised outside of the except block: the libraries' errors hold the request with its secrets.
        raise failure
