"""What the HTTP clients of both API versions share, and how their calls wait until they may be sent."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Awaitable, Callable, Iterator

import attrs

from b24oauth.limits.base import Admission
from b24oauth.limits.gate import Gate, Gates
from b24oauth.limits.manager import RestrictionManager
from b24oauth.observing import Log
from b24oauth.protocol.decoding import RawResponse
from b24oauth.rest.credentials import Credentials, Moving
from b24oauth.rest.reporting import CallReport
from b24oauth.wire import Wire, closed_client

__all__ = ["Services"]


@attrs.frozen(kw_only=True)
class Services:
    """What the clients of both API versions share.

    Attributes:
        wire: Sends requests.
        send: How: without a record by the libraries that send when the address is a secret.
        gate: Bounds the requests under way; further ones wait in the order they came.
        credentials: Give calls what they are sent with.
        limits: What the portal allows.
        relocation: Follows a renamed portal.
        log: The logger.
        trusted_hosts: Hosts that may be reached over plain http.
        decoding: Held while a large response is decoded: one at a time.
        id_prefix: How the identifiers of requests begin: as a random UUID does.
        id_count: The numbers that they end with.
        slow_counts: Lists whose rows the portal counts slowly, by method and conditions.
    """

    wire: Wire
    send: Callable[..., Awaitable[RawResponse]]
    gate: Gate | Gates
    credentials: Credentials
    limits: RestrictionManager
    relocation: Moving
    log: Log
    trusted_hosts: frozenset[str]
    id_prefix: str = attrs.field(factory=lambda: str(uuid.uuid4())[:24])
    id_count: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    decoding: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    slow_counts: dict[tuple[str, ...], None] = attrs.field(factory=dict[tuple[str, ...], None])

    async def pause(self, seconds: float) -> None:
        """Waits, unless the client is closed meanwhile.

        Args:
            seconds: How long.

        Raises:
            ClientStateError: The client is closed.
        """
        await self.wire.wait(self.limits.wait, seconds, within_renewal=self.credentials.is_inside())

    async def enter_gate(self) -> None:
        """Waits for a place at the gate, which the caller must give back.

        Raises:
            ClientStateError: The client is closed.
        """
        lifetime = self.wire.lifetime
        if not lifetime.is_open:
            lifetime.check_waiting(within_renewal=False)
        await self.gate.enter(lifetime)

    async def admit(self, report: CallReport | None = None) -> Admission:
        """Waits for a place in the portal's bucket.

        Args:
            report: Of the call; None without one.

        Raises:
            ClientStateError: The client is closed.
        """
        admission = await self.limits.rate.acquire_at_once() if self.wire.lifetime.is_open else None
        if admission is None:
            started = self.wire.enter_loop().time()
            admission = await self.wire.wait(self.limits.admit_in_line, within_renewal=self.credentials.is_inside())
            if report is not None:
                report.throttled("rate", admission.at - started)
        return admission

    def end_waits(self) -> None:
        """Makes waiting calls fail because the client is closing, except calls from refresh callbacks."""
        lifetime = self.wire.lifetime
        self.wire.end_waits()
        self.gate.end(lifetime, closed_client)
        if self.wire.turns is not None:
            self.wire.turns.end(lifetime, closed_client)
