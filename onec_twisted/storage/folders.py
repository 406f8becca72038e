"""Walk, recover and remove a session's folder, and read and write its manifest.

Others may have put things there: symbolic links are never followed, and only the daemon's own files are written to.
Blocking functions, no Twisted.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from onec_twisted.model.errors import FileDamaged
from onec_twisted.model.segments import LOCK, MANIFEST, UNPACKED, from_disk, on_disk
from onec_twisted.storage.file import FILE_MODE, NotOurs, open_at, open_to_read, sync_file, sync_folder
from onec_twisted.storage.gathering import links_of
from onec_twisted.storage.whole import FOLDER_MODE, NEW, remove_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "NOT_A_NAME",
    "check_folder",
    "modified",
    "own",
    "raise_unless_foreign",
    "read_manifest",
    "recover",
    "remove",
    "walk",
    "write_manifest",
]

COPY_BLOCK = 1024 * 1024
"""Bytes copied at a time."""

NOT_A_NAME = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""Errors for a path that cannot be a file's."""


def walk(folder: Path, report: Callable[[OSError], None]) -> Iterator[tuple[Path, list[str]]]:
    """Yield a folder and those below it, each with the names of everything in it that is not a folder.

    What was unpacked is left out. Symbolic links are not followed: a link to a folder is not a folder, and if the
    first is a link, nothing is yielded. ``report`` is called with the error of a folder that cannot be read.
    """

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            report(error)

    if folder.is_symlink():
        return
    for place, folders, names in os.walk(folder, onerror=fail):
        if place == str(folder):
            folders[:] = [name for name in folders if name != UNPACKED or Path(place, name).is_symlink()]
        yield Path(place), names + [name for name in folders if Path(place, name).is_symlink()]


def own(folder: Path, path: Path) -> bool:
    """Give an upload a copy of its own if other names of it were gathered for importers, and no others exist.

    They keep what an importer has been given; what is appended is the upload's alone. Return whether it has one now.
    """
    fd = open_to_read(path)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        name = from_disk(path.relative_to(folder).as_posix())
        if status.st_nlink != links_of(str(folder), name, status.st_ino) + 1:
            return False
        beside = folder / UNPACKED / f"{NEW}own-{secrets.token_hex(8)}"
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as copy:
                shutil.copyfileobj(file, copy, COPY_BLOCK)
            beside.chmod(FILE_MODE)
            sync_file(beside)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def _is_whole(folder: Path, path: Path, committed: int, cut: Callable[[Path], None]) -> bool:
    """Cut off what was never acknowledged; return whether a file has its committed length.

    ``cut`` is called with a file that is too long. Raises ``NotOurs`` for a file that cannot be cut or opened.
    """
    try:
        if path.lstat().st_size != committed or not stat.S_ISREG(path.lstat().st_mode):
            if _is_longer(path, committed):
                cut(path)
            try:
                os.close(open_at(path, committed))
            except NotOurs as error:
                if error.errno != errno.EMLINK or not own(folder, path):
                    raise
                os.close(open_at(path, committed))
    except (FileDamaged, FileNotFoundError):
        return False
    except OSError as error:
        if error.errno in NOT_A_NAME:
            return False
        raise
    return True


def _is_longer(path: Path, committed: int) -> bool:
    """Return whether a file has more bytes than were acknowledged."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > committed


def raise_unless_foreign(error: OSError) -> None:
    """Raise an error, unless it concerns another user's folder."""
    if not isinstance(error, PermissionError):
        raise error


def _cannot_be_seen(path: Path) -> bool:
    """Return whether permissions forbid even checking that a file exists."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def remove(left: Path) -> None:
    """Remove a former session's folder, or whatever is in its place, as far as permissions allow."""
    if left.is_dir() and not left.is_symlink():
        shutil.rmtree(left, ignore_errors=True)
    else:
        with suppress(OSError):
            left.unlink()


def check_folder(folder: str | Path, *, make: bool) -> None:
    """Check that a file's parent is a folder, and not a symbolic link: links are never followed.

    A missing folder is made with ``make``; otherwise it raises ``FileDamaged``.
    """
    try:
        mode = os.lstat(folder).st_mode
    except FileNotFoundError as error:
        if not make:
            raise FileDamaged from error
        os.mkdir(folder)
        os.chmod(folder, FOLDER_MODE)
    else:
        if not stat.S_ISDIR(mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))


def read_manifest(folder: str) -> bytes:
    """Return the manifest in a session's folder; empty if there is none, or if something else is in its place."""
    try:
        fd = open_to_read(Path(folder, MANIFEST))
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            return b""
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return b""
    with os.fdopen(fd, "rb") as file:
        return file.read()


def write_manifest(folder: str, content: bytes) -> None:
    """Write a manifest into a session's folder atomically, by a temporary file and a rename. Makes the folder.

    Anything else with its name, or the temporary file's, is replaced, and never written to.
    """
    place = Path(folder)
    try:
        check_folder(place, make=False)
    except FileDamaged:
        check_folder(place, make=True)
        sync_folder(place.parent)
    beside = place / f".{MANIFEST}"
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as file:
        file.write(content)
    beside.chmod(FILE_MODE)
    sync_file(beside)
    beside.replace(place / MANIFEST)
    sync_folder(place)


def modified(folder: str, name: str) -> float:
    """Return when a file was last written to, in seconds since 1970."""
    return Path(folder, on_disk(name)).lstat().st_mtime


def recover(
    folder: Path, files: dict[str, int], strange: Callable[[OSError], None], cut: Callable[[Path], None]
) -> list[str]:
    """Cut every file of a session to its committed length; return those that lost bytes.

    ``files`` maps names to committed lengths in bytes. See ``Store.recover``.
    """
    missing = dict(files)
    places = []
    unpacked = folder / UNPACKED
    if unpacked.is_dir() and not unpacked.is_symlink():
        if files:
            remove_unfinished(str(unpacked))
        else:
            remove(unpacked)  # it is from before an ``init``
    for place, names in walk(folder, strange):
        places.append(place)
        for path in (place / name for name in names):
            name = from_disk(path.relative_to(folder).as_posix())
            try:
                if name in (MANIFEST, LOCK):
                    continue
                if name not in files:
                    if _is_longer(path, 0):
                        cut(path)
                    path.unlink()
                elif _is_whole(folder, path, files[name], cut):
                    del missing[name]
            except OSError as error:
                strange(error)
    for place in reversed(places[1:]):
        with suppress(OSError):
            place.rmdir()  # an empty folder would block a file of its name
    return [name for name in missing if not _cannot_be_seen(folder / on_disk(name))]
