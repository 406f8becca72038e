"""What a store of files provides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zope.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onec_twisted.model.description import UploadedFile
    from onec_twisted.model.names import SafeName

__all__ = ["IStore", "IStoredFile"]


class IStoredFile(Interface):
    """One file, open for one piece. Its functions block: they are called in workers, one at a time."""

    def write(chunks: Sequence[bytes]) -> None:
        """Write behind what was written before; the first piece of bytes goes to the committed length."""

    def splice(pipe: int, size: int) -> None:
        """Write ``size`` bytes that wait in a pipe."""

    def finish() -> None:
        """Bring all of it to the disk, names of new files and folders included, and close."""

    def keep_first(size: int) -> None:
        """Take back what was written, in whole or in part, behind the first ``size`` bytes of it."""

    def feed(update: Callable[[bytes], object]) -> None:
        """Pass on what was written, from the committed length on, piece by piece."""

    def repeats(start: int) -> bool:
        """Return whether what was written equals, byte for byte, the committed bytes from ``start`` on."""

    def roll_back() -> None:
        """Make the file what it was before the piece, or remove it if it was not there, and close."""


class IStore(Interface):
    """The media root. Its functions block: they are called in workers."""

    def open(sessid: str, name: SafeName, committed: int | None) -> IStoredFile:
        """Open a file to write at its committed length in bytes; None makes a new file.

        What lies behind the committed length is cut off. Raises ``FileDamaged`` when the file is shorter,
        ``FileInTheWay`` for what is none of ours, ``StorageRemoved``.
        """

    def compare(sessid: str, name: SafeName, start: int, committed: int) -> IStoredFile:
        """Open a file whose bytes from ``start`` on a piece claims to repeat.

        Its ``write`` writes nothing, and raises ``WrongOffset`` when bytes differ, or go beyond what is committed.
        """

    def cut(sessid: str, name: SafeName, committed: int | None) -> None:
        """Make a file that is not open exactly ``committed`` bytes long; None removes it."""

    def folder(sessid: str) -> str:
        """Return the absolute path of a session's folder, which need not be there."""

    def open_archive(sessid: str, name: SafeName) -> int:
        """Return a descriptor to read an archive from; whoever asks closes it. Raises ``OSError``."""

    def sync(sessid: str, name: SafeName | None = None) -> None:
        """Bring a file of a session, or all, and their names, to the disk.

        Raises ``SyncFailed`` when the disk did not take them, any other ``OSError`` when it could not be asked.
        """

    def lost(sessid: str, files: Sequence[UploadedFile]) -> list[str]:
        """Return the names of those files that are not there, or are shorter."""

    def check() -> None:
        """See that the media root is the one that we began with; raises ``StorageRemoved`` when not."""

    def discard(sessid: str) -> None:
        """Remove the session's folder; that it is not there is fine."""

    def folders() -> dict[str, float]:
        """Return the sessids that have a folder, and when it was changed, in seconds since 1970."""

    def free() -> int:
        """Return the bytes that the disk has left for us; none when it could hence hold few other files."""

    def probe() -> None:
        """See that something can be written; raises ``OSError`` when not."""
