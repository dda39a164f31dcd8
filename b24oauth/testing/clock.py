"""Time for tests: an event loop that skips waiting, and the wall clock that goes with it."""

from __future__ import annotations

import asyncio
import math
import selectors
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar, TypeVarTuple

import anyio.to_thread
import attrs

if TYPE_CHECKING:
    from _typeshed import FileDescriptorLike

__all__ = ["EPOCH", "Clock", "VirtualClock", "VirtualClockLoop", "as_clock", "run_virtual"]

EPOCH = 1_700_000_000.0
_LEAST_JUMP = 1e-6
_LEAST_TURN = 1e-9

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@attrs.define(eq=False)
class _LoopTime:
    """The loop's time: skipped seconds plus the real ones that passed while something real was awaited."""

    now: float = 0.0
    jumps: list[float] = attrs.field(factory=list[float])
    _read_at: float = attrs.field(factory=time.monotonic)

    def follow(self, *, real: bool) -> float:
        """Adds the real seconds since the last reading, if they count; returns what was added."""
        read_at, self._read_at = self._read_at, time.monotonic()
        passed = self._read_at - read_at if real else 0.0
        self.now += passed
        return passed

    def turn(self) -> None:
        """Lets a busy turn of the loop take a little time."""
        # A task that sleeps for less than the clock's precision and then reads the clock would do so forever.
        self.now += max(_LEAST_TURN, 2 * math.ulp(self.now))

    def jump(self, seconds: float) -> None:
        seconds = max(seconds, _LEAST_JUMP)
        self.now += seconds
        self.jumps.append(seconds)


class _VirtualSelector(selectors.BaseSelector):
    """Waits for real only when somebody outside the loop can wake it; skips the time otherwise."""

    def __init__(self, clock: _LoopTime, patience: float, grace: float) -> None:
        self._real = selectors.DefaultSelector()
        self._clock = clock
        self._patience = patience
        self._grace = grace
        self.jobs = 0
        self.own_descriptors = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        awaited = self._outside_is_awaited()
        late = self._clock.follow(real=awaited)
        if timeout is not None and timeout <= late:
            self._clock.turn()
            return self._real.select(0)
        if awaited:
            events = self._real.select(None if timeout is None else timeout - late)
            self._clock.follow(real=True)
            return events
        return self._real.select(0) or self._wait_for_threads(timeout) or self._skip(timeout)

    def _outside_is_awaited(self) -> bool:
        return len(self._real.get_map()) > self.own_descriptors or self.jobs > 0 or _anyio_jobs() > 0

    def _wait_for_threads(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        # A thread that is not known to work for the loop may still be about to call it; nobody can tell, so it
        # gets a moment before time is skipped, and much longer before the loop is declared dead.
        if threading.active_count() == 1:
            return []
        return self._real.select(self._patience if timeout is None else self._grace)

    def _skip(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError(_deadlock_message())
        self._clock.jump(timeout)
        return []

    def register(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: FileDescriptorLike) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: FileDescriptorLike, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[FileDescriptorLike, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


def _anyio_jobs() -> float:
    # anyio's workers answer from their own threads; its limiter is the public sign that one is at work.
    if threading.active_count() == 1:
        return 0
    sniffio = sys.modules.get("sniffio")
    if sniffio is None:
        return anyio.to_thread.current_default_thread_limiter().borrowed_tokens
    # If sniffio is installed, anyio asks it for the running library, which it knows only within tasks.
    told = sniffio.current_async_library_cvar.set("asyncio")
    try:
        return anyio.to_thread.current_default_thread_limiter().borrowed_tokens
    finally:
        sniffio.current_async_library_cvar.reset(told)


def _deadlock_message() -> str:
    tasks = sorted(f"{task.get_name()} in {_place(task)}" for task in asyncio.all_tasks())
    waiting = ", ".join(tasks) or "no task"
    return (
        "VirtualClockLoop: deadlock. Nothing is ready and no timer, socket or thread can wake the loop. "
        f"Waiting: {waiting}. Look for an event that nobody sets or an answer that never comes, or wait with a timeout."
    )


def _place(task: asyncio.Task[Any]) -> str:
    return getattr(task.get_coro(), "__qualname__", "a coroutine")


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop that does not wait: when all tasks sleep, its time jumps to the next timer.

    Time starts at 0. While a socket is open or an executor job runs, the loop waits for real and its time follows
    the real one, so a loopback server is never timed out falsely. A loop that nothing can wake any more raises
    `RuntimeError` and names the waiting tasks.

    With anyio's pytest plugin: ``anyio_backend = ("asyncio", {"loop_factory": VirtualClockLoop})``.

    Attributes:
        patience: Real seconds to wait for other threads before the loop is declared dead.
        grace: Real seconds given to threads the loop knows nothing about before each jump.
    """

    patience: ClassVar[float] = 5.0
    grace: ClassVar[float] = 0.001

    def __init__(self) -> None:
        self._virtual = _LoopTime()
        self._waiting = _VirtualSelector(self._virtual, self.patience, self.grace)
        super().__init__(self._waiting)
        # What is registered now is the loop's own pipe: it can be written only by those counted elsewhere.
        self._waiting.own_descriptors = len(self._waiting.get_map())

    @property
    def jumps(self) -> list[float]:
        """The waits that were skipped so far, seconds each."""
        return self._virtual.jumps

    def time(self) -> float:
        """Seconds since the loop was made, skipped ones included."""
        return self._virtual.now

    def advance(self, seconds: float) -> None:
        """Moves the time forward; timers that have become due run in the loop's next turn.

        Args:
            seconds: How far, in seconds; not negative.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("advance: time does not go backwards; pass seconds >= 0")
        self._virtual.now += seconds

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Runs `func` in a thread; until it is done, the loop's time is real."""
        future = super().run_in_executor(executor, func, *args)
        self._waiting.jobs += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ARG002 - see below
        """Waits until the threads of executor jobs have ended, however long that takes.

        Args:
            timeout: Is not used: it would be over at once, because nothing but a thread is waited for.
        """
        self._waiting.jobs += 1
        try:
            await super().shutdown_default_executor()
        finally:
            self._waiting.jobs -= 1

    def _job_done(self, _: asyncio.Future[Any]) -> None:
        self._waiting.jobs -= 1


class Clock(Protocol):
    """What `FakePortal` reads the time from."""

    @property
    def elapsed(self) -> float:
        """Seconds since the clock began to run."""
        ...

    def now(self) -> float:
        """The Unix time, seconds."""
        ...

    def advance(self, seconds: float) -> None:
        """Moves the time forward by `seconds`."""
        ...


class VirtualClock:
    """The wall clock of a `VirtualClockLoop`; on any other loop it runs as fast as that loop does.

    Args:
        base: The Unix time at which the clock starts, seconds.
    """

    def __init__(self, base: float = EPOCH) -> None:
        self.base = base
        self._loop: asyncio.AbstractEventLoop | None = None
        self._offset = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the clock began to run."""
        loop = self._bound_loop()
        return self._offset + (loop.time() if loop is not None else 0.0)

    def now(self) -> float:
        """The Unix time, seconds."""
        return self.base + self.elapsed

    def advance(self, seconds: float) -> None:
        """Moves the time forward; on a `VirtualClockLoop` its timers see it too.

        Args:
            seconds: How far, in seconds; not negative.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("advance: time does not go backwards; pass seconds >= 0")
        loop = self._bound_loop()
        if isinstance(loop, VirtualClockLoop):
            loop.advance(seconds)
        else:
            self._offset += seconds

    def _bound_loop(self) -> asyncio.AbstractEventLoop | None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return self._loop
        if running is not self._loop:
            self._bind(running)
        return running

    def _bind(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None:
            self._offset += self._loop.time()
        if not isinstance(loop, VirtualClockLoop):
            self._offset -= loop.time()
        self._loop = loop


class _FunctionClock:
    """A clock that reads a function such as `time.time`."""

    def __init__(self, read: Callable[[], float]) -> None:
        self._read = read
        self._started = read()
        self._ahead = 0.0

    @property
    def elapsed(self) -> float:
        return self.now() - self._started

    def now(self) -> float:
        return self._read() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


def as_clock(source: Clock | Callable[[], float] | None) -> Clock:
    """A clock from what the caller has.

    Args:
        source: A clock, a function that returns the Unix time in seconds, or None: the loop's time, started now.

    Returns:
        The clock itself, or one that reads the function.
    """
    if source is None:
        return VirtualClock(base=time.time())
    return _FunctionClock(source) if callable(source) else source


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine to its end on a new `VirtualClockLoop`, as `asyncio.run` would.

    Args:
        main: The coroutine to run.

    Returns:
        What `main` returned.

    Raises:
        RuntimeError: Nothing could wake the loop any more.
    """
    with asyncio.Runner(loop_factory=VirtualClockLoop) as runner:
        return runner.run(main)
