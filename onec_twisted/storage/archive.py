"""What lies in an uploaded archive, and whether it is sound. Nothing is unpacked, and little is held in memory.

With ``zip=yes`` 1C sends one archive, cut into pieces, and then asks to import names that lie in it
(docs/protocol.md, N6 and N7). Such archives are written by many tools, so what tells of missing bytes is checked
(signatures where entries are said to begin, sizes and checksums of documents), and what merely looks odd is not:
names that disagree, flags, extra fields, versions, ways of packing. ``zipfile`` refuses a whole archive for
any of these.

Blocking functions, which ``examine`` runs in a process of its own: nothing is imported that makes its start longer.
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
"""Bytes of a directory that are read at most: some 200,000 pictures."""

MOST_ENTRIES = 250_000
"""Entries of a directory at most."""

CHECKED_LIMIT = 256 * 1024 * 1024
"""Bytes of documents whose checksums are looked at, packed or unpacked, of one archive."""

MOST_DOCUMENTS = 1000
"""Documents whose checksums are looked at."""

LONGEST_NAME = 1024
"""Characters of a name at most: no node can ask for a longer one (``names.NAME_LIMIT``)."""

READ_BLOCK = 1024 * 1024
"""Bytes of a directory that are read, and of a document that are unpacked, at a time."""

PACKED_BLOCK = 64 * 1024
"""Bytes of a packed document that are read at a time."""

LIKELY_NAME = 128
"""Bytes of a name that are read together with what stands before it."""

ENTRY, LOCAL, SIGNED = b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x05"
END, END64, LOCATOR64 = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
"""What the structures of an archive begin with (APPNOTE.TXT 4.3)."""

_ENTRY = struct.Struct("<4s4x2H4x3L3H8xL")
_LOCAL = struct.Struct("<4s22x2H")
_END = struct.Struct("<4sH6x2LH")
_END64 = struct.Struct("<4s36x2Q")
_LOCATOR64 = struct.Struct("<4s4xQL")

LONGEST_END = 2**16 + _END.size
"""Bytes from the end in which the end of the directory is looked for: a comment may follow it."""

IN_ZIP64 = 2**32 - 1
"""A size or an offset that stands in the ZIP64 field instead (APPNOTE.TXT 4.4.8)."""

ZIP64, UNICODE_PATH = 0x0001, 0x7075
"""Extra fields (APPNOTE.TXT 4.5.3 and 4.6.9)."""

STORED, DEFLATED = 0, 8
"""Ways of packing that can be read in small portions."""

ENCODINGS = ("utf-8", "cp866", "cp1251")
"""What names are written in, the most likely first."""

ENCRYPTED, UTF8 = 0x0001 | 0x0020 | 0x0040, 0x0800
"""Flags: what we cannot read (a password, patches, strong encryption), and what says that a name is UTF-8."""


class ArchiveDamaged(Exception):
    """The archive cannot be read; the words say why."""


class Entry:
    """One entry: every spelling of its name, the most likely first, and whether it is what the directory says."""

    __slots__ = ("names", "sound")

    def __init__(self, names: tuple[str, ...], *, sound: bool) -> None:
        """Keep both."""
        self.names = names
        self.sound = sound


class _Held:
    """The first ``size`` bytes of a file: what lies behind them was never acknowledged."""

    def __init__(self, fd: int, size: int) -> None:
        self._fd = fd
        self.size = size

    def read(self, place: int, size: int) -> bytes:
        """Return as many of the bytes at a place as there are."""
        size = min(size, self.size - place)
        return os.pread(self._fd, size, place) if place >= 0 and size > 0 else b""


class _Stream:
    """Bytes from one place to another, taken one after another."""

    def __init__(self, held: _Held, place: int, end: int) -> None:
        self._held, self._place, self._end = held, place, end
        self._data, self._at = b"", 0

    def take(self, size: int) -> bytes:
        """Return the next bytes; fewer when there are no more."""
        if len(self._data) - self._at < size:
            more = self._held.read(self._place, min(max(READ_BLOCK, size), self._end - self._place))
            self._place += len(more)
            self._data, self._at = self._data[self._at :] + more, 0
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        return taken


def _read_end(held: _Held, place: int) -> tuple[int, int, int]:
    """Return where the directory begins and ends when its end is told of at a place, and how far offsets are off.

    They are when something stands before the archive, or bytes of it are missing. Raises ``ArchiveDamaged``.
    """
    data = held.read(place, _END.size)
    if len(data) < _END.size:
        raise ArchiveDamaged("it is cut off, or no archive")
    _, disk, size, offset, _ = _END.unpack(data)
    locator = held.read(place - _LOCATOR64.size, _LOCATOR64.size)
    if place >= _LOCATOR64.size and locator.startswith(LOCATOR64):
        _, told, disks = _LOCATOR64.unpack(locator)
        for place64 in (place - _LOCATOR64.size - 56, told):
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
    """Return what ``_read_end`` does of the last end that fits. Raises ``ArchiveDamaged`` with words of the last."""
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
    """Yield kind and content of each extra field, up to the first that is none."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<2H", extra)
        if 4 + size > len(extra):
            return
        yield kind, extra[4 : 4 + size]
        extra = extra[4 + size :]


def _from_zip64(extra: bytes, *values: int) -> Iterable[int | None]:
    """Return sizes and offset; those that stand in the ZIP64 field instead from there, None when they do not."""
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
    """Yield what a node may call an entry, the most likely first.

    Tools write UTF-8 with or without saying so, the letters of Russian DOS or those of Russian Windows, and some say
    that they write UTF-8 and do not. Where none of these has the letters, Info-ZIP's field does (APPNOTE.TXT 4.6.9).
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
    """Return a name as ``names`` would: with ``/`` between its segments, and nothing in front of it."""
    return name.replace("\\", "/").lstrip("/").removeprefix("./")


def _names(spelled: Iterable[str]) -> tuple[str, ...]:
    """Return spellings in their order, each once, without those that no node can ask for."""
    return tuple(dict.fromkeys(_plain(name) for name in spelled if len(name) <= LONGEST_NAME))


def _unpacked(held: _Held, place: int, packed: int, method: int, most: int) -> Iterator[bytes]:
    """Yield what is packed at a place, in small portions, and little more than ``most`` bytes of it."""
    stream = _Stream(held, place, place + packed)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    left = most
    while left >= 0 and (data := stream.take(PACKED_BLOCK)):
        while data and left >= 0:
            out, data = (inflate.decompress(data, READ_BLOCK), inflate.unconsumed_tail) if method else (data, b"")
            left -= len(out)
            yield out
    if left >= 0:
        yield inflate.flush()  # what the last match still has to give


def _is_sound(held: _Held, place: int, packed: int, size: int, checksum: int, method: int) -> bool:
    """Return whether a document has the size and the checksum that the directory says."""
    length = found = 0
    try:
        for portion in _unpacked(held, place, packed, method, size):
            length += len(portion)
            found = zlib.crc32(portion, found)
    except zlib.error:
        return False
    return (length, found) == (size, checksum)


def _behind_local_header(held: _Held, place: int) -> tuple[int, bytes]:
    """Return where an entry's content begins, and its name as it stands there. Raises ``ArchiveDamaged``."""
    head = held.read(place, _LOCAL.size + LIKELY_NAME)
    if len(head) < _LOCAL.size or not head.startswith(LOCAL):
        raise ArchiveDamaged("bytes are missing or doubled")
    _, long, extra = _LOCAL.unpack_from(head)
    begin = place + _LOCAL.size
    raw = head[_LOCAL.size : _LOCAL.size + long] if long <= LIKELY_NAME else held.read(begin, long)
    return begin + long + extra, raw


class _Checks:
    """Looks at the content of documents, as much as there may be."""

    def __init__(self, held: _Held) -> None:
        self._held = held
        self._bytes, self._documents = CHECKED_LIMIT, MOST_DOCUMENTS

    def passes(self, place: int, packed: int, size: int, checksum: int, method: int, flags: int) -> bool:
        """Return whether a document is what the directory says, or is none that we look at."""
        cost = max(packed, size)
        readable = method in (STORED, DEFLATED) and not flags & ENCRYPTED
        if not readable or cost > self._bytes or not self._documents:
            return True
        self._bytes -= cost
        self._documents -= 1
        return _is_sound(self._held, place, packed, size, checksum, method)


def entries(fd: int, size: int) -> Iterator[Entry]:
    """Yield what lies in the archive in the first ``size`` bytes of a file.

    The documents at its top are read to their ends, and compared with their checksums, as far as ``CHECKED_LIMIT``
    and ``MOST_DOCUMENTS`` allow; what is packed in a way that cannot be read in small portions, or with a password,
    is left to the importer. Raises ``ArchiveDamaged``: it is cut off, bytes are missing or doubled, there is too much
    in it.
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
