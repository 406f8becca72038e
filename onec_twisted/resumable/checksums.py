"""Digests of what an upload's request has brought. No Twisted."""

from __future__ import annotations

import hashlib
import zlib
from typing import Protocol

from attrs import frozen

__all__ = ["ALGORITHMS", "DIGEST_SIZES", "Checksum", "Digest", "new_digest"]

DIGEST_SIZES = {"sha1": 20, "sha256": 32, "crc32": 4, "md5": 16}
"""What is announced, the one first that every server must have, and the bytes of each digest."""

ALGORITHMS = ",".join(DIGEST_SIZES).encode("ascii")
"""What ``Tus-Checksum-Algorithm`` says."""


class Digest(Protocol):
    """Takes bytes, and tells their digest."""

    def update(self, data: bytes, /) -> None:
        """Take the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of what has come."""


class _Crc32:
    """CRC-32 as zlib has it, its four bytes in network order."""

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = zlib.crc32(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def new_digest(algorithm: str) -> Digest:
    """Return the digest of nothing yet, by one of ``DIGEST_SIZES``: against accidents, not against attacks."""
    return _Crc32() if algorithm == "crc32" else hashlib.new(algorithm, usedforsecurity=False)


@frozen
class Checksum:
    """What the bytes of a request must have: a lower-case name of ``DIGEST_SIZES``, and the digest."""

    algorithm: str
    digest: bytes
