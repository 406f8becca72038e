"""Parse queries into frozen values, and format answers. No Twisted, no disk.

The query string of one URL selects everything, and 1C's clients concatenate it as plain text:
``?type=catalog&mode=file&filename=import0_1.xml&sessid=…`` (docs/protocol.md, N2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from attrs import evolve, frozen

from onec_twisted.exchange.texts import in_english
from onec_twisted.http.answer import Answer
from onec_twisted.model.errors import InvalidOffset, UnknownMode
from onec_twisted.model.text import _one_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.model.errors import Refused

__all__ = [
    "CATALOG_TYPES",
    "MODES",
    "SALE_TYPES",
    "Query",
    "checkauth_answer",
    "failure",
    "failure_with_200",
    "init_answer",
    "offset_header",
    "parse_offset",
    "parse_query",
    "progress",
]

CATALOG_TYPES = frozenset({"catalog", "reference", "get_catalog"})
"""Types that are treated as ``catalog`` (docs/protocol.md, N11)."""

SALE_TYPES = frozenset({"sale", "crm"})
"""Types that are treated as ``sale``: 1C-Bitrix has one component for both."""

MODES = {
    "catalog": frozenset({"checkauth", "init", "file", "import", "complete", "deactivate"}),
    "sale": frozenset({"checkauth", "init", "file", "import", "complete", "deactivate", "query", "success", "info"}),
}
"""The modes of each type; ``get_catalog``, which requests the site's goods, has those of ``sale``."""


@frozen
class Query:
    """A parsed query string.

    ``type`` and ``mode`` are lower case, and ``type`` is ``catalog``, ``sale`` or ``listen``; ``filename`` and
    ``sessid`` are the bytes as received, percent-decoded, None when the key is missing.
    """

    type: str
    mode: str
    filename: bytes | None = None
    sessid: bytes | None = None
    version: bytes | None = None
    timestamp: bytes | None = None


def parse_query(query: bytes) -> Query:
    """Parse a query string.

    Keys, ``type`` and ``mode`` are case-insensitive, fields may come in any order, unknown ones are ignored, and the
    first of two equal keys counts. ``;`` is not a separator and ``+`` is a plus, because clients insert file names
    unescaped; a second ``?``, ``&&`` and a trailing ``&`` may come (docs/protocol.md, N2).

    Raises ``UnknownMode`` when the type or mode is missing or unknown to the protocol.
    """
    unquote = unquote_to_bytes if b"%" in query else bytes
    fields: dict[bytes, bytes] = {}
    for field in query.replace(b"?", b"&").split(b"&"):
        key, _, value = field.partition(b"=")
        if key:
            fields.setdefault(unquote(key).lower(), unquote(value))
    exchange_type = fields.get(b"type", b"").decode("ascii", "replace").strip().lower()
    mode = fields.get(b"mode", b"").decode("ascii", "replace").strip().lower()
    modes = MODES["sale"] if exchange_type == "get_catalog" else ()
    if exchange_type in CATALOG_TYPES:
        exchange_type = "catalog"
    elif exchange_type in SALE_TYPES:
        exchange_type = "sale"
    if exchange_type != "listen" and mode not in (modes or MODES.get(exchange_type, ())):
        raise UnknownMode
    return Query(
        exchange_type,
        mode,
        filename=fields.get(b"filename"),
        sessid=fields.get(b"sessid"),
        version=fields.get(b"version"),
        timestamp=fields.get(b"timestamp"),
    )


_OFFSET = re.compile(rb"\d{1,18}")

_RANGE = re.compile(rb"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def parse_offset(upload_offset: bytes | None, content_range: bytes | None, length: int | None) -> int | None:
    """Return the offset in its file that a piece claims, in bytes; None when it claims none.

    ``upload_offset`` is the header of tus and of the IETF's draft, ``content_range`` that of RFC 9110 section 14.4;
    ``length`` is the body's, None when unknown. Raises ``InvalidOffset`` for malformed values, and when the two
    headers, or the range and the length, disagree.
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
    """Return the header that reports a file's committed length in bytes."""
    return b"Upload-Offset", b"%d" % committed


def failure(refused: Refused, translate: Callable[[str], str] = in_english) -> Answer:
    """Return the answer to a refused request: ``failure`` on a line of its own, then the reason, translated."""
    words = _one_line(translate(refused.words)).encode("utf-8")
    return Answer(refused.status, b"failure\n" + words, headers=refused.headers)


def failure_with_200(refused: Refused, translate: Callable[[str], str] = in_english) -> Answer:
    """Return the answer to a refused request for nodes that read only answers with status 200."""
    return evolve(failure(refused, translate), status=200)


def progress(words: str) -> Answer:
    """Return the answer to a request that is not done yet: the node repeats it (docs/protocol.md, N7)."""
    return Answer(body=b"progress\n" + _one_line(words).encode("utf-8"))


def checkauth_answer(cookie: str, token: str, sessid: str, timestamp: int, *, secure: bool) -> Answer:
    """Return the answer to a successful ``checkauth`` (docs/protocol.md, N4).

    The node builds ``cookie=token`` itself from lines 2 and 3; Set-Cookie serves browsers and scripts. ``timestamp``
    is in seconds since 1970; ``secure`` means that the connection uses TLS.
    """
    lines = ("success", cookie, token, f"sessid={sessid}", f"timestamp={timestamp}")
    set_cookie = f"{cookie}={token}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
    return Answer(
        body="\n".join(lines).encode("ascii"),
        headers=((b"Set-Cookie", set_cookie.encode("ascii")), (b"Cache-Control", b"no-store")),
    )


def init_answer(query: Query, sessid: str, *, zipped: bool, file_limit: int) -> Answer:
    """Return the answer to ``init``: exactly two lines, because real nodes count them (docs/protocol.md, N5).

    A node that sends ``version=`` with ``type=sale`` expects four lines, the last four characters of the fourth being
    a number of at least 2.08 (N5). ``file_limit`` is in bytes.
    """
    lines = [f"zip={'yes' if zipped else 'no'}", f"file_limit={file_limit}"]
    if query.type == "sale" and query.version is not None:
        lines += [f"sessid={sessid}", "version=2.10"]
    return Answer(body="\n".join(lines).encode("ascii"))
