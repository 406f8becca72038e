"""Refusals because of a file's name, offset or state."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused, RetryLater

__all__ = [
    "FileBusy",
    "FileDamaged",
    "FileInTheWay",
    "FileSealed",
    "InvalidFilename",
    "InvalidOffset",
    "MissingFilename",
    "WrongOffset",
]


class MissingFilename(Refused):
    """``mode=file`` or ``mode=import`` without a name."""

    words = "Missing filename"


class InvalidFilename(Refused):
    """The name would leave the session's folder, or no file system could store it."""

    words = "Invalid filename"


class InvalidOffset(Refused):
    """``Upload-Offset`` or ``Content-Range`` is malformed, or they contradict each other."""

    words = "Invalid offset"


class WrongOffset(Refused):
    """A piece with an offset does not begin where the file ends, and its bytes are not stored already."""

    status = 409

    def __init__(self, committed: int) -> None:
        """Report the file's committed length in bytes, where the next piece has to begin."""
        super().__init__(committed)
        self.committed = committed
        self.words = f"Expected offset {committed}"


class FileSealed(Refused):
    """The file was handed off: what was reported to the site must not change."""

    status, words = 409, "File was handed off already - init starts anew"


class FileBusy(RetryLater):
    """The file's lock was not available within ``--lock-timeout``."""

    words = "File busy - retry later"


class FileDamaged(Refused):
    """The file on disk is shorter than what was acknowledged; only ``init`` resolves this."""

    status, words = 500, "File damaged"


class FileInTheWay(Refused):
    """Something that we did not create is in a file's place; we never write to it, and ``init`` moves it away."""

    status = 503
    headers = ((b"Retry-After", b"60"),)

    def __init__(self, name: str) -> None:
        """Name the file, relative to its session's folder."""
        super().__init__(name)
        self.words = f"Something else is in the place of {name} - tell the server's administrator"
