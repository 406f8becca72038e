"""Digests of the bytes of an upload's request. No Twisted."""

from __future__ import annotations

import hashlib
import zlib
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.storage.interfaces import IStoredFile

__all__ = ["ALGORITHMS", "DIGEST_SIZES", "Checksum", "Digest", "digest_of", "new_digest"]

DIGEST_SIZES = {"sha1": 20, "sha256": 32, "crc32": 4, "md5": 16}
"""The algorithms announced, first the one that every server must support, and the size of each digest in bytes."""

ALGORITHMS = ",".join(DIGEST_SIZES).encode("ascii")
"""The value of ``Tus-Checksum-Algorithm``."""


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
    """Return an empty digest of an algorithm in ``DIGEST_SIZES``: it detects accidents, not attacks."""
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


@frozen
class Checksum:
    """The expected checksum of a request's bytes: a lower-case name in ``DIGEST_SIZES``, and the digest."""

    algorithm: str
    digest: bytes
