"""What a request head says: where its body ends, the target, made safe to log, fields that may occur only once.

No Twisted. A head that leaves open where its request ends could hide another request behind it: such heads are
malformed, not interpreted.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote_to_bytes

from onec_twisted.model.text import decoded

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


__all__ = [
    "LONGEST_HEAD",
    "LONGEST_LOGGED",
    "MOST_FIELDS",
    "Head",
    "MalformedHead",
    "contradicted",
    "fields_of_target",
    "head_in",
    "parse_head",
    "path_of",
    "query_of",
    "shortened",
    "without_secrets",
]

LONGEST_HEAD = 16 * 1024
"""Bytes of a head, without the empty line that ends it."""

MOST_FIELDS = 500
"""Fields of a head."""

MOST_NAMES = 200
"""Names of fields that are remembered, as they are checked byte by byte otherwise."""

LINE_END, END = b"\r\n", b"\r\n\r\n"
"""End of a line, and of a head."""

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"

_REQUEST_LINE = re.compile(rb"(%s) ([^\x00-\x1f]+) (HTTP/1\.[01])" % _TOKEN)

_NAME = re.compile(_TOKEN)

_RAW = re.compile(rb"[ \x7f-\xff]")

_FOLD = re.compile(rb"\r\n[ \t]+")

_LENGTH = re.compile(rb"[0-9]{1,48}")
"""A Content-Length; Python refuses to parse numbers of thousands of digits."""


class MalformedHead(ValueError):
    """What was received is not the head of an HTTP/1.1 request, or does not say where the request ends."""


class Head(NamedTuple):
    """The head of a request: ``fields`` are all values of each name, which is in lower case, in the order received.

    ``length`` is the body's in bytes, None when it is chunked. ``stays`` means that the connection may serve
    another request, ``expects`` that the client waits to be asked for the body.
    """

    method: bytes
    target: bytes
    version: bytes
    fields: dict[bytes, list[bytes]]
    length: int | None
    stays: bool
    expects: bool


def head_in(received: bytes, searched: int = 0) -> tuple[Head, int] | None:
    """Return the head that ``received`` begins with, and where what follows it begins; None while it is incomplete.

    ``searched`` bytes have been looked at before. Raises ``MalformedHead``, as soon as a request line is malformed.
    """
    end = received.find(END, max(0, searched - len(END)), LONGEST_HEAD + len(END))
    if end >= 0:
        return parse_head(received[:end]), end + len(END)
    if len(received) >= LONGEST_HEAD + len(END):
        raise MalformedHead("too long")
    end = received.find(LINE_END)
    if end >= max(0, searched - 1):
        parse_request_line(received[:end])
    return None


def parse_request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Return method, target and version of a request line (RFC 9112 section 3). Raises ``MalformedHead``.

    Raw spaces and non-ASCII bytes of the target are percent-encoded: nodes put file names into the URL as they are
    (docs/protocol.md).
    """
    found = _REQUEST_LINE.fullmatch(line)
    if found is None:
        raise MalformedHead("no request line")
    method, target, version = found.groups()
    if _RAW.search(target) is not None:
        target = _RAW.sub(lambda raw: b"%%%02X" % raw[0][0], target)
    return method, target, version


@lru_cache(MOST_NAMES)
def _lowered(name: bytes) -> bytes:
    """Return the name of a field in lower case. Raises ``MalformedHead`` for anything else (RFC 9110 section 5.1)."""
    if _NAME.fullmatch(name) is None:
        raise MalformedHead("no name of a field")
    return name.lower()


def _fields_of(lines: bytes) -> dict[bytes, list[bytes]]:
    """Return the fields of a head, after its request line. Raises ``MalformedHead``.

    A line that begins with a blank continues the one before (RFC 9112 section 5.2).
    """
    if lines.count(b"\r\n ") or lines.count(b"\r\n\t"):
        lines = _FOLD.sub(b" ", lines)
    split = lines.split(LINE_END)
    ends = len(split) - 1
    if ends >= MOST_FIELDS or lines.count(b"\r") != ends or lines.count(b"\n") != ends or lines.count(b"\0"):
        raise MalformedHead("too many fields, or half a line end in a field")
    fields: dict[bytes, list[bytes]] = {}
    for line in split:
        name, colon, value = line.partition(b":")
        if not colon:
            raise MalformedHead("no colon in a field")
        fields.setdefault(_lowered(name), []).append(value.strip(b" \t"))
    return fields


def parse_head(head: bytes) -> Head:
    """Return what a head says, without the empty line that ends it. Raises ``MalformedHead``.

    What follows a head that is ambiguous about its request's end or host could be the next request to us, and a body
    to a proxy in front of us (RFC 9112 sections 3.2, 6 and 11.2).
    """
    line, _, lines = head.partition(LINE_END)
    method, target, version = parse_request_line(line)
    fields = _fields_of(lines) if lines else {}
    is_newest = version == b"HTTP/1.1"
    hosts = fields.get(b"host", ())
    if len(hosts) > 1 or (is_newest and not hosts):
        raise MalformedHead("not one host")
    length = _length_of(fields, is_newest=is_newest)
    stays = expects = is_newest
    if is_newest:  # HTTP/1.0 knows neither
        stays = not (b"connection" in fields and b"close" in _words(fields[b"connection"]))
        expects = b"expect" in fields and fields[b"expect"][0].lower() == b"100-continue"
    return Head(method, target, version, fields, length, stays, expects)


def _length_of(fields: Mapping[bytes, Sequence[bytes]], *, is_newest: bool) -> int | None:
    """Return a body's length in bytes, None when it is chunked (RFC 9112 section 6.3)."""
    lengths, codings = fields.get(b"content-length"), fields.get(b"transfer-encoding")
    if codings is not None:
        if lengths is None and is_newest and [coding.lower() for coding in codings] == [b"chunked"]:
            return None
    elif lengths is None:
        return 0
    elif len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) is not None:
        return int(lengths[0])
    raise MalformedHead("no end of the body")


def _words(values: Sequence[bytes]) -> list[bytes]:
    """Return the words of a list, in lower case (RFC 9110 section 5.6.1)."""
    return b" ".join(values).lower().replace(b",", b" ").split()


def path_of(uri: bytes) -> bytes:
    """Return the path of a request target, without query; RFC 9112 section 3.2.2 allows ``http://host/path``."""
    if not uri.startswith(b"/") and b"://" in uri.split(b"?", 1)[0]:
        uri = b"/" + uri.split(b"://", 1)[1].partition(b"/")[2]
    return uri.split(b"?", 1)[0]


def query_of(uri: bytes) -> bytes:
    """Return what follows the first ``?`` of a request target."""
    return uri.partition(b"?")[2]


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
"""Single-valued headers that affect how a request is handled (RFC 9110 section 5.3, tus 1.0.0)."""


def contradicted(fields: Mapping[bytes, Sequence[bytes]]) -> str | None:
    """Return the name of a field with contradictory values; None where there is none.

    Equal lines are harmless; ``Cookie`` lines form one list, in which a cookie may not have two values.
    """
    for name, values in fields.items():
        if len(values) > 1:
            if name in SINGLE and len(set(values)) > 1:
                return _shown(name)
            if name == b"cookie":
                pairs = {pair.strip() for value in values for pair in value.split(b";")}
                names = [pair.partition(b"=")[0] for pair in pairs]
                if len(set(names)) < len(names):
                    return _shown(name)
    return None


def _shown(name: bytes) -> str:
    """Return the name of a field as people write it."""
    return b"-".join(part.capitalize() for part in name.split(b"-")).decode("latin-1")


_SECRET = re.compile(rb"([?&;])([^=?&;]*)=[^?&;]*")

_SECRETS = frozenset({b"sessid", b"onec_session", b"password", b"passwd", b"pwd", b"pass", b"token", b"secret"})

_USER = re.compile(rb"(//|%2f%2f)[^/?#&;\s]*?(?:@|%40)", re.IGNORECASE)


def without_secrets(uri: bytes) -> bytes:
    """Return a request target, or a URL from a header, made safe to log.

    It hides the values of ``sessid``, which may be the token, and of password fields; and user and password before a
    host (RFC 3986 section 3.2.1), in every form of target (RFC 9112 section 3.2).
    """
    if b"@" in uri and not uri.startswith(b"/") and b" " not in uri:
        scheme = re.match(rb"[A-Za-z][A-Za-z0-9+.-]*:/+", uri)
        uri = (scheme[0] if scheme is not None else b"") + b"***@" + uri.rpartition(b"@")[2]
    elif b"//" in uri or b"%2" in uri:
        uri = _USER.sub(rb"\1***@", uri)
    return _SECRET.sub(_hidden, uri) if b"=" in uri else uri


def _hidden(field: re.Match[bytes]) -> bytes:
    """Return a query field, without its value if that is a secret."""
    is_secret = unquote_to_bytes(field[2]).strip().lower() in _SECRETS
    return field[1] + field[2] + b"=***" if is_secret else field[0]


LONGEST_LOGGED = 512
"""Bytes of each part of a request target that are logged: strangers must not be able to make log lines long."""


def shortened(raw: bytes, longest: int = LONGEST_LOGGED) -> bytes:
    """Return the part of a stranger's input that is logged."""
    return raw if len(raw) <= longest else raw[:longest] + b"..."


def fields_of_target(method: bytes, uri: bytes) -> dict[str, Any]:
    """Return what is logged of a request: ``method``, ``path`` and ``query``, short and without secrets."""
    safe = without_secrets(uri)
    return {
        "method": decoded(shortened(method, 32)),
        "path": decoded(shortened(path_of(safe))),
        "query": decoded(shortened(query_of(safe))),
    }
