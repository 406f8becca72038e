"""The names that an entry of an archive may mean: tools write them in several encodings, and rarely say which.

Nothing is imported that would slow the start of the programs that read archives.
"""

from __future__ import annotations

import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ENCODINGS", "UTF8", "Guess", "fields", "names"]

LONGEST_NAME = 1024
"""Characters of a name at most: no node can request a longer one (``segments.NAME_LIMIT``)."""

UNICODE_PATH = 0x7075
"""Info-ZIP's extra field with the name in UTF-8 (APPNOTE.TXT 4.6.9)."""

UTF_8, DOS, WINDOWS = ENCODINGS = ("utf-8", "cp866", "cp1251")
"""Encodings of names, the most likely first."""

UTF8 = 0x0800
"""The flag of names in UTF-8; some tools set it wrongly."""

IN_DOS, IN_WINDOWS = bytes(range(0x80, 0xB0)), bytes((*range(0xC0, 0xE0), *range(0xF2, 0x100)))
"""Bytes that are Russian letters in one of the two code pages, and lines or signs in the other."""


def fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and content of each extra field, up to the first invalid one."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if 4 + size > len(extra):
            return
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _unicode_path(raw: bytes, extra: bytes) -> Iterator[str]:
    """Yield the name in Info-ZIP's field, if there is one that belongs to this name."""
    for kind, content in fields(extra):
        if kind == UNICODE_PATH and content[:1] == b"\x01" and content[1:5] == struct.pack("<L", zlib.crc32(raw)):
            yield content[5:].decode("utf-8", "replace")


def _spellings(raw: bytes, extra: bytes, flags: int) -> Iterator[str]:
    """Yield the names that a node may use for an entry, the most likely first.

    Tools write UTF-8 with or without the flag, the code page of Russian DOS or of Russian Windows, and some set the
    flag for UTF-8 wrongly. Where none of these has the letters, Info-ZIP's field does (APPNOTE.TXT 4.6.9).
    """
    if extra:
        yield from _unicode_path(raw, extra)
    raw = raw.partition(b"\0")[0]
    if raw.isascii():
        yield raw.decode("ascii")
        return
    for encoding in ENCODINGS:
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if flags & UTF8 and encoding == UTF_8:
            return


def _plain(name: str) -> str:
    """Return a name as ``names`` would: with ``/`` between its segments, and without a prefix."""
    return name.replace("\\", "/").lstrip("/").removeprefix("./")


def _requestable(spelled: Iterable[str]) -> tuple[str, ...]:
    """Return spellings in order, without duplicates and those that no node can request."""
    return tuple(dict.fromkeys(_plain(name) for name in spelled if len(name) <= LONGEST_NAME))


def names(raw: bytes, extra: bytes, local: bytes, flags: int) -> tuple[str, ...]:
    """Return the names that a node may use for an entry, the most likely first; ``local`` is in its local header."""
    found = _requestable(_spellings(raw, extra, flags))
    return found if local == raw else _requestable((*found, *_spellings(local, b"", flags)))


class Guess:
    """The one name that each entry of an archive gets on the disk.

    Whether its tool writes the code page of DOS or of Windows shows in the letters of all its names together:
    ``note`` each of them first.
    """

    def __init__(self) -> None:
        """Have seen no letters."""
        self._dos = self._windows = 0

    def note(self, raw: bytes) -> None:
        """Count the letters of a name."""
        if not raw.isascii() and not _is_utf8(raw):
            self._dos += len(raw) - len(raw.translate(None, IN_DOS))
            self._windows += len(raw) - len(raw.translate(None, IN_WINDOWS))

    def name(self, raw: bytes, extra: bytes) -> str:
        """Return the name as it was meant, with all that stands in front of it."""
        if extra:
            for name in _unicode_path(raw, extra):
                return name
        raw = raw.partition(b"\0")[0]
        if _is_utf8(raw):
            return raw.decode(UTF_8)
        try:
            return raw.decode(WINDOWS if self._windows > self._dos else DOS)
        except UnicodeDecodeError:
            return raw.decode(DOS)


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode(UTF_8)
    except UnicodeDecodeError:
        return False
    return True
