"""What is uploaded: pseudo-random bytes from a fixed seed, kept in memory, and the check of what was stored."""

from __future__ import annotations

import hashlib
import mmap
import os
import random
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["BLOCK", "Content", "Stored", "StoredWrongly"]

BLOCK = 64_000_000
"""Bytes before the content repeats itself."""

READ = 1 << 20
RECORD = 16_384
"""Bytes that a record of TLS holds at most (RFC 8446 section 5.1)."""

STRIDE = 50_021
"""How many bytes the contents of neighbouring pieces are apart: no two files of a round are equal."""


class StoredWrongly(Exception):
    """What a peer stored is not what was sent; the words say where."""


@frozen
class Stored:
    """A file that must be there: its path below the peer's folder, and which piece of how many bytes is in it."""

    path: str
    piece: int
    size: int


@define(eq=False)
class Content:
    """The bytes of all pieces, in a file that exists in memory only and that child processes inherit."""

    descriptor: int
    block: memoryview
    """The same bytes, mapped into memory."""
    _digests: dict[tuple[int, int], bytes] = field(factory=dict, init=False)

    @classmethod
    def make(cls) -> Content:
        """Make the block; always the same."""
        descriptor = os.memfd_create("bench")
        chance = random.Random(1)
        for _ in range(64):
            os.write(descriptor, chance.randbytes(BLOCK // 64))
        return cls(descriptor, memoryview(mmap.mmap(descriptor, BLOCK, prot=mmap.PROT_READ)))

    def runs(self, piece: int, size: int, start: int = 0) -> Iterable[tuple[int, int]]:
        """Yield where in the block ``size`` bytes of a piece lie, from byte ``start`` of it: offsets and lengths."""
        offset = (piece * STRIDE + start) % BLOCK
        while size:
            length = min(size, BLOCK - offset)
            yield offset, length
            size -= length
            offset = 0

    def send(self, connection: socket.socket, piece: int, size: int, start: int = 0, head: bytes = b"") -> None:
        """Send ``size`` bytes of a piece, from byte ``start`` of it, after a head.

        They pass through this program only where it has to encrypt them.
        """
        if isinstance(connection, ssl.SSLSocket):
            self._send_encrypted(connection, self.runs(piece, size, start), head)
            return
        if head:
            connection.sendall(head, socket.MSG_MORE if size else 0)
        for offset, length in self.runs(piece, size, start):
            sent = 0
            while sent < length:
                count = os.sendfile(connection.fileno(), self.descriptor, offset + sent, length - sent)
                if not count:
                    raise ConnectionError("the connection takes no more bytes")
                sent += count

    def _send_encrypted(self, connection: ssl.SSLSocket, runs: Iterable[tuple[int, int]], head: bytes) -> None:
        """Send runs of the block, by one call each; the first record begins with the head."""
        for offset, length in runs:
            with self.block[offset : offset + length] as run:
                beside = RECORD - len(head) if head else 0
                if head:
                    connection.sendall(head + run[:beside])
                    head = b""
                connection.sendall(run[beside:])
        if head:
            connection.sendall(head)

    def digest(self, piece: int, size: int) -> bytes:
        """Return the BLAKE2b digest that the piece must have."""
        if (piece, size) not in self._digests:
            digest = hashlib.blake2b()
            for offset, length in self.runs(piece, size):
                with self.block[offset : offset + length] as run:
                    digest.update(run)
            self._digests[piece, size] = digest.digest()
        return self._digests[piece, size]

    def check(self, folder: Path, files: Iterable[Stored]) -> None:
        """Check files by size and digest, on two threads. Raises ``StoredWrongly``."""
        with ThreadPoolExecutor(2) as threads:
            checks = [
                (file, threads.submit(self.digest, file.piece, file.size), threads.submit(_stored, folder, file))
                for file in files
            ]
            for file, expected, stored in checks:
                if stored.result() != expected.result():
                    raise StoredWrongly(f"{file.path} holds other bytes than were sent")


def _stored(folder: Path, expected: Stored) -> bytes:
    """Return the digest of a file, which must be of the right size."""
    digest = hashlib.blake2b()
    try:
        with (folder / expected.path).open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size != expected.size:
                raise StoredWrongly(f"{expected.path} has {size} bytes, not {expected.size}")
            while block := file.read(READ):
                digest.update(block)
    except OSError as error:
        raise StoredWrongly(f"{expected.path}: {error.strerror}") from None
    return digest.digest()
