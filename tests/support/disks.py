"""Disks that are full and folders that may not be written, for real."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator
from pathlib import Path

_NOBODY = 65534


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def without_permission(folder: Path, mode: int) -> Iterator[None]:
    """A folder and all in it with other permissions, and no root whom they do not concern."""
    before = {path: path.stat().st_mode for path in (folder, *folder.rglob("*"))}
    is_root = os.geteuid() == 0
    for path in reversed(before):
        if is_root:
            os.chown(path, _NOBODY, _NOBODY)
        path.chmod(mode & (0o777 if path.is_dir() else 0o666))
    if is_root:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
        for path, before_mode in before.items():
            path.chmod(before_mode)
