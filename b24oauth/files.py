"""Reading files for upload and writing downloaded ones, off the event loop and without holding their bytes twice."""

from __future__ import annotations

import os
import select
import stat
import threading
from io import BytesIO, FileIO
from os import PathLike
from pathlib import Path
from typing import Final

import anyio.to_thread

from b24oauth.protocol.files import File

__all__ = ["read_file"]

_PART: Final = 256 * 1024
# Polling interval in seconds at which a thread reading from a pipe checks for cancellation.
_PATIENCE: Final = 0.05


async def read_file(path: str | PathLike[str], *, name: str | None = None) -> File:
    """Reads a file for upload, in a thread.

    Memory peaks at the size of the file. After cancellation the thread stops at the next chunk and closes the file.

    Args:
        path: Where it is.
        name: Name to give it; by default its own.

    Raises:
        OSError: It cannot be read.
        InvalidParamsError: The name is empty or has directories.
    """
    source = Path(path)
    given_up = threading.Event()
    try:
        # On cancellation do not wait for the thread; it may be blocked in a slow read and ends after it.
        content = await anyio.to_thread.run_sync(_content, source, given_up, abandon_on_cancel=True)
    finally:
        given_up.set()
    return File(source.name if name is None else name, content)


def _content(source: Path, given_up: threading.Event) -> bytes:
    with open(source, "rb", buffering=0, opener=_without_waiting) as file:
        facts = os.fstat(file.fileno())
        is_regular = stat.S_ISREG(facts.st_mode)
        # As large as the file from the start, it neither grows nor copies its bytes to give them. Text in base64 does:
        # CPython appends in place to it, but not under a tracer.
        content = BytesIO(bytes(facts.st_size if is_regular else 0))
        while not given_up.is_set():
            if not is_regular and not _is_ready(file):
                continue
            part = file.read(_PART)
            if not part:
                break
            content.write(part)
    content.truncate()
    return content.getvalue()


def _without_waiting(path: str, flags: int) -> int:
    # open() on a pipe without a writer would block the thread and cannot be interrupted.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _is_ready(file: FileIO) -> bool:
    return bool(select.select([file], [], [], _PATIENCE)[0])
