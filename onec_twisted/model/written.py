"""Parses what people write: sizes, durations, and small files, which may come from Windows."""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE

from onec_twisted.model.text import decoded

__all__ = ["DURATION", "SIZE", "NotPlain", "parse_duration", "parse_size", "plain_bytes", "plain_text"]

SIZES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
LARGEST_SIZE = 2**62

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
LONGEST_TIME = 3.2e10
"""Seconds; a thousand years."""

SIZE = "write bytes, or a number with K, M or G, as in 100M"
DURATION = "write seconds, or a number with s, m, h or d, as in 90, 10m or 1d"
"""What to reply to other input."""


class NotPlain(ValueError):
    """A file is not plain text; the message is to follow the file's name."""


def parse_size(text: str) -> int:
    """Parse a number of bytes: a number, with K, M, G or T for powers of 1024. Raises ``ValueError``."""
    match = re.fullmatch(r"(\d{1,19}(?:\.\d{1,9})?) ?([KMGT]?)(?:I?B)?", text.strip().upper(), re.ASCII)
    if match is None or ("." in match[1] and not match[2]):
        raise ValueError(text)
    unit = SIZES[match[2]]
    size = int(float(match[1]) * unit) if "." in match[1] else int(match[1]) * unit
    if size > LARGEST_SIZE:
        raise ValueError(text)
    return size


def parse_duration(text: str) -> float:
    """Parse a number of seconds: a number, with s, m, h or d as its unit. Raises ``ValueError``.

    Capitals are not accepted: M might mean months.
    """
    number = text.strip()
    unit = UNITS.get(number[-1:])
    return float(number if unit is None else number[:-1]) * (unit or 1)


def plain_bytes(raw: bytes) -> bytes:
    """Return a file's content without the byte order mark that Notepad writes. Raises ``NotPlain`` for UTF-16."""
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise NotPlain("is UTF-16: save it as UTF-8, in Notepad by Save as")
    return raw.removeprefix(BOM_UTF8)


def plain_text(raw: bytes) -> str:
    """Return a file's content as text: UTF-8, else cp1251.

    Raises ``NotPlain`` for UTF-16, and for content that is not text.
    """
    text = plain_bytes(raw)
    if b"\0" in text:
        raise NotPlain("is not plain text: save it as UTF-8")
    return decoded(text)
