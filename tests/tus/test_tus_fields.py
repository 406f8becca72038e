"""Headers of tus are read as they are meant, and refused when nobody can tell how."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.model.errors import InvalidLength, InvalidOffset
from onec_twisted.model.uploads import LONGEST_METADATA, is_whole
from onec_twisted.resumable.checksums import Checksum
from onec_twisted.tus.errors import InvalidChecksum, InvalidMetadata
from onec_twisted.tus.fields import (
    filename_of,
    parse_checksum,
    parse_length,
    parse_metadata,
    parse_offset,
)

KEYS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters=","), min_size=1, max_size=20)


@given(st.dictionaries(KEYS, st.binary(max_size=50), max_size=8), st.booleans(), st.booleans())
def test_metadata_comes_back(pairs: dict[str, bytes], padded: bool, spaced: bool) -> None:
    """Whatever the values are; browsers may leave the padding away, and clients put blanks behind commas."""
    told = []
    for key, value in pairs.items():
        coded = b64encode(value).decode()
        told.append(f"{key} {coded if padded else coded.rstrip('=')}".rstrip())

    assert parse_metadata((", " if spaced else ",").join(told).encode()) == pairs


@given(st.binary(max_size=100))
def test_nonsense_is_refused_or_read(raw: bytes) -> None:
    """Nothing else happens."""
    try:
        found = parse_metadata(raw)
    except InvalidMetadata:
        return
    assert all(key.isascii() and "," not in key and " " not in key for key in found)


@pytest.mark.parametrize("raw", [b"a YQ==,a YQ==", b"a b c", b"\xff YQ==", b" ", b"k" * 300 + b" YQ=="])
def test_metadata_that_cannot_be(raw: bytes) -> None:
    """A key comes once, and has a length that somebody means."""
    with pytest.raises(InvalidMetadata):
        parse_metadata(raw)


def test_metadata_has_an_end() -> None:
    """It is kept on record."""
    with pytest.raises(InvalidMetadata):
        parse_metadata(b"a " + b"A" * LONGEST_METADATA)
    assert parse_metadata(None) == parse_metadata(b"") == {}


def test_the_name_of_a_file() -> None:
    """An empty one is none."""
    assert filename_of({"filename": b"a", "name": b"b"}) == b"a"
    assert filename_of({"filename": b"", "name": b"b"}) == b"b"
    assert filename_of({"filetype": b"text/plain"}) is None


@pytest.mark.parametrize(
    ("length", "deferred", "means"),
    [(b"0", None, 0), (b"007", None, 7), (b"1" * 18, None, int("1" * 18)), (None, b"1", None)],
)
def test_a_length(length: bytes | None, deferred: bytes | None, means: int | None) -> None:
    """Is a number of bytes, or comes later."""
    assert parse_length(length, deferred) == means


@pytest.mark.parametrize(
    ("length", "deferred"),
    [(None, None), (b"1", b"1"), (None, b"0"), (b"", None), (b"1 ", None), ("٣".encode(), None)],
)
def test_a_length_that_is_none(length: bytes | None, deferred: bytes | None) -> None:
    """Says nothing, or two things."""
    with pytest.raises(InvalidLength):
        parse_length(length, deferred)


def test_an_offset() -> None:
    """Is a number; one that no file has is one all the same."""
    assert parse_offset(b"0") == 0
    assert parse_offset(b"9" * 30) == int("9" * 30)
    for raw in (None, b"", b"-1", b"\xb2", b"9" * 101):
        with pytest.raises(InvalidOffset):
            parse_offset(raw)


def test_a_checksum() -> None:
    """An algorithm that is announced, and a digest of its size."""
    assert parse_checksum(None) is None
    assert parse_checksum(b"crc32 AAAAAQ==") == Checksum("crc32", b"\0\0\0\1")
    sha512 = b"sha512 " + b64encode(bytes(64))  # not announced
    for raw in (b"", b"crc32", b"crc32 AAAA", sha512, b"crc32 AAAAAQ== x", b"crc32 \xff"):
        with pytest.raises(InvalidChecksum):
            parse_checksum(raw)


def test_all_of_it() -> None:
    """One whose length nobody knows is never whole."""
    assert is_whole(0, 0)
    assert is_whole(3, 3)
    assert not is_whole(3, 2)
    assert not is_whole(None, 0)
