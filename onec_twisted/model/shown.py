"""What others say, and what nobody may read, made fit for a person's eyes."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["harmless", "harmless_writer", "hidden"]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, what ends a line, and what turns the direction of a text around."""

_USER = re.compile(
    r"(?:(?<=//)|(?:(?<=http:)|(?<=https:))(?!//)).*@|(?<==)[^/\s]*:[^/\s]*@", re.DOTALL | re.IGNORECASE
)
"""A user and a password in an address, also without its slashes, or without its scheme as an option's value."""

_IN_DOCUMENTS = re.compile(r"(?!\r?\n|\t)" + _CONTROLS.pattern)


def _written_out(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]


def harmless(text: str) -> str:
    """Return a text in which characters that a terminal would obey stand as they are written in Python."""
    return _CONTROLS.sub(_written_out, text)


def harmless_writer(write: Callable[[str], object]) -> Callable[[bytes], None]:
    """Return what takes a document in UTF-8 as it comes, and has it written harmlessly: its lines stay lines."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(data: bytes) -> None:
        write(_IN_DOCUMENTS.sub(_written_out, decoder.decode(data)))

    return take


def hidden(text: str) -> str:
    """Return a text in which no address tells a user or a password: what stands between ``//`` and the last ``@``.

    That is more than an address may have there (RFC 3986 section 3.2.1), as people write what they like; they forget
    the slashes as well, or all before them.
    """
    return _USER.sub("***@", text)
