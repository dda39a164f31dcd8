"""Files to send: from bytes, a path or an async iterator, bounded in size."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable
from contextlib import AsyncExitStack, aclosing
from os import PathLike
from typing import Any, Final, TypeAlias

import anyio
import attrs

from b24oauth.errors import InvalidParamsError
from b24oauth.files import read_file
from b24oauth.protocol.files import File

__all__ = ["MAX_FILE", "Source", "Upload", "check_sources", "read_source"]

# Source: https://apidocs.bitrix24.com/api-reference/chat-bots/chat-bots-v2/imbot.v2/files/file-upload.html
MAX_FILE: Final = 100 * 1024 * 1024


@attrs.frozen
class Upload:
    """A file whose content comes piece by piece.

    Attributes:
        name: Name of the file, with its extension.
        content: The pieces, for example of a download. They are collected before they are sent.
    """

    name: str
    content: AsyncIterable[bytes] = attrs.field(repr=False)


Source: TypeAlias = File | Upload | str | PathLike[str]
"""What can be sent as a file."""


def check_sources(sources: object) -> None:
    """Refuses what cannot be sent as files.

    Raises:
        InvalidParamsError: Says what can.
    """
    # A text would be taken for a list of paths of one letter.
    if isinstance(sources, (str, bytes, PathLike, File, Upload)):
        raise InvalidParamsError("files must be a list of files; write files=[…] for a single one")


async def read_source(source: Source) -> File:
    """The file, read into memory.

    Raises:
        InvalidParamsError: It is too large, empty, or of another type.
        OSError: It cannot be read.
    """
    if isinstance(source, File):
        file = source
    elif isinstance(source, Upload):
        file = File(source.name, await _collected(source))
    else:
        try:
            os.fspath(source)
        except TypeError:
            raise InvalidParamsError(
                f"files: {type(source).__name__} is no file; give a path, File(name, bytes) or Upload(name, iterator)"
            ) from None
        path = anyio.Path(source)
        _check_size(path.name, (await path.stat()).st_size)
        file = await read_file(path)
    _check_size(file.name, len(file.content))
    if not file.content:
        raise InvalidParamsError(f"files: {file.name} is empty, and Bitrix24 takes no empty files")
    return file


async def _collected(upload: Upload) -> bytes:
    content = bytearray()
    pieces: Any = upload.content
    async with AsyncExitStack() as stack:
        if hasattr(pieces, "aclose"):
            # A generator that is left early is closed at once, with what it holds.
            await stack.enter_async_context(aclosing(pieces))
        async for piece in pieces:
            content += piece
            _check_size(upload.name, len(content))
    return bytes(content)


def _check_size(name: str, size: int) -> None:
    if size > MAX_FILE:
        raise InvalidParamsError(f"files: {name} is larger than {MAX_FILE // 1024**2} MB, which Bitrix24 takes at most")
