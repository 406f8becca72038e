"""A filename as a node sends it, to a safe relative path."""

from __future__ import annotations

import os
import re
import sys

from attrs import frozen

from onec_twisted.model.errors import InvalidFilename, MissingFilename
from onec_twisted.model.text import decoded

__all__ = ["LOCK", "MANIFEST", "NAME_LIMIT", "SafeName", "from_disk", "on_disk", "safe_name"]

MANIFEST = "manifest.json"
"""What the importer ``keep`` puts beside a session's files; no node may send a file, or a folder, of that name."""

LOCK = ".lock"
"""What ``launch`` locks in a session's folder while an importer's program runs; no name leads with a dot."""

SEGMENT_LIMIT = 255
"""Bytes of one segment: the limit of every Linux file system."""

NAME_LIMIT = 1024
"""Bytes of a whole name; with the media root in front it stays far under Linux's 4096 of a path."""

DEEPEST_NAME = 32
"""Folders and the file in one name: each folder that is made takes a sync, and costs no quota."""

_ELSEWHERE = (
    re.compile(r"^[A-Za-z]:"),
    re.compile(r"^(?:.*?/)?webdata/", re.IGNORECASE),
    re.compile(r"^/+tmp/"),
    re.compile(r"^(?:\.?/)+"),
)
"""What nodes put in front of a name: the place of the file on their own machine. Dropped in this order."""

_PLAIN = re.compile(rb"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
"""What most names are: nothing to drop, nothing to refuse."""


@frozen
class SafeName:
    """A relative path that stays where it is put: no segment is empty, leads with a dot or is over-long."""

    segments: tuple[str, ...]

    def __str__(self) -> str:
        """Return the path with ``/`` between its segments."""
        return "/".join(self.segments)


def safe_name(raw: bytes | None) -> SafeName:
    r"""Understand the ``filename`` of a query, percent-decoded already.

    Nodes send ``\`` for ``/``, full paths of the machine they run on (``/tmp/v8_1.zip``,
    ``/opt/…/webdata/…/import_files/x.jpg``, ``C:\…``) and names in UTF-8 or cp1251 (docs/protocol.md, N9).
    Those prefixes are dropped, sub-folders are kept.

    Raises ``MissingFilename`` for none or an empty name, ``InvalidFilename`` for one that could leave its folder,
    hide in it, take the manifest's place, or not be written at all.
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
"""Whether the locale lets Python put names on the disk in UTF-8 by itself."""


def on_disk(name: str) -> str:
    """Return a name, or a path, as Python takes it to be UTF-8 on the disk, whatever the locale.

    Under an 8-bit locale (``ru_RU.CP1251``) Python encodes names in its own way: what it gets here stands for bytes.
    """
    return name if _SYSTEM_IS_UTF8 or name.isascii() else os.fsdecode(name.encode("utf-8", "surrogateescape"))


def from_disk(name: str) -> str:
    """Return a name, or a path, that Python has read from the disk, as UTF-8: what ``on_disk`` was given."""
    return name if _SYSTEM_IS_UTF8 or name.isascii() else os.fsencode(name).decode("utf-8", "surrogateescape")
