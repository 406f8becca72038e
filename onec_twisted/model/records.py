"""Sessions, files and hand-offs, as they are recorded."""

from __future__ import annotations

from attrs import frozen

__all__ = [
    "FAILED",
    "SETTLED",
    "SUCCEEDED",
    "WAITING",
    "Epoch",
    "FileRecord",
    "Handoff",
    "KeptFolder",
    "Segment",
    "Session",
    "Written",
]

WAITING, SUCCEEDED, FAILED = "waiting", "succeeded", "failed"
"""The states of a hand-off."""

SETTLED = "settled"
"""The event of a hand-off of files whose import no node requested."""


@frozen
class Session:
    """What one ``checkauth`` opened. ``held`` is in bytes, ``touched`` in seconds since 1970."""

    sessid: str
    username: str
    epoch: int
    held: int
    touched: float

    def is_over(self, ended: float, *, busy: bool) -> bool:
        """Return whether it was last used before ``ended``, in seconds since 1970, and is not ``busy``."""
        return self.touched < ended and not busy


@frozen
class Epoch:
    """What ``init`` begins in a session: its number, and the name of the folder for its files.

    ``has_moved`` means that the files before it are kept in another folder; ``outdated`` are the folders that are no
    longer kept.
    """

    number: int
    folder: str
    has_moved: bool = False
    outdated: tuple[str, ...] = ()


@frozen
class KeptFolder:
    """The folder of an earlier epoch: when its last import succeeded, in seconds since 1970, and whose it is.

    ``username`` is empty once nobody remembers that.
    """

    folder: str
    changed: float
    username: str


@frozen
class FileRecord:
    """What is recorded about a file: lengths in bytes, see ``SCHEMA``.

    ``answer`` names the answer to the last piece that counts, ``digest`` is that of the piece (see ``Written``); both
    are empty in a local store.
    """

    committed: int
    last_start: int
    proven: bool = False
    damaged: bool = False
    sealed: bool = False
    answer: str = ""
    digest: bytes = b""


@frozen
class Segment:
    """A run of a file's bytes in an object store: ``length`` bytes from ``start`` on.

    ``object`` is the key of the object that holds them, ``digest`` their SHA-256.
    """

    start: int
    length: int
    object: str
    digest: bytes


@frozen
class Written:
    """What an append has written: the file is ``length`` bytes long now.

    In an object store the ``segments`` hold the bytes of this append, and ``digest`` is the SHA-256 of the SHA-256s
    of its cuts. Both are empty in a local store.
    """

    length: int
    segments: tuple[Segment, ...] = ()
    digest: bytes = b""


@frozen
class Handoff:
    """Something to be delivered to the site: files of a session, or an event.

    ``number`` is its place in the order of all hand-offs, ``id`` identifies it to the site. ``event`` is ``import``,
    ``upload``, ``settled``, ``complete`` or ``deactivate``; ``filename`` is the file that the node wants imported, or
    that was uploaded, ``archive`` the uploaded archive that contains it, both empty for other events; ``timestamp``
    is what came with ``deactivate``.
    ``files`` are names and lengths in bytes, ``count`` is how many there are: those of ``settled`` are read when
    needed. ``created`` is in seconds since 1970. ``tries`` is the number of attempts so far, ``words`` the importer's
    last message; ``failure_reported`` is set once the node has received the failure. ``metadata`` is what a tus
    client sent about its file, as a JSON object of texts; empty for other events. ``checked`` is what was found in
    its documents, as JSON; empty if nothing was yet. ``superseded`` is set when a newer hand-off of the user has
    brought a document of this one to the site: it must not be delivered any more.
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
    failure_reported: bool = False
    count: int = 0
    metadata: str = ""
    checked: str = ""
    superseded: bool = False
