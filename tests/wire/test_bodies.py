"""Unpacking, step by step: pure."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from b24oauth.wire.bodies import BadEncodingError, TooLargeError, Unpacker

BODY = random.Random(1).randbytes(70_000) + b"\0" * 500_000 + b"end"


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


PACKERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "Deflate": raw_deflate}


def unpacked(encodings: str, packed: bytes, *, step: int = 65536, limit: int = 10**9) -> bytes:
    unpacker, body = Unpacker(encodings, limit=limit), b""
    for start in range(0, len(packed), step):
        for part in unpacker.feed(packed[start : start + step]):
            assert 0 < len(part) <= 65536
            body += part
    unpacker.finish()
    return body


@pytest.mark.parametrize("step", [1, 7, 1000, 10**7])
@pytest.mark.parametrize("encoding", PACKERS)
@pytest.mark.parametrize("body", [b"", b"x", BODY[-3000:], b"\0" * 65536, b"\0" * 131073], ids=len)
def test_a_body_is_unpacked_however_it_is_cut(encoding: str, step: int, body: bytes) -> None:
    assert unpacked(encoding, PACKERS[encoding](body), step=step) == body


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_long_body_comes_in_bounded_parts(encoding: str) -> None:
    assert unpacked(encoding, PACKERS[encoding](BODY)) == BODY


@pytest.mark.parametrize("step", [1, 10**7])
def test_members_of_gzip_follow_each_other_and_padding_is_left_out(step: int) -> None:
    members = gzip.compress(b"one") + gzip.compress(b"") + gzip.compress(b"two")
    assert unpacked("gzip", members, step=step) == b"onetwo"
    assert unpacked("gzip", members + b"\0\0\0", step=step) == b"onetwo"
    assert unpacked("deflate", zlib.compress(b"one") + b"padding", step=step) == b"one"


def test_encodings_are_undone_from_the_last_to_the_first() -> None:
    assert unpacked("deflate, identity, gzip", gzip.compress(zlib.compress(BODY))) == BODY
    assert unpacked("identity", BODY[:10]) == BODY[:10]


@pytest.mark.parametrize("encoding", PACKERS)
def test_a_body_that_breaks_off_is_told(encoding: str) -> None:
    with pytest.raises(BadEncodingError):
        unpacked(encoding, PACKERS[encoding](BODY)[:-1])


@pytest.mark.parametrize("packed", [b"a", b"ab", b"abcd", b"\x1f\x8bxxxxxxxxxxxx"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
def test_what_is_not_packed_is_told(encoding: str, packed: bytes) -> None:
    with pytest.raises(BadEncodingError):
        unpacked(encoding, packed)


def test_an_empty_body_may_be_announced_as_packed() -> None:
    assert unpacked("gzip", b"") == b""


@pytest.mark.parametrize("encodings", ["br", "zstd", "gzip, br", "gzip;q=1", "gzip, gzip, gzip, gzip"])
def test_what_was_not_offered_is_refused_at_once(encodings: str) -> None:
    with pytest.raises(BadEncodingError):
        Unpacker(encodings, limit=1)


@pytest.mark.parametrize("encodings", ["gzip", "gzip, gzip"])
def test_more_than_allowed_stops_in_the_midst(encodings: str) -> None:
    packed = gzip.compress(b"\0" * 10_000_000)
    if "," in encodings:
        packed = gzip.compress(packed)
    sizes: list[int] = []
    parts = Unpacker(encodings, limit=100_000).feed(packed)
    with pytest.raises(TooLargeError):
        sizes.extend(map(len, parts))
    assert 0 < sum(sizes) <= 100_000


def test_nothing_between_two_encodings_may_exceed_the_limit_either() -> None:
    # Two million empty members: the first layer gives much, the second nothing.
    packed = gzip.compress(gzip.compress(b"") * 200_000)
    with pytest.raises(TooLargeError):
        unpacked("gzip, gzip", packed, limit=1_000_000)
