"""Digests by every algorithm that is announced."""

from __future__ import annotations

import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.resumable.checksums import ALGORITHMS, DIGEST_SIZES, SHA2_SIZES, new_digest


def test_what_is_announced() -> None:
    """SHA-1 is what every server must have."""
    assert ALGORITHMS.split(b",")[0] == b"sha1"
    assert b"sha512" not in ALGORITHMS.split(b",")


@pytest.mark.parametrize(("algorithm", "size"), sorted({*DIGEST_SIZES.items(), *SHA2_SIZES.items()}))
def test_sizes(algorithm: str, size: int) -> None:
    """A digest of another size is refused before its bytes come."""
    assert len(new_digest(algorithm).digest()) == size


@given(st.lists(st.binary(max_size=100)))
def test_piece_by_piece_is_as_all_at_once(pieces: list[bytes]) -> None:
    """However the bytes came."""
    whole = b"".join(pieces)
    expected = {
        name: hashlib.new(name, whole, usedforsecurity=False).digest() for name in ("sha1", "sha256", "sha512", "md5")
    }
    expected["crc32"] = zlib.crc32(whole).to_bytes(4, "big")
    for algorithm, digest in expected.items():
        made = new_digest(algorithm)
        for piece in pieces:
            made.update(piece)
        assert made.digest() == digest
