"""Download destinations: an atomically created file, or a user object with a `write` method."""

from __future__ import annotations

import asyncio
import inspect
import os
import secrets
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import IO, Any, Final, Protocol, TypeVar

import anyio
import anyio.to_thread

from b24oauth.errors import ConfigurationError

__all__ = ["Sink", "Writable", "sink_for"]

T = TypeVar("T")
# Buffer size: each write is a call in a worker thread.
_BLOCK: Final = 1024 * 1024


class Writable(Protocol):
    """What a download can be written to: `write` may be a plain function or an async one."""

    def write(self, data: bytes, /) -> Any:
        """Writes bytes and returns the number written; any non-integer return value means all of them."""


class Sink(Protocol):
    """Where the bytes of one download go."""

    async def open(self) -> None:
        """Makes ready for the first byte."""

    async def write(self, data: bytes) -> None:
        """Takes bytes."""

    async def restart(self) -> bool:
        """Forgets what was written; False when that is not possible."""
        ...

    async def finish(self) -> None:
        """Everything is there."""

    async def discard(self) -> None:
        """Nothing more comes; does nothing after `finish`."""


def sink_for(to: str | PathLike[str] | Writable) -> Sink:
    """Where to write a download.

    Args:
        to: Path of a file, or an object with `write`.

    Raises:
        ConfigurationError: It is neither.
    """
    if isinstance(to, (str, PathLike)):
        path = Path(to)
        if path.name and "\0" not in str(path):
            return _File(path)
    elif callable(getattr(to, "write", None)):
        return _Stream(to)
    raise ConfigurationError("download: `to` must be the path of a file or an object with a `write` method")


class _File:
    """A file that appears under its name when it is complete.

    Written beside it first, and removed when the download does not end well.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".b24oauth-{secrets.token_hex(8)}.part")
        self._file: IO[bytes] | None = None
        self._waiting = bytearray()
        self._work: asyncio.Future[Any] | None = None

    async def open(self) -> None:
        await self._in_thread(self._open)

    async def write(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) >= _BLOCK:
            await self._flush()

    async def restart(self) -> bool:
        self._waiting.clear()
        await self._in_thread(self._truncate)
        return True

    async def finish(self) -> None:
        await self._flush()
        await self._in_thread(self._finish)

    async def discard(self) -> None:
        cancelled = None
        if self._work is not None:
            # Wait for the thread first; it may still be writing to the file.
            cancelled = await _settled(self._work)
        if self._file is not None:
            removed = asyncio.ensure_future(anyio.to_thread.run_sync(self._remove))
            cancelled = await _settled(removed) or cancelled
        if cancelled is not None:
            raise cancelled

    async def _flush(self) -> None:
        data, self._waiting = self._waiting, bytearray()
        await self._in_thread(self._write, data)

    async def _in_thread(self, work: Callable[..., T], *args: Any) -> T:
        # A separate task, so that the end of the thread can be awaited even after cancellation.
        done = self._work = asyncio.ensure_future(anyio.to_thread.run_sync(work, *args))
        return await asyncio.shield(done)

    def _open(self) -> None:
        if self._path.is_dir():
            raise IsADirectoryError(f"download: `to` is a directory: {self._path}")
        self._file = self._part.open("xb", buffering=0)

    def _write(self, data: bytearray) -> None:
        left = memoryview(data)
        while left and self._file is not None:
            left = left[self._file.write(left) :]

    def _truncate(self) -> None:
        if self._file is not None:
            self._file.seek(0)
            self._file.truncate()

    def _finish(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
            self._file = None

    def _remove(self) -> None:
        if self._file is not None:
            self._file.close()
            self._part.unlink(missing_ok=True)
            self._file = None


class _Stream:
    """Your own object, which stays open."""

    def __init__(self, to: Writable) -> None:
        self._to: Any = to
        self._start: int | None = None

    async def open(self) -> None:
        seekable = getattr(self._to, "seekable", None)
        if callable(seekable) and await _result(seekable()):
            self._start = await _result(self._to.tell())

    async def write(self, data: bytes) -> None:
        while data:
            taken = await _result(self._to.write(data))
            if not isinstance(taken, int) or isinstance(taken, bool):
                return
            if taken < 1:
                raise OSError("download: `to` takes no more bytes: its `write` returned that it wrote none")
            # An unbuffered file may take less than all.
            data = data[taken:]

    async def restart(self) -> bool:
        if self._start is None or not hasattr(self._to, "truncate"):
            return False
        await _result(self._to.seek(self._start))
        await _result(self._to.truncate())
        return True

    async def finish(self) -> None:
        flush = getattr(self._to, "flush", None)
        if callable(flush):
            await _result(flush())

    async def discard(self) -> None:
        pass


async def _settled(work: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Waits for the end of work, however often it is cancelled itself; gives the cancellation back."""
    cancelled = None
    with anyio.CancelScope(shield=True):
        while not work.done():
            try:
                await asyncio.wait([work])
            except asyncio.CancelledError as error:
                cancelled = error
    if not work.cancelled():
        work.exception()  # seen, as far as asyncio is concerned: what ended the download is raised
    return cancelled


async def _result(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value
