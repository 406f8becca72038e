"""Query bytes to frozen values, values to answer bytes. No Twisted, no disk.

1C chooses everything by the query string of one URL, which its clients put together as plain text:
``?type=catalog&mode=file&filename=import0_1.xml&sessid=…`` (protocol.md, A.1 and B.1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from attrs import frozen

from onec_twisted.errors import InvalidOffset, UnknownMode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from onec_twisted.errors import Refused

__all__ = [
    "CATALOG_TYPES",
    "LONGEST_LOGGED",
    "MODES",
    "SALE_TYPES",
    "Answer",
    "Query",
    "checkauth_answer",
    "contradicted",
    "decoded",
    "failure",
    "fields_of_target",
    "head_of",
    "init_answer",
    "offset_header",
    "parse_offset",
    "parse_query",
    "path_of",
    "progress",
    "query_of",
    "shortened",
    "without_secrets",
    "xml_in",
]

CATALOG_TYPES = frozenset({"catalog", "reference", "get_catalog"})
"""Types that are answered as ``catalog`` is (protocol.md, A.2 row 21)."""

SALE_TYPES = frozenset({"sale", "crm"})
"""Types that are answered as ``sale`` is: 1C-Bitrix has one component for both."""

MODES = {
    "catalog": frozenset({"checkauth", "init", "file", "import", "complete", "deactivate"}),
    "sale": frozenset({"checkauth", "init", "file", "import", "complete", "deactivate", "query", "success", "info"}),
}
"""The modes of each type; ``get_catalog``, which asks for the site's goods, has those of ``sale``."""

TEXT = b"text/plain; charset=utf-8"
XML = b"application/xml; charset=utf-8"
"""``charset`` stands last: the Bitrix module takes all that follows it as its name (B.10)."""


@frozen
class Query:
    """What a request asks for.

    ``type`` and ``mode`` are lower case, and ``type`` is ``catalog``, ``sale`` or ``listen``; ``filename`` and
    ``sessid`` are the bytes that came, percent-decoded, None when the key is missing.
    """

    type: str
    mode: str
    filename: bytes | None = None
    sessid: bytes | None = None
    version: bytes | None = None
    timestamp: bytes | None = None


@frozen
class Answer:
    """What a node hears: HTTP status, body, and headers beside Content-Length, as pairs of name and value.

    ``stream``, an ``IAnswerStream``, is a body that comes from elsewhere.
    """

    status: int = 200
    body: bytes = b""
    content_type: bytes = TEXT
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Any = None


def xml_in(charset: str) -> bytes:
    """Return the Content-Type of a document in some encoding; empty names none, as a wrong one would spoil it."""
    return b"application/xml; charset=" + charset.lower().encode("ascii") if charset else b"application/xml"


def head_of(answer: Answer, version: bytes, reason: bytes, date: bytes, *, closes: bool) -> bytes:
    """Return the head of an answer; one whose stream tells no length is sent in chunks, or ends with its connection.

    ``version`` is the request's, ``reason`` the status in words, ``date`` as RFC 9110 section 5.6.7 has it;
    ``closes`` says that the connection ends with it. 204 and 304 have no body to tell of (RFC 9110 section 8.6).
    """
    lines = [b"%s %d %s" % (version, answer.status, reason), b"Date: " + date]
    if answer.status not in {204, 304}:
        length = len(answer.body) if answer.stream is None else answer.stream.length
        lines.append(b"Content-Type: " + answer.content_type)
        if length is not None:
            lines.append(b"Content-Length: %d" % length)
        elif version == b"HTTP/1.1":
            lines.append(b"Transfer-Encoding: chunked")
    lines += [b"%s: %s" % header for header in answer.headers]
    if closes:
        lines.append(b"Connection: close")
    return b"\r\n".join((*lines, b"", b""))


def path_of(uri: bytes) -> bytes:
    """Return the path of a request target, without query; RFC 9112 section 3.2.2 allows ``http://host/path``."""
    if not uri.startswith(b"/") and b"://" in uri.split(b"?", 1)[0]:
        uri = b"/" + uri.split(b"://", 1)[1].partition(b"/")[2]
    return uri.split(b"?", 1)[0]


def query_of(uri: bytes) -> bytes:
    """Return what follows the first ``?`` of a request target."""
    return uri.partition(b"?")[2]


def _fields(query: bytes) -> list[tuple[bytes, bytes]]:
    """Cut a query into keys and values; 1C may send a second ``?``, ``&&`` and a trailing ``&`` (B.1)."""
    pairs = (part.partition(b"=") for part in query.replace(b"?", b"&").split(b"&"))
    return [(key, value) for key, _, value in pairs if key]


def _unquoted(raw: bytes) -> bytes:
    return unquote_to_bytes(raw) if b"%" in raw else raw


def parse_query(query: bytes) -> Query:
    """Understand a query string.

    Keys, ``type`` and ``mode`` come in any case, fields in any order, unknown ones are passed over, and of
    two equal keys the first counts. ``;`` separates nothing and ``+`` is a plus: clients concatenate file names
    unescaped (protocol.md, A.5).

    Raises ``UnknownMode`` when type or mode are missing or not the protocol's.
    """
    fields: dict[bytes, bytes] = {}
    for key, value in _fields(query):
        fields.setdefault(_unquoted(key).lower(), _unquoted(value))
    kind = fields.get(b"type", b"").decode("ascii", "replace").strip().lower()
    mode = fields.get(b"mode", b"").decode("ascii", "replace").strip().lower()
    modes = MODES["sale"] if kind == "get_catalog" else ()
    if kind in CATALOG_TYPES:
        kind = "catalog"
    elif kind in SALE_TYPES:
        kind = "sale"
    if kind != "listen" and mode not in (modes or MODES.get(kind, ())):
        raise UnknownMode
    return Query(
        kind,
        mode,
        filename=fields.get(b"filename"),
        sessid=fields.get(b"sessid"),
        version=fields.get(b"version"),
        timestamp=fields.get(b"timestamp"),
    )


_OFFSET = re.compile(rb"\d{1,18}")
_RANGE = re.compile(rb"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def parse_offset(upload_offset: bytes | None, content_range: bytes | None, length: int | None) -> int | None:
    """Return the place in its file that a piece claims, in bytes; None when it claims none.

    ``upload_offset`` is the header of tus and of the IETF's draft, ``content_range`` that of RFC 9110 section 14.4;
    ``length`` is the body's, None when unknown. Raises ``InvalidOffset`` for nonsense, and when the two, or the range
    and the length, disagree.
    """
    claims = set()
    if upload_offset is not None:
        if _OFFSET.fullmatch(upload_offset) is None:
            raise InvalidOffset
        claims.add(int(upload_offset))
    if content_range is not None:
        match = _RANGE.fullmatch(content_range)
        if match is None:
            raise InvalidOffset
        first, last = int(match[1]), int(match[2])
        too_short = match[3] != b"*" and int(match[3]) <= last
        if last < first or too_short or length not in (None, last - first + 1):
            raise InvalidOffset
        claims.add(first)
    if len(claims) > 1:
        raise InvalidOffset
    return claims.pop() if claims else None


def offset_header(committed: int) -> tuple[bytes, bytes]:
    """Return the header that tells a file's committed length in bytes."""
    return b"Upload-Offset", b"%d" % committed


SINGLE = frozenset(
    {
        b"access-control-request-method",
        b"authorization",
        b"content-length",
        b"content-range",
        b"content-type",
        b"host",
        b"origin",
        b"tus-resumable",
        b"upload-checksum",
        b"upload-complete",
        b"upload-concat",
        b"upload-defer-length",
        b"upload-incomplete",
        b"upload-length",
        b"upload-metadata",
        b"upload-offset",
        b"x-http-method-override",
    }
)
"""Headers that have one value, of those that decide what becomes of a request (RFC 9110 section 5.3, tus 1.0.0)."""


def contradicted(headers: Iterable[tuple[bytes, Sequence[bytes]]]) -> str | None:
    """Return the name of a header that says different things; None where there is none.

    ``headers`` are names and the values of each, line by line. Equal lines are harmless; lines of ``Cookie`` are one
    list, in which a cookie may not have two values.
    """
    for name, values in headers:
        if len(values) > 1:
            lower = name.lower()
            if lower in SINGLE and len(set(values)) > 1:
                return name.decode("latin-1")
            if lower == b"cookie":
                pairs = {pair.strip() for value in values for pair in value.split(b";")}
                names = [pair.partition(b"=")[0] for pair in pairs]
                if len(set(names)) < len(names):
                    return name.decode("latin-1")
    return None


_SECRET = re.compile(rb"([?&;])([^=?&;]*)=[^?&;]*")
_SECRETS = frozenset({b"sessid", b"onec_session", b"password", b"passwd", b"pwd", b"pass", b"token", b"secret"})
_USER = re.compile(rb"(//|%2f%2f)[^/?#&;\s]*?(?:@|%40)", re.IGNORECASE)


def without_secrets(uri: bytes) -> bytes:
    """Return a request target, or an address in a header, fit for a log.

    Hidden are the values of ``sessid``, which may be the token, and of what is called a password; and a user and a
    password before a host (RFC 3986 section 3.2.1), in whatever form of target (RFC 9112 section 3.2).
    """
    if b"@" in uri and not uri.startswith(b"/") and b" " not in uri:
        scheme = re.match(rb"[A-Za-z][A-Za-z0-9+.-]*:/+", uri)
        uri = (scheme[0] if scheme is not None else b"") + b"***@" + uri.rpartition(b"@")[2]
    elif b"//" in uri or b"%2" in uri:
        uri = _USER.sub(rb"\1***@", uri)
    return _SECRET.sub(_hidden, uri) if b"=" in uri else uri


def _hidden(field: re.Match[bytes]) -> bytes:
    """Return a field of a query without its value, if that is a secret."""
    is_secret = unquote_to_bytes(field[2]).strip().lower() in _SECRETS
    return field[1] + field[2] + b"=***" if is_secret else field[0]


LONGEST_LOGGED = 512
"""Bytes of a part of a request target that the log shows: a line of it is not for strangers to make long."""


def shortened(raw: bytes, longest: int = LONGEST_LOGGED) -> bytes:
    """Return what the log shows of something that a stranger may have made long."""
    return raw if len(raw) <= longest else raw[:longest] + b"..."


def fields_of_target(method: bytes, uri: bytes) -> dict[str, Any]:
    """Return what the log shows of a request: ``method``, ``path`` and ``query``, short and without secrets."""
    safe = without_secrets(uri)
    return {
        "method": decoded(shortened(method, 32)),
        "path": decoded(shortened(path_of(safe))),
        "query": decoded(shortened(query_of(safe))),
    }


def decoded(raw: bytes) -> str:
    """Read bytes that a node sent as text: UTF-8, else the Windows code page of Russian (cp1251)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1251", "replace")


def _one_line(text: str) -> str:
    """Keep a text to one printable line without the marks of HTML, at most 255 characters (A.2 row 3)."""
    kept = "".join(" " if mark in "<>" or not mark.isprintable() else mark for mark in text)
    return kept[:255]


def failure(refused: Refused) -> Answer:
    """Return the answer to a refused request: ``failure`` alone in its line, then the reason."""
    return Answer(refused.status, b"failure\n" + _one_line(refused.words).encode("utf-8"), headers=refused.headers)


def progress(words: str) -> Answer:
    """Return the answer to a request that is not done yet: the node asks again (protocol.md, A.2 row 11)."""
    return Answer(body=b"progress\n" + _one_line(words).encode("utf-8"))


def checkauth_answer(cookie: str, token: str, sessid: str, timestamp: int, *, secure: bool) -> Answer:
    """Return the answer to a good ``checkauth`` (protocol.md, A.3).

    The node sends ``cookie=token`` back by itself, from lines 2 and 3; Set-Cookie serves browsers and scripts.
    ``timestamp`` is in seconds since 1970; ``secure`` says that the connection is TLS.
    """
    lines = ("success", cookie, token, f"sessid={sessid}", f"timestamp={timestamp}")
    set_cookie = f"{cookie}={token}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
    return Answer(
        body="\n".join(lines).encode("ascii"),
        headers=((b"Set-Cookie", set_cookie.encode("ascii")), (b"Cache-Control", b"no-store")),
    )


def init_answer(query: Query, sessid: str, *, zipped: bool, file_limit: int) -> Answer:
    """Return the answer to ``init``: exactly two lines, which real nodes count (protocol.md, A.4).

    A node that sends ``version=`` with ``type=sale`` wants four, and the last four characters of the fourth to
    be a number of at least 2.08 (A.2 row 6). ``file_limit`` is in bytes.
    """
    lines = [f"zip={'yes' if zipped else 'no'}", f"file_limit={file_limit}"]
    if query.type == "sale" and query.version is not None:
        lines += [f"sessid={sessid}", "version=2.10"]
    return Answer(body="\n".join(lines).encode("ascii"))
