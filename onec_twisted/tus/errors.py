"""Every reason to refuse a tus request that 1C's protocol does not have: status, words, headers.

The words are read by a developer at a browser's console; what clients go by is the status.
"""

from __future__ import annotations

from onec_twisted.errors import Refused

__all__ = [
    "VERSION",
    "ChecksumMismatch",
    "ConcatenationUnsupported",
    "InvalidChecksum",
    "InvalidLength",
    "InvalidMetadata",
    "TooManyUnfinished",
    "UnsupportedVersion",
    "UploadGone",
    "UploadLocked",
    "UploadNotFound",
    "UploadOpen",
    "UploadStalled",
    "UploadTakenOver",
    "WrongContentType",
]

VERSION = b"1.0.0"
"""The only version of tus that there is."""


class InvalidLength(Refused):
    """``Upload-Length`` and ``Upload-Defer-Length`` are missing, unreadable, or contradict what is known."""

    words = "Invalid Upload-Length"


class InvalidMetadata(Refused):
    """``Upload-Metadata`` is not a list of keys and Base64 values."""

    words = "Invalid Upload-Metadata"


class InvalidChecksum(Refused):
    """``Upload-Checksum`` cannot be read, or names an algorithm that is not announced."""

    words = "Invalid Upload-Checksum, or an algorithm that is not supported"


class ConcatenationUnsupported(Refused):
    """``Upload-Concat`` makes a part, or joins parts: taken for a whole file, a part would be handed off."""

    words = "Concatenation is not supported"


class UploadNotFound(Refused):
    """There is no such upload, or it is another user's: nobody learns which."""

    status = 404
    words = "No such upload"


class UploadTakenOver(Refused):
    """A newer request for the same upload came while this one was on its way."""

    status = 409
    words = "A newer request took over this upload"


class UploadOpen(Refused):
    """The session has an upload of this name already, and bytes of it."""

    status = 409
    words = "A file of this name is being uploaded already"


class UploadGone(Refused):
    """The upload was terminated, has expired, or its file was discarded or damaged."""

    status = 410
    words = "The upload is gone"


class UnsupportedVersion(Refused):
    """``Tus-Resumable`` is missing, or another version than ours."""

    status = 412
    words = "Tus-Resumable must be 1.0.0"
    headers = ((b"Tus-Version", VERSION),)


class WrongContentType(Refused):
    """Bytes of an upload come as ``application/offset+octet-stream``, and as nothing else."""

    status = 415
    words = "Content-Type must be application/offset+octet-stream"


class TooManyUnfinished(Refused):
    """The session, or the user, has as many uploads that are not complete as there may be."""

    status = 429
    words = "Too many unfinished uploads - finish or end some"
    headers = ((b"Retry-After", b"60"),)


class UploadStalled(Refused):
    """The body brought nothing for too long, or too little: not 408, for that is the end of it for tus-js-client."""

    status = 503
    words = "The body came too slowly - go on from Upload-Offset"
    headers = ((b"Retry-After", b"1"),)


class UploadLocked(Refused):
    """The file's turn did not come within ``--lock-timeout``: a node writes it. 423 is the custom of tus servers."""

    status = 423
    words = "The file is busy - retry later"
    headers = ((b"Retry-After", b"5"),)


class ChecksumMismatch(Refused):
    """The bytes are not those that ``Upload-Checksum`` is of; the status is tus' own."""

    status = 460
    words = "Checksum mismatch"
