"""Parse and format the fields of the IETF's resumable uploads. No Twisted, no disk.

Most are structured fields (RFC 9651). A ``raw`` argument is all lines of a field, joined by ``", "``, or None if it
is absent. A field that is malformed, or of another type than its own, counts as absent: the draft demands it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from urllib.parse import unquote_to_bytes

from http_sf import StructuredFieldError, parse

from onec_twisted.model.uploads import LONGEST_METADATA
from onec_twisted.resumable.checksums import SHA2_SIZES, Checksum
from onec_twisted.rufh.errors import InvalidDigest, MetadataTooLong

__all__ = [
    "INTEROP_VERSIONS",
    "complete_field",
    "filename_of",
    "length_field",
    "offset_field",
    "pack_metadata",
    "parse_complete",
    "parse_digest",
    "parse_number",
    "parse_version",
    "version_field",
]

INTEROP_VERSIONS = (6, 8, 9)
"""Values of ``Upload-Draft-Interop-Version`` that get interim answers: drafts 04 and 05, 09 to 11, and 12."""

_KEYS = {"sha512": "sha-512", "sha256": "sha-256"}
"""The keys of algorithms in digest fields (RFC 9530 section 5), the preferred one first."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_DISPOSITION_TYPE = re.compile(_TOKEN + rb"[ \t]*")
_PARAMETER = re.compile(
    rb";[ \t]*(?:(" + _TOKEN + rb")[ \t]*=[ \t]*(" + _TOKEN + rb"|" + _QUOTED + rb"))?[ \t]*",
)
"""A parameter with its semicolon. Nothing may stand between two of them: RFC 9110 section 5.6.6."""

_QUOTED_PAIR = re.compile(rb"\\(.)")
_EXTENDED = re.compile(rb"(?i:utf-8)'[A-Za-z0-9-]*'((?:%[0-9A-Fa-f]{2}|[!#$&+.^_`|~0-9A-Za-z-])*)")
"""A value with percent-encoded bytes, RFC 8187 section 3.2.1; only UTF-8; the language does not matter."""


def parse_version(raw: bytes | None) -> int | None:
    """Return the version in ``Upload-Draft-Interop-Version``; None if it is none of ``INTEROP_VERSIONS``."""
    version = parse_number(raw)
    return version if version in INTEROP_VERSIONS else None


def parse_complete(raw: bytes | None) -> bool | None:
    """Return whether a request's content ends the upload (``Upload-Complete``); None if it does not say so."""
    value = _item(raw)
    return value if isinstance(value, bool) else None


def parse_number(raw: bytes | None) -> int | None:
    """Return the bytes in ``Upload-Offset`` or ``Upload-Length``: an Integer from 0 to 15 digits; None for none."""
    value = _item(raw)
    # isinstance would take a Boolean
    return value if type(value) is int and value >= 0 else None


def complete_field(is_complete: bool) -> tuple[bytes, bytes]:
    """Return the field that says whether an answer is the target's own, which ends the upload."""
    return b"Upload-Complete", b"?1" if is_complete else b"?0"


def offset_field(committed: int) -> tuple[bytes, bytes]:
    """Return the field that acknowledges the bytes of an upload that are on record."""
    return b"Upload-Offset", b"%d" % committed


def length_field(length: int) -> tuple[bytes, bytes]:
    """Return the field with the length of the whole upload in bytes."""
    return b"Upload-Length", b"%d" % length


def version_field(version: int) -> tuple[bytes, bytes]:
    """Return the field that repeats the version of a request in an interim answer."""
    return b"Upload-Draft-Interop-Version", b"%d" % version


def parse_digest(raw: bytes | None) -> Checksum | None:
    """Parse ``Content-Digest`` or ``Repr-Digest`` (RFC 9530): return the digest by SHA-512, else that by SHA-256.

    Other algorithms are passed over; None means that there is no digest. Raises ``InvalidDigest`` if the value of
    either is no Byte Sequence of its size.
    """
    found = [_checked(name, value) for name, value in _members(raw)]
    return found[0] if found else None


def filename_of(raw: bytes | None) -> bytes | None:
    """Return the file's name in ``Content-Disposition`` (RFC 6266) as its client sent it; None if there is none.

    ``filename*`` comes first, if it is readable (RFC 8187). A field that breaks the grammar, as two lines of it do,
    or has a parameter twice, has no name: its reader and its writer may not agree on one.
    """
    parameters = _parameters(raw or b"")
    extended = _EXTENDED.fullmatch(parameters.get(b"filename*", b""))
    if extended is not None:
        name = unquote_to_bytes(extended[1])
        if name and _is_utf8(name):
            return name
    value = parameters.get(b"filename", b"")
    if value.startswith(b'"'):
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    return value or None


def pack_metadata(filename: bytes | None, content_type: bytes | None) -> str:
    """Return the file's name and its media type, packed as tus' ``Upload-Metadata`` is, for importers.

    What is absent or empty is left out. Raises ``MetadataTooLong``.
    """
    values = {"filename": filename, "filetype": content_type}
    packed = ",".join(f"{key} {b64encode(value).decode('ascii')}" for key, value in values.items() if value)
    if len(packed) > LONGEST_METADATA:
        raise MetadataTooLong
    return packed


def _item(raw: bytes | None) -> object:
    """Return the value of an Item without its parameters; None for anything else."""
    if raw is None:
        return None
    try:
        parsed = parse(raw, tltype="item")
    except StructuredFieldError:
        return None
    return parsed[0] if isinstance(parsed, tuple) else None


def _members(raw: bytes | None) -> list[tuple[str, object]]:
    """Return the algorithms in a Dictionary that can be verified, and their values, the preferred one first."""
    try:
        members = parse(raw or b"", tltype="dictionary")
    except StructuredFieldError:
        return []
    if not isinstance(members, dict):
        return []
    return [(name, members[key]) for name, key in _KEYS.items() if key in members]


def _checked(algorithm: str, member: object) -> Checksum:
    """Return the digest in a member of a Dictionary, which has parameters. Raises ``InvalidDigest``."""
    digest = member[0] if isinstance(member, tuple) else None
    if not isinstance(digest, bytes) or len(digest) != SHA2_SIZES[algorithm]:
        raise InvalidDigest
    return Checksum(algorithm, digest)


def _parameters(raw: bytes) -> dict[bytes, bytes]:
    """Return the parameters of ``Content-Disposition``, names in lower case, values with their quotes.

    There are none in a malformed field, and in one that has a parameter twice.
    """
    found: dict[bytes, bytes] = {}
    part = _DISPOSITION_TYPE.match(raw)
    while part is not None and part.end() < len(raw):
        part = _PARAMETER.match(raw, part.end())
        if part is not None and part[1] is not None:
            if part[1].lower() in found:
                return {}
            found[part[1].lower()] = part[2]
    return found if part is not None else {}


def _is_utf8(value: bytes) -> bool:
    """Return whether bytes are what they are said to be: names in another code page would be read as other names."""
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
