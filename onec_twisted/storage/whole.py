"""Folders that are whole, on the disk and under their name, or not there: they are made beside it, and renamed.

Blocking functions, which ``prepare`` runs in a process of its own: nothing is imported that would slow its start.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress

from onec_twisted.model.segments import on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FOLDER_MODE", "NEW", "drop", "locked", "made", "open_below", "remove_unfinished", "sync", "sync_tree"]

FOLDER_MODE = 0o755

NEW, LOCK = ".new-", ".lock"
"""How the name of a folder that is being made begins, and the file that is locked meanwhile."""

FEW_FILES = 100
"""Files that are synced one by one; more of them by one sync of the disk, which takes what others have written."""


def remove_unfinished(home: str) -> None:
    """Remove what was being made when a process ended, as far as that is possible."""
    for entry in list(os.scandir(home)):
        if entry.name.startswith(NEW):
            with suppress(OSError):
                _remove(entry)


def _remove(entry: os.DirEntry[str]) -> None:
    """Remove a file, or a folder with all that is in it; links are not followed."""
    if entry.is_dir(follow_symlinks=False):
        _remove_folder(entry.path)
    else:
        os.unlink(entry.path)


def _remove_folder(folder: str) -> None:
    for entry in list(os.scandir(folder)):
        _remove(entry)
    os.rmdir(folder)


def open_below(base: str, name: str) -> int:
    """Open a file below a folder to read. Raises ``OSError``; links are not followed."""
    folder = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    *above, last = on_disk(name).split("/")
    try:
        for segment in above:
            below = os.open(segment, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(last, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)


def sync(path: str) -> None:
    """Sync a file or a folder to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sync_disk(folder: str) -> None:
    """Sync all of the disk that a folder is on, or all disks where the system cannot do that."""
    import ctypes  # slow to import, and seldom needed

    sync = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    fd = os.open(folder, os.O_RDONLY)
    try:
        if sync is None:
            os.sync()
        elif sync(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(fd)


def sync_tree(folder: str, files: int) -> None:
    """Sync what lies in a folder, and its names, to the disk."""
    if files > FEW_FILES:
        _sync_disk(folder)
        return
    for place, _, names in os.walk(folder):
        for name in names:
            sync(f"{place}/{name}")
        sync(place)


def drop(home: str, key: str) -> None:
    """Remove the folder of a key, if it is there."""
    with suppress(FileNotFoundError):
        os.rename(f"{home}/{key}", f"{home}/{NEW}old-{key}")
        _remove_folder(f"{home}/{NEW}old-{key}")


@contextmanager
def made(home: str, key: str) -> Iterator[str]:
    """Make a folder of a key below ``home``; the block fills it, and syncs what has to be on the disk."""
    new = f"{home}/{NEW}{key}"
    os.mkdir(new, FOLDER_MODE)
    try:
        yield new
        os.rename(new, f"{home}/{key}")
    except BaseException:
        _remove_folder(new)
        raise
    sync(home)


@contextmanager
def locked(home: str) -> Iterator[None]:
    """Hold the lock of such folders, made if they are missing, and remove what is unfinished. Raises ``OSError``."""
    with suppress(FileExistsError):
        os.mkdir(home, FOLDER_MODE)
    if not stat.S_ISDIR(os.lstat(home).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), home)
    fd = os.open(f"{home}/{LOCK}", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        remove_unfinished(home)
        yield
    finally:
        os.close(fd)
