"""An answer as a value, and its head as bytes, and that of an interim one. No Twisted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Answer", "head_of", "interim_head", "xml_in"]

TEXT = b"text/plain; charset=utf-8"

XML = b"application/xml; charset=utf-8"
"""``charset`` comes last: the Bitrix module takes everything after it as the name of the character set."""

_LINE_BREAK = re.compile(rb"[\r\n]")


@frozen
class Answer:
    """HTTP status, body, and headers other than Content-Length, as pairs of name and value.

    ``stream``, an ``IAnswerStream``, is a body from another source; ``acknowledgement``, an
    ``IAcknowledgement``, reports whether the answer arrives.
    """

    status: int = 200
    body: bytes = b""
    content_type: bytes = TEXT
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Any = None
    acknowledgement: Any = None


def xml_in(charset: str) -> bytes:
    """Return the Content-Type of a document; an empty ``charset`` is left out, as a wrong one would garble it."""
    return b"application/xml; charset=" + charset.lower().encode("ascii") if charset else b"application/xml"


def head_of(answer: Answer, version: bytes, reason: bytes, date: bytes, *, closes: bool) -> bytes:
    """Return the head of an answer; a stream of unknown length is sent in chunks, or ends with the connection.

    ``version`` is the request's, ``reason`` the status in words, ``date`` as in RFC 9110 section 5.6.7; ``closes``
    means that the connection ends after the answer. 204 and 304 have no body (RFC 9110 section 8.6).
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
    return _joined(lines)


def interim_head(status: int, reason: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return an interim answer, which is a head alone (RFC 9110 section 15.2); HTTP/1.0 knows none."""
    return _joined([b"HTTP/1.1 %d %s" % (status, reason), *(b"%s: %s" % header for header in headers)])


def _joined(lines: Sequence[bytes]) -> bytes:
    """Return a head of these lines.

    CR and LF in a value become spaces (RFC 9110 section 5.5), so that no value can start another header.
    """
    head = b"\r\n".join((*lines, b"", b""))
    ends = len(lines) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends:
        head = b"\r\n".join((*(_LINE_BREAK.sub(b" ", line) for line in lines), b"", b""))
    return head
