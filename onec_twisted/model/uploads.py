"""What is on record of an upload, as values. No Twisted."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from onec_twisted.model.errors import FileDamaged, FileSealed
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import FileRecord
from onec_twisted.model.text import decoded
from onec_twisted.model.upload_errors import UploadGone, UploadNotFound

if TYPE_CHECKING:
    from onec_twisted.model.records import Session

__all__ = [
    "COMPLETE",
    "GONE",
    "OPEN",
    "Found",
    "UploadRecord",
    "from_base64",
    "is_whole",
    "unpacked_metadata",
]

OPEN, COMPLETE, GONE = "open", "complete", "gone"
"""The states of an upload."""

_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,255}")


@frozen
class UploadRecord:
    """An upload: its URL's last part, whose it is, and the file that it is about.

    ``length`` is in bytes, None until it is known; ``metadata`` is what its client says of the file, packed as it
    came; ``own`` says that the session was made for it alone; ``brought`` is how many bytes of the file it has
    brought.
    """

    id: str
    username: str
    sessid: str
    name: str
    length: int | None
    metadata: str
    own: bool
    brought: int = 0
    state: str = OPEN

    @property
    def safe_name(self) -> SafeName:
        """Return the name as a path in the session's folder."""
        return SafeName(tuple(self.name.split("/")))

    def metadata_as_text(self) -> dict[str, str]:
        """Return the metadata for an importer. It was seen to be well-formed before the upload was made."""
        return {key: decoded(value) for key, value in unpacked_metadata(self.metadata).items()}


@frozen
class Found:
    """An upload, its session and its file; None for what is not on record."""

    upload: UploadRecord
    session: Session | None
    file: FileRecord | None

    @property
    def committed(self) -> int:
        """Return the bytes of the file that are on record."""
        return self.file.committed if self.file is not None else 0

    def check_owner(self, user: str) -> None:
        """Raise ``UploadNotFound`` for another user than its own."""
        if self.upload.username != user:
            raise UploadNotFound

    def live(self, ended: float, *, busy: bool) -> Session:
        """Return the session of an upload that is there.

        ``ended`` is the moment, in seconds since 1970, since which its session must have been touched, unless it is
        ``busy`` or the upload is complete: its session then stays until it was handed off, and ``--keep`` after
        that. Raises ``UploadGone``; so does a file that has been lost or has outgrown the upload, for that never
        mends.
        """
        length = self.upload.length
        lost = self.file is not None and self.file.damaged
        outgrown = length is not None and self.committed > length
        if self.upload.state == GONE or self.session is None or lost or outgrown:
            raise UploadGone
        if self.upload.state == OPEN and self.session.is_over(ended, busy=busy):
            raise UploadGone
        return self.session

    def grown(self, committed: int, now: float, *, complete: bool) -> Found:
        """Return it as it stands when so many bytes of the file are on record, at a moment in seconds since 1970."""
        brought = self.upload.brought + committed - self.committed
        return Found(
            evolve(self.upload, brought=brought, state=COMPLETE if complete else self.upload.state),
            evolve(self.session, touched=now) if self.session is not None else None,
            FileRecord(committed, self.committed, proven=True, sealed=complete),
        )

    def check_file(self) -> None:
        """See that a new upload may go on with a file that is there.

        Raises ``FileDamaged`` or ``FileSealed``.
        """
        if self.file is not None and self.file.damaged:
            raise FileDamaged
        if self.file is not None and self.file.sealed:
            raise FileSealed


def is_whole(length: int | None, committed: int) -> bool:
    """Return whether a file of so many bytes is all of an upload."""
    return length is not None and length == committed


def unpacked_metadata(packed: str) -> dict[str, bytes]:
    """Return pairs of key and Base64, with commas between them, as a dictionary.

    A key without a value stands for an empty one, and a comma may stand at the end: programs write one behind each
    pair. Raises ``ValueError``, for a key that comes twice as well.
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
    """Return what Base64 stands for. Raises ``ValueError``.

    Browsers and scripts leave padding away, or use the alphabet for URLs (RFC 4648 section 5).
    """
    return b64decode(value + "=" * (-len(value) % 4), b"-_" if set(value) & set("-_") else None, validate=True)
