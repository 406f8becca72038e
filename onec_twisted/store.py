"""The media root: the only paths, and blocking functions that run in workers. No Twisted.

What lies on the disk::

    MEDIA_ROOT/1c_temp/exchange.sqlite3          the catalog (0600)
    MEDIA_ROOT/1c_temp/<sessid>/<filename>       a file: what came, whole pieces, nothing else (0644)
    MEDIA_ROOT/1c_temp/.gone-<sessid>-<random>   a folder on its way to removal

A file's committed length stands in the catalog. What lies behind it was never acknowledged: it is cut off when
the file is opened next. Modes do not depend on the umask, for the site reads the files as another user.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from zope.interface import implementer

from onec_twisted.errors import FileDamaged, InsufficientStorage, InvalidFilename
from onec_twisted.interfaces import IPieceFile, IStore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from onec_twisted.names import SafeName

__all__ = ["PieceFile", "Store"]

FILE_MODE = 0o644
FOLDER_MODE = 0o755
GONE = ".gone-"
IOV_MAX = 1024
"""Buffers that one ``writev`` takes; the least that Linux and the BSDs promise."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NOT_A_NAME = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_sync_data = getattr(os, "fdatasync", os.fsync)


def _make_folder(folder: Path) -> None:
    """Make a folder, unless it is there."""
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(FOLDER_MODE)


def _check_folder(folder: Path) -> None:
    """See that what is above a file is a folder, and no symbolic link: none is ever followed."""
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError as error:
        raise FileDamaged from error
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _write_at(fd: int, chunks: Sequence[bytes], offset: int) -> None:
    """Write all chunks one behind the other from an offset on."""
    for start in range(0, len(chunks), IOV_MAX):
        left: list[bytes | memoryview] = list(chunks[start : start + IOV_MAX])
        while left:
            written = os.pwritev(fd, left, offset)
            offset += written
            while left and written >= len(left[0]):
                written -= len(left.pop(0))
            if written:
                left[0] = memoryview(left[0])[written:]


def _open(path: Path, committed: int | None) -> int:
    """Open a file and make it exactly its committed length; None makes it."""
    try:
        fd = os.open(path, _OPEN | (os.O_CREAT if committed is None else 0), FILE_MODE)
    except FileNotFoundError as error:
        raise FileDamaged from error
    try:
        if committed is None:
            os.fchmod(fd, FILE_MODE)
        _cut(fd, committed or 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _cut(fd: int, committed: int) -> None:
    """Cut off what was never acknowledged; raises ``FileDamaged`` when what was is missing."""
    size = os.fstat(fd).st_size
    if size < committed:
        raise FileDamaged
    if size > committed:
        os.ftruncate(fd, committed)


@implementer(IPieceFile)
@define
class PieceFile:
    """One file, open for one piece at ``offset`` bytes."""

    path: Path
    fd: int
    committed: int | None
    offset: int
    unsynced: list[Path]
    chain: list[Path]
    durable: set[Path]

    def write(self, chunks: Sequence[bytes]) -> None:
        """See ``IPieceFile``. Raises ``InsufficientStorage`` on a full disk."""
        try:
            _write_at(self.fd, chunks, self.offset)
        except OSError as error:
            if error.errno in _FULL:
                raise InsufficientStorage from error
            raise
        self.offset += sum(map(len, chunks))

    def finish(self) -> None:
        """See ``IPieceFile``. Raises ``InsufficientStorage`` on a full disk."""
        try:
            _sync_data(self.fd)
        except OSError as error:
            if error.errno in _FULL:
                raise InsufficientStorage from error
            raise
        for folder in self.unsynced:
            _sync_folder(folder)
        self.durable.update(self.chain)
        fd, self.fd = self.fd, -1
        os.close(fd)

    def roll_back(self) -> None:
        """See ``IPieceFile``."""
        if self.fd < 0:
            return
        fd, self.fd = self.fd, -1
        try:
            os.ftruncate(fd, self.committed or 0)
            if self.committed is None:
                with suppress(FileNotFoundError):
                    os.unlink(self.path)
        finally:
            os.close(fd)


@implementer(IStore)
@frozen
class Store:
    """The media root at ``media_root``; ``prepare`` comes before all else."""

    media_root: Path
    _durable: dict[str, set[Path]] = field(factory=dict, init=False)
    """Of each session, the folders whose own names are known to be on the disk.

    The parents of all others are synced before ``success``: a folder may have been made by a piece that is still
    on its way, or broke off, and has synced nothing.
    """

    @property
    def temp(self) -> Path:
        """The folder of all sessions."""
        return self.media_root / "1c_temp"

    @property
    def database(self) -> Path:
        """Where the catalog lies."""
        return self.temp / "exchange.sqlite3"

    def prepare(self) -> None:
        """Make the folder of all sessions, try whether it takes files, and finish removals that a stop left.

        Raises ``OSError`` when the media root cannot be written.
        """
        for folder in (self.media_root, self.temp):
            if not folder.is_dir():
                folder.mkdir(parents=True)
                folder.chmod(FOLDER_MODE)
        probe = self.temp / f"{GONE}probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"")
        probe.unlink()
        for left in self.temp.glob(f"{GONE}*"):
            shutil.rmtree(left, ignore_errors=True)

    def open(self, sessid: str, name: SafeName, committed: int | None) -> PieceFile:
        """See ``IStore``. Raises ``InvalidFilename`` when a folder has the name of a file or the reverse."""
        path = self.temp.joinpath(sessid, *name.segments)
        chain = list(reversed(path.parents[: len(name.segments)]))
        try:
            for folder in chain:
                if committed is None:
                    _make_folder(folder)
                _check_folder(folder)
            fd = _open(path, committed)
        except OSError as error:
            if error.errno in _NOT_A_NAME:
                raise InvalidFilename from error
            if error.errno in _FULL:
                raise InsufficientStorage from error
            raise
        durable = self._durable.setdefault(sessid, set())
        unsynced = []
        if committed is None:
            unsynced = [path.parent, *(folder.parent for folder in chain if folder not in durable)]
        return PieceFile(path, fd, committed, committed or 0, list(dict.fromkeys(unsynced)), chain, durable)

    def cut(self, sessid: str, name: SafeName, committed: int | None) -> None:
        """See ``IStore``."""
        with suppress(FileDamaged):
            self.open(sessid, name, committed).roll_back()

    def discard(self, sessid: str) -> None:
        """See ``IStore``. The folder is renamed first: what is still being written to it is out of sight."""
        folder = self.temp / sessid
        gone = self.temp / f"{GONE}{sessid}-{secrets.token_hex(4)}"
        try:
            folder.rename(gone)
        except FileNotFoundError:
            return
        finally:
            self._durable.pop(sessid, None)
        _sync_folder(self.temp)
        shutil.rmtree(gone, ignore_errors=True)

    def folders(self) -> list[str]:
        """See ``IStore``."""
        with os.scandir(self.temp) as entries:
            return [one.name for one in entries if one.is_dir() and not one.name.startswith(".")]

    def free(self) -> int:
        """See ``IStore``."""
        return shutil.disk_usage(self.temp).free
