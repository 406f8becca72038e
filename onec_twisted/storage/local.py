"""The media root: the only paths, and blocking functions that run in workers. No Twisted.

The layout on the disk::

    MEDIA_ROOT/1c_temp/exchange.sqlite3          the catalog (0600)
    MEDIA_ROOT/1c_temp/.running                  a daemon runs, or was killed, see ``ending`` (0600)
    MEDIA_ROOT/1c_temp/<sessid>/<filename>       a file: whole pieces as received, nothing else (0644)
    MEDIA_ROOT/1c_temp/<sessid>/manifest.json    what was handed off, by the importer ``keep``
    MEDIA_ROOT/1c_temp/<sessid>/.unpacked/       what was unpacked of its archives, see ``gathering``
    MEDIA_ROOT/1c_temp/<sessid>.<epoch>/         the same after ``init``, if something was imported before it
    MEDIA_ROOT/1c_temp/.gone-<sessid>-<random>   a folder being removed
    MEDIA_ROOT/1c_temp/<sessid>/.lock            held while an importer's program runs, by ``launch`` (0600)

A file's committed length is in the catalog. Bytes beyond it were never acknowledged, and are cut off when the file is
next opened. Modes do not depend on the umask, because the site reads the files as another user. Names are UTF-8 on
the disk, whatever the locale. Anything that others put into a session's folder is never written to, nor followed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from attrs import Factory, field, frozen
from zope.interface import implementer

from onec_twisted.model.errors import FileDamaged, FileInTheWay, InvalidFilename, StorageRemoved
from onec_twisted.model.segments import LOCK, on_disk
from onec_twisted.runtime.descriptors import PIECE_SHARE, is_scarce
from onec_twisted.storage.file import (
    FullDiskTranslated,
    HeldRange,
    NotOurs,
    PieceFile,
    open_at,
    open_to_read,
    sync_file,
    sync_folder,
)
from onec_twisted.storage.folders import (
    NOT_A_NAME,
    check_folder,
    own,
    raise_unless_foreign,
    recover,
    remove,
    walk,
)
from onec_twisted.storage.interfaces import IStore
from onec_twisted.storage.whole import FOLDER_MODE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.model.description import UploadedFile
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import Session

__all__ = ["SCRATCH", "MediaRootTaken", "Store", "path_in"]

GONE = ".gone-"

SCRATCH = "scratch"
"""The folder in a media root for bodies on their way to an object store; see ``daemon.several``."""

SESSID = re.compile(r"([A-Za-z0-9]{1,8}-)?[0-9a-f]{32}(\.[0-9]+)?")
"""The names of sessions' folders, with the name of any ``--shard``; anything else beside them is left alone."""

SYNCED_SESSIONS, SYNCED_FOLDERS = 500, 1000
"""Sessions, and folders of each, remembered as synced; when there are more, all are synced once again."""

FREE_INODE_SHARE = 100
"""One in this many inodes of the disk stays free, like ``--min-free`` of its bytes: empty files take no bytes."""


class MediaRootTaken(Exception):
    """Another daemon is using this media root."""


@implementer(IStore)
@frozen
class Store:
    """The media root at ``media_root``; call ``prepare`` first.

    Without ``synced`` pieces are not synced to the disk one by one; ``sync`` does so for a whole session.
    """

    media_root: Path
    synced: bool = True
    temp: Path = field(default=Factory(lambda self: self.media_root / "1c_temp", takes_self=True), init=False)
    """The folder of all sessions."""
    _naming: Lock = field(factory=Lock, init=False)
    _locks: list[int] = field(factory=list, init=False)
    _places: dict[str, str] = field(factory=dict, init=False)
    """The names of folders that are not their session's sessid, by sessid."""
    _durable: dict[str, set[str]] = field(factory=dict, init=False)
    """For each session, the folders whose own names are known to be on the disk.

    The parents of all others are synced before ``success``: a folder may have been made by a piece that is still on
    its way, or that broke off, and has synced nothing.
    """

    @property
    def database(self) -> Path:
        """The path of the catalog."""
        return self.temp / "exchange.sqlite3"

    def prepare(self) -> None:
        """Make the folder of all sessions, check that it is writable, and finish interrupted removals.

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
            remove(left)

    def lock(self) -> None:
        """Lock the media root for this process, until it ends.

        Raises ``MediaRootTaken`` when another process holds it. The lock ends with the process, however that ends.
        """
        fd = os.open(self.temp / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(fd)
            raise MediaRootTaken from error
        self._locks.append(fd)

    def unlock(self) -> None:
        """Unlock the media root; for tests, which do not end the process."""
        while self._locks:
            os.close(self._locks.pop())

    def check(self) -> None:
        """Check that what was locked at the start still exists under its name."""
        for fd in self._locks:
            try:
                is_there = os.path.samestat(os.fstat(fd), os.stat(self.temp / LOCK))
            except (FileNotFoundError, NotADirectoryError) as error:
                raise StorageRemoved from error
            if not is_there:
                raise StorageRemoved

    def open(self, session: Session, name: SafeName, committed: int | None) -> PieceFile:
        """Raise ``InvalidFilename`` when a folder has the name of a file, or the reverse.

        Raises ``OSError`` while only the descriptors reserved for other purposes are left.
        """
        return self._open(session.sessid, name, committed)

    def _open(self, sessid: str, name: SafeName, committed: int | None, *, is_last: bool = False) -> PieceFile:
        """Open a file; once more if it is not there, as everything may have been missing for a moment."""
        path = _path(self.folder(sessid), name)
        chain = _folders_of(path, len(name.segments))
        try:
            with self._naming, FullDiskTranslated():
                for folder in chain:
                    check_folder(folder, make=committed is None)
                fd = open_at(path, committed)
        except FileDamaged:
            if is_last:
                raise
            self.check()
            return self._open(sessid, name, committed, is_last=True)
        except NotOurs as error:
            with FullDiskTranslated():
                if error.errno == errno.EMLINK and own(Path(self.folder(sessid)), Path(path)):
                    return self._open(sessid, name, committed)
            raise FileInTheWay(name.text) from error
        except FileNotFoundError as error:
            raise StorageRemoved from error  # the folder of all sessions is missing: those below it are made
        except OSError as error:
            if error.errno in NOT_A_NAME:
                self.check()
                raise InvalidFilename from error
            raise
        durable = _durable_of(sessid, self._durable)
        file = PieceFile(path, fd, committed, committed or 0, chain, durable, self._naming, self.synced)
        if is_scarce(fd, PIECE_SHARE):
            file.roll_back()
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)
        return file

    def compare(self, session: Session, name: SafeName, start: int, committed: int) -> HeldRange:
        """Raise ``FileDamaged`` when the file is shorter than what is committed."""
        file = self.open(session, name, committed)
        return HeldRange(file.fd, start, committed)

    def folder(self, sessid: str) -> str:
        return f"{self.temp}/{self._places.get(sessid, sessid)}"

    def open_archive(self, sessid: str, name: SafeName) -> int:
        path = _path(self.folder(sessid), name)
        for folder in _folders_of(path, len(name.segments)):
            check_folder(folder, make=False)
        return open_to_read(path)

    def recover(
        self,
        recorded: dict[str, dict[str, int]],
        strange: Callable[[OSError], None] = lambda _: None,
        cut: Callable[[Path], None] = lambda _: None,
    ) -> list[tuple[str, str]]:
        """Cut every file to its committed length; return those that lost bytes, as sessid and name.

        ``recorded`` comes from the catalog: names and committed lengths in bytes, by sessid. Anything in a session's
        folder without a record is removed, except for the manifest and the importer's lock; a session without any
        record is left to the sweep. ``strange`` is called with the error of anything that may not be read or changed:
        it stays, and does not prevent the start; ``cut`` is called with each file that had more than is on record.
        Blocks; for the start of the daemon, before any request.
        """
        damaged = []
        for sessid, files in recorded.items():
            damaged += [(sessid, name) for name in recover(Path(self.folder(sessid)), files, strange, cut)]
        return damaged

    def lost(self, sessid: str, files: Sequence[UploadedFile]) -> list[str]:
        lost = _not_there(Path(self.folder(sessid)), files)
        if lost:
            self.check()
            lost = _not_there(Path(self.folder(sessid)), files)  # everything may have been missing for a moment
        return lost

    def cut(self, sessid: str, name: SafeName, committed: int | None) -> None:
        with suppress(FileDamaged):
            self._open(sessid, name, committed).roll_back()

    def sync(self, sessid: str, name: SafeName | None = None) -> None:
        if name is not None:
            path = _path(self.folder(sessid), name)
            sync_file(path)
            for above in reversed(_folders_of(path, len(name.segments) + 1)):
                sync_folder(above)
            return
        folders = list(walk(Path(self.folder(sessid)), raise_unless_foreign))
        for folder, names in folders:
            for one in names:
                with suppress(FileNotFoundError, PermissionError):  # just rolled back, or somebody else's
                    if stat.S_ISREG(os.lstat(folder / one).st_mode):  # anything else is not the daemon's
                        sync_file(folder / one)
        for place in (*(folder for folder, _ in folders), self.temp):
            with suppress(FileNotFoundError):
                sync_folder(place)
        self.check()  # nothing was synced of a removed media root

    def move(self, sessid: str, folder: str) -> None:
        self._durable.pop(sessid, None)
        if folder == sessid:
            self._places.pop(sessid, None)
        else:
            self._places[sessid] = folder

    def discard(self, sessid: str) -> None:
        folder = self._places.pop(sessid, sessid)
        try:
            self.drop(folder)
        finally:
            self._durable.pop(sessid, None)

    def drop(self, folder: str) -> None:
        """Rename the folder first, so that anything still being written to it is out of the way."""
        gone = self.temp / f"{GONE}{folder}-{secrets.token_hex(4)}"
        try:
            (self.temp / folder).rename(gone)
        except FileNotFoundError:
            return
        sync_folder(self.temp)
        remove(gone)

    def folders(self) -> dict[str, float]:
        self.check()
        found = {}
        with os.scandir(self.temp) as entries:
            for entry in entries:
                if SESSID.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another worker has removed it in the meantime
                        found[entry.name] = entry.stat(follow_symlinks=False).st_mtime
        return found

    def free(self) -> int:
        try:
            disk = os.statvfs(self.temp)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise StorageRemoved from error
        return 0 if disk.f_favail < disk.f_files // FREE_INODE_SHARE else disk.f_bavail * disk.f_frsize

    def probe(self) -> None:
        """Write a temporary file without a name."""
        self.check()
        with tempfile.TemporaryFile(dir=self.temp) as file:
            file.write(b"x")
            file.flush()


def path_in(folder: str, name: str) -> str:
    """Return the path of a file on record in a session's folder, for who copies it."""
    return f"{folder}/{on_disk(name)}"


def _path(folder: str, name: SafeName) -> str:
    """Return the path of a file in a session's folder; text, because a Path takes longer to make than the file."""
    return f"{folder}/{on_disk(name.text)}"


def _durable_of(sessid: str, of_sessions: dict[str, set[str]]) -> set[str]:
    """Return the folders of a session whose names are known to be on the disk."""
    if len(of_sessions) > SYNCED_SESSIONS:
        of_sessions.clear()
    durable = of_sessions.setdefault(sessid, set())
    if len(durable) > SYNCED_FOLDERS:
        durable.clear()
    return durable


def _folders_of(path: str, count: int) -> list[str]:
    """Return the last ``count`` folders above a path, outermost first."""
    folders: list[str] = []
    for _ in range(count):
        path = path.rpartition("/")[0]
        folders.insert(0, path)
    return folders


def _not_there(folder: Path, files: Sequence[UploadedFile]) -> list[str]:
    """Return the names of files in a session's folder that are missing or too short."""
    lost = []
    for file in files:
        try:
            if (folder / on_disk(file.name)).lstat().st_size < file.size:
                lost.append(file.name)
        except (FileNotFoundError, NotADirectoryError):
            lost.append(file.name)
    return lost
