"""The rules for names on the disk, and the names that are the daemon's own.

Nothing is imported that would slow the start of the programs that unpack archives.
"""

from __future__ import annotations

import os
import sys

__all__ = [
    "DEEPEST_NAME",
    "LOCK",
    "MANIFEST",
    "NAME_LIMIT",
    "SEGMENT_LIMIT",
    "UNPACKED",
    "fits",
    "from_disk",
    "has_marks",
    "on_disk",
]

MANIFEST = "manifest.json"
"""Written by the importer ``keep`` next to a session's files; no node may send a file or folder of this name."""

LOCK = ".lock"
"""What ``launch`` locks in a session's folder while an importer's program runs; no safe name starts with a dot."""

UNPACKED = ".unpacked"
"""The folder in a session's folder that has what was unpacked of its archives."""

SEGMENT_LIMIT = 255
"""Bytes of one segment: the limit of every Linux file system."""

NAME_LIMIT = 1024
"""Bytes of a whole name; with the media root in front, it stays far below Linux's limit of 4096 for a path."""

DEEPEST_NAME = 32
"""Segments of one name, folders and file: creating a folder takes a sync, and costs no quota."""

_SYSTEM_IS_UTF8 = sys.getfilesystemencoding() == "utf-8"
"""Whether the locale makes Python write names to the disk in UTF-8 by itself."""


def has_marks(name: str) -> bool:
    """Return whether a name has control characters, or something that could not be decoded."""
    return any(ord(mark) < 0x20 or 0x7F <= ord(mark) < 0xA0 or mark == "\ufffd" for mark in name)


def fits(segments: tuple[str, ...], deepest: int = DEEPEST_NAME) -> bool:
    """Return whether a file can be stored under a name: no segment, nor the whole, is too long or too deep."""
    sizes = [len(segment.encode("utf-8")) for segment in segments]
    return max(sizes) <= SEGMENT_LIMIT and sum(sizes) + len(sizes) <= NAME_LIMIT and len(segments) <= deepest


def on_disk(name: str) -> str:
    """Return a name or path in the form that Python writes to the disk as UTF-8, whatever the locale.

    With an 8-bit locale (``ru_RU.CP1251``) Python encodes names in that; the returned text stands for UTF-8 bytes.
    """
    return name if _SYSTEM_IS_UTF8 or name.isascii() else os.fsdecode(name.encode("utf-8", "surrogateescape"))


def from_disk(name: str) -> str:
    """Return a name or path that Python has read from the disk as proper text: the inverse of ``on_disk``."""
    return name if _SYSTEM_IS_UTF8 or name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")
