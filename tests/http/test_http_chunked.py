"""Chunks, however they are cut."""

from __future__ import annotations

import pytest

from onec_twisted.http.chunked import LONGEST_LINE, MOST_TRAILERS, Chunked, MalformedChunks

PARTS = (b"a", b"bc\r\n", b"0\r\n\r\n", b"x" * 300, b"\r", b"\n")
WIRE = b"".join(b"%X;name=value\r\n%s\r\n" % (len(part), part) for part in PARTS) + b"0\r\nTrailer: x\r\n\r\n"


def decode(chunks: Chunked, *reads: bytes, most: int = 1000) -> bytes:
    """Feed reads, one after the other; return what they have brought."""
    found = b""
    for read in reads:
        chunks.feed(read)
        cost = most
        while cost >= most and not chunks.ended:
            data, cost = chunks.decode(most)
            found += data
    return found


@pytest.mark.parametrize("most", [1, 2, 1000])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_however_it_comes(size: int, most: int) -> None:
    """The body is the same, and what follows it is left alone."""
    chunks = Chunked()
    last = (len(WIRE) - 1) // size * size
    reads = [WIRE[place : place + size] for place in range(0, last, size)]
    found = decode(chunks, *reads, WIRE[last:] + b"GET /", most=most)

    assert found == b"".join(PARTS)
    assert chunks.ended
    assert chunks.rest == b"GET /"


def test_no_more_than_one_may() -> None:
    """What is left is decoded the next time."""
    chunks = Chunked()
    chunks.feed(b"1\r\nx\r\n" * 10)

    assert [chunks.decode(4) for _ in range(3)] == [(b"xxxx", 4), (b"xxxx", 4), (b"xx", 2)]
    assert chunks.decode(4) == (b"", 0)


@pytest.mark.parametrize(
    "wire",
    [
        b"x\r\n",
        b"-1\r\nx\r\n",
        b"+1\r\nx\r\n",
        b"0x1\r\nx\r\n",
        b"1 \r\nx\r\n",
        b"1\nx\n",
        b"\r\n",
        b"1;a\x00b\r\nx\r\n",
        b"1;a\nb\r\nx\r\n",
        b"1\r\nxy",
        b"1\r\nx\n",
        b"2\r\nx\r\n0",
        b"f" * 17 + b"\r\n",
        b"1;" + b"a" * LONGEST_LINE,
        b"0\r\n" + b"a" * (LONGEST_LINE + 1),
        b"0\r\n" + b"a: b\r\n" * (MOST_TRAILERS // 6 + 1),
    ],
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_what_is_no_chunk(wire: bytes, size: int) -> None:
    """It is said so, however it comes."""
    with pytest.raises(MalformedChunks):
        decode(Chunked(), *[wire[place : place + size] for place in range(0, len(wire), size)], b"\r\n0\r\nx\r\n")
