"""Turns a filename as a node sends it into a safe relative path."""

from __future__ import annotations

import os
import re
import sys

from attrs import frozen

from onec_twisted.model.errors import InvalidFilename, MissingFilename
from onec_twisted.model.text import decoded

__all__ = ["LOCK", "MANIFEST", "NAME_LIMIT", "SafeName", "from_disk", "on_disk", "safe_name"]

MANIFEST = "manifest.json"
"""Written by the importer ``keep`` next to a session's files; no node may send a file or folder of this name."""

LOCK = ".lock"
"""What ``launch`` locks in a session's folder while an importer's program runs; no safe name starts with a dot."""

SEGMENT_LIMIT = 255
"""Bytes of one segment: the limit of every Linux file system."""

NAME_LIMIT = 1024
"""Bytes of a whole name; with the media root in front, it stays far below Linux's limit of 4096 for a path."""

DEEPEST_NAME = 32
"""Segments of one name, folders and file: creating a folder takes a sync, and costs no quota."""

_ELSEWHERE = (
    re.compile(r"^[A-Za-z]:"),
    re.compile(r"^(?:.*?/)?webdata/", re.IGNORECASE),
    re.compile(r"^/+tmp/"),
    re.compile(r"^(?:\.?/)+"),
)
"""Prefixes that nodes put in front of a name, the file's location on their machine; removed in this order."""

_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""The form of most names: nothing to remove, nothing to refuse."""


@frozen
class SafeName:
    """A relative path that cannot leave its folder: no segment is empty, starts with a dot or is too long."""

    segments: tuple[str, ...]

    def __str__(self) -> str:
        """Return the path with ``/`` between its segments."""
        return "/".join(self.segments)


def safe_name(raw: bytes | None) -> SafeName:
    r"""Parse the ``filename`` of a query, percent-decoded already.

    Nodes send ``\`` for ``/``, full paths on their own machine (``/tmp/v8_1.zip``,
    ``/opt/…/webdata/…/import_files/x.jpg``, ``C:\…``) and names in UTF-8 or cp1251 (docs/protocol.md, N9).
    These prefixes are removed, sub-folders are kept.

    Raises ``MissingFilename`` for no name or an empty one, ``InvalidFilename`` for one that could leave its folder,
    be hidden in it, replace the manifest, or not be stored at all.
    """
    if not raw:
        raise MissingFilename
    if _PLAIN.fullmatch(raw):
        if raw == MANIFEST.encode("ascii"):
            raise InvalidFilename
        return SafeName((raw.decode("ascii"),))
    name = decoded(raw).replace("\\", "/")
    if any(ord(mark) < 0x20 or 0x7F <= ord(mark) < 0xA0 or mark == "\ufffd" for mark in name):
        raise InvalidFilename
    for prefix in _ELSEWHERE:
        name = prefix.sub("", name)
    segments = tuple(name.split("/"))
    if segments[0] == MANIFEST or any(not segment or segment.startswith(".") for segment in segments):
        raise InvalidFilename
    sizes = [len(segment.encode("utf-8")) for segment in segments]
    if max(sizes) > SEGMENT_LIMIT or sum(sizes) + len(sizes) > NAME_LIMIT or len(segments) > DEEPEST_NAME:
        raise InvalidFilename
    return SafeName(segments)


_SYSTEM_IS_UTF8 = sys.getfilesystemencoding() == "utf-8"
"""Whether the locale makes Python write names to the disk in UTF-8 by itself."""


def on_disk(name: str) -> str:
    """Return a name or path in the form that Python writes to the disk as UTF-8, whatever the locale.

    With an 8-bit locale (``ru_RU.CP1251``) Python encodes names in that; the returned text stands for UTF-8 bytes.
    """
    return name if _SYSTEM_IS_UTF8 or name.isascii() else os.fsdecode(name.encode("utf-8", "surrogateescape"))


def from_disk(name: str) -> str:
    """Return a name or path that Python has read from the disk as proper text: the inverse of ``on_disk``."""
    return name if _SYSTEM_IS_UTF8 or name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")
