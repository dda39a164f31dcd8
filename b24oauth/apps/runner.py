"""`Runner`: runs one consumer for each portal, in one process or in many that share a store."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, Self, TypeAlias, TypedDict, Unpack

from b24oauth.apps.health import PortalWork, RunnerHealth
from b24oauth.apps.leasing import LeaseLostError, end_of, keep, work_key
from b24oauth.apps.reporting import report, shown
from b24oauth.apps.signals import Signals
from b24oauth.apps.turns import Call, Turn
from b24oauth.backing_off import exponential
from b24oauth.checks import at_least, check_function, check_seconds, check_text
from b24oauth.client import B24OAuth
from b24oauth.errors import ClientStateError, ConfigurationError, SdkError, UnknownPortalError
from b24oauth.oauth.leasing import LEASE_SECONDS
from b24oauth.observing import Log, LoggerLike
from b24oauth.portals import B24Portals
from b24oauth.stores.loops import completed
from b24oauth.stores.trying import try_lease
from b24oauth.storing import Lease

__all__ = ["Consume", "HasPortals", "Runner", "RunnerOptions"]

Consume: TypeAlias = Callable[[B24OAuth], Awaitable[float | None]]
ErrorHandler: TypeAlias = Callable[[Exception, str], object]

# Waits after errors of one portal, seconds: the first one, and the longest.
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 300.0
_LONGEST_NAME: Final = 60
_RUNS_ONCE: Final = "A runner runs once: make a new Runner"


class HasPortals(Protocol):
    """What has portals: a `B24App`."""

    @property
    def portals(self) -> B24Portals:
        """The clients of all portals."""
        ...


class RunnerOptions(TypedDict, total=False):
    """Options of a runner.

    Attributes:
        concurrency: For how many portals `consume` runs at the same time, in this process; 100 by default.
        poll: Seconds after which `consume` is called again, 30 by default.
        discover: Seconds after which the store is searched for new and removed portals, 30 by default.
        drain: Seconds that running consumers get to end by themselves when the runner stops, 20 by default.
        timeout: Seconds after which one call of `consume` is cancelled; None for no limit, as by default.
        lease: Seconds after which another process takes over from one that was killed, 15 by default.
        on_error: Called with each error of `consume` and the `member_id`, async or plain; without it errors are logged.
        logger: Anything like a `logging.Logger`; by default the logger named "b24oauth".
        clock: Function that returns the current Unix timestamp in seconds.
        random: Function that returns a random number from 0 to 1; spreads the calls of many portals.
    """

    concurrency: int
    poll: float
    discover: float
    drain: float
    timeout: float | None
    lease: float
    on_error: ErrorHandler | None
    logger: LoggerLike | None
    clock: Callable[[], float]
    random: Callable[[], float]


class Runner:
    """Runs a consumer for each portal of a store: ``async def consume(b24)``.

    `consume` does what there is to do on one portal and returns. It is called again after `poll` seconds, or as many
    as it returned, and at once after `wake` or `ONOFFLINEEVENT`. Any number of processes may run the same work over one
    store: a lease of the store lets one of them at a time work for a portal, and cancels `consume` when it is lost. A
    consumer with much to do should end early when `turn_is_over()`.

    An error of one portal delays no other: it is reported, and the portal waits for 1 to 300 seconds, longer after each
    further error. Portals that are installed or uninstalled meanwhile are picked up and dropped.

    `run_portals` is the main part of a worker process. Within another program use ``async with runner``, or await `run`
    in a task of yours.

    Args:
        app: A `B24App` or `B24Portals`.
        consume: A coroutine function; returns None, or the seconds after which it is to be called again.
        name: Names the work: processes with the same name and store share it. At most 60 characters.
        options: See `RunnerOptions`.

    Raises:
        ConfigurationError: An argument is invalid.
        ClientStateError: `async with` or `run` is used a second time.
    """

    def __init__(
        self, app: HasPortals | B24Portals, consume: Consume, *, name: str, **options: Unpack[RunnerOptions]
    ) -> None:
        check_function(consume, "consume")
        check_text(name, "name")
        if len(name) > _LONGEST_NAME:
            raise ConfigurationError(f"name must have at most {_LONGEST_NAME} characters")
        self.name = name
        self._portals = app if isinstance(app, B24Portals) else app.portals
        self._consume = consume
        concurrency = options.get("concurrency", 100)
        at_least(1)(concurrency, "concurrency")
        self._poll = _seconds(options.get("poll", 30.0), "poll")
        self._discover_every = _seconds(options.get("discover", 30.0), "discover")
        self._drain_seconds = _seconds(options.get("drain", 20.0), "drain")
        self._lease_seconds = _seconds(options.get("lease", LEASE_SECONDS), "lease")
        timeout = options.get("timeout")
        self._timeout = None if timeout is None else _seconds(timeout, "timeout")
        self._on_error = options.get("on_error")
        if self._on_error is not None:
            check_function(self._on_error, "on_error")
        self._log = Log(options.get("logger"))
        self._clock = options.get("clock", time.time)
        self._random = options.get("random", random.random)
        self._turns = asyncio.Semaphore(concurrency)
        self._stopping = asyncio.Event()
        self._served: dict[str, _Served] = {}
        signals = getattr(app, "signals", None)
        if isinstance(signals, Signals):
            signals.add(self)
        self._has_begun = False
        self._running: asyncio.Task[None] | None = None

    # --- use ----------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Runs until `stop` is called. If it is cancelled, all consumers are cancelled at once.

        Raises:
            ClientStateError: It was called before.
        """
        if self._has_begun:
            raise ClientStateError(_RUNS_ONCE)
        self._has_begun = True
        try:
            async with asyncio.TaskGroup() as group:
                discovering = group.create_task(self._discover(group), name=f"b24oauth {self.name}")
                await self._stopping.wait()
                discovering.cancel()
                await asyncio.wait({discovering})
                await self._drain()
        finally:
            self._stopping.set()

    def stop(self) -> None:
        """Asks the runner to stop: no consumer begins any more, and running ones get `drain` seconds to end."""
        self._stopping.set()
        for served in self._served.values():
            served.woken.set()

    def wake(self, member_id: str) -> None:
        """Calls `consume` of a portal at once instead of after `poll` seconds, or once more if it is running.

        A portal that waits after an error, or that another process works for, is not affected.

        Args:
            member_id: The portal.
        """
        served = self._served.get(member_id)
        if served is not None:
            served.woken.set()

    def health(self) -> RunnerHealth:
        """The state of each portal; ``runner.health().to_dict()`` is ready for JSON."""
        now = self._clock()
        portals = [self._served[member_id].work for member_id in sorted(self._served)]
        return RunnerHealth(
            name=self.name,
            is_running=self._has_begun and not self._stopping.is_set(),
            failing=sum(portal.is_failing for portal in portals),
            portals=tuple(portal.health(now) for portal in portals),
        )

    @property
    def is_stopping(self) -> bool:
        """True once `stop` was called."""
        return self._stopping.is_set()

    async def __aenter__(self) -> Self:
        if self._has_begun or self._running is not None:
            raise ClientStateError(_RUNS_ONCE)
        self._running = asyncio.get_running_loop().create_task(self.run(), name=f"b24oauth runner {self.name}")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self._running is not None:
            try:
                # Raises what has ended the runner early.
                await self._running
            except asyncio.CancelledError:
                # Awaiting a task passes a cancellation on to it; it has to end nevertheless.
                await asyncio.wait({self._running})
                raise

    # --- portals ------------------------------------------------------------------------------------------------------

    async def _discover(self, group: asyncio.TaskGroup) -> None:
        """Begins to serve portals that are new in the store, and drops those that are gone."""
        failures = 0
        while True:
            try:
                found = {member_id async for member_id in self._portals}
            except Exception as error:  # noqa: BLE001 - the store is asked again later, no matter what it raised
                self._log.error(f"{self.name}: the store could not be searched for portals: {shown(error)}")
                pause = self._back_off(failures)
                failures += 1
            else:
                failures, pause = 0, self._jittered(self._discover_every)
                for member_id in found - self._served.keys():
                    self._serve(member_id, group)
                for member_id in self._served.keys() - found:
                    self._served[member_id].task.cancel()
            await asyncio.sleep(pause)

    def _serve(self, member_id: str, group: asyncio.TaskGroup) -> None:
        work, woken = PortalWork(member_id, self._clock()), asyncio.Event()
        task = group.create_task(self._served_by_turns(work, woken), name=f"b24oauth {self.name} {member_id}")
        self._served[member_id] = _Served(work, woken, task)
        # A portal that was dropped is found again only after its consumer has ended.
        task.add_done_callback(lambda _: self._served.pop(member_id, None))

    async def _served_by_turns(self, work: PortalWork, woken: asyncio.Event) -> None:
        """Takes turns with the portals of this process, and leases with the other processes."""
        key = work_key(self._portals.client_id, work.member_id, f"runner:{self.name}")
        is_known = True
        while is_known and not self._stopping.is_set():
            work.enter("waiting", self._clock())
            try:
                # A portal that waits for its turn holds no lease: a process that is less busy can work for it.
                async with (
                    Turn(self._turns) as turn,
                    try_lease(self._portals.store, key, seconds=self._lease_seconds) as lease,
                ):
                    if lease is not None:
                        is_known = await self._leased(work, woken, turn, lease)
            except LeaseLostError as error:
                self._log.warning(f"{self.name}: portal {work.member_id}: {error.message}")
                lease = None
            except Exception as error:  # noqa: BLE001 - the store is asked again later, no matter what it raised
                work.failed(error, self._clock())
                await self._report(error, work.member_id)
                await self._rest(self._stopping, self._back_off(work.failures - 1))
                continue
            if lease is None:
                work.enter("standby", self._clock())
                await self._rest(self._stopping, self._lease_seconds * (0.5 + 0.5 * self._random()))

    async def _leased(self, work: PortalWork, woken: asyncio.Event, turn: Turn, lease: Lease) -> bool:
        """Calls the consumer again and again while the lease lasts; False when the portal is gone.

        Raises:
            LeaseLostError: The lease was lost; the consumer has been cancelled.
        """
        lost: BaseException | None = None
        is_known = True
        try:
            async with asyncio.TaskGroup() as group:
                keeping = group.create_task(keep(lease, seconds=self._lease_seconds, random=self._random))
                is_known = await self._rounds(work, woken, turn)
                keeping.cancel()
        except* LeaseLostError as errors:
            lost = errors.exceptions[0]
        if lost is None:
            return is_known
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # A task group that has an error to raise swallows a cancellation before Python 3.13.
            raise asyncio.CancelledError
        raise lost from None

    async def _rounds(self, work: PortalWork, woken: asyncio.Event, turn: Turn) -> bool:
        while not self._stopping.is_set():
            work.enter("working", self._clock())
            # Before the work: a signal that arrives meanwhile may be about something that it does not see.
            woken.clear()
            try:
                b24 = await self._portals.get(work.member_id)
            except UnknownPortalError:
                return False
            except Exception as error:  # noqa: BLE001 - an error of one portal
                pause = await self._failed(work, error)
            else:
                pause = await self._consumed(work, b24)
            turn.leave()
            # Signals do not shorten the wait after an error.
            await self._rest(self._stopping if work.is_failing else woken, pause)
            if not await turn.again():
                # Other portals wait for their turn.
                return True
        return True

    async def _consumed(self, work: PortalWork, b24: B24OAuth) -> float:
        """Calls the consumer once; returns after how many seconds it is to be called again."""
        call = Call(self._turns, self._stopping.is_set)

        async def consume() -> float | None:
            call.begin()
            working: object = self._consume(b24)
            if not inspect.isawaitable(working):
                raise ConfigurationError("consume must be a coroutine function: async def consume(b24)")
            asked: float | None = await working
            return asked

        # In a task of its own: what the consumer leaves behind ends with the task.
        consuming = asyncio.get_running_loop().create_task(consume(), name=f"b24oauth {self.name} {work.member_id}")
        try:
            await asyncio.wait({consuming}, timeout=self._timeout)
        finally:
            is_late = not consuming.done()
            if is_late:
                consuming.cancel()
                await completed(end_of(consuming))
        try:
            asked = consuming.result()
            pause = self._jittered(self._poll) if asked is None else _checked_pause(asked)
        except asyncio.CancelledError:
            what = f"took longer than {self._timeout} s" if is_late else "raised CancelledError"
            return await self._failed(work, SdkError(f"consume {what}", code="B24OAUTH_CONSUMER"))
        except Exception as error:  # noqa: BLE001 - an error of one portal
            return await self._failed(work, error)
        work.succeeded(self._clock())
        return 0.0 if asked is None and call.was_cut else pause

    async def _failed(self, work: PortalWork, error: Exception) -> float:
        work.failed(error, self._clock())
        await self._report(error, work.member_id)
        return self._back_off(work.failures - 1)

    async def _report(self, error: Exception, member_id: str) -> None:
        place = f"{self.name}: portal {member_id}"
        await report(self._on_error, error, member_id, log=self._log.error, place=place)

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def _rest(self, until: asyncio.Event, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await until.wait()

    def _back_off(self, attempt: int) -> float:
        return exponential(attempt, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE) * (0.5 + 0.5 * self._random())

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.9 + 0.2 * self._random())

    async def _drain(self) -> None:
        tasks = {served.task for served in self._served.values()}
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=self._drain_seconds)
            for task in left:
                task.cancel()
            if left:
                self._log.warning(
                    f"{self.name}: consumers that took longer than {self._drain_seconds:g} s to end were cancelled: "
                    f"{len(left)}"
                )


class _Served:
    """A portal and the task that serves it."""

    __slots__ = ("task", "woken", "work")

    def __init__(self, work: PortalWork, woken: asyncio.Event, task: asyncio.Task[None]) -> None:
        self.work, self.woken, self.task = work, woken, task


def _seconds(value: float, name: str) -> float:
    check_seconds(value, name)
    return value


def _checked_pause(asked: object) -> float:
    if isinstance(asked, bool) or not isinstance(asked, (int, float)) or not 0 <= asked < float("inf"):
        raise ConfigurationError("consume must return None, or the seconds after which it is to be called again")
    return float(asked)
