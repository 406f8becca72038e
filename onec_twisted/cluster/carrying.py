"""Carries the files of a media root into the object store, and compares both sides; blocking.

A file becomes the same segments as if it had come in two pieces: all before its last piece, and that. So its digest
is that of the last piece, and a node that repeats it is still recognised.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, field, frozen

from onec_twisted.cluster.objects import FILES, SEGMENTS
from onec_twisted.cluster.reading import in_a_row
from onec_twisted.cluster.segments import cuts
from onec_twisted.model.errors import FileDamaged
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import Segment
from onec_twisted.model.segments import MANIFEST
from onec_twisted.storage.folders import NOT_A_NAME, read_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from onec_twisted.cluster.s3 import S3
    from onec_twisted.storage.local import Store

__all__ = ["Carrier", "HeldFile", "StoreFailed", "digest_of"]

T = TypeVar("T")
R = TypeVar("R")

CARRIED_AT_ONCE = 8
"""Segments that are on their way, and in memory, at a time; each has 13 MiB at most."""

READ_BLOCK = 1024 * 1024
"""Bytes of a file that are read at a time to be compared."""


class StoreFailed(Exception):
    """The object store did not do what it was asked; ``__cause__`` says why."""


@frozen
class HeldFile:
    """A file of a media root: its session and epoch, its name, its bytes that are there, and where its last piece is.

    ``length`` is less than what is on record if it is damaged.
    """

    sessid: str
    epoch: int
    name: str
    length: int
    last_start: int

    def cuts(self) -> list[tuple[int, int]]:
        """Return start and length of each segment."""
        last = min(self.last_start, self.length)
        behind = cuts(self.length - last)
        return [*cuts(last), *((last + start, length) for start, length in behind)]


def digest_of(file: HeldFile, segments: Iterable[Segment]) -> bytes:
    """Return the digest of a file's last piece, see ``SegmentedFile``."""
    return hashlib.sha256(b"".join(one.digest for one in segments if one.start >= file.last_start)).digest()


@define(eq=False)
class Carrier:
    """Puts files of a media root into a store. Call ``stop`` at the end."""

    root: Store
    s3: S3
    _pool: ThreadPoolExecutor = field(factory=lambda: ThreadPoolExecutor(CARRIED_AT_ONCE, "carry"), init=False)

    def stop(self) -> None:
        """Wait for what is being put, and put no more."""
        self._pool.shutdown(cancel_futures=True)

    def probe(self) -> None:
        """Try the store. Raises ``StoreFailed``, ``StorageRemoved``, ``InsufficientStorage``."""
        self._ask(self.s3.probe)

    def length(self, sessid: str, name: str, committed: int) -> int:
        """Return how many bytes of a file are there, at most ``committed``. Raises ``OSError``."""
        try:
            fd = self._opened(sessid, name)
        except (FileDamaged, FileNotFoundError):
            return 0
        except OSError as error:
            if error.errno in NOT_A_NAME:
                return 0
            raise
        try:
            found = os.fstat(fd)
            return min(found.st_size, committed) if stat.S_ISREG(found.st_mode) else 0
        finally:
            os.close(fd)

    def put(self, files: Iterable[HeldFile]) -> Iterator[tuple[str, Segment]]:
        """Put files, and yield their segments, each with the file's name, in order.

        Raises ``StoreFailed``, ``StorageRemoved``, ``InsufficientStorage``, and ``OSError`` for a file.
        """
        return self._in_turn(lambda work: self._put(*work), ((file, *cut) for file in files for cut in file.cuts()))

    def differences(self, files: Iterable[tuple[HeldFile, Sequence[Segment]]]) -> Iterator[str]:
        """Yield for each segment of files on record what is wrong with it in the store, empty for nothing.

        Segments are in the order of their starts. Raises what ``put`` raises.
        """
        return self._in_turn(lambda work: self._compared(*work), _to_compare(files))

    def put_manifest(self, sessid: str) -> None:
        """Put the manifest of a session, if it has one."""
        content = read_manifest(self.root.folder(sessid))
        if content:
            self._ask(self.s3.put, _manifest_of(sessid), content)

    def has_manifest(self, sessid: str) -> bool:
        """Return whether the manifest of a session is in the store, as far as there is one."""
        content = read_manifest(self.root.folder(sessid))
        try:
            return not content or self._ask(self.s3.read, _manifest_of(sessid), 0, len(content)) == (
                content,
                len(content),
            )
        except FileNotFoundError:
            return False

    def _ask(self, call: Callable[..., Any], *args: Any) -> Any:
        """Ask the store. Raises ``FileNotFoundError``, and what ``probe`` raises."""
        try:
            return call(*args)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StoreFailed(error.strerror) from error

    def _in_turn(self, function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """Yield what a function returns for items, in their order; some are in threads at a time."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self._pool.submit(function, item))
            if len(waiting) >= CARRIED_AT_ONCE:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def _opened(self, sessid: str, name: str) -> int:
        return self.root.open_archive(sessid, SafeName(tuple(name.split("/"))))

    def _blocks(self, file: HeldFile, start: int, length: int, most: int = READ_BLOCK) -> Iterator[bytes]:
        """Yield a part of a file, at most so many bytes at a time. Raises ``OSError`` if it is not there any more."""
        fd = self._opened(file.sessid, file.name)
        try:
            for place in range(start, start + length, most):
                size = min(most, start + length - place)
                block = os.pread(fd, size, place)
                if len(block) != size:
                    raise FileNotFoundError(0, "it has become shorter meanwhile", file.name)
                yield block
        finally:
            os.close(fd)

    def _put(self, file: HeldFile, start: int, length: int) -> tuple[str, Segment]:
        """Put one segment, under a key that nobody has used."""
        body = b"".join(self._blocks(file, start, length, length))
        key = f"{SEGMENTS}/{file.sessid}/{file.epoch}/{start:014d}-{secrets.token_hex(8)}"
        self._ask(self.s3.put, key, body)
        return file.name, Segment(start, length, key, hashlib.sha256(body).digest())

    def _compared(self, file: HeldFile, segment: Segment | None) -> str:
        """Return what is wrong with a segment, or with all of a file's if that is None."""
        where = f"{file.sessid}: {file.name}"
        if segment is None:
            return f"{where}: its segments on record are not its {file.length} bytes"
        try:
            content, length = self._ask(self.s3.read, segment.object, 0, segment.length)
        except FileNotFoundError:
            return f"{where}: {segment.object} is not in the object store"
        if length != segment.length:
            return f"{where}: {segment.object} has {length} bytes in the object store, not {segment.length}"
        on_disk, place = hashlib.sha256(), hashlib.sha256(content).digest()
        for block in self._blocks(file, segment.start, segment.length):
            on_disk.update(block)
        if not on_disk.digest() == place == segment.digest:
            return f"{where}: from byte {segment.start} on, {segment.object} has others than the file"
        return ""


def _manifest_of(sessid: str) -> str:
    return f"{FILES}/{sessid}/{MANIFEST}"


def _to_compare(files: Iterable[tuple[HeldFile, Sequence[Segment]]]) -> Iterator[tuple[HeldFile, Segment | None]]:
    """Yield each segment with its file; once without one if they do not make the file."""
    for file, segments in files:
        if in_a_row(segments) != file.length or sum(one.length for one in segments) != file.length:
            yield file, None
        else:
            yield from ((file, segment) for segment in segments)
