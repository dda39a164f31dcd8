"""`OfflineEvents`: reads the offline events of a portal, at least once each."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import weakref
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final, Self, TypedDict, Unpack

from b24oauth.apps.batches import OfflineBatch, OfflineEvent
from b24oauth.apps.channels import OfflineChannel
from b24oauth.apps.leasing import Hold, work_key
from b24oauth.apps.signals import Signals
from b24oauth.apps.turns import turn_is_over
from b24oauth.checks import at_least, check_flag, check_seconds, check_text
from b24oauth.errors import AmbiguousResultError, ClientStateError, ConfigurationError, SdkError
from b24oauth.oauth.leasing import LEASE_SECONDS
from b24oauth.portals import B24Portals

__all__ = ["OfflineEvents", "OfflineOptions"]

_LIMIT: Final = 50
# Longer names are shown as a hash in the key of a lease.
_LONGEST_CONNECTOR: Final = 40


class OfflineOptions(TypedDict, total=False):
    """Options of `OfflineEvents`.

    Attributes:
        auth_connector: The queue; the same as in `event.bind`, and in the calls whose changes are to be left out.
        limit: How many events a batch has at most; 50 by default.
        poll: Seconds after which an empty queue is read again; `ONOFFLINEEVENT` shortens the wait. None ends the
            iteration when the queue is empty, as by default.
        failed: Reads the events that were marked with `OfflineBatch.fail` instead of the others.
        at_most_once: Removes events from the queue before they are processed, which every plan allows. Events are lost
            when the process ends, when the body of the loop raises, and when a response is lost. Any number of
            processes may read then.
        lease: Seconds after which another process takes over from one that was killed, 15 by default.
    """

    auth_connector: str
    limit: int
    poll: float | None
    failed: bool
    at_most_once: bool
    lease: float


class OfflineEvents:
    """The offline events of a portal, in batches: ``async for batch in app.offline_events(member_id)``.

    Each event is delivered at least once: the events of a batch stay in the queue until the body of the loop has ended
    without an exception, which confirms the batch. After an exception, ``break`` or the end of the process they come
    again with the next start; so do events that an earlier process has reserved.

    One reader at a time reads a queue, over all processes that share the store: a lease is held until the iteration has
    ended. If the body of the loop may be left early, use ``async with``, which gives the lease back at once; without it
    the lease ends with this object, or with the task.

    Args:
        portals: The clients; the portal's pair must be an administrator's.
        member_id: The portal.
        signals: Where `ONOFFLINEEVENT` arrives.
        options: See `OfflineOptions`.

    Raises:
        ConfigurationError: An argument is invalid.
    """

    def __init__(
        self,
        portals: B24Portals,
        member_id: str,
        *,
        signals: Signals | None = None,
        **options: Unpack[OfflineOptions],
    ) -> None:
        check_text(member_id, "member_id")
        self._portals, self._member_id = portals, member_id
        self._connector = options.get("auth_connector", "")
        if self._connector:
            check_text(self._connector, "auth_connector")
        self._limit = options.get("limit", _LIMIT)
        at_least(1)(self._limit, "limit")
        self._poll = options.get("poll")
        if self._poll is not None:
            check_seconds(self._poll, "poll")
        self._failed, self._at_most_once = options.get("failed", False), options.get("at_most_once", False)
        check_flag(self._failed, "failed")
        check_flag(self._at_most_once, "at_most_once")
        self._lease_seconds = options.get("lease", LEASE_SECONDS)
        check_seconds(self._lease_seconds, "lease")
        self._woken = asyncio.Event()
        if signals is not None:
            signals.add(self)
        self._reader: _Reader | None = None
        self._batch: OfflineBatch | None = None
        self._is_busy = False
        self._finalizer: weakref.finalize[..., OfflineEvents] | None = None

    def wake(self, member_id: str) -> None:
        """Ends the wait for `poll` if the signal is about this portal."""
        if member_id == self._member_id:
            self._woken.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> OfflineBatch:
        """The next batch; the one before is confirmed.

        Raises:
            FeatureMissingError: The portal's plan does not reserve events.
            LeaseLostError: The lease was lost while a batch was processed; its events come again.
            SdkError: Another process reads the queue, and `poll` is None.
            UnknownPortalError: The store has no pair of this portal.
            AjaxError: A call failed; the error class gives the reason.
            ClientStateError: Another task is waiting for a batch of this object.
        """
        if self._is_busy:
            raise ClientStateError("Another task is waiting for a batch: iterate over offline_events() in one task")
        self._is_busy = True
        try:
            batch, self._batch = self._batch, None
            if batch is not None:
                await batch.confirm()
            self._batch = await self._next()
            if self._batch is not None:
                return self._batch
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._is_busy = False
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Gives the lease back, without confirming the last batch. May be called twice."""
        reader, self._reader, self._batch = self._reader, None, None
        if self._finalizer is not None:
            self._finalizer.detach()
        if reader is not None:
            await reader.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _next(self) -> OfflineBatch | None:
        if self._reader is None:
            self._reader = await self._opened()
        while True:
            # Before the queue is read: a signal that arrives meanwhile may be about an event that it does not see.
            self._woken.clear()
            batch = None if turn_is_over() else await self._reader.next()
            if batch is not None or self._poll is None or turn_is_over():
                return batch
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._poll):
                    await self._woken.wait()

    async def _opened(self) -> _Reader:
        b24 = await self._portals.get(self._member_id)
        channel = OfflineChannel(b24, connector=self._connector, failed=self._failed, limit=self._limit)
        if self._at_most_once:
            return _Reader(channel, None, failed=self._failed)
        await channel.check_feature()
        hold = await self._held()
        # A loop that is left early drops this object without closing it.
        self._finalizer = weakref.finalize(self, _let_go, asyncio.get_running_loop(), hold.cancel)
        self._finalizer.atexit = False
        return _Reader(channel, hold, failed=self._failed)

    async def _held(self) -> Hold:
        name = "events:failed" if self._failed else "events:waiting"
        if self._connector:
            name += ":" + _short(self._connector)
        key = work_key(self._portals.client_id, self._member_id, name)
        lease = self._portals.store.lease(key, seconds=self._lease_seconds)
        # The lease of a process that was killed ends within this time.
        patience = None if self._poll is not None else 2 * self._lease_seconds
        try:
            return await Hold.take(lease, seconds=self._lease_seconds, patience=patience)
        except TimeoutError:
            pass
        raise SdkError(
            f"The offline events of portal {self._member_id} are read by another loop or process. Let processes that "
            "share this work run it with one name",
            code="B24OAUTH_QUEUE_IN_USE",
        )


class _Reader:
    """Reads a channel while it holds the lease; what earlier readers have reserved comes first."""

    def __init__(self, channel: OfflineChannel, hold: Hold | None, *, failed: bool) -> None:
        self._channel, self._hold, self._failed = channel, hold, failed
        self._found: deque[str] | None = None
        # Events that have failed again, by reservation: they stay reserved, and would come first again and again.
        self._left: defaultdict[str, set[int]] = defaultdict(set)

    async def aclose(self) -> None:
        if self._hold is not None:
            await self._hold.aclose()

    async def next(self) -> OfflineBatch | None:
        """The next batch; None when the queue is empty."""
        if self._hold is None:
            events = await self._channel.take()
            return OfflineBatch(events, "", self) if events else None
        self._hold.check()
        if self._found is None:
            self._found = deque(await self._channel.open_processes())
        batch = await self._resumed(self._found)
        if batch is None:
            batch = await self._reserved(self._found)
        if batch is None:
            # The next time reservations are looked for again: a response may have been lost without our knowing.
            self._found = None
            self._left.clear()
        return batch

    async def _resumed(self, found: deque[str]) -> OfflineBatch | None:
        while found:
            process_id = found[0]
            left = self._left[process_id]
            limit = self._channel.limit + len(left)
            rest = await self._channel.resume(process_id, limit)
            if len(rest) < limit:
                found.popleft()
            events = tuple(event for event in rest if event.id not in left)
            if events:
                return OfflineBatch(events, process_id, self, is_repeated=True)
        return None

    async def _reserved(self, found: deque[str]) -> OfflineBatch | None:
        try:
            process_id, events = await self._channel.reserve()
        except AmbiguousResultError:
            # The events may be reserved now, by an identifier that we have not got.
            found.extend(await self._channel.open_processes())
            batch = await self._resumed(found)
            if batch is None:
                raise
            return batch
        return OfflineBatch(events, process_id, self) if events else None

    # --- what becomes of the events -----------------------------------------------------------------------------------

    async def clear(self, process_id: str, events: Sequence[OfflineEvent]) -> None:
        """Removes events that were processed."""
        if self._hold is not None:
            self._hold.check()
            await self._channel.clear(process_id, events)

    async def mark(self, process_id: str, events: Sequence[OfflineEvent]) -> None:
        """Marks events that could not be processed."""
        if self._hold is None:
            raise ConfigurationError("at_most_once: the events are no longer in the queue, so they cannot be marked")
        self._hold.check()
        if self._failed:
            # What has failed before cannot be marked again. It stays reserved, and comes again with the next start.
            self._left[process_id].update(event.id for event in events)
        else:
            await self._channel.mark(process_id, events)


def _let_go(loop: asyncio.AbstractEventLoop, cancel: Callable[[], object]) -> None:
    # The collector may call it in any thread, and after the loop was closed.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(cancel)


def _short(connector: str) -> str:
    if len(connector) <= _LONGEST_CONNECTOR:
        return connector
    return hashlib.sha256(connector.encode()).hexdigest()[:_LONGEST_CONNECTOR]
