"""The media root: the only paths, and blocking functions that run in workers. No Twisted.

What lies on the disk::

    MEDIA_ROOT/1c_temp/exchange.sqlite3          the catalog (0600)
    MEDIA_ROOT/1c_temp/<sessid>/<filename>       a file: what came, whole pieces, nothing else (0644)
    MEDIA_ROOT/1c_temp/<sessid>/manifest.json    what was handed off, by the importer ``keep``
    MEDIA_ROOT/1c_temp/.gone-<sessid>-<random>   a folder on its way to removal

A file's committed length stands in the catalog. What lies behind it was never acknowledged: it is cut off when
the file is opened next. Modes do not depend on the umask, for the site reads the files as another user.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from attrs import field, frozen
from zope.interface import implementer

from onec_twisted.errors import FileDamaged, InvalidFilename
from onec_twisted.interfaces import IStore
from onec_twisted.names import MANIFEST
from onec_twisted.piecefile import (
    FILE_MODE,
    HeldRange,
    PieceFile,
    full_disk_told,
    open_at,
    open_to_read,
    sync_file,
    sync_folder,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onec_twisted.names import SafeName

__all__ = ["MediaRootTaken", "Store", "modified", "read_manifest", "write_manifest"]

FOLDER_MODE = 0o755
GONE = ".gone-"

SESSID = re.compile(r"[0-9a-f]{32}")
"""What our folders are called; whatever else lies beside them is not ours to touch."""

_NOT_A_NAME = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and those below it, each with the names of what is no folder in it.

    No symbolic link is followed, and one to a folder is no folder; the first is none either. Raises ``OSError``.
    """

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    if folder.is_symlink():
        return
    for place, folders, names in os.walk(folder, onerror=fail):
        yield Path(place), names + [name for name in folders if Path(place, name).is_symlink()]


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield every file, and whatever else is no folder, below a folder."""
    for place, names in _walk(folder):
        for name in names:
            yield place / name


def _is_whole(path: Path, committed: int) -> bool:
    """Return whether a file has its committed length, after cutting off what was never acknowledged."""
    try:
        os.close(open_at(path, committed))
    except (FileDamaged, FileNotFoundError):
        return False
    except OSError as error:
        if error.errno in _NOT_A_NAME:
            return False
        raise
    return True


def _check_folder(folder: Path, *, make: bool) -> None:
    """See that what is above a file is a folder, and no symbolic link: none is ever followed.

    ``make`` makes one that is not there; otherwise it raises ``FileDamaged``.
    """
    try:
        mode = folder.lstat().st_mode
    except FileNotFoundError as error:
        if not make:
            raise FileDamaged from error
        folder.mkdir()
        folder.chmod(FOLDER_MODE)
    else:
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def read_manifest(folder: str) -> bytes:
    """Return the manifest in a session's folder; empty when there is none."""
    try:
        return Path(folder, MANIFEST).read_bytes()
    except FileNotFoundError:
        return b""


def write_manifest(folder: str, content: bytes) -> None:
    """Put a manifest into a session's folder, whole: it is written beside, and renamed. Makes the folder."""
    place = Path(folder)
    if not place.is_dir():
        place.mkdir()
        place.chmod(FOLDER_MODE)
        sync_folder(place.parent)
    beside = place / f".{MANIFEST}"
    beside.write_bytes(content)
    beside.chmod(FILE_MODE)
    sync_file(beside)
    beside.replace(place / MANIFEST)
    sync_folder(place)


def modified(folder: str, name: str) -> float:
    """Return when a file was last written to, in seconds since 1970."""
    return Path(folder, name).stat().st_mtime


class MediaRootTaken(Exception):
    """Another daemon works in this media root."""


@implementer(IStore)
@frozen
class Store:
    """The media root at ``media_root``; ``prepare`` comes before all else.

    Without ``synced`` pieces are not brought to the disk one by one; ``sync`` does so for a whole session.
    """

    media_root: Path
    synced: bool = True
    _naming: Lock = field(factory=Lock, init=False)
    _locks: list[int] = field(factory=list, init=False)
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
                sync_folder(folder.parent)
        probe = self.temp / f"{GONE}probe-{secrets.token_hex(4)}"
        probe.write_bytes(b"")
        probe.unlink()
        for left in self.temp.glob(f"{GONE}*"):
            shutil.rmtree(left, ignore_errors=True)

    def lock(self) -> None:
        """Take the media root for this process, until it ends.

        Raises ``MediaRootTaken`` when another process has it. The lock dies with the process, whatever ends it.
        """
        fd = os.open(self.temp / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise MediaRootTaken from error
        self._locks.append(fd)

    def unlock(self) -> None:
        """Give the media root free; for tests, which end no process."""
        while self._locks:
            os.close(self._locks.pop())

    def open(self, sessid: str, name: SafeName, committed: int | None) -> PieceFile:
        """See ``IStore``. Raises ``InvalidFilename`` when a folder has the name of a file or the reverse."""
        path = self.temp.joinpath(sessid, *name.segments)
        chain = list(reversed(path.parents[: len(name.segments)]))
        try:
            with self._naming, full_disk_told():
                for folder in chain:
                    _check_folder(folder, make=committed is None)
                fd = open_at(path, committed)
        except OSError as error:
            if error.errno in _NOT_A_NAME:
                raise InvalidFilename from error
            raise
        durable = self._durable.setdefault(sessid, set())
        unsynced = []
        if committed is None:
            unsynced = [path.parent, *(folder.parent for folder in chain if folder not in durable)]
        return PieceFile(
            path,
            fd,
            committed,
            committed or 0,
            list(dict.fromkeys(unsynced)),
            chain,
            durable,
            self._naming,
            self.synced,
        )

    def compare(self, sessid: str, name: SafeName, start: int, committed: int) -> HeldRange:
        """See ``IStore``. Raises ``FileDamaged`` when the file is shorter than what is committed."""
        file = self.open(sessid, name, committed)
        return HeldRange(file.fd, start, committed)

    def folder(self, sessid: str) -> str:
        """See ``IStore``."""
        return str(self.temp / sessid)

    def open_archive(self, sessid: str, name: SafeName) -> int:
        """See ``IStore``."""
        path = self.temp.joinpath(sessid, *name.segments)
        for folder in path.parents[: len(name.segments)]:
            _check_folder(folder, make=False)
        return open_to_read(path)

    def recover(self, recorded: dict[str, dict[str, int]]) -> list[tuple[str, str]]:
        """Make every file exactly its committed length; return those that lost bytes, as sessid and name.

        ``recorded`` is what the catalog knows: names and committed lengths in bytes, by sessid. What lies in a
        session's folder without a record is removed, the manifest excepted; a session without any record is left to
        the sweep. Blocks; for the start of the daemon, before any request.
        """
        damaged = []
        for sessid, files in recorded.items():
            missing = dict(files)
            folder = self.temp / sessid
            for path in _files_below(folder):
                name = path.relative_to(folder).as_posix()
                if name == MANIFEST:
                    continue
                if name not in files:
                    path.unlink()
                elif _is_whole(path, files[name]):
                    del missing[name]
            damaged += [(sessid, name) for name in missing]
        return damaged

    def cut(self, sessid: str, name: SafeName, committed: int | None) -> None:
        """See ``IStore``."""
        with suppress(FileDamaged):
            self.open(sessid, name, committed).roll_back()

    def sync(self, sessid: str) -> None:
        """See ``IStore``."""
        folders = list(_walk(self.temp / sessid))
        for folder, names in folders:
            for name in names:
                with suppress(FileNotFoundError):  # a piece has just been rolled back
                    if stat.S_ISREG(os.lstat(folder / name).st_mode):  # what else lies there is none of ours
                        sync_file(folder / name)
        for place in (*(folder for folder, _ in folders), self.temp):
            with suppress(FileNotFoundError):
                sync_folder(place)

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
        sync_folder(self.temp)
        shutil.rmtree(gone, ignore_errors=True)

    def folders(self) -> dict[str, float]:
        """See ``IStore``."""
        found = {}
        with os.scandir(self.temp) as entries:
            for entry in entries:
                if SESSID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another worker has removed it meanwhile
                        found[entry.name] = entry.stat(follow_symlinks=False).st_mtime
        return found

    def free(self) -> int:
        """See ``IStore``."""
        return shutil.disk_usage(self.temp).free

    def probe(self) -> None:
        """See ``IStore``: what is written has no name, and vanishes."""
        with tempfile.TemporaryFile(dir=self.temp) as file:
            file.write(b"x")
            file.flush()
