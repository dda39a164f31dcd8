"""Files that survive a break: durable writes, replacement as a whole, and a lock that ends with its process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, Final

# Where Windows locks a file: the bytes of a lock cannot be read.
_BEYOND: Final = 2**40

__all__ = ["lock", "open_private", "sync", "sync_folder"]


def open_private(path: Path) -> IO[bytes]:
    """Opens a file for reading and writing, created for its owner only; its content stays.

    Raises:
        OSError: It cannot be opened.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
    return open(os.open(path, flags, 0o600), "r+b", buffering=0)  # noqa: PTH123 - by descriptor, for its mode


def sync(file: IO[bytes]) -> None:
    """Waits until what was written is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Waits until the names of files in a folder are on the disk, where the system can say so."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def lock(file: IO[bytes]) -> bool:
    """Locks a file until it is closed or its process ends, however it ends; False if another process has the lock."""
    try:
        if sys.platform == "win32":
            import msvcrt  # noqa: PLC0415 - only on Windows

            file.seek(_BEYOND)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl  # noqa: PLC0415 - not on Windows

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
