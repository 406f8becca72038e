"""One file, open for one piece: blocking functions on a descriptor. No Twisted.

Bytes are written at the committed length, never at the file's end: bytes beyond it may never have been acknowledged.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define
from zope.interface import implementer

from onec_twisted.model.errors import FileDamaged, InsufficientStorage, SyncFailed, WrongOffset
from onec_twisted.model.records import Written
from onec_twisted.storage.interfaces import IStoredFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from threading import Lock

    from onec_twisted.model.records import FileRecord

__all__ = [
    "FILE_MODE",
    "FullDiskTranslated",
    "HeldRange",
    "NotOurs",
    "PieceFile",
    "open_at",
    "open_to_read",
    "sync_file",
    "sync_folder",
    "write_at",
]

FILE_MODE = 0o644
COMPARE_BLOCK = 1024 * 1024
"""Bytes compared at a time."""

WRITEBACK_SIZE = 4 * 1024 * 1024
"""Bytes that are worth starting writeback for."""

IOV_MAX = 1024
"""Buffers per ``writev``: the minimum that Linux and the BSDs guarantee."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Errors that mean there is no room."""

_OPEN_FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_sync_data = getattr(os, "fdatasync", os.fsync)
_sync_file_range = getattr(ctypes.CDLL(None), "sync_file_range", None)
if _sync_file_range is not None:
    _sync_file_range.argtypes = ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint
SYNC_FILE_RANGE_WRITE = 2


def _start_writeback(fd: int, start: int, size: int) -> None:
    """Start writing a range to the disk, without waiting; where the system cannot, nothing is lost."""
    if _sync_file_range is not None:
        _sync_file_range(fd, start, size, SYNC_FILE_RANGE_WRITE)


class NotOurs(OSError):
    """A file's path is taken by something that this daemon did not make; the message says what."""


class FullDiskTranslated:
    """A context that turns the system's errors of a full disk into ``InsufficientStorage``.

    It is entered several times per piece; a class is cheaper than a generator.
    """

    __slots__ = ()

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Raise ``InsufficientStorage`` for an error of a full disk."""
        if isinstance(error, OSError) and error.errno in FULL:
            raise InsufficientStorage from error


def open_to_read(path: str | Path) -> int:
    """Open an existing file that is not a symbolic link; never wait for a pipe or device in its place."""
    return os.open(path, (_OPEN_FLAGS & ~os.O_RDWR) | os.O_NONBLOCK)


def sync_file(path: str | Path) -> None:
    """Sync a file's data to the disk. Raises ``SyncFailed``, and ``OSError`` when the file cannot be opened."""
    fd = open_to_read(path)
    try:
        _sync(_sync_data, fd)
    finally:
        os.close(fd)


def sync_folder(folder: str | Path) -> None:
    """Sync the names in a folder to the disk. Raises what ``sync_file`` raises."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        _sync(os.fsync, fd)
    finally:
        os.close(fd)


def _sync(sync: Callable[[int], None], fd: int) -> None:
    """Sync, and distinguish its error from all others: only this one means that bytes may be lost."""
    try:
        sync(fd)
    except OSError as error:
        raise SyncFailed(*error.args) from error


def write_at(fd: int, chunks: Sequence[bytes | memoryview], offset: int) -> None:
    """Write all chunks in sequence from an offset on."""
    for start in range(0, len(chunks), IOV_MAX):
        left: list[bytes | memoryview] = list(chunks[start : start + IOV_MAX])
        while left:
            written = os.pwritev(fd, left, offset)
            offset += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = memoryview(left[0])[written:]


def open_at(path: str | Path, committed: int | None) -> int:
    """Open a file and cut it to its committed length; None makes a new file.

    Raises ``FileDamaged``, and ``NotOurs`` for anything that must not be written to.
    """
    if committed is None:
        return _made(path)
    try:
        fd = _open_ours(path)
    except FileNotFoundError as error:
        raise FileDamaged from error
    try:
        status = os.fstat(fd)
        if status.st_size < committed:
            raise FileDamaged  # acknowledged bytes are missing
        if status.st_nlink > 1:
            raise NotOurs(errno.EMLINK, "is a file elsewhere as well, by a hard link", str(path))
        if status.st_size > committed:
            os.ftruncate(fd, committed)  # bytes that were never acknowledged
    except BaseException:
        os.close(fd)
        raise
    return fd


def _made(path: str | Path) -> int:
    """Make a file; remove a leftover of a crash instead of writing to it, as it may have another name elsewhere."""
    flags = _OPEN_FLAGS | os.O_CREAT | os.O_EXCL
    try:
        fd = os.open(path, flags, FILE_MODE)
    except FileExistsError:
        os.close(_open_ours(path))
        os.unlink(path)
        fd = os.open(path, flags, FILE_MODE)
    try:
        if stat.S_IMODE(os.fstat(fd).st_mode) != FILE_MODE:
            os.fchmod(fd, FILE_MODE)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _open_ours(path: str | Path) -> int:
    """Open an existing file. Raises ``NotOurs`` for anything that is not a file, or that may not be written to."""
    try:
        fd = os.open(path, _OPEN_FLAGS | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.ENXIO):
            raise NotOurs(error.errno, "is not ours to write to", str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotOurs(errno.EINVAL, "is no file", str(path))
    return fd


@implementer(IStoredFile)
@define
class PieceFile:
    """One file, open for one piece at ``offset`` bytes.

    ``chain`` are the folders above it up to the session's, outermost first; ``durable``, those of the session whose
    names are on the disk. ``naming`` is held while names are made or removed. Without ``synced`` nothing is synced to
    the disk; with it, writeback of the bytes before ``started`` has begun.
    """

    path: str
    fd: int
    committed: int | None
    offset: int
    chain: list[str]
    durable: set[str]
    naming: Lock
    synced: bool = True
    started: int = 0

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Raise ``InsufficientStorage`` on a full disk."""
        with FullDiskTranslated():
            write_at(self.fd, chunks, self.offset)
        self.offset += sum(map(len, chunks))
        self._start_writeback()

    def splice(self, pipe: int, size: int) -> None:
        """Raise ``InsufficientStorage`` on a full disk."""
        end = self.offset + size
        with FullDiskTranslated():
            while self.offset < end:
                try:
                    self.offset += os.splice(pipe, self.fd, end - self.offset, offset_dst=self.offset)
                except OSError as error:
                    if error.errno != errno.EINVAL:
                        raise
                    self.write([os.read(pipe, end - self.offset)])  # the file system does not support splice
        self._start_writeback()

    def _start_writeback(self) -> None:
        """Start writeback of what has arrived, so that little is left for the sync at the end."""
        started = self.started or self.committed or 0
        if self.synced and self.offset - started >= WRITEBACK_SIZE:
            _start_writeback(self.fd, started, self.offset - started)
            self.started = self.offset

    def finish(self) -> Written:
        """Raise ``InsufficientStorage`` on a full disk."""
        if self.synced:
            with FullDiskTranslated():
                _sync(_sync_data, self.fd)
                for folder in self._unsynced():
                    sync_folder(folder)
            self.durable.update(self.chain)
        fd, self.fd = self.fd, -1
        os.close(fd)
        return Written(self.offset)

    def _unsynced(self) -> list[str]:
        """Return the folders in which names were made that may not be on the disk: for a new file only."""
        if self.committed is not None:
            return []
        above = [folder.rpartition("/")[0] for folder in self.chain if folder not in self.durable]
        return list(dict.fromkeys([self.chain[-1], *above]))

    def keep_first(self, size: int) -> None:
        self.offset = (self.committed or 0) + size
        os.ftruncate(self.fd, self.offset)

    def feed(self, update: Callable[[bytes], object]) -> None:
        for place in range(self.committed or 0, self.offset, COMPARE_BLOCK):
            update(os.pread(self.fd, min(COMPARE_BLOCK, self.offset - place), place))

    def repeats(self, record: FileRecord) -> bool:
        start, committed = record.last_start, self.committed or 0
        if self.offset - committed != committed - start:
            return False
        for place in range(start, committed, COMPARE_BLOCK):
            size = min(COMPARE_BLOCK, committed - place)
            if os.pread(self.fd, size, place) != os.pread(self.fd, size, place - start + committed):
                return False
        return True

    def roll_back(self) -> None:
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        try:
            os.ftruncate(fd, self.committed or 0)
            if self.committed is None:
                with self.naming:
                    self._remove()
        finally:
            os.close(fd)

    def _remove(self) -> None:
        """Remove a file that did not exist before, and the folders that are empty without it."""
        with suppress(OSError):
            os.unlink(self.path)
            for folder in reversed(self.chain):
                os.rmdir(folder)
                self.durable.discard(folder)


@implementer(IStoredFile)
@define
class HeldRange:
    """A range of a file that a piece claims to repeat; nothing is written."""

    fd: int
    offset: int
    committed: int

    def write(self, chunks: Sequence[bytes | memoryview]) -> None:
        """Compare. Raises ``WrongOffset``."""
        for chunk in chunks:
            end = self.offset + len(chunk)
            if end > self.committed or os.pread(self.fd, len(chunk), self.offset) != chunk:
                raise WrongOffset(self.committed)
            self.offset = end

    def splice(self, pipe: int, size: int) -> None:
        """Compare. Raises ``WrongOffset``."""
        while size:
            chunk = os.read(pipe, min(size, COMPARE_BLOCK))
            size -= len(chunk)
            self.write([chunk])

    def finish(self) -> Written:
        self.roll_back()
        return Written(self.committed)

    def keep_first(self, size: int) -> None:
        """Do nothing: nothing is written."""

    def feed(self, update: Callable[[bytes], object]) -> None:
        """Do nothing: nothing is written."""

    def repeats(self, record: FileRecord) -> bool:
        """Return False: ``write`` has compared the bytes already."""
        return False

    def roll_back(self) -> None:
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)
