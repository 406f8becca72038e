"""Reads a file from its segments; blocking, for workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.model.errors import FileDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onec_twisted.cluster.s3 import S3
    from onec_twisted.model.records import Segment

__all__ = ["FileReader", "SegmentLost", "in_a_row", "read_range"]

READ_AHEAD = 1024 * 1024
"""Bytes that are read at a time."""


class SegmentLost(OSError):
    """A segment on record is not in the store, or has another length there; or the record has a gap."""


def in_a_row(segments: Sequence[Segment]) -> int:
    """Return how many bytes from the file's beginning on are in segments, which are in the order of their starts."""
    end = 0
    for segment in segments:
        if segment.start != end:
            break
        end += segment.length
    return end


def read_range(s3: S3, segments: Sequence[Segment], place: int, size: int) -> bytes:
    """Return ``size`` bytes of a file from ``place`` on; ``segments`` are in the order of their starts.

    Raises ``SegmentLost``, and what ``S3.read`` raises.
    """
    found, end = [], place + size
    for segment in segments:
        stop = min(end, segment.start + segment.length)
        if segment.start <= place < stop:
            found.append(_read(s3, segment, place, stop))
            place = stop
    if place < end:
        raise SegmentLost(f"no segment has byte {place}")
    return b"".join(found)


def _read(s3: S3, segment: Segment, place: int, stop: int) -> bytes:
    """Return what a segment has of a file from ``place`` to ``stop``."""
    try:
        content, length = s3.read(segment.object, place - segment.start, stop - place)
    except FileNotFoundError:
        raise SegmentLost(f"{segment.object} is not in the object store") from None
    if length != segment.length or len(content) != stop - place:
        raise SegmentLost(f"{segment.object} has {length} bytes in the object store, not {segment.length}")
    return content


@define(eq=False)
class FileReader:
    """Reads a file of ``size`` bytes, some ahead of what is asked for.

    ``rows`` returns its segments as they are on record. They are read again when one is lost: somebody may have
    joined them meanwhile, and removed what they were.
    """

    s3: S3
    rows: Callable[[], Sequence[Segment]]
    size: int
    _segments: list[Segment] | None = field(default=None, init=False)
    _block: bytes = field(default=b"", init=False)
    _starts: int = field(default=0, init=False)

    def read(self, place: int, size: int) -> bytes:
        """Return ``size`` bytes from ``place`` on. Raises ``FileDamaged`` when they are not there, ``OSError``."""
        found: list[bytes] = []
        while size:
            inside = place - self._starts
            if not 0 <= inside < len(self._block):
                self._block, self._starts = self._fetched(place), place
                inside = 0
            part = self._block[inside : inside + size]
            found.append(part)
            place, size = place + len(part), size - len(part)
        return found[0] if len(found) == 1 else b"".join(found)

    def blocks(self, start: int = 0) -> Iterator[bytes]:
        """Yield everything from ``start`` on. Raises what ``read`` raises."""
        for place in range(start, self.size, READ_AHEAD):
            yield self._fetched(place)

    def _fetched(self, place: int) -> bytes:
        """Return the block that begins at ``place``."""
        if place >= self.size:
            raise FileDamaged
        size = min(READ_AHEAD, self.size - place)
        while True:
            before = self._segments
            if before is None:
                before = self._segments = self._on_record()
            try:
                return read_range(self.s3, before, place, size)
            except SegmentLost as error:
                self._segments = self._on_record()
                if self._segments == before:
                    raise FileDamaged from error

    def _on_record(self) -> list[Segment]:
        return sorted(self.rows(), key=lambda segment: segment.start)
