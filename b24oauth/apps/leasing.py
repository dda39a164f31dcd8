"""Leases of work: for each portal one worker at a time, over all processes that share a store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Self

from b24oauth.errors import SdkError
from b24oauth.stores.loops import completed
from b24oauth.storing import Lease, TokenKey

__all__ = ["Hold", "LeaseLostError", "end_of", "keep", "work_key"]

# A lease is extended after this part of its time.
_EARLIEST: Final = 0.25
_LATEST: Final = 0.4


class LeaseLostError(SdkError):
    """The lease of a portal's work has ended, and another process may do this work now.

    It happens when the process was suspended, when its event loop was blocked, or when the store did not answer.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message, code="B24OAUTH_LEASE_LOST")


def work_key(client_id: str, member_id: str, name: str) -> TokenKey:
    """The key of a lease of work.

    It can never be the key of a token pair, so it blocks no renewal: no application has an ID that contains ``#``.

    Args:
        client_id: The application.
        member_id: The portal.
        name: Names the work, the same in all processes that share it.
    """
    return TokenKey(f"{client_id}#{name}", member_id)


async def keep(
    lease: Lease,
    *,
    seconds: float,
    owner: asyncio.Task[Any] | None = None,
    random: Callable[[], float] = random.random,
) -> None:
    """Extends a lease again and again, until `owner` has ended. Cancel it to stop earlier.

    Args:
        lease: The lease, just taken.
        seconds: How long it lasts.
        owner: The task that works under the lease; None to go on without end.
        random: Returns a random number from 0 to 1; many leases are not extended at the same moment.

    Raises:
        LeaseLostError: The lease has ended.
    """
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    problem = "it was not extended in time"
    while loop.time() < ends_at:
        pause = min(seconds * (_EARLIEST + (_LATEST - _EARLIEST) * random()), ends_at - loop.time())
        if owner is None:
            await asyncio.sleep(pause)
        else:
            await asyncio.wait({owner}, timeout=pause)
            if owner.done():
                return
        asked_at = loop.time()
        try:
            async with asyncio.timeout_at(ends_at):
                is_held = await lease.extend()
        except Exception as error:  # noqa: BLE001 - the store is asked again until the lease has ended
            problem = f"it could not be extended: {type(error).__name__}"
            continue
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Drivers of databases swallow a cancellation now and then.
            raise asyncio.CancelledError
        if not is_held:
            raise LeaseLostError("The lease of a portal's work was lost: another process may have it")
        ends_at = asked_at + seconds
    raise LeaseLostError(f"The lease of a portal's work has ended: {problem}")


class Hold:
    """A lease that a task of its own holds and extends, until `aclose` or until the task that took it has ended.

    Unlike a block it cannot cancel who works under the lease: call `check` between two steps of the work.

    Args:
        lease: What `TokenStore.lease` returned.
        seconds: How long it lasts.
    """

    def __init__(self, lease: AbstractAsyncContextManager[Lease], seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._lost: LeaseLostError | None = None
        self._granted: asyncio.Future[None] = loop.create_future()
        self._task = loop.create_task(self._run(lease, seconds, asyncio.current_task()), name="b24oauth lease of work")

    @classmethod
    async def take(
        cls, lease: AbstractAsyncContextManager[Lease], *, seconds: float, patience: float | None = None
    ) -> Self:
        """Waits for a lease and holds it.

        Args:
            lease: What `TokenStore.lease` returned.
            seconds: How long it lasts.
            patience: How long to wait for it, seconds; None for no limit.

        Raises:
            TimeoutError: Somebody else held it all the time.
            StoreError: The store cannot be read or written.
        """
        hold = cls(lease, seconds)
        try:
            await asyncio.wait({hold._granted, hold._task}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await hold.aclose()
            raise
        if hold._task.done():
            hold._task.result()  # what the store has raised
        if not hold._granted.done():
            await hold.aclose()
            raise TimeoutError
        return hold

    def check(self) -> None:
        """Raises if the lease is not held any more.

        Raises:
            LeaseLostError: It was lost, or given back.
        """
        if self._lost is not None:
            raise LeaseLostError(self._lost.message)
        if self._task.done():
            raise LeaseLostError("The lease of a portal's work was given back: the task that took it has ended")

    @property
    def cancel(self) -> Callable[[], object]:
        """Gives the lease back without waiting; the function does not hold this object."""
        return self._task.cancel

    async def aclose(self) -> None:
        """Gives the lease back. May be called twice."""
        if not self._task.done():
            self._task.cancel()
            await completed(end_of(self._task))

    async def _run(
        self, lease: AbstractAsyncContextManager[Lease], seconds: float, owner: asyncio.Task[Any] | None
    ) -> None:
        try:
            async with lease as held:
                self._granted.set_result(None)
                await keep(held, seconds=seconds, owner=owner)
        except LeaseLostError as error:
            self._lost = error
        except Exception as error:
            if not self._granted.done():
                raise
            # The store has failed while the lease was given back; it ends by itself.
            self._lost = LeaseLostError(f"The lease of a portal's work has ended: {type(error).__name__}")


async def end_of(task: asyncio.Task[Any]) -> None:
    """Waits until a task has ended, and raises nothing of it."""
    await asyncio.wait({task})
