"""Refusals of resumable uploads, common to all their protocols."""

from __future__ import annotations

from onec_twisted.model.refusals.base import Refused

__all__ = [
    "ChecksumMismatch",
    "DigestMismatch",
    "FileBegun",
    "InvalidLength",
    "TooManyUnfinished",
    "UnsupportedVersion",
    "UploadGone",
    "UploadLocked",
    "UploadNotFound",
    "UploadOpen",
    "UploadStalled",
    "UploadTakenOver",
]


class UnsupportedVersion(Refused):
    """``Tus-Resumable`` is missing, or names a version that is not supported."""

    status = 412
    words = "Tus-Resumable must be 1.0.0"
    headers = ((b"Tus-Version", b"1.0.0"),)


class InvalidLength(Refused):
    """``Upload-Length`` and ``Upload-Defer-Length`` are missing, malformed, or contradict what is known."""

    words = "Invalid Upload-Length"


class UploadNotFound(Refused):
    """There is no such upload, or it is another user's: the answer does not reveal which."""

    status = 404
    words = "No such upload"


class UploadTakenOver(Refused):
    """A newer request for the same upload arrived while this one was being received."""

    status = 409
    words = "A newer request took over this upload"


class UploadOpen(Refused):
    """The session already has an upload of this name, and bytes of it."""

    status = 409
    words = "A file of this name is being uploaded already"


class FileBegun(Refused):
    """The session has bytes of a file of this name already, and the upload brings it from its first byte on."""

    status = 409
    words = "The session has a part of this file already - init starts anew"


class UploadGone(Refused):
    """The upload was terminated, has expired, or its file was discarded or damaged."""

    status = 410
    words = "The upload is gone"


class TooManyUnfinished(Refused):
    """The session or the user has as many incomplete uploads as allowed."""

    status = 429
    words = "Too many unfinished uploads - finish or end some"
    headers = ((b"Retry-After", b"60"),)


class UploadStalled(Refused):
    """The body stalled or came too slowly: not 408, as tus-js-client does not retry after that."""

    status = 503
    words = "The body came too slowly - go on from Upload-Offset"
    headers = ((b"Retry-After", b"1"),)


class UploadLocked(Refused):
    """The file's lock was not available within ``--lock-timeout``: a node writes it. tus servers use 423 for this."""

    status = 423
    words = "The file is busy - retry later"
    headers = ((b"Retry-After", b"5"),)


class ChecksumMismatch(Refused):
    """The bytes do not match ``Upload-Checksum``; the status is defined by tus."""

    status = 460
    words = "Checksum mismatch"


class DigestMismatch(Refused):
    """The whole file does not match the ``Repr-Digest`` of its upload, which is gone with it (RFC 9530)."""

    words = "The file does not match its Repr-Digest - upload it again"
