"""Sessions, files and hand-offs, as they are on record."""

from __future__ import annotations

from attrs import frozen

__all__ = ["FAILED", "SETTLED", "SUCCEEDED", "WAITING", "FileRecord", "Handoff", "Session"]

WAITING, SUCCEEDED, FAILED = "waiting", "succeeded", "failed"
"""The states of a hand-off."""

SETTLED = "settled"
"""The event of a hand-off of files that nobody asked to import."""


@frozen
class Session:
    """What one ``checkauth`` opened. ``held`` is in bytes, ``touched`` in seconds since 1970."""

    sessid: str
    username: str
    epoch: int
    held: int
    touched: float

    def is_over(self, ended: float, *, busy: bool) -> bool:
        """Return whether nobody has touched it since a moment, in seconds since 1970; one that is busy is in use."""
        return self.touched < ended and not busy


@frozen
class FileRecord:
    """What is known of a file: lengths in bytes, see ``SCHEMA``."""

    committed: int
    last_start: int
    proven: bool = False
    damaged: bool = False
    sealed: bool = False


@frozen
class Handoff:
    """Something that the site is owed: files of a session, or word of an event.

    ``number`` is its place in the order of all, ``id`` is what the site knows it by. ``event`` is ``import``,
    ``upload``, ``settled``, ``complete`` or ``deactivate``; ``filename`` is what the node wants imported, or
    what was uploaded, ``archive`` the uploaded archive that it lies in, both empty for other events; ``timestamp`` is
    what came with ``deactivate``.
    ``files`` are names and lengths in bytes, ``count`` is how many there are: those that were settled are read when
    they are needed. ``created`` is in seconds since 1970. ``tries`` have been made, ``words`` are the last that the
    importer had; ``told`` says that the node has heard of its failure. ``metadata`` is what a tus client told of its
    file, as a JSON object of texts; empty for other events.
    """

    number: int
    id: str
    sessid: str
    username: str
    event: str
    type: str
    filename: str
    archive: str
    timestamp: str
    files: tuple[tuple[str, int], ...]
    created: float
    state: str = WAITING
    tries: int = 0
    words: str = ""
    told: bool = False
    count: int = 0
    metadata: str = ""
