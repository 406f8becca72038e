"""Archives as people's tools write them, byte by byte: ``zipfile`` would not write these."""

from __future__ import annotations

import struct
import zlib
from functools import cached_property

from attrs import frozen

UTF8, ENCRYPTED, PATCHED, STRONG = 0x0800, 0x0001, 0x0020, 0x0040
STORED, DEFLATED, LZMA, AES, UNHEARD_OF = 0, 8, 14, 99, 77

DOCUMENT = b'<?xml version="1.0"?>' + b"<a/>" * 200


@frozen(slots=False)
class Odd:
    """An entry; what is None in its local header stands there as in the directory."""

    name: bytes
    content: bytes = b"\xff\xd8\xff\xe0jpeg"
    flags: int = 0
    method: int = STORED
    version: int = 20
    extra: bytes = b""
    local_name: bytes | None = None
    local_flags: int | None = None

    @cached_property
    def packed(self) -> bytes:
        """Return the content as it lies in the archive."""
        if self.method == DEFLATED:
            deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
            return deflate.compress(self.content) + deflate.flush()
        return self.content

    @property
    def numbers(self) -> bytes:
        """Return checksum and sizes."""
        return struct.pack("<3L", zlib.crc32(self.content), len(self.packed), len(self.content))

    @property
    def local(self) -> bytes:
        """Return the local header, and the content."""
        name = self.name if self.local_name is None else self.local_name
        flags = self.flags if self.local_flags is None else self.local_flags
        head = struct.pack("<4s3H4x", b"PK\x03\x04", self.version, flags, self.method) + self.numbers
        return head + struct.pack("<2H", len(name), len(self.extra)) + name + self.extra + self.packed

    def central(self, offset: int) -> bytes:
        """Return what the directory says."""
        head = struct.pack("<4s4H4x", b"PK\x01\x02", 20, self.version, self.flags, self.method) + self.numbers
        return head + struct.pack("<3H8xL", len(self.name), len(self.extra), 0, offset) + self.name + self.extra


def archive_of(*entries: Odd, comment: bytes = b"", count: int | None = None) -> bytes:
    """Return an archive."""
    content, directory = bytearray(), bytearray()
    for entry in entries:
        directory += entry.central(len(content))
        content += entry.local
    many = len(entries) % 2**16 if count is None else count
    end = struct.pack("<4s4x2H2LH", b"PK\x05\x06", many, many, len(directory), len(content), len(comment))
    return bytes(content + directory + end + comment)


def field(kind: int, content: bytes, size: int | None = None) -> bytes:
    """Return an extra field; ``size`` is what it says of itself."""
    return struct.pack("<2H", kind, len(content) if size is None else size) + content


def unicode_path(name: str, header_name: bytes) -> bytes:
    """Return Info-ZIP's field with the name that a header does not have the letters for (APPNOTE.TXT 4.6.9)."""
    return field(0x7075, b"\x01" + struct.pack("<L", zlib.crc32(header_name)) + name.encode())


IMPORT = Odd(b"import0_1.xml", DOCUMENT, method=DEFLATED)

PICTURE = "картинки/болт.jpg"

ODD_PICTURES = {
    "flagged as UTF-8, and cp866": Odd(PICTURE.encode("cp866"), flags=UTF8),
    "flagged so in its local header alone": Odd(PICTURE.encode("cp866"), local_flags=UTF8),
    "a slash here, a backslash there": Odd(b"import_files\\x.jpg", local_name=b"import_files/x.jpg"),
    "cp1251 here, cp866 there": Odd(PICTURE.encode("cp866"), local_name=PICTURE.encode("cp1251")),
    "UTF-8 here, cp866 there": Odd(PICTURE.encode("cp866"), local_name=PICTURE.encode(), local_flags=UTF8),
    "an extra field of 40 bytes that has 3": Odd(b"x.jpg", extra=field(0x5455, b"\x01\x02\x03", 40)),
    "an extra field without its size": Odd(b"x.jpg", extra=b"\x01"),
    "a ZIP64 field without content": Odd(b"x.jpg", extra=field(1, b"")),
    "a version that nobody has": Odd(b"x.jpg", version=99),
    "a version of another system": Odd(b"x.jpg", version=0x0B14),
    "a method that nobody has": Odd(b"x.jpg", method=UNHEARD_OF),
    "a method that we do not have": Odd(b"x.jpg", method=LZMA),
    "a password": Odd(b"x.jpg", flags=ENCRYPTED),
    "a password by AES": Odd(b"x.jpg", flags=ENCRYPTED, method=AES, version=51),
    "strong encryption": Odd(b"x.jpg", flags=ENCRYPTED | STRONG),
    "a patch": Odd(b"x.jpg", flags=PATCHED),
    "no name": Odd(b""),
    "a name of zeros": Odd(b"\0\0\0"),
    "a name that climbs": Odd(b"../../x.jpg"),
    "a name longer than any": Odd(b"x" * 5000),
    "a name without an encoding": Odd(b"\x98\xff\xfe.jpg"),
    "a folder": Odd(b"import_files/", b""),
    "a Unicode Path that belongs to another name": Odd(b"x.jpg", extra=unicode_path("y.jpg", b"z.jpg")),
    "a Unicode Path that is cut off": Odd(b"x.jpg", extra=field(0x7075, b"\x01\x02")),
}
"""By what is odd about them; the documents beside them are sound."""
