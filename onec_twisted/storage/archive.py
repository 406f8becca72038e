"""List an uploaded archive, and check that it is sound, without unpacking it and with little memory.

With ``zip=yes`` 1C sends one archive in pieces, and then requests to import names in it (docs/protocol.md, N6 and
N7). Such archives are written by many tools. So anything that reveals missing bytes is checked (signatures where
entries should begin, sizes and checksums of documents), and anything that merely looks odd is not: names that
disagree, flags, extra fields, versions, compression methods. ``zipfile`` rejects a whole archive for any of these.

Blocking functions, which ``examine`` runs in a process of its own: nothing is imported that would slow its start.
"""

from __future__ import annotations

import os
import struct
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ENCODINGS", "ArchiveDamaged", "Entry", "entries"]

DIRECTORY_LIMIT = 32 * 1024 * 1024
"""Bytes of a directory that are read at most: about 200,000 pictures."""

MOST_ENTRIES = 250_000
"""Entries of a directory at most."""

CHECKED_LIMIT = 256 * 1024 * 1024
"""Bytes of documents, packed or unpacked, whose checksums are verified per archive."""

MOST_DOCUMENTS = 1000
"""Documents whose checksums are verified per archive."""

LONGEST_NAME = 1024
"""Characters of a name at most: no node can request a longer one (``names.NAME_LIMIT``)."""

READ_BLOCK = 1024 * 1024
"""Bytes read of a directory, and unpacked of a document, at a time."""

PACKED_BLOCK = 64 * 1024
"""Bytes read of a packed document at a time."""

LIKELY_NAME = 128
"""Bytes of a name that are read together with the header before it."""

ENTRY, LOCAL, SIGNED = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x05"
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
"""Signatures of the structures of an archive (APPNOTE.TXT 4.3)."""

_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_LOCAL = struct.Struct("<4s22x2H")
_END = struct.Struct("<4sH6x2LH")
_END64 = struct.Struct("<4s36x2Q")
_LOCATOR64 = struct.Struct("<4s4xQL")

LONGEST_END = 2**16 + _END.size
"""Bytes at the end of the file that are searched for the end of the directory: a comment may follow it."""

IN_ZIP64 = 2**32 - 1
"""A size or an offset whose value is in the ZIP64 field instead (APPNOTE.TXT 4.4.8)."""

ZIP64, UNICODE_PATH = 0x0001, 0x7075
"""Extra fields (APPNOTE.TXT 4.5.3 and 4.6.9)."""

STORED, DEFLATED = 0, 8
"""Compression methods that can be read in small portions."""

ENCODINGS = ("utf-8", "cp866", "cp1251")
"""Encodings of names, the most likely first."""

ENCRYPTED, UTF8 = 0x0001 | 0x0020 | 0x0040, 0x0800
"""Flags: content that cannot be read (a password, patches, strong encryption), and names in UTF-8."""


class ArchiveDamaged(Exception):
    """The archive cannot be read; the message says why."""


class Entry:
    """One entry: every spelling of its name, the most likely first, and whether its content matches the directory."""

    __slots__ = ("names", "sound")

    def __init__(self, names: tuple[str, ...], *, sound: bool) -> None:
        """Keep both."""
        self.names = names
        self.sound = sound


class _Held:
    """The first ``size`` bytes of a file: bytes beyond them were never acknowledged."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size

    def read(self, place: int, size: int) -> bytes:
        """Return up to ``size`` bytes at a place."""
        size = min(size, self.size - place)
        return os.pread(self._fd, size, place) if place >= 0 and size > 0 else b""


class _Stream:
    """The bytes from one place to another, read in sequence."""

    def __init__(self, held: _Held, place: int, end: int) -> None:
        self._held, self._place, self._end = held, place, end
        self._data, self._at = b"", 0

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes, or fewer at the end."""
        if len(self._data) - self._at < size:
            more = self._held.read(self._place, min(max(READ_BLOCK, size), self._end - self._place))
            self._place += len(more)
            self._data, self._at = self._data[self._at :] + more, 0
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken


def _read_end(held: _Held, place: int) -> tuple[int, int, int]:
    """Read the end record at a place; return where the directory begins and ends, and by how much offsets are off.

    Offsets are off when something precedes the archive, or bytes of it are missing. Raises ``ArchiveDamaged``.
    """
    data = held.read(place, _END.size)
    if len(data) < _END.size:
        raise ArchiveDamaged("it is cut off, or no archive")
    _, disk, size, offset, _ = _END.unpack(data)
    locator = held.read(place - _LOCATOR64.size, _LOCATOR64.size)
    if place >= _LOCATOR64.size and locator.startswith(LOCATOR64):
        _, offset64, disks = _LOCATOR64.unpack(locator)
        for place64 in (place - _LOCATOR64.size - 56, offset64):
            record = held.read(place64, _END64.size)
            if len(record) == _END64.size and record.startswith(END64):
                _, size, offset = _END64.unpack(record)
                disk, place = disks > 1, place64
                break
    if disk not in (0, 0xFFFF):
        raise ArchiveDamaged("it is one part of several")
    if size > DIRECTORY_LIMIT:
        raise ArchiveDamaged(f"its directory is larger than {DIRECTORY_LIMIT} bytes")
    for start in (place - size, offset):
        if (size == 0 and start == place) or held.read(start, 4) == ENTRY:
            return start, start + size, start - offset
    raise ArchiveDamaged("its central directory is not where it should be")


def _find_end(held: _Held) -> tuple[int, int, int]:
    """Return ``_read_end`` of the last end record that is valid. Raises the ``ArchiveDamaged`` of the last one."""
    begin = max(0, held.size - LONGEST_END)
    tail = held.read(begin, LONGEST_END)
    why = None
    place = tail.rfind(END)
    while place >= 0:
        try:
            return _read_end(held, begin + place)
        except ArchiveDamaged as damaged:
            why = why or damaged
        place = tail.rfind(END, 0, place)
    raise why or ArchiveDamaged("it is cut off, or no archive")


def _fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and content of each extra field, up to the first invalid one."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if 4 + size > len(extra):
            return
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _from_zip64(extra: bytes, *values: int) -> Iterable[int | None]:
    """Return the sizes and the offset, those in the ZIP64 field from there, None where they are missing."""
    if IN_ZIP64 not in values:
        return values
    content = next((content for kind, content in _fields(extra) if kind == ZIP64), b"")
    found: list[int | None] = []
    for value in values:
        if value == IN_ZIP64:
            found.append(int.from_bytes(content[:8], "little") if len(content) >= 8 else None)
            content = content[8:]
        else:
            found.append(value)
    return found


def _spellings(raw: bytes, extra: bytes, flags: int) -> Iterator[str]:
    """Yield the names that a node may use for an entry, the most likely first.

    Tools write UTF-8 with or without the flag, the code page of Russian DOS or of Russian Windows, and some set the
    flag for UTF-8 wrongly. Where none of these has the letters, Info-ZIP's field does (APPNOTE.TXT 4.6.9).
    """
    if extra:
        for kind, content in _fields(extra):
            if kind == UNICODE_PATH and content[:1] == b"\x01" and content[1:5] == struct.pack("<L", zlib.crc32(raw)):
                yield content[5:].decode("utf-8", "replace")
    raw = raw.partition(b"\0")[0]
    if raw.isascii():
        yield raw.decode("ascii")
        return
    for encoding in ENCODINGS:
        try:
            yield raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if flags & UTF8 and encoding == "utf-8":
            return


def _plain(name: str) -> str:
    """Return a name as ``names`` would: with ``/`` between its segments, and without a prefix."""
    return name.replace("\\", "/").lstrip("/").removeprefix("./")


def _names(spelled: Iterable[str]) -> tuple[str, ...]:
    """Return spellings in order, without duplicates and those that no node can request."""
    return tuple(dict.fromkeys(_plain(name) for name in spelled if len(name) <= LONGEST_NAME))


def _unpacked(held: _Held, place: int, packed: int, method: int, most: int) -> Iterator[bytes]:
    """Yield the unpacked content at a place, in small portions, and little more than ``most`` bytes of it."""
    stream = _Stream(held, place, place + packed)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left = most
    while left >= 0 and (data := stream.take(PACKED_BLOCK)):
        while data and left >= 0:
            out, data = (inflate.decompress(data, READ_BLOCK), inflate.unconsumed_tail) if method else (data, b"")
            left -= len(out)
            yield out
    if left >= 0:
        yield inflate.flush()  # the rest of the last match


def _is_sound(held: _Held, place: int, packed: int, size: int, checksum: int, method: int) -> bool:
    """Return whether a document has the size and the checksum given in the directory."""
    length = found = 0
    try:
        for portion in _unpacked(held, place, packed, method, size):
            length += len(portion)
            found = zlib.crc32(portion, found)
    except zlib.error:
        return False
    return (length, found) == (size, checksum)


def _behind_local_header(held: _Held, place: int) -> tuple[int, bytes]:
    """Return where an entry's content begins, and its name in the local header. Raises ``ArchiveDamaged``."""
    head = held.read(place, _LOCAL.size + LIKELY_NAME)
    if len(head) < _LOCAL.size or not head.startswith(LOCAL):
        raise ArchiveDamaged("bytes are missing or doubled")
    _, long, extra = _LOCAL.unpack_from(head)
    begin = place + _LOCAL.size
    raw = head[_LOCAL.size : _LOCAL.size + long] if long <= LIKELY_NAME else held.read(begin, long)
    return begin + long + extra, raw


class _Checks:
    """Verifies the content of documents, up to the limits."""

    def __init__(self, held: _Held) -> None:
        self._held = held
        self._bytes, self._documents = CHECKED_LIMIT, MOST_DOCUMENTS

    def passes(self, place: int, packed: int, size: int, checksum: int, method: int, flags: int) -> bool:
        """Return whether a document matches the directory, or is exempt from verification."""
        cost = max(packed, size)
        readable = method in (STORED, DEFLATED) and not flags & ENCRYPTED
        if not readable or cost > self._bytes or not self._documents:
            return True
        self._bytes -= cost
        self._documents -= 1
        return _is_sound(self._held, place, packed, size, checksum, method)


def entries(fd: int, size: int) -> Iterator[Entry]:
    """Yield the entries of the archive in the first ``size`` bytes of a file.

    Documents at the top level are read to their ends and compared with their checksums, as far as ``CHECKED_LIMIT``
    and ``MOST_DOCUMENTS`` allow; those with a password, or a compression method that cannot be read in small
    portions, are left to the importer. Raises ``ArchiveDamaged`` if the archive is cut off, bytes are missing or
    doubled, or it has too many entries.
    """
    held = _Held(fd, size)
    start, end, shift = _find_end(held)
    stream, checks = _Stream(held, start, end), _Checks(held)
    for number in range(MOST_ENTRIES + 1):
        head = stream.take(_ENTRY.size)
        if not head or head.startswith(SIGNED):
            return
        if len(head) < _ENTRY.size or not head.startswith(ENTRY):
            raise ArchiveDamaged("its central directory is broken")
        if number == MOST_ENTRIES:
            raise ArchiveDamaged(f"it has more than {MOST_ENTRIES} entries")
        _, flags, method, checksum, packed, whole, raw_size, extra_size, comment, offset = _ENTRY.unpack(head)
        raw, extra, _ = stream.take(raw_size), stream.take(extra_size), stream.take(comment)
        whole, packed, offset = _from_zip64(extra, whole, packed, offset)
        names = _names(_spellings(raw, extra, flags))
        place = None
        if offset is not None:
            place, local = _behind_local_header(held, offset + shift)
            if local != raw:
                names = _names((*names, *_spellings(local, b"", flags)))
        sound = True
        if any("/" not in name and name.lower().endswith(".xml") for name in names):
            sound = not (whole is None or packed is None or place is None) and checks.passes(
                place, packed, whole, checksum, method, flags
            )
        yield Entry(names, sound=sound)
