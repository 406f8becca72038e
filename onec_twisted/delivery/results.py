"""What the text of a site's answer says of an import. Pure functions.

Sites answer as a 1C exchange does, with ``success``, ``failure`` or ``progress`` in the first line; or with nothing,
or JSON. A site that breaks down may answer 200 as well, with a page of HTML or PHP's last message.
"""

from __future__ import annotations

import json
import re

from attrs import frozen

__all__ = ["BROKEN", "FAILURE", "PROGRESS", "SUCCESS", "Result", "plain", "result_of"]

SUCCESS, PROGRESS, FAILURE, BROKEN = "success", "progress", "failure", "broken"
"""What an answer says; ``BROKEN`` is anything that no importer answers on purpose."""

_MARGIN = re.compile(r"[\s\ufeff\u200b\x00]+")
"""White space, and byte order marks: PHP sends those of all its files."""

_NOTICE = re.compile(
    r"(PHP )?(Warning|Notice|Deprecated|Strict Standards|Strict standards): .* on line \d+", re.IGNORECASE
)
"""A line that PHP writes before an answer that continues (``display_errors`` without ``html_errors``)."""

_END = re.compile(r"(PHP )?(Fatal error|Parse error|Recoverable fatal error|Catchable fatal error): ", re.IGNORECASE)
"""The start of the line that PHP writes before it aborts."""

_FIRST = re.compile(r"(success|progress|failure)\s*(?:$|<br\s*/?>|[:.,;!-])\s*(.*)", re.IGNORECASE)


@frozen
class Result:
    """What an answer says, and its ``words`` for a person: without the first line of the 1C protocol."""

    says: str
    words: str


def result_of(text: str) -> Result:
    """Return what a text says; a text that says nothing, and JSON, is success."""
    start = _MARGIN.match(text)
    rest = text[start.end() :] if start else text
    if rest.startswith("<"):
        return Result(BROKEN, "")
    if _is_json(rest):
        return Result(SUCCESS, "")
    lines = [_MARGIN.sub(" ", line).strip() for line in rest.splitlines()]
    lines = [line for line in lines if line and not _NOTICE.fullmatch(line)]
    if any(_END.match(line) for line in lines):
        return Result(BROKEN, "")
    first = _FIRST.fullmatch(lines[0]) if lines else None
    if first is None:
        return Result(SUCCESS, "\n".join(lines))
    return Result(first[1].lower(), "\n".join(filter(None, [first[2], *lines[1:]])))


def plain(text: str, content_type: str) -> str:
    """Return the text of an answer that is meant for a person, empty for HTML (an error page) or JSON.

    A first line that is nothing but a word of the 1C protocol is for machines.
    """
    text, kind = text.strip(), content_type.lower()
    if "html" in kind or "json" in kind or text.startswith("<") or _is_json(text):
        return ""
    first, _, rest = text.partition("\n")
    return rest.strip() if first.strip().lower() in (PROGRESS, FAILURE) else text


def _is_json(text: str) -> bool:
    """Return whether a text is a JSON object or array: text for a person may begin with a bracket, too."""
    if not text.startswith(("{", "[")):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
