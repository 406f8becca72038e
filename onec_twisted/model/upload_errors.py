"""Refusals of resumable uploads that are no business of one protocol."""

from __future__ import annotations

from onec_twisted.model.errors import Refused

__all__ = [
    "ChecksumMismatch",
    "InvalidLength",
    "TooManyUnfinished",
    "UploadGone",
    "UploadLocked",
    "UploadNotFound",
    "UploadOpen",
    "UploadStalled",
    "UploadTakenOver",
]


class InvalidLength(Refused):
    """``Upload-Length`` and ``Upload-Defer-Length`` are missing, unreadable, or contradict what is known."""

    words = "Invalid Upload-Length"


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
