"""The refusals of the IETF's resumable uploads that programs read: problem details (RFC 9457). No Twisted, no disk.

Types and titles are those that the draft registers.
"""

from __future__ import annotations

import json

__all__ = ["CONTENT_TYPE", "inconsistent_length", "mismatching_offset"]

CONTENT_TYPE = b"application/problem+json"
"""The media type of what is returned here."""

_TYPES = "https://iana.org/assignments/http-problem-types#"


def mismatching_offset(expected: int, provided: int) -> bytes:
    """Return the body for a request that appends elsewhere than at the end, status 409.

    ``expected`` is how many bytes of the upload are on record, ``provided`` the request's ``Upload-Offset``.
    """
    return _problem(
        "mismatching-upload-offset",
        "Mismatching Upload Offset",
        409,
        f"The upload has {expected} bytes, the request begins at {provided}",
        {"expected-offset": expected, "provided-offset": provided},
    )


def inconsistent_length() -> bytes:
    """Return the body for a request whose length is not that of its upload, or of itself, status 400."""
    return _problem(
        "inconsistent-upload-length",
        "Inconsistent Upload Length Values",
        400,
        "The length differs from what this request or an earlier one says",
        {},
    )


def _problem(name: str, title: str, status: int, detail: str, members: dict[str, int]) -> bytes:
    """Return a problem as JSON; ``members`` are those that only its type has."""
    problem = {"type": _TYPES + name, "title": title, "status": status, "detail": detail, **members}
    return json.dumps(problem).encode("ascii")
