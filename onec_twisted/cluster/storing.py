"""Puts what was unpacked on the scratch disk into the store, where a site finds documents and pictures."""

from __future__ import annotations

import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
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
    """Folders of unpacked files, which do not change, each stored once."""

    s3: S3
    _stored: OrderedDict[str, None] = field(factory=OrderedDict, init=False)

    def put(self, folder: str, prefix: str) -> dict[str, tuple[str, int]]:
        """Return the key below ``prefix``, and the size in bytes, of each file in a folder, by its name. Blocks.

        Raises ``InsufficientStorage``, ``OSError``.
        """
        sizes = {from_disk(str(path.relative_to(folder))): path.stat().st_size for path in _files(Path(folder))}
        keys = {name: (f"{prefix}/{name}", size) for name, size in sizes.items()}
        if prefix not in self._stored:
            with ThreadPoolExecutor(PUTS_AT_ONCE) as pool:
                for _ in pool.map(partial(self._put, folder), keys.values(), keys):
                    pass
            self._stored[prefix] = None
            while len(self._stored) > REMEMBERED_FOLDERS:
                self._stored.popitem(last=False)
        return keys

    def _put(self, folder: str, key: tuple[str, int], name: str) -> None:
        path, (at, size) = Path(folder, on_disk(name)), key
        if size <= SMALL_FILE:
            self.s3.put(at, path.read_bytes())
        else:
            self.s3.write(at, _blocks(path), size)


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
