"""What is recorded about an upload, as values. No Twisted."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from onec_twisted.model.errors import FileDamaged, FileSealed, UploadGone, UploadNotFound
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FileRecord
from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from onec_twisted.model.records import Session

__all__ = [
    "COMPLETE",
    "GONE",
    "LONGEST_METADATA",
    "OPEN",
    "RUFH",
    "TUS",
    "Found",
    "UploadRecord",
    "from_base64",
    "is_whole",
    "unpacked_metadata",
]

OPEN, COMPLETE, GONE = "open", "complete", "gone"
"""The states of an upload."""

TUS, RUFH = "tus", "rufh"
"""The protocols of uploads: an upload is continued and completed by the one that has created it."""

LONGEST_METADATA = 8192
"""Bytes of packed metadata at most; all headers of a request together may have 16 KiB."""

_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,255}")


@frozen
class UploadRecord:
    """An upload: the last part of its URL, its owner, and its file.

    ``length`` is in bytes, None until it is known; ``metadata`` is what the client sent about the file, packed as
    received; ``own`` means that the session was opened for this upload alone; ``received`` is how many bytes of the
    file this upload has added; ``digest`` is that of the whole file, see ``Checksum.packed``, empty if the client has
    sent none.
    """

    id: str
    username: str
    sessid: str
    name: str
    length: int | None
    metadata: str
    own: bool
    received: int = 0
    state: str = OPEN
    protocol: str = TUS
    digest: str = ""

    @property
    def safe_name(self) -> SafeName:
        """Return the name as a path in the session's folder."""
        return SafeName(tuple(self.name.split("/")))

    def completed(self, length: int, received: int) -> UploadRecord:
        """Return it as complete with ``length`` bytes, of which it has ``received``."""
        return evolve(self, length=length, received=received, state=COMPLETE)

    def metadata_as_text(self) -> dict[str, str]:
        """Return the metadata for an importer. It was validated before the upload was created."""
        return {key: decoded(value) for key, value in unpacked_metadata(self.metadata).items()}


@frozen
class Found:
    """An upload, its session and its file; None for those without a record."""

    upload: UploadRecord
    session: Session | None
    file: FileRecord | None

    @property
    def committed(self) -> int:
        """Return the recorded length of the file in bytes."""
        return self.file.committed if self.file is not None else 0

    def check_owner(self, user: str) -> None:
        """Raise ``UploadNotFound`` for any user but its owner."""
        if self.upload.username != user:
            raise UploadNotFound

    def live(self, ended: float, *, busy: bool) -> Session:
        """Return the session of an upload that still exists.

        The session must have been used since ``ended``, in seconds since 1970, unless it is ``busy`` or the upload is
        complete: it then stays until the upload is handed off, and for ``--keep`` after that. Raises ``UploadGone``,
        also for a file that is damaged or longer than the upload, as neither can be repaired. An upload by RUFH is
        also gone when its file has bytes of others, or was handed off: it is what one client has sent, and all of it.
        """
        upload, length = self.upload, self.upload.length
        lost = self.file is not None and self.file.damaged
        outgrown = length is not None and self.committed > length
        if upload.state == GONE or self.session is None or lost or outgrown:
            raise UploadGone
        if upload.protocol == RUFH and upload.state == OPEN:
            taken = self.file is not None and self.file.sealed
            if taken or self.committed != upload.received:
                raise UploadGone
        if self.upload.state == OPEN and self.session.is_over(ended, busy=busy):
            raise UploadGone
        return self.session

    def grown(self, committed: int, now: float, *, complete: bool) -> Found:
        """Return it with ``committed`` bytes of the file recorded, at ``now`` in seconds since 1970."""
        received = self.upload.received + committed - self.committed
        return Found(
            self.upload.completed(committed, received) if complete else evolve(self.upload, received=received),
            evolve(self.session, touched=now) if self.session is not None else None,
            FileRecord(committed, self.committed, proven=True, sealed=complete),
        )

    def check_file(self) -> None:
        """Check that a new upload may continue an existing file.

        Raises ``FileDamaged`` or ``FileSealed``.
        """
        if self.file is not None and self.file.damaged:
            raise FileDamaged
        if self.file is not None and self.file.sealed:
            raise FileSealed


def is_whole(length: int | None, committed: int) -> bool:
    """Return whether a file of ``committed`` bytes completes an upload."""
    return length is not None and length == committed


def unpacked_metadata(packed: str) -> dict[str, bytes]:
    """Parse comma-separated pairs of key and Base64 value into a dictionary.

    A key without a value has an empty one, and a trailing comma is allowed: some programs write one after each pair.
    Raises ``ValueError``, also for a duplicate key.
    """
    found: dict[str, bytes] = {}
    if not packed:
        return found
    for pair in packed.rstrip().removesuffix(",").split(","):
        key, _, value = pair.strip().replace("\t", " ").partition(" ")
        if key in found or _KEY.fullmatch(key) is None:
            raise ValueError(key)
        found[key] = from_base64(value.strip(" "))
    return found


def from_base64(value: str) -> bytes:
    """Decode Base64. Raises ``ValueError``.

    Browsers and scripts omit padding, or use the URL-safe alphabet (RFC 4648 section 5).
    """
    return b64decode(value + "=" * (-len(value) % 4), b"-_" if set(value) & set("-_") else None, validate=True)
