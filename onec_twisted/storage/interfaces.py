"""What a store of files provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.model.description import UploadedFile
    from onec_twisted.model.names import SafeName
    from onec_twisted.model.records import FileRecord, Session, Written

__all__ = ["IFolders", "IStore", "IStoredFile"]


class IStoredFile(Interface):
    """One file, open for one piece. Its methods block: they are called in workers, one at a time."""

    def write(chunks: Sequence[bytes | memoryview]) -> None:
        """Write after what was written before; the first bytes go to the committed length."""

    def splice(pipe: int, size: int) -> None:
        """Write ``size`` bytes from a pipe."""

    def finish() -> Written:
        """Sync all of it to the disk, including the names of new files and folders, and close; return what it is."""

    def keep_first(size: int) -> None:
        """Cut off what was written, in whole or in part, after the first ``size`` bytes."""

    def feed(update: Callable[[bytes], object]) -> None:
        """Pass what was written, from the committed length on, to ``update``, block by block."""

    def repeats(record: FileRecord) -> bool:
        """Return whether what was written equals the last piece of the file, which ``record`` is about."""

    def roll_back() -> None:
        """Restore the file to its state before the piece, or remove it if it did not exist, and close."""


class IFolders(Interface):
    """Where the files of a session are on a disk."""

    def folder(sessid: str) -> str:
        """Return the absolute path of a session's folder, which need not exist."""


class IStore(IFolders):
    """The media root. Its methods block: they are called in workers."""

    def open(session: Session, name: SafeName, committed: int | None) -> IStoredFile:
        """Open a file to write at its committed length in bytes; None makes a new file.

        Anything beyond the committed length is cut off. Raises ``FileDamaged`` if the file is shorter,
        ``FileInTheWay`` if something else is in its place, ``StorageRemoved``.
        """

    def compare(session: Session, name: SafeName, start: int, committed: int) -> IStoredFile:
        """Open a file whose bytes from ``start`` on a piece claims to repeat.

        Its ``write`` writes nothing, and raises ``WrongOffset`` when bytes differ or exceed the committed length.
        """

    def cut(sessid: str, name: SafeName, committed: int | None) -> None:
        """Cut a file that is not open to ``committed`` bytes; None removes it."""

    def open_archive(sessid: str, name: SafeName) -> int:
        """Return a descriptor to read an archive from; the caller closes it. Raises ``OSError``."""

    def sync(sessid: str, name: SafeName | None = None) -> None:
        """Sync a file of a session, or all of them, and their names, to the disk.

        Raises ``SyncFailed`` when the sync itself fails, any other ``OSError`` when it could not be attempted.
        """

    def lost(sessid: str, files: Sequence[UploadedFile]) -> list[str]:
        """Return the names of those files that are missing or too short."""

    def check() -> None:
        """Check that the media root is still the one locked at the start. Raises ``StorageRemoved`` when not."""

    def move(sessid: str, folder: str) -> None:
        """Let a session have a folder of this name from now on; the one before stays. It does not block."""

    def discard(sessid: str) -> None:
        """Remove the session's folder, if it exists."""

    def drop(folder: str) -> None:
        """Remove a folder that is no session's any more, by its name, if it exists."""

    def folders() -> dict[str, float]:
        """Return the names of all folders of sessions, and when each was changed, in seconds since 1970."""

    def free() -> int:
        """Return the disk's free bytes; 0 when few inodes are left."""

    def probe() -> None:
        """Check that files can be written. Raises ``OSError`` when not."""
