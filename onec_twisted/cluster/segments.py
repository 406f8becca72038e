"""One file in an object store, open for one piece: spooled, cut into segments, put. Blocking, for workers.

A piece waits in a nameless scratch file, so that a slow sender holds no connection to the store, a PUT can be tried
again, and a piece that is refused, or a repeat, costs none. What is sure to be a segment is put while the rest comes.
Nothing of it counts until the segments are on record.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import tempfile
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import nullcontext
from threading import Lock
from typing import IO, TYPE_CHECKING

from attrs import define, field
from zope.interface import implementer

from onec_twisted.model.errors import WrongOffset
from onec_twisted.model.records import Segment, Written
from onec_twisted.runtime.descriptors import PIECE_SHARE, is_scarce
from onec_twisted.storage.file import FullDiskTranslated, write_at
from onec_twisted.storage.interfaces import IStoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from onec_twisted.cluster.putters import Putters
    from onec_twisted.cluster.reading import FileReader
    from onec_twisted.model.records import FileRecord

__all__ = ["LEAST_SEGMENT", "SEGMENT_SIZE", "SPOOL_SIZE", "HeldSegments", "SegmentedFile", "cuts", "opened_scratch"]

SEGMENT_SIZE = 8 * 1024 * 1024
"""Bytes of a segment of a large piece. It never changes: the digests on record depend on it."""

LEAST_SEGMENT = 5 * 1024 * 1024
"""Bytes of the last segment of a large piece, at least: what S3 takes as a part that it copies itself."""

SPOOL_SIZE = 256 * 1024
"""Bytes of a piece that stay in memory; a larger piece goes into a scratch file."""

AHEAD_AT_ONCE = 2
"""Segments of one piece that are being put at a time, so that others need not wait for all of a large piece."""

BLOCK_SIZE = 256 * 1024
"""Bytes that are read from the scratch file at a time."""


def cuts(size: int) -> list[tuple[int, int]]:
    """Return where a piece of ``size`` bytes is cut: start and length of each segment, none for an empty piece.

    8 MiB are cut off while 13 MiB or more are left; so the last one has 5 MiB or more, unless it is the only one.
    """
    found, start = [], 0
    while size - start >= SEGMENT_SIZE + LEAST_SEGMENT:
        found.append((start, SEGMENT_SIZE))
        start += SEGMENT_SIZE
    if size > start:
        found.append((start, size - start))
    return found


def opened_scratch(folder: str) -> IO[bytes]:
    """Return a nameless file in a folder, which the caller closes.

    Raises ``OSError`` while only the descriptors reserved for other purposes are left.
    """
    with FullDiskTranslated():
        file = tempfile.TemporaryFile(buffering=0, dir=folder)  # noqa: SIM115
    if is_scarce(file.fileno(), PIECE_SHARE):
        file.close()
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), folder)
    return file


@implementer(IStoredFile)
@define(eq=False)
class SegmentedFile:
    """A file, open for one piece; ``committed`` is its length so far, in bytes.

    ``scratch`` is the folder for its scratch file, ``prefix`` that of its segments' keys. After ``finish`` the
    objects belong to who puts them on record; before it, ``roll_back`` removes what was put ahead.
    """

    putters: Putters
    scratch: str
    prefix: str
    committed: int
    size: int = field(default=0, init=False)
    """Bytes of the piece so far."""

    _memory: bytearray = field(factory=bytearray, init=False)
    _spool: IO[bytes] | None = field(default=None, init=False)
    _over: bool = field(default=False, init=False)
    _reading: Lock = field(factory=Lock, init=False)
    """Held to read from the scratch file in another thread, and to close it."""

    _begun: dict[int, Future[Segment]] = field(factory=dict, init=False)
    """What is put ahead: the first cuts, without a gap, by their starts."""

    _running: list[Future[Segment]] = field(factory=list, init=False)
    _digests: dict[tuple[int, int], bytes] = field(factory=dict, init=False)
    """SHA-256 of each cut whose is known."""

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Raise ``InsufficientStorage`` when the scratch disk or the store is full, ``OSError`` of an earlier PUT."""
        size = self.size + sum(map(len, chunks))
        if self._spool is None and size <= SPOOL_SIZE:
            for chunk in chunks:
                self._memory += chunk
        else:
            with FullDiskTranslated():
                write_at(self._spooled(), chunks, self.size)
        self.size = size
        self._put_ahead()

    def splice(self, pipe: int, size: int) -> None:
        """Raise what ``write`` raises."""
        end = self.size + size
        with FullDiskTranslated():
            fd = self._spooled()
            while self.size < end:
                try:
                    self.size += os.splice(pipe, fd, end - self.size, offset_dst=self.size)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    chunk = os.read(pipe, end - self.size)  # the file system does not support splice
                    write_at(fd, [chunk], self.size)
                    self.size += len(chunk)
        self._put_ahead()

    def finish(self) -> Written:
        """Put the rest, and wait until all of it is in the store. Raises ``InsufficientStorage``, ``OSError``."""
        left = cuts(self.size)[len(self._begun) :]
        for start, length in left[:-1]:
            if len(self._running) >= AHEAD_AT_ONCE:
                wait(self._running, return_when=FIRST_COMPLETED)
            self._put_later(start, length)
        last = [self._put(*cut) for cut in left[-1:]]
        segments = (*(begun.result() for begun in self._begun.values()), *last)
        digest = self._digest()
        self._close()
        return Written(self.committed + self.size, segments, digest)

    def keep_first(self, size: int) -> None:
        dropped = [start for start in self._begun if size - start < SEGMENT_SIZE + LEAST_SEGMENT]
        if dropped:
            wait(self._running)  # they read what is cut off
        for start in dropped:
            self.putters.forget(self._begun.pop(start))
        self._digests = {cut: digest for cut, digest in self._digests.items() if sum(cut) <= size}
        self._running = [one for one in self._running if one in self._begun.values()]
        self.size = size
        if self._spool is None:
            del self._memory[size:]
        else:
            os.ftruncate(self._spool.fileno(), size)

    def feed(self, update: Callable[[bytes], object]) -> None:
        for block in self._blocks(0, self.size):
            update(block)

    def repeats(self, record: FileRecord) -> bool:
        return self.size == record.committed - record.last_start and self._digest() == record.digest

    def roll_back(self) -> None:
        if not self._over:
            self._close()
            for begun in self._begun.values():
                self.putters.forget(begun)

    def _close(self) -> None:
        with self._reading:
            self._over = True
            if self._spool is not None:
                self._spool.close()

    def _spooled(self) -> int:
        """Return the descriptor of the scratch file, made at first use; if that fails, memory stays as it is."""
        if self._spool is None:
            spool = opened_scratch(self.scratch)
            try:
                write_at(spool.fileno(), [bytes(self._memory)], 0)
            except BaseException:
                spool.close()
                raise
            self._spool = spool
            self._memory.clear()
        return self._spool.fileno()

    def _put_ahead(self) -> None:
        """Begin to put what is sure to be a segment. Raises what an earlier one has met."""
        for one in [one for one in self._running if one.done()]:
            self._running.remove(one)
            one.result()
        while len(self._running) < AHEAD_AT_ONCE:
            start = len(self._begun) * SEGMENT_SIZE
            if self.size - start < SEGMENT_SIZE + LEAST_SEGMENT:
                return
            self._put_later(start, SEGMENT_SIZE)

    def _put_later(self, start: int, length: int) -> None:
        self._begun[start] = begun = self.putters.later(self._put, start, length)
        self._running = [*(one for one in self._running if not one.done()), begun]

    def _put(self, start: int, length: int) -> Segment:
        """Put one segment; in any thread."""
        with self.putters.room(length) if self._spool is not None else nullcontext():
            body = self._cut(start, length)
            digest = self._digests[start, length] = hashlib.sha256(body).digest()
            place = self.committed + start
            key = f"{self.prefix}/{place:014d}-{secrets.token_hex(8)}"
            self.putters.put(key, body)
        return Segment(place, length, key, digest)

    def _cut(self, start: int, length: int) -> bytes:
        """Return the bytes of one segment. Raises ``ValueError`` after ``roll_back``, as of any closed file."""
        with self._reading:
            return self._read(start, length)

    def _blocks(self, start: int, length: int) -> Iterator[bytes]:
        """Yield a part of the piece, a little at a time. Raises ``OSError``."""
        for place in range(start, start + length, BLOCK_SIZE):
            yield self._read(place, min(BLOCK_SIZE, start + length - place))

    def _read(self, place: int, size: int) -> bytes:
        """Return a part of the piece. Raises ``OSError`` when the scratch file has lost it."""
        if self._spool is None:
            return bytes(self._memory[place : place + size])
        part = os.pread(self._spool.fileno(), size, place)
        if len(part) != size:
            raise OSError(errno.EIO, "the scratch file is shorter than what was written to it", self.scratch)
        return part

    def _digest(self) -> bytes:
        """Return the digest of the piece: SHA-256 of the SHA-256s of its cuts."""
        whole = hashlib.sha256()
        for cut in cuts(self.size):
            if cut not in self._digests:
                digest = hashlib.sha256()
                for block in self._blocks(*cut):
                    digest.update(block)
                self._digests[cut] = digest.digest()
            whole.update(self._digests[cut])
        return whole.digest()


@implementer(IStoredFile)
@define(eq=False)
class HeldSegments:
    """A range of a file that a piece claims to repeat, from ``offset`` on; nothing is written."""

    reader: FileReader
    offset: int
    committed: int

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Compare. Raises ``WrongOffset``, ``FileDamaged``, ``OSError``."""
        for chunk in chunks:
            end = self.offset + len(chunk)
            if end > self.committed or self.reader.read(self.offset, len(chunk)) != chunk:
                raise WrongOffset(self.committed)
            self.offset = end

    def splice(self, pipe: int, size: int) -> None:
        """Raise what ``write`` raises."""
        while size:
            chunk = os.read(pipe, min(size, BLOCK_SIZE))
            size -= len(chunk)
            self.write([chunk])

    def finish(self) -> Written:
        return Written(self.committed)

    def keep_first(self, size: int) -> None:
        """Do nothing: nothing is written."""

    def feed(self, update: Callable[[bytes], object]) -> None:
        """Do nothing: nothing is written."""

    def repeats(self, record: FileRecord) -> bool:
        """Return False: ``write`` has compared the bytes already."""
        return False

    def roll_back(self) -> None:
        """Do nothing: nothing is open."""
