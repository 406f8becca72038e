"""Digests of the bytes of an upload's request. No Twisted."""

from __future__ import annotations

import hashlib
import os
import zlib
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from onec_twisted.model.errors import FileDamaged

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.storage.interfaces import IStoredFile

__all__ = [
    "ALGORITHMS",
    "DIGEST_SIZES",
    "SHA2_SIZES",
    "Checksum",
    "Digest",
    "digest_of",
    "digest_of_first",
    "new_digest",
]

DIGEST_SIZES = {"sha1": 20, "sha256": 32, "crc32": 4, "md5": 16}
"""The algorithms that tus announces, first the one that all servers must support, and the bytes of each digest."""

ALGORITHMS = ",".join(DIGEST_SIZES).encode("ascii")
"""The value of ``Tus-Checksum-Algorithm``."""

SHA2_SIZES = {"sha512": 64, "sha256": 32}
"""The algorithms that RFC 9530 section 5 calls active, and the bytes of each digest. tus has only the second."""


BLOCK_SIZE = 1024 * 1024
"""Bytes of a file that are read at a time."""


class Digest(Protocol):
    """Computes the digest of bytes."""

    def update(self, data: bytes, /) -> None:
        """Add the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of the bytes so far."""


class _Crc32:
    """CRC-32 as in zlib, its four bytes in network order."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def new_digest(algorithm: str) -> Digest:
    """Return an empty digest of an algorithm in ``DIGEST_SIZES`` or ``SHA2_SIZES``: for accidents, not attacks."""
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


def digest_of(file: IStoredFile, algorithm: str, check: Callable[[], None]) -> bytes:
    """Return the digest of what was written to a file since it was opened; call it in a worker.

    ``check`` is called before each block, and may stop the work by raising.
    """
    digest = new_digest(algorithm)

    def update(block: bytes) -> None:
        check()
        digest.update(block)

    file.feed(update)
    return digest.digest()


def digest_of_first(fd: int, size: int, algorithm: str) -> bytes:
    """Return the digest of the first ``size`` bytes of an open file; call it in a worker.

    Raises ``FileDamaged`` when there are fewer, and ``OSError``.
    """
    digest, place = new_digest(algorithm), 0
    while place < size:
        block = os.pread(fd, min(BLOCK_SIZE, size - place), place)
        if not block:
            raise FileDamaged
        digest.update(block)
        place += len(block)
    return digest.digest()


@frozen
class Checksum:
    """The expected checksum of a request's bytes: a name in ``DIGEST_SIZES`` or ``SHA2_SIZES``, and the digest."""

    algorithm: str
    digest: bytes

    def packed(self) -> str:
        """Return it as text, for the record of an upload."""
        return f"{self.algorithm}:{self.digest.hex()}"

    @classmethod
    def unpacked(cls, text: str) -> Checksum:
        """Return the checksum of ``packed``."""
        algorithm, _, digest = text.partition(":")
        return cls(algorithm, bytes.fromhex(digest))
