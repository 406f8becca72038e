"""The answers to requests that are refused: a client goes on, stops, or tries again later, by status and fields.

"Client Retry" of draft-ietf-httpbis-resumable-upload: 409 with ``Upload-Complete: ?0`` means to go on from
``Upload-Offset``, without the field to stop; 5xx to ask for the offset; ``?1`` that this is the final answer.
"""

from __future__ import annotations

from onec_twisted.http.answer import Answer
from onec_twisted.model.errors import (
    ChecksumMismatch,
    DigestMismatch,
    FileBegun,
    FileBusy,
    FileSealed,
    FileTooLarge,
    InvalidLength,
    Refused,
    SessionRestarted,
    UnsupportedVersion,
    UploadLocked,
    UploadOpen,
)
from onec_twisted.rufh import problems
from onec_twisted.rufh.errors import MismatchingOffset
from onec_twisted.rufh.fields import complete_field, offset_field
from onec_twisted.rufh.limits import limits_field

__all__ = ["refusal_of"]

STOPS = (FileBegun, FileSealed, SessionRestarted, UnsupportedVersion, UploadOpen)
"""Refusals after which nothing can be continued here."""


def refusal_of(refused: Refused, quota: int) -> Answer:
    """Return the answer to a refused request; ``quota`` is how many bytes an upload may have."""
    if isinstance(refused, UploadLocked):
        return refusal_of(FileBusy(), quota)  # clients retry neither 423 nor 408
    headers = refused.headers
    if isinstance(refused, UnsupportedVersion):  # an upload by tus
        headers = (*headers, (b"Tus-Resumable", b"1.0.0"))
    if not isinstance(refused, STOPS):
        headers = (*headers, complete_field(isinstance(refused, DigestMismatch)))
    if isinstance(refused, FileTooLarge):
        headers = (*headers, limits_field(quota, None))
    if isinstance(refused, MismatchingOffset):
        body = problems.mismatching_offset(refused.expected, refused.provided)
        return Answer(refused.status, body, problems.CONTENT_TYPE, (*headers, offset_field(refused.expected)))
    if isinstance(refused, InvalidLength):
        return Answer(refused.status, problems.inconsistent_length(), problems.CONTENT_TYPE, headers)
    status = 400 if isinstance(refused, ChecksumMismatch) else refused.status  # 460 is tus' own
    return Answer(status, refused.words.encode("utf-8") + b"\n", headers=headers)
