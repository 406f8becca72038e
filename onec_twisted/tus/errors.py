"""Every reason to refuse a tus request that 1C's protocol does not have: status, words, headers.

The words are read by a developer at a browser's console; what clients go by is the status.
"""

from __future__ import annotations

from onec_twisted.model.errors import Refused

__all__ = [
    "VERSION",
    "ConcatenationUnsupported",
    "InvalidChecksum",
    "InvalidMetadata",
    "UnsupportedVersion",
    "WrongContentType",
]

VERSION = b"1.0.0"
"""The only version of tus that there is."""


class InvalidMetadata(Refused):
    """``Upload-Metadata`` is not a list of keys and Base64 values."""

    words = "Invalid Upload-Metadata"


class InvalidChecksum(Refused):
    """``Upload-Checksum`` cannot be read, or names an algorithm that is not announced."""

    words = "Invalid Upload-Checksum, or an algorithm that is not supported"


class ConcatenationUnsupported(Refused):
    """``Upload-Concat`` makes a part, or joins parts: taken for a whole file, a part would be handed off."""

    words = "Concatenation is not supported"


class UnsupportedVersion(Refused):
    """``Tus-Resumable`` is missing, or another version than ours."""

    status = 412
    words = "Tus-Resumable must be 1.0.0"
    headers = ((b"Tus-Version", VERSION),)


class WrongContentType(Refused):
    """Bytes of an upload come as ``application/offset+octet-stream``, and as nothing else."""

    status = 415
    words = "Content-Type must be application/offset+octet-stream"
