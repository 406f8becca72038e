"""Fetches the files of a session into a scratch folder, for importers and archives that need them on a disk.

A program finds pictures beside its document, as with one daemon. What was fetched stays for the session's next
hand-off, and goes with its epoch; nothing of it needs to outlive the process. Blocking functions, for workers.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field
from zope.interface import implementer

from onec_twisted.model.segments import UNPACKED, on_disk
from onec_twisted.storage.file import FILE_MODE
from onec_twisted.storage.interfaces import IFolders
from onec_twisted.storage.whole import FOLDER_MODE, NEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["Fetched"]


@implementer(IFolders)
@define(eq=False)
class Fetched:
    """The scratch folders of sessions below ``top``. ``blocks_of`` yields a file, by its sessid, name and length."""

    top: str
    blocks_of: Callable[[str, str, int], Iterable[bytes]]
    _epochs: dict[str, int] = field(factory=dict, init=False)
    """The epoch whose files are in the folder of a session."""

    def prepare(self) -> None:
        """Begin with no folder: what an earlier process has left is of nobody."""
        shutil.rmtree(self.top, ignore_errors=True)
        os.makedirs(self.top, mode=FOLDER_MODE)

    def folder(self, sessid: str) -> str:
        return f"{self.top}/{sessid}"

    def missing(self, sessid: str, epoch: int, files: Mapping[str, int]) -> dict[str, int]:
        """Return those files, by name with their lengths in bytes, that have to be fetched; others' epochs go."""
        folder = self.folder(sessid)
        if self._epochs.get(sessid) != epoch:
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(f"{folder}/{UNPACKED}", mode=FOLDER_MODE)
            self._epochs[sessid] = epoch
        return {name: size for name, size in files.items() if _size(f"{folder}/{on_disk(name)}") != size}

    def fetch(self, sessid: str, name: str, size: int, progress: Callable[[int], None]) -> None:
        """Fetch a file of so many bytes; ``progress`` is called with the bytes of each block.

        It is there as a whole, or not at all. Raises what ``blocks_of`` raises, and ``OSError``.
        """
        folder = self.folder(sessid)
        path = Path(folder, on_disk(name))
        os.makedirs(path.parent, mode=FOLDER_MODE, exist_ok=True)
        beside = Path(folder, UNPACKED, f"{NEW}fetched-{secrets.token_hex(8)}")
        with beside.open("wb") as file:
            for block in self.blocks_of(sessid, name, size):
                file.write(block)
                progress(len(block))
        beside.chmod(FILE_MODE)
        beside.replace(path)

    def sessids(self) -> list[str]:
        """Return the sessions that have a folder."""
        return list(self._epochs)

    def remove(self, sessids: Iterable[str]) -> None:
        """Remove the folders of sessions."""
        for sessid in sessids:
            self._epochs.pop(sessid, None)
            shutil.rmtree(self.folder(sessid), ignore_errors=True)


def _size(path: str) -> int | None:
    """Return the size of a file, None if it is not there."""
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
