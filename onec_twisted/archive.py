"""The directory of an uploaded archive: what lies in it, and whether it is sound. Nothing is unpacked. No Twisted.

With ``zip=yes`` 1C sends one archive, cut into pieces, and then asks to import names that lie in it (protocol.md, A.5
and A.6). Blocking functions.
"""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from attrs import frozen

from onec_twisted.names import NAME_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ArchiveDamaged", "Directory", "read_directory"]

DIRECTORY = 32 * 1024 * 1024
"""Bytes of a directory that are read at most: some 200,000 pictures."""

ENTRIES = 250_000
"""Entries of a directory at most."""

CHECKED = 256 * 1024 * 1024
"""Bytes of documents whose checksums are looked at, of one archive."""

DOCUMENTS = 1000
"""Documents whose checksums are looked at."""

BLOCK = 1024 * 1024
"""Bytes that are read at a time."""

ENTRY = b"PK\x01\x02"
"""What each entry of a directory begins with (APPNOTE.TXT 4.3.12)."""

NOT_SOUND = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, OSError, OverflowError)
"""What ``zipfile`` raises for damage."""


class ArchiveDamaged(Exception):
    """The archive cannot be read; the words say why."""


@frozen
class Directory:
    """The names in an archive, and those of its documents whose content is not what the directory says."""

    names: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()


class _Held(io.RawIOBase):
    """The first ``size`` bytes of a file: what lies behind them was never acknowledged."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd, self._size, self._place = fd, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        if place < 0:
            raise OSError("before the beginning")
        self._place = place
        return place

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._size - self._place)
        size = left if size is None or size < 0 else min(size, left)
        if size > DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is larger than {DIRECTORY} bytes")
        data = os.pread(self._fd, size, self._place)
        self._place += len(data)
        if data.startswith(ENTRY) and data.count(ENTRY) > ENTRIES:
            raise zipfile.BadZipFile(f"it has more than {ENTRIES} entries")
        return data


def _names_of(entry: zipfile.ZipInfo) -> Iterator[str]:
    """Yield what a node may call an entry: names that are not UTF-8 are those of Russian DOS, or ASCII."""
    name = entry.filename.replace("\\", "/").lstrip("/").removeprefix("./")
    yield name
    if not name.isascii() and not entry.flag_bits & 0x800:
        try:
            yield name.encode("cp437").decode("cp866")
        except UnicodeError:
            return


def _is_document(entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry may be asked for, and is packed so that it can be read in small portions."""
    at_the_top = "/" not in entry.filename and entry.filename.lower().endswith(".xml")
    return at_the_top and entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def _is_sound(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, *, to_its_end: bool) -> bool:
    """Return whether an entry is where, and what, the directory says it is. What we cannot read is left to others."""
    try:
        with archive.open(entry) as content:
            while to_its_end and content.read(BLOCK):
                pass
    except (NotImplementedError, RuntimeError):
        return True  # a packing that Python does not know, or a password
    except NOT_SOUND:
        return False
    return True


def read_directory(fd: int, size: int) -> Directory:
    """Return what lies in the archive in the first ``size`` bytes of a file.

    The documents at its top are read to their ends, and compared with their checksums, as far as ``CHECKED`` and
    ``DOCUMENTS`` allow; packings that cannot be read in small portions are left to the importer.
    Raises ``ArchiveDamaged``: it is cut off, bytes are missing or doubled, or there is too much in it.
    """
    held: Any = _Held(fd, size)
    try:
        with zipfile.ZipFile(held) as archive:
            entries = archive.infolist()
            first = min(entries, key=lambda entry: entry.header_offset, default=None)
            if first is not None and not _is_sound(archive, first, to_its_end=False):
                raise ArchiveDamaged("bytes are missing or doubled")
            names: set[str] = set()
            damaged: set[str] = set()
            left = CHECKED
            documents = 0
            for entry in entries:
                if len(entry.filename) > NAME_LIMIT:
                    continue
                names.update(_names_of(entry))
                if _is_document(entry) and entry.file_size <= left and documents < DOCUMENTS:
                    left -= entry.file_size
                    documents += 1
                    if not _is_sound(archive, entry, to_its_end=True):
                        damaged.update(_names_of(entry))
    except zipfile.BadZipFile as error:
        words = str(error)
        raise ArchiveDamaged(
            "it is cut off, or no archive" if words == "File is not a zip file" else words
        ) from error
    except NOT_SOUND as error:
        raise ArchiveDamaged("its directory cannot be read") from error
    return Directory(frozenset(names), frozenset(damaged))
