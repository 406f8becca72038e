"""Makes foreign text safe to show to a person, and hides secrets in it."""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["harmless", "harmless_writer", "hidden"]

_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Terminal controls, line ends, and marks that change the direction of a text."""

_USER = re.compile(
    r"(?:(?<=//)|(?:(?<=http:)|(?<=https:))(?!//)).*@|(?<==)[^/\s]*:[^/\s]*@", re.DOTALL | re.IGNORECASE
)
"""User and password in a URL, also one without slashes, or without a scheme as the value of an option."""

_IN_DOCUMENTS = re.compile(r"(?!\r?\n|\t)" + _CONTROLS.pattern)


def _written_out(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]


def harmless(text: str) -> str:
    """Return a text with its control characters escaped as in Python."""
    return _CONTROLS.sub(_written_out, text)


def harmless_writer(write: Callable[[str], object]) -> Callable[[bytes], None]:
    """Return a function that takes a UTF-8 document in parts, and writes it with controls escaped, line ends kept."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def take(data: bytes) -> None:
        write(_IN_DOCUMENTS.sub(_written_out, decoder.decode(data)))

    return take


def hidden(text: str) -> str:
    """Return a text without user and password in its URLs: all between ``//`` and the last ``@`` is hidden.

    That is more than a URL may have there (RFC 3986 section 3.2.1), as people write anything; they also forget the
    slashes, or everything before them.
    """
    return _USER.sub("***@", text)
