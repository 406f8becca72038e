"""An answer as a value, and its head as bytes. No Twisted."""

from __future__ import annotations

import re
from typing import Any

from attrs import frozen

__all__ = ["Answer", "head_of", "xml_in"]

TEXT = b"text/plain; charset=utf-8"

XML = b"application/xml; charset=utf-8"
"""``charset`` stands last: the Bitrix module takes all that follows it as its name."""

_LINE_BREAK = re.compile(rb"[\r\n]")


@frozen
class Answer:
    """HTTP status, body, and headers beside Content-Length, as pairs of name and value.

    ``stream``, an ``IAnswerStream``, is a body that comes from elsewhere; ``acknowledgement``, an
    ``IAcknowledgement``, is for whoever needs to know whether the answer arrives.
    """

    status: int = 200
    body: bytes = b""
    content_type: bytes = TEXT
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Any = None
    acknowledgement: Any = None


def xml_in(charset: str) -> bytes:
    """Return the Content-Type of a document in some encoding; empty names none, as a wrong one would spoil it."""
    return b"application/xml; charset=" + charset.lower().encode("ascii") if charset else b"application/xml"


def head_of(answer: Answer, version: bytes, reason: bytes, date: bytes, *, closes: bool) -> bytes:
    """Return the head of an answer; one whose stream tells no length is sent in chunks, or ends with its connection.

    ``version`` is the request's, ``reason`` the status in words, ``date`` as RFC 9110 section 5.6.7 has it;
    ``closes`` says that the connection ends with it. 204 and 304 have no body to tell of (RFC 9110 section 8.6). CR
    and LF in a value become spaces (section 5.5): nothing that is put into a header can begin another one.
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
    head = b"\r\n".join((*lines, b"", b""))
    ends = len(lines) + 1
    if head.count(b"\n") != ends or head.count(b"\r") != ends:
        head = b"\r\n".join((*(_LINE_BREAK.sub(b" ", line) for line in lines), b"", b""))
    return head
