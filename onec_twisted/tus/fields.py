"""Parse and format the headers of tus. No Twisted, no disk."""

from __future__ import annotations

import re

from onec_twisted.model.errors import InvalidLength, InvalidOffset
from onec_twisted.model.uploads import LONGEST_METADATA, from_base64, unpacked_metadata
from onec_twisted.resumable.checksums import DIGEST_SIZES, Checksum
from onec_twisted.tus.errors import InvalidChecksum, InvalidMetadata

__all__ = [
    "filename_of",
    "offset_header",
    "parse_checksum",
    "parse_length",
    "parse_metadata",
    "parse_offset",
]

_NUMBER = re.compile(rb"\d{1,100}")
"""A number of bytes; an impossibly large one is rejected for its size, not as malformed."""


def parse_length(length: bytes | None, deferred: bytes | None) -> int | None:
    """Return the length of a new upload in bytes, None when its client does not know it yet.

    ``length`` and ``deferred`` are ``Upload-Length`` and ``Upload-Defer-Length``; exactly one must be present. Raises
    ``InvalidLength``.
    """
    if deferred is not None:
        if deferred != b"1" or length is not None:
            raise InvalidLength
        return None
    if length is None or _NUMBER.fullmatch(length) is None:
        raise InvalidLength
    return int(length)


def parse_offset(raw: bytes | None) -> int:
    """Return the offset in its file that a request claims, in bytes. Raises ``InvalidOffset``."""
    if raw is None or _NUMBER.fullmatch(raw) is None:
        raise InvalidOffset
    return int(raw)


def offset_header(committed: int) -> tuple[bytes, bytes]:
    """Return the header that reports how many bytes of an upload are on record."""
    return b"Upload-Offset", b"%d" % committed


def parse_metadata(raw: bytes | None) -> dict[str, bytes]:
    """Parse ``Upload-Metadata``: pairs of key and Base64 value, separated by commas.

    A key without a value has an empty one, and a trailing comma is allowed: some programs write one after each pair.
    Raises ``InvalidMetadata``, also for a duplicate key.
    """
    if not raw:
        return {}
    try:
        if len(raw) > LONGEST_METADATA:
            raise InvalidMetadata
        return unpacked_metadata(raw.decode("ascii"))
    except ValueError:
        raise InvalidMetadata from None


def filename_of(metadata: dict[str, bytes]) -> bytes | None:
    """Return the file's name: ``filename`` as most clients send it, or ``name`` as Uppy does; None for neither."""
    return metadata.get("filename") or metadata.get("name")


def parse_checksum(raw: bytes | None) -> Checksum | None:
    """Parse ``Upload-Checksum``: an algorithm and a Base64 digest. Raises ``InvalidChecksum``."""
    if raw is None:
        return None
    algorithm, _, value = raw.decode("latin-1").strip().partition(" ")
    size = DIGEST_SIZES.get(algorithm)
    try:
        digest = from_base64(value.strip(" "))
    except ValueError:
        raise InvalidChecksum from None
    if size is None or len(digest) != size:
        raise InvalidChecksum
    return Checksum(algorithm, digest)
