"""Reading files from disk for upload, off the event loop and without holding their bytes twice."""

from __future__ import annotations

import base64
from os import PathLike
from pathlib import Path
from typing import Final

import anyio.to_thread

from b24oauth.protocol.files import File

__all__ = ["read_file"]

# A multiple of three, so that the parts in base64 can be joined.
_CHUNK: Final = 3 * 64 * 1024


async def read_file(path: str | PathLike[str], *, name: str | None = None) -> File:
    """Reads a file for upload, in a thread.

    Args:
        path: Where it is.
        name: Name to give it; by default its own.

    Raises:
        OSError: It cannot be read.
        InvalidParamsError: The name is empty or has directories.
    """
    source = Path(path)
    return File(source.name if name is None else name, await anyio.to_thread.run_sync(_encoded, source))


def _encoded(source: Path) -> str:
    text = ""
    with source.open("rb") as file:
        # CPython grows a text that nothing else refers to in place; joining parts would hold everything twice.
        for chunk in iter(lambda: file.read(_CHUNK), b""):
            text += base64.b64encode(chunk).decode("ascii")
    return text
