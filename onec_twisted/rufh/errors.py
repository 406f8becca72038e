"""The refusals of the IETF's resumable uploads that neither tus nor 1C's protocol has: status, words."""

from __future__ import annotations

from onec_twisted.model.errors import Refused

__all__ = [
    "AlreadyComplete",
    "InvalidDigest",
    "MetadataTooLong",
    "MismatchingOffset",
    "MisplacedField",
    "MissingComplete",
    "WrongPartType",
]


class InvalidDigest(Refused):
    """``Content-Digest`` or ``Repr-Digest`` has a value that no digest of its algorithm can have."""

    words = "Invalid Content-Digest or Repr-Digest"


class MetadataTooLong(Refused):
    """The file's name and its media type are longer than what is recorded about an upload may be."""

    words = "Content-Disposition and Content-Type are too long"


class MisplacedField(Refused):
    """A HEAD or DELETE of interop version 6 says something of a content, which drafts 04 and 05 have refused."""

    words = "HEAD and DELETE take no Upload-Offset, Upload-Complete or Upload-Length"


class MissingComplete(Refused):
    """``Upload-Complete`` is missing or malformed in a request that has to say whether its content is the last."""

    words = "Upload-Complete must be ?0 or ?1"


class WrongPartType(Refused):
    """The media type of an append is not ``application/partial-upload``, the only one allowed."""

    status = 415
    words = "Content-Type must be application/partial-upload"
    headers = ((b"Accept-Patch", b"application/partial-upload"),)


class MismatchingOffset(Refused):
    """An append does not begin where the upload ends: ``provided`` instead of ``expected``, both in bytes."""

    status = 409

    def __init__(self, expected: int, provided: int) -> None:
        """Report both."""
        super().__init__(expected, provided)
        self.expected, self.provided = expected, provided
        self.words = f"Expected offset {expected}"


class AlreadyComplete(Refused):
    """More bytes for an upload that is complete: it was handed off as it is."""

    words = "The upload is complete already"
