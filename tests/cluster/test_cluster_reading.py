"""A file is read from its segments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.cluster import reading
from onec_twisted.cluster.reading import FileReader, SegmentLost, in_a_row, read_range
from onec_twisted.model.errors import FileDamaged, StorageRemoved
from onec_twisted.model.records import Segment

if TYPE_CHECKING:
    from fake_s3 import FakeS3

    from onec_twisted.cluster.s3 import S3


def stored(s3: S3, *contents: bytes) -> list[Segment]:
    """Store segments, one behind the other."""
    segments: list[Segment] = []
    for number, content in enumerate(contents):
        s3.put(f"segments/{number}", content)
        segments.append(Segment(in_a_row(segments), len(content), f"segments/{number}", b""))
    return segments


def test_how_much_is_in_a_row() -> None:
    """From the beginning up to the first gap, or the first bytes that are there twice."""
    segments = [Segment(0, 5, "a", b""), Segment(5, 3, "b", b""), Segment(9, 1, "c", b"")]
    assert in_a_row(segments) == 8
    assert in_a_row(segments[1:]) == 0
    assert in_a_row([*segments[:2], Segment(7, 9, "d", b"")]) == 8

    assert in_a_row([]) == 0


def test_any_range_of_any_segments(s3: S3) -> None:
    """Only the segments that it touches are asked for."""
    content = bytes(range(30))
    segments = stored(s3, content[:7], content[7:8], content[8:20], content[20:])
    for place in range(31):
        for end in range(place, 31):
            assert read_range(s3, segments, place, end - place) == content[place:end]


@pytest.mark.parametrize("place", [4, 8, 12])
def test_a_range_that_is_not_on_record(s3: S3, place: int) -> None:
    """A gap, or the end, is said; nothing is made up."""
    first, _, last = stored(s3, b"01234", b"567", b"89")
    with pytest.raises(SegmentLost, match="no segment has byte"):
        read_range(s3, [first, last], place, 4)


@pytest.mark.parametrize("harm", ["gone", "shorter", "longer", "ends before"])
def test_a_segment_that_is_not_what_is_on_record(fake: FakeS3, s3: S3, harm: str) -> None:
    """Also when the bytes that are asked for are there."""
    segments = stored(s3, b"01234", b"56789")
    changed = {"shorter": b"5678", "longer": b"567890", "ends before": b"5"}
    if harm == "gone":
        del fake.objects["shop/segments/1"]
    else:
        fake.objects["shop/segments/1"] = changed[harm]
    assert read_range(s3, segments, 0, 5) == b"01234"
    with pytest.raises(SegmentLost, match="segments/1"):
        read_range(s3, segments, 6, 2)
    with pytest.raises(FileDamaged):
        FileReader(s3, lambda: segments, 10).read(6, 2)


def test_a_store_that_fails_damages_nothing(fake: FakeS3, s3: S3) -> None:
    """It may be back soon."""
    segments = stored(s3, b"01234")
    fake.fault("GET", times=99, status=500)
    with pytest.raises(OSError, match="the object store did not give"):
        FileReader(s3, lambda: segments, 5).read(0, 5)
    fake.bucket = "another"
    del fake.faults[:]
    with pytest.raises(StorageRemoved):
        FileReader(s3, lambda: segments, 5).read(0, 5)


def test_segments_that_were_joined_meanwhile(fake: FakeS3, s3: S3) -> None:
    """The record is read again, and what it names now is read."""
    segments = stored(s3, b"01234", b"56789")
    reader = FileReader(s3, lambda: rows[0], 10)
    rows = [segments]
    reading.READ_AHEAD, before = 5, reading.READ_AHEAD
    try:
        assert reader.read(0, 5) == b"01234"
        s3.put("files/joined", b"0123456789")
        rows[0] = [Segment(0, 10, "files/joined", b"")]
        s3.delete([segment.object for segment in segments])
        assert reader.read(5, 5) == b"56789"
    finally:
        reading.READ_AHEAD = before


def test_a_file_is_read_ahead(fake: FakeS3, s3: S3) -> None:
    """Small reads in sequence ask the store once; the record is read once."""
    segments, asked = stored(s3, bytes(range(256)) * 40), []

    def rows() -> list[Segment]:
        asked.append(1)
        return segments

    reader = FileReader(s3, rows, 256 * 40)
    content = b"".join(reader.read(place, 10) for place in range(0, 256 * 40, 10))

    assert content == bytes(range(256)) * 40
    assert (fake.count("GET"), len(asked)) == (1, 1)


def test_beyond_the_end(s3: S3) -> None:
    """There is nothing, though more may be in the store: it is not on record."""
    segments = stored(s3, b"01234", b"56789")
    with pytest.raises(FileDamaged):
        FileReader(s3, lambda: segments, 7).read(5, 3)

    assert b"".join(FileReader(s3, lambda: segments, 7).blocks(2)) == b"23456"
    assert list(FileReader(s3, lambda: segments, 0).blocks()) == []


class Memory:
    """A store of one object, without a server."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def read(self, key: str, start: int, size: int) -> tuple[bytes, int]:
        """Return a range."""
        return self.content[start : start + size], len(self.content)


@given(
    size=st.integers(0, 60),
    ahead=st.integers(1, 20),
    reads=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=20),
)
def test_reads_in_any_order(size: int, ahead: int, reads: list[tuple[int, int]]) -> None:
    """Each returns what is there, whatever was read before."""
    content = bytes(range(size))
    reader = FileReader(
        Memory(content),  # type: ignore[arg-type]
        lambda: [Segment(0, size, "a", b"")],
        size,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "READ_AHEAD", ahead)
        for place, count in reads:
            if place + count <= size:
                assert reader.read(place, count) == content[place : place + count]
            elif count:
                with pytest.raises(FileDamaged):
                    reader.read(place, count)
