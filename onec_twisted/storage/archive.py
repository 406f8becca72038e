"""List an uploaded archive, and check that it is sound, without unpacking it, and with little memory.

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

from onec_twisted.storage.spelling import fields, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "DEFLATED",
    "READ_BLOCK",
    "STORED",
    "UNREADABLE_FLAGS",
    "ArchiveDamaged",
    "Entry",
    "Held",
    "Listed",
    "entries",
    "listed",
    "unpacked",
]

DIRECTORY_LIMIT = 32 * 1024 * 1024
"""Bytes of a directory that are read at most: about 200,000 pictures."""

MOST_ENTRIES = 250_000
"""Entries of a directory at most."""

CHECKED_LIMIT = 256 * 1024 * 1024
"""Bytes of documents, packed or unpacked, whose checksums are verified per archive."""

MOST_DOCUMENTS = 1000
"""Documents whose checksums are verified per archive."""

READ_BLOCK = 1024 * 1024
"""Bytes read of a directory, and unpacked of a document, at a time."""

PACKED_BLOCK = 64 * 1024
"""Bytes read of a packed document at a time."""

LIKELY_NAME = 128
"""Bytes of a name that are read together with the header before it."""

ENTRY, LOCAL, SIGNED = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x05"
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
"""Signatures of the structures of an archive (APPNOTE.TXT 4.3)."""

_ENTRY = struct.Struct("<4s4x2H4x3L3H4x2L")
_LOCAL = struct.Struct("<4s22x2H")
_END = struct.Struct("<4sH6x2LH")
_END64 = struct.Struct("<4s36x2Q")
_LOCATOR64 = struct.Struct("<4s4xQL")

LONGEST_END = 2**16 + _END.size
"""Bytes at the end of the file that are searched for the end of the directory: a comment may follow it."""

IN_ZIP64 = 2**32 - 1
"""A size or an offset whose value is in the ZIP64 field instead (APPNOTE.TXT 4.4.8)."""

ZIP64 = 0x0001
"""The extra field of sizes and an offset (APPNOTE.TXT 4.5.3)."""

STORED, DEFLATED = 0, 8
"""Compression methods that can be read in small portions."""

UNREADABLE_FLAGS = 0x0001 | 0x0020 | 0x0040
"""Flags of content that cannot be read: a password, patches, strong encryption."""


class ArchiveDamaged(Exception):
    """The archive cannot be read; the message says why."""


class Entry:
    """One entry: every spelling of its name, the most likely first, and whether its content matches the directory."""

    __slots__ = ("names", "sound")

    def __init__(self, names: tuple[str, ...], *, sound: bool) -> None:
        """Keep both."""
        self.names = names
        self.sound = sound


class Listed:
    """What an archive's directory says of one entry; sizes and places that it does not say are None.

    ``raw`` is the name, ``local`` the one in the local header; ``begin`` is where that header lies, ``place`` where
    the content does. ``attributes`` are those of the system that made it.
    """

    __slots__ = (
        *("flags", "method", "checksum", "packed", "size", "attributes"),
        *("raw", "extra", "local", "begin", "place"),
    )

    flags: int
    method: int
    checksum: int
    packed: int | None
    size: int | None
    attributes: int
    raw: bytes
    extra: bytes
    begin: int | None
    place: int | None
    local: bytes

    def names(self) -> tuple[str, ...]:
        """Return the names that a node may use for it, the most likely first."""
        return names(self.raw, self.extra, self.local, self.flags)


class Held:
    """The first ``size`` bytes of a file: bytes beyond them were never acknowledged."""

    def __init__(self, fd: int, size: int) -> None:
        """Read from an open file."""
        self._fd = fd
        self.size = size

    def read(self, place: int, size: int) -> bytes:
        """Return up to ``size`` bytes at a place."""
        size = min(size, self.size - place)
        return os.pread(self._fd, size, place) if place >= 0 and size > 0 else b""


class _Stream:
    """The bytes from one place to another, read in sequence."""

    def __init__(self, held: Held, place: int, end: int) -> None:
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


def _read_end(held: Held, place: int) -> tuple[int, int, int]:
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


def _find_end(held: Held) -> tuple[int, int, int]:
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


def _from_zip64(extra: bytes, *values: int) -> Iterable[int | None]:
    """Return the sizes and the offset, those in the ZIP64 field from there, None where they are missing."""
    if IN_ZIP64 not in values:
        return values
    content = next((content for kind, content in fields(extra) if kind == ZIP64), b"")
    found: list[int | None] = []
    for value in values:
        if value == IN_ZIP64:
            found.append(int.from_bytes(content[:8], "little") if len(content) >= 8 else None)
            content = content[8:]
        else:
            found.append(value)
    return found


def unpacked(held: Held, place: int, packed: int, method: int, most: int) -> Iterator[bytes]:
    """Yield the unpacked content at a place, in small portions, and little more than ``most`` bytes of it.

    ``method`` is ``STORED`` or ``DEFLATED``. Raises ``zlib.error``.
    """
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


def _is_sound(held: Held, place: int, packed: int, size: int, checksum: int, method: int) -> bool:
    """Return whether a document has the size and the checksum given in the directory."""
    length = found = 0
    try:
        for portion in unpacked(held, place, packed, method, size):
            length += len(portion)
            found = zlib.crc32(portion, found)
    except zlib.error:
        return False
    return (length, found) == (size, checksum)


def _behind_local_header(held: Held, place: int) -> tuple[int, bytes]:
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

    def __init__(self, held: Held) -> None:
        self._held = held
        self._bytes, self._documents = CHECKED_LIMIT, MOST_DOCUMENTS

    def passes(self, place: int, packed: int, size: int, checksum: int, method: int, flags: int) -> bool:
        """Return whether a document matches the directory, or is exempt from verification."""
        cost = max(packed, size)
        readable = method in (STORED, DEFLATED) and not flags & UNREADABLE_FLAGS
        if not readable or cost > self._bytes or not self._documents:
            return True
        self._bytes -= cost
        self._documents -= 1
        return _is_sound(self._held, place, packed, size, checksum, method)


def listed(held: Held) -> Iterator[Listed]:
    """Yield the entries of an archive, in the order of its directory.

    Raises ``ArchiveDamaged`` if it is cut off, bytes are missing or doubled, or it has too many entries.
    """
    start, end, shift = _find_end(held)
    stream = _Stream(held, start, end)
    for number in range(MOST_ENTRIES + 1):
        head = stream.take(_ENTRY.size)
        if not head or head.startswith(SIGNED):
            return
        if len(head) < _ENTRY.size or not head.startswith(ENTRY):
            raise ArchiveDamaged("its central directory is broken")
        if number == MOST_ENTRIES:
            raise ArchiveDamaged(f"it has more than {MOST_ENTRIES} entries")
        one, values = Listed(), _ENTRY.unpack(head)
        _, one.flags, one.method, one.checksum, packed, size, *lengths, one.attributes, offset = values
        one.raw, one.extra, _ = (stream.take(length) for length in lengths)
        one.size, one.packed, begin = _from_zip64(one.extra, size, packed, offset)
        one.begin = one.place = None
        one.local = one.raw
        if begin is not None:
            one.begin = begin + shift
            one.place, one.local = _behind_local_header(held, one.begin)
        yield one


def entries(fd: int, size: int) -> Iterator[Entry]:
    """Yield the entries of the archive in the first ``size`` bytes of a file.

    Documents at the top level are read to their ends and compared with their checksums, as far as ``CHECKED_LIMIT``
    and ``MOST_DOCUMENTS`` allow; those with a password, or a compression method that cannot be read in small
    portions, are not. Raises what ``listed`` raises.
    """
    held = Held(fd, size)
    checks = _Checks(held)
    for one in listed(held):
        names, sound = one.names(), True
        if any("/" not in name and name.lower().endswith(".xml") for name in names):
            sound = not (one.size is None or one.packed is None or one.place is None) and checks.passes(
                one.place, one.packed, one.size, one.checksum, one.method, one.flags
            )
        yield Entry(names, sound=sound)
