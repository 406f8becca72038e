"""Headers of tus, to frozen values and back. No Twisted, no disk."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as Base64Error

from onec_twisted.model.errors import InvalidOffset
from onec_twisted.model.upload_errors import InvalidLength
from onec_twisted.resumable.checksums import DIGEST_SIZES, Checksum
from onec_twisted.tus.errors import InvalidChecksum, InvalidMetadata

__all__ = ["LONGEST_METADATA", "filename_of", "parse_checksum", "parse_length", "parse_metadata", "parse_offset"]

LONGEST_METADATA = 8192
"""Bytes of ``Upload-Metadata``; all headers together may have 16 KiB."""

_NUMBER = re.compile(rb"\d{1,100}")
"""Numbers of bytes: what is larger than there can be is refused for that, and not for being none."""

_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,255}")


def parse_length(length: bytes | None, deferred: bytes | None) -> int | None:
    """Return the length of a new upload in bytes, None when its client does not know it yet.

    ``length`` and ``deferred`` are ``Upload-Length`` and ``Upload-Defer-Length``, of which one must be there. Raises
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
    """Return the place in its file that a request claims, in bytes. Raises ``InvalidOffset``."""
    if raw is None or _NUMBER.fullmatch(raw) is None:
        raise InvalidOffset
    return int(raw)


def _unpacked(value: str) -> bytes:
    """Return what Base64 stands for. Raises ``InvalidMetadata``.

    Browsers and scripts leave padding away, or use the alphabet for URLs (RFC 4648 section 5).
    """
    try:
        return b64decode(value + "=" * (-len(value) % 4), b"-_" if set(value) & set("-_") else None, validate=True)
    except (Base64Error, ValueError):
        raise InvalidMetadata from None


def parse_metadata(raw: bytes | None) -> dict[str, bytes]:
    """Return what an ``Upload-Metadata`` tells: pairs of key and Base64, with commas between them.

    A key without a value stands for an empty one, and a comma may stand at the end: programs write one behind each
    pair. Raises ``InvalidMetadata``, for a key that comes twice as well.
    """
    found: dict[str, bytes] = {}
    if not raw:
        return found
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise InvalidMetadata from None
    if len(text) > LONGEST_METADATA:
        raise InvalidMetadata
    for pair in text.rstrip().removesuffix(",").split(","):
        key, _, value = pair.strip().replace("\t", " ").partition(" ")
        if key in found or _KEY.fullmatch(key) is None:
            raise InvalidMetadata
        found[key] = _unpacked(value.strip(" "))
    return found


def filename_of(metadata: dict[str, bytes]) -> bytes | None:
    """Return the name of the file: ``filename`` as most clients say, or ``name`` as Uppy does; None for neither."""
    return metadata.get("filename") or metadata.get("name")


def parse_checksum(raw: bytes | None) -> Checksum | None:
    """Return what an ``Upload-Checksum`` asks for: an algorithm and a Base64 digest. Raises ``InvalidChecksum``."""
    if raw is None:
        return None
    algorithm, _, value = raw.decode("latin-1").strip().partition(" ")
    size = DIGEST_SIZES.get(algorithm)
    try:
        digest = _unpacked(value.strip(" "))
    except InvalidMetadata:
        raise InvalidChecksum from None
    if size is None or len(digest) != size:
        raise InvalidChecksum
    return Checksum(algorithm, digest)
