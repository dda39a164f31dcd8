"""The requests under way and what calls wait for: when each is given up, and how a close ends them all."""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any, Final, NamedTuple

from b24oauth.wire.deadlines import TURNS
from b24oauth.wire.failures import Place

__all__ = ["Exchange", "Exchanges", "Limits", "Wait"]

# Minimum number of body bytes that must arrive within each timeout.
_PACE: Final = 64 * 1024


class Limits(NamedTuple):
    """How long the parts of a request may take, seconds; infinite for no limit.

    Attributes:
        connect: For making a connection.
        response: For the head of the response, for each 64 KiB of its body, and for each part of the request's body to
            be taken.
        both: Combined limit for transports that do not report progress.
    """

    connect: float
    response: float
    both: float

    @classmethod
    def of(cls, connect: float | None, response: float | None) -> Limits:
        """The limits of these timeouts, None for no limit."""
        first, second = (inf if seconds is None else seconds for seconds in (connect, response))
        return cls(first, second, first + second)


class Exchange:
    """One running request. Its cancel `scope` ends it on timeout or when the client is closed.

    It counts as running once constructed: the task must enter the scope immediately, and call `Exchanges.remove` before
    leaving it.

    Args:
        owner: Keeps the time for all exchanges.
        limits: How long it may take.

    Attributes:
        scope: What the sending task enters; it ends with `TimeoutError`.
        limits: As above.
        due: When it is given up, by the loop's clock.
        turns: Remaining event-loop iterations before it is aborted.
        task: The task that sends.
        place: Where the request goes, for messages; None until it is known.
        connection: Transport-specific connection object (or key); None without one; None without one.
        is_tracked: True when the transport tells when the request begins to be written.
        sent: True once it began to be written.
        uploaded: True once all of it was handed to the operating system.
        closing: True once the client was closed.
    """

    # Class-level defaults for speed: most requests finish without changing them.
    place: Place | None = None
    connection: Any = None
    is_tracked = False
    sent = False
    uploaded = False
    closing = False
    turns = TURNS
    _received = 0

    def __init__(self, owner: Exchanges, limits: Limits) -> None:
        self.scope = asyncio.timeout(None)
        self.task = asyncio.current_task()
        self.limits = limits
        self.due = due = owner.loop.time() + limits.both
        self._owner = owner
        owner.under_way[self] = None
        if due < owner.timer_at:
            owner.watch(due)

    @property
    def may_be_sent(self) -> bool:
        """False when the other side cannot have seen the request."""
        return self.sent or not self.is_tracked

    def connecting(self) -> None:
        """Called when a progress-reporting transport starts to connect."""
        self.is_tracked = True
        self._wait(self.limits.connect)

    def sending(self) -> None:
        """The request begins to be written."""
        self.is_tracked = self.sent = True
        self._wait(self.limits.response)

    def progress(self) -> None:
        """The peer read or sent data; the timeout restarts."""
        self._wait(self.limits.response)

    def received(self, size: int) -> None:
        """A part of the response came.

        The timeout restarts only after enough bytes, so that a very slow response is eventually aborted.

        Args:
            size: Bytes of the part.
        """
        self.turns = TURNS
        self._received += size
        if self._received >= _PACE:
            self._received = 0
            self._wait(self.limits.response)

    def pause(self) -> None:
        """Suspends the timeout while the consumer processes the chunk it has received."""
        self.due = inf

    def close(self) -> None:
        """Ends it, because the client was closed."""
        self.closing = True
        self.give_up()

    def give_up(self) -> None:
        """Ends it."""
        if not self.scope.expired():
            self.scope.reschedule(self._owner.loop.time())

    def _wait(self, seconds: float) -> None:
        self.turns = TURNS
        self.due = due = self._owner.loop.time() + seconds
        if due < self._owner.timer_at:
            self._owner.watch(due)


class Wait:
    """What a call waits for before it is sent; a close cancels it.

    Args:
        owner: Ends it.
        within_renewal: True for a call of a renewal's callback, which goes on until the renewal has ended.

    Attributes:
        task: The task that waits.
        within_renewal: As above.
    """

    __slots__ = ("_cancelling", "_is_ended", "task", "within_renewal")

    def __init__(self, owner: Exchanges, *, within_renewal: bool) -> None:
        self.task = task = owner.current_task()
        self.within_renewal = within_renewal
        self._cancelling = task.cancelling()
        self._is_ended = False
        owner.waits[self] = None

    def close(self) -> None:
        """Ends it, because the client was closed."""
        if not self._is_ended:
            self._is_ended = True
            self.task.cancel()

    def was_ended(self) -> bool:
        """Takes back the cancellation by `close`; True when there is no other, as `asyncio.timeout` does it."""
        return self._is_ended and self.task.uncancel() <= self._cancelling


class Exchanges:
    """The exchanges and waits of one client, and the one timer that watches over them.

    Each exchange changes its deadline several times, and most finish long before it. A single shared timer is therefore
    cheaper than one per exchange. The timer is removed one loop iteration after the last exchange ends, unless a new
    one has started.

    Args:
        loop: The client's event loop.

    Attributes:
        loop: As above.
        timer_at: When the timer is due; infinite without one.
        under_way: The exchanges, as the keys of a dict.
        waits: The waits, as the keys of a dict.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.timer_at = inf
        self.under_way: dict[Exchange, None] = {}
        self.waits: dict[Wait, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._woken: asyncio.Future[None] | None = None

    def remove(self, exchange: Exchange) -> None:
        """An exchange is about to leave its scope."""
        del self.under_way[exchange]
        if not self.under_way:
            self.loop.call_soon(self._rest)
        if self._woken is not None:
            self._wake()

    def remove_wait(self, wait: Wait) -> None:
        """A wait has ended."""
        del self.waits[wait]
        if self._woken is not None:
            self._wake()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def watch(self, due: float) -> None:
        """Sets the timer.

        Args:
            due: A time of the loop's clock; infinite for never.
        """
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if due == inf else self.loop.call_at(due, self._on_timer)
        self.timer_at = due

    @staticmethod
    def current_task() -> asyncio.Task[Any]:
        """The running task, which a close may cancel."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A call must be made from a task")
        return task

    def end_waits(self) -> None:
        """Ends what calls wait for; those of a renewal's callbacks go on."""
        for wait in self.waits:
            if not wait.within_renewal:
                wait.close()

    async def end_all(self) -> asyncio.CancelledError | None:
        """Ends all exchanges and waits but those of the calling task, and waits until they have ended.

        Returns:
            The CancelledError received meanwhile; re-raise it after closing the connections.
        """
        here, cancelled = asyncio.current_task(), None
        # A task that closes the client while it reads a stream must not wait for itself.
        while True:
            left = [exchange for exchange in self.under_way if exchange.task is not here]
            for exchange in left:
                exchange.close()
            for wait in self.waits:
                wait.close()
            if not left and not self.waits:
                break
            if self._woken is None or self._woken.done():
                self._woken = self.loop.create_future()
            try:
                await asyncio.wait([self._woken])
            except asyncio.CancelledError as error:
                cancelled = error
        self.watch(inf)
        return cancelled

    def _rest(self) -> None:
        if not self.under_way:
            self.watch(inf)

    def _on_timer(self) -> None:
        self._timer = None
        now, nearest = self.loop.time(), inf
        for exchange in self.under_way:
            if exchange.due <= now:
                self._on_turn(exchange, exchange.due)
            else:
                nearest = min(nearest, exchange.due)
        self.watch(nearest)

    def _on_turn(self, exchange: Exchange, due: float) -> None:
        """Gives an expired exchange a few loop iterations, so that data waiting in its socket can be read."""
        if exchange not in self.under_way:
            return
        if exchange.due != due:
            if exchange.due < self.timer_at:
                self.watch(exchange.due)
        elif exchange.turns > 0:
            exchange.turns -= 1
            self.loop.call_soon(self._on_turn, exchange, due)
        else:
            exchange.give_up()
