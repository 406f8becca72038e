"""Puts what was unpacked on the scratch disk into the store, where a site finds documents and pictures."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field

from onec_twisted.model.segments import from_disk, on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onec_twisted.cluster.s3 import S3

__all__ = ["StoredFolders"]

PUT_BLOCK = 1024 * 1024
"""Bytes of a file that are read at a time."""

PUTS_AT_ONCE = 8
"""Files of one folder that are put at the same time: thousands of pictures take a while otherwise."""

SMALL_FILE = 4 * 1024 * 1024
"""Bytes of a file up to which it is put in one request."""

REMEMBERED_FOLDERS = 1000
"""Folders that are remembered as stored: the documents of an archive are handed off one after another."""


@define(eq=False)
class StoredFolders:
    """Folders of unpacked files, each stored once, and again when it has changed."""

    s3: S3
    _stored: OrderedDict[str, bytes] = field(factory=OrderedDict, init=False)
    """By the prefix of a folder, the digest of what is in it."""

    def put(self, folder: str, uploads: str, prefix: str) -> dict[str, tuple[str, int]]:
        """Return the key below ``prefix``, and the size in bytes, of each file in a folder, by its name. Blocks.

        Links to files in the folder ``uploads`` are left out: those are in the store as they were uploaded. Raises
        ``InsufficientStorage``, ``OSError``.
        """
        sizes, digest = {}, hashlib.blake2b()
        for path in sorted(_files(Path(folder))):
            name, status = path.relative_to(folder), path.stat()
            if not _is(status, Path(uploads, name)):
                sizes[from_disk(str(name))] = status.st_size
                digest.update(f"{name} {status.st_ino} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        keys = {name: (f"{prefix}/{name}", size) for name, size in sizes.items()}
        if self._stored.get(prefix) != digest.digest():
            with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
                for _ in pool.map(partial(self._put, folder), keys.values(), keys):
                    pass
            self._stored[prefix] = digest.digest()
            while len(self._stored) > REMEMBERED_FOLDERS:
                self._stored.popitem(last=False)
        return keys

    def _put(self, folder: str, key: tuple[str, int], name: str) -> None:
        path, (at, size) = Path(folder, on_disk(name)), key
        if size <= SMALL_FILE:
            self.s3.put(at, path.read_bytes())
        else:
            self.s3.write(at, _blocks(path), size)


def _is(status: os.stat_result, path: Path) -> bool:
    """Return whether a path leads to a file."""
    with suppress(FileNotFoundError, NotADirectoryError):
        found = path.lstat()
        return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)
    return False


def _files(folder: Path) -> Iterator[Path]:
    """Yield the regular files in a folder, and in those below."""
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _blocks(path: Path) -> Iterator[bytes]:
    """Yield the content of a file."""
    with path.open("rb") as file:
        yield from iter(partial(file.read, PUT_BLOCK), b"")
