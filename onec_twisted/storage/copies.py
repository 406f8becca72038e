"""Copies of files that may grow meanwhile: exactly so many bytes, by the file system itself where it can."""

from __future__ import annotations

import errno
import os

from onec_twisted.model.errors import FileDamaged
from onec_twisted.storage.file import open_to_read

__all__ = ["copy_bytes"]

AT_ONCE = 64 * 1024 * 1024
"""Bytes that the kernel is asked to copy in one call."""

CANNOT_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM})
"""Errors of a kernel or file system that cannot copy by itself."""


def copy_bytes(path: str, to: str, size: int) -> None:
    """Copy the first ``size`` bytes of a file to a new one, whose folders are made, and sync it. Blocks.

    A hard link would not do: the daemon writes to no file that has another name. Raises ``FileDamaged`` if the file
    is shorter, and ``OSError``.
    """
    os.makedirs(to.rpartition("/")[0], exist_ok=True)
    source = open_to_read(path)
    try:
        target = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o640)
        try:
            left = size
            while left:
                copied = _some(source, target, min(left, AT_ONCE))
                if not copied:
                    raise FileDamaged
                left -= copied
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _some(source: int, target: int, most: int) -> int:
    """Copy some bytes from where both files are; return how many, 0 at the end."""
    if hasattr(os, "copy_file_range"):
        try:
            return os.copy_file_range(source, target, most)
        except OSError as error:
            if error.errno not in CANNOT_COPY:
                raise
    data = os.read(source, min(most, 1024 * 1024))
    left = memoryview(data)
    while left:
        left = left[os.write(target, left) :]
    return len(data)
