"""Fetches the files of a session into a scratch folder, for importers and archives that need them on a disk.

A program finds pictures beside its document, as with one daemon. For a site, which reads the store itself, only
what is unpacked or checked here is fetched; in place of the rest there are empty files, by which the check sees that
a picture has come. What was fetched stays for the session's next hand-off, and goes with its epoch; nothing of it
needs to outlive the process. Blocking functions, for workers.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, field, frozen
from zope.interface import implementer

from onec_twisted.model.segments import UNPACKED, on_disk
from onec_twisted.storage.file import FILE_MODE
from onec_twisted.storage.gathering import FILLED
from onec_twisted.storage.interfaces import IFolders
from onec_twisted.storage.whole import FOLDER_MODE, NEW

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = ["Fetched"]


@frozen
class _Folder:
    """What is in the folder of a session: files of this epoch, all of them with their bytes, or some empty."""

    epoch: int
    is_whole: bool


@implementer(IFolders)
@define(eq=False)
class Fetched:
    """The scratch folders of sessions below ``top``. ``blocks_of`` yields a file, by its sessid, name and length."""

    top: str
    blocks_of: Callable[[str, str, int], Iterable[bytes]]
    _folders: dict[str, _Folder] = field(factory=dict, init=False)
    """The folders of sessions."""

    def prepare(self) -> None:
        """Begin with no folder: what an earlier process has left is of nobody."""
        shutil.rmtree(self.top, ignore_errors=True)
        os.makedirs(self.top, mode=FOLDER_MODE)

    def folder(self, sessid: str) -> str:
        return f"{self.top}/{sessid}"

    def missing(
        self, sessid: str, epoch: int, files: Mapping[str, int], needed: Collection[str] | None = None
    ) -> dict[str, int]:
        """Return those of a session's files, by name with their lengths in bytes, that have to be fetched.

        ``needed`` are the names of those that are read here, None if all are. What is there of another epoch goes.
        Raises ``OSError``.
        """
        folder, before, now = self.folder(sessid), self._folders.get(sessid), _Folder(epoch, needed is None)
        if before not in (now, _Folder(epoch, is_whole=True)):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(f"{folder}/{UNPACKED}", mode=FOLDER_MODE)
        self._folders[sessid] = now
        read = files if needed is None else {name: files[name] for name in needed}
        for name in files.keys() - read.keys():
            _make_empty(Path(folder, on_disk(name)))
        return {name: size for name, size in read.items() if _size(f"{folder}/{on_disk(name)}") != size}

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
        for filled in Path(folder, UNPACKED).glob(f"*/{FILLED}"):
            filled.unlink()  # links there may lead to the empty file before it: they are made anew

    def sessids(self) -> list[str]:
        """Return the sessions that have a folder."""
        return list(self._folders)

    def remove(self, sessids: Iterable[str]) -> None:
        """Remove the folders of sessions."""
        for sessid in sessids:
            self._folders.pop(sessid, None)
            shutil.rmtree(self.folder(sessid), ignore_errors=True)


def _make_empty(path: Path) -> None:
    """Make an empty file, unless there is one."""
    if not path.exists():
        os.makedirs(path.parent, mode=FOLDER_MODE, exist_ok=True)
        path.touch(FILE_MODE)


def _size(path: str) -> int | None:
    """Return the size of a file, None if it is not there."""
    try:
        return os.lstat(path).st_size
    except (FileNotFoundError, NotADirectoryError):
        return None
