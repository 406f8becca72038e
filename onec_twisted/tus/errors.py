"""The refusals of tus requests that 1C's protocol does not have: status, words, headers.

The words are for a developer at a browser's console; clients rely on the status.
"""

from __future__ import annotations

from onec_twisted.model.errors import Refused

__all__ = [
    "ConcatenationUnsupported",
    "InvalidChecksum",
    "InvalidMetadata",
    "WrongContentType",
]


class InvalidMetadata(Refused):
    """``Upload-Metadata`` is not a list of keys and Base64 values."""

    words = "Invalid Upload-Metadata"


class InvalidChecksum(Refused):
    """``Upload-Checksum`` is malformed, or names an algorithm that is not announced."""

    words = "Invalid Upload-Checksum, or an algorithm that is not supported"


class ConcatenationUnsupported(Refused):
    """``Upload-Concat`` creates a part, or joins parts: a part would be handed off as if it were a whole file."""

    words = "Concatenation is not supported"


class WrongContentType(Refused):
    """The media type of the body is not ``application/offset+octet-stream``, the only one allowed."""

    status = 415
    words = "Content-Type must be application/offset+octet-stream"
