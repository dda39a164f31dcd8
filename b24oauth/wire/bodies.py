"""Bodies of responses, unpacked in bounded steps, for any input. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, Protocol

__all__ = ["ACCEPTED", "BadEncodingError", "TooLargeError", "Unpacker"]

# Value of Accept-Encoding: only encodings that can be decompressed here in bounded steps.
ACCEPTED: Final = "gzip, deflate"
_STEP: Final = 64 * 1024
# Maximum number of nested Content-Encodings.
_MOST_LAYERS: Final = 3
_GZIP_MAGIC: Final = b"\x1f\x8b"


class BadEncodingError(Exception):
    """The body is not packed as its headers say, or in a way that was not offered."""


class TooLargeError(Exception):
    """More bytes than allowed."""


class _Member(Protocol):
    """A packed stream that is being unpacked, as zlib has it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    @property
    def unconsumed_tail(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = 0, /) -> bytes: ...


class Unpacker:
    """Unpacks a body part by part.

    Args:
        encodings: The header `Content-Encoding`.
        limit: Maximum number of decompressed bytes, also for intermediate results.

    Raises:
        BadEncodingError: An encoding that was not offered, or too many of them.
    """

    def __init__(self, encodings: str, *, limit: int) -> None:
        names = [
            name for name in (part.strip().lower() for part in encodings.split(",")) if name not in ("", "identity")
        ]
        if len(names) > _MOST_LAYERS or not all(name in ("gzip", "x-gzip", "deflate") for name in names):
            raise BadEncodingError
        self._layers = [_Inflater(is_gzip="gzip" in name, limit=limit) for name in reversed(names)]

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The next parts of the body, each at most 64 KiB long.

        Args:
            data: The next bytes as they came.

        Raises:
            BadEncodingError: They are not packed as announced.
            TooLargeError: The limit is exceeded.
        """
        parts: Iterable[bytes] = (data,)
        for layer in self._layers:
            parts = chain.from_iterable(map(layer.feed, parts))
        return iter(parts)

    def finish(self) -> None:
        """The body is at its end.

        Raises:
            BadEncodingError: It broke off.
        """
        for layer in self._layers:
            layer.finish()


class _Inflater:
    """Unpacks gzip or deflate.

    Args:
        is_gzip: gzip may have several members; deflate has one, with or without zlib's header.
        limit: Most bytes that come out.
    """

    def __init__(self, *, is_gzip: bool, limit: int) -> None:
        self._is_gzip = is_gzip
        self._left = limit
        self._member: _Member | None = None  # None between two members
        self._has_member = False
        self._head = b""  # bytes that are too few to detect the next member

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._member is None:
            data, self._head = self._head + data, b""
        more = bool(data)
        while more:
            if self._member is None:
                if len(data) < 2:
                    self._head = data
                    return
                self._member = self._new_member(data)
                if self._member is None:
                    return  # padding behind the last member
                self._has_member = True
            part = _inflated(self._member, data)
            self._left -= len(part)
            if self._left < 0:
                raise TooLargeError
            if part:
                yield part
            if self._member.eof:
                data, self._member = self._member.unused_data, None
                more = bool(data)
            else:
                data = self._member.unconsumed_tail
                # If the output chunk is full, zlib may hold more output although all input was consumed.
                more = bool(data) or len(part) == _STEP

    def finish(self) -> None:
        if self._member is not None or (self._head and not self._has_member):
            raise BadEncodingError

    def _new_member(self, data: bytes) -> _Member | None:
        if self._has_member and not (self._is_gzip and data.startswith(_GZIP_MAGIC)):
            return None
        if self._is_gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        has_header = data[0] & 0x0F == 8 and int.from_bytes(data[:2]) % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _inflated(member: _Member, data: bytes) -> bytes:
    try:
        return member.decompress(data, _STEP)
    except zlib.error:
        pass
    raise BadEncodingError
