"""Fields of the IETF's uploads are read by their grammar; what breaks it counts as absent, and never fails."""

from __future__ import annotations

from hashlib import sha256, sha512
from time import process_time
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

import pytest
from http_sf import ser
from hypothesis import example, given
from hypothesis import strategies as st

from onec_twisted.model.uploads import LONGEST_METADATA, unpacked_metadata
from onec_twisted.resumable.checksums import Checksum
from onec_twisted.rufh.errors import InvalidDigest, MetadataTooLong
from onec_twisted.rufh.fields import (
    INTEROP_VERSIONS,
    complete_field,
    filename_of,
    length_field,
    offset_field,
    pack_metadata,
    parse_complete,
    parse_digest,
    parse_number,
    parse_version,
    version_field,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SHA512 = Checksum("sha512", sha512(b"x").digest())
SHA256 = Checksum("sha256", sha256(b"x").digest())

NUMBERS = st.integers(0, 10**15 - 1)
WIDE = st.one_of(
    st.binary(max_size=100),
    # what looks like structured fields and parameters, and is not quite
    st.lists(
        st.sampled_from(
            [
                *(b"?1", b"?0", b"12", b"-", b"1.5", b"@9", b"@999999999999999", b'%"', b"%ff", b"tok", b"(", b")"),
                *(b"sha-256", b"sha-512", b"=", b":", b"AAAA", b";", b",", b" ", b"\t", b'"', b"\\", b"*"),
                *(b"inline", b"filename", b"UTF-8''", b"%41", b"%", b"\xd1\x84", b"\xff", b"\0", b"\r\n"),
            ]
        ),
        max_size=12,
    ).map(b"".join),
)
DIGESTS = st.one_of(
    st.builds(Checksum, st.just("sha512"), st.binary(min_size=64, max_size=64)),
    st.builds(Checksum, st.just("sha256"), st.binary(min_size=32, max_size=32)),
)


@given(WIDE)
@example(b"sha-256=" * 10)
def test_nonsense_is_passed_over_or_refused(raw: bytes) -> None:
    """Nothing else happens, whatever the bytes are."""
    for parse in (parse_version, parse_complete, parse_number, filename_of):
        assert isinstance(parse(raw), int | bytes | None)
    try:
        found = parse_digest(raw)
    except InvalidDigest:
        return
    assert found is None or len(found.digest) in {32, 64}


@pytest.mark.parametrize("parse", [parse_version, parse_complete, parse_number, parse_digest, filename_of])
def test_a_field_that_is_absent(parse: Callable[[bytes | None], object]) -> None:
    """Says nothing; nor does an empty one."""
    assert parse(None) is None
    assert parse(b"") is None


@pytest.mark.parametrize(
    ("raw", "means"),
    [
        (b"6", 6),
        (b"8", 8),
        (b"9", 9),
        (b"9;a", 9),
        (b"7", None),
        (b"3", None),
        (b"5", None),
        (b"10", None),
        (b"-6", None),
        (b"8.0", None),
        (b"8, 8", None),
        (b"?1", None),
    ],
)
def test_a_version(raw: bytes, means: int | None) -> None:
    """Is one that the server speaks, or none."""
    assert parse_version(raw) == means


@pytest.mark.parametrize(
    ("raw", "means"),
    [
        (b"?1", True),
        (b"?0", False),
        (b"?1;a=1", True),
        (b"  ?0 ", False),
        (b"?1, ?1", None),
        (b"?0, ?1", None),
        (b"?2", None),
        (b"1", None),
        (b"0", None),
        (b"true", None),
        (b'"?1"', None),
        (b"(?1)", None),
    ],
)
def test_whether_a_request_completes(raw: bytes, means: bool | None) -> None:
    """It takes a Boolean: a number is none, and two lines are one with a comma."""
    assert parse_complete(raw) is means


@pytest.mark.parametrize(
    ("raw", "means"),
    [
        (b"0", 0),
        (b"-0", 0),
        (b"007", 7),
        (b"5;a=b", 5),
        (b"9" * 15, 10**15 - 1),
        (b"9" * 16, None),
        (b"-5", None),
        (b"5.0", None),
        (b"?1", None),
        (b"@5", None),
        (b"5, 5", None),
        (b"+5", None),
        ("٣".encode(), None),
    ],
)
def test_a_number(raw: bytes, means: int | None) -> None:
    """It takes an Integer of at most 15 digits that is not negative: a Boolean is one in Python alone."""
    found = parse_number(raw)

    assert found == means
    assert type(found) is type(means)


@given(NUMBERS)
def test_what_is_answered_can_be_read(number: int) -> None:
    """By the same rules."""
    for field, name in ((offset_field, b"Upload-Offset"), (length_field, b"Upload-Length")):
        assert field(number)[0] == name
        assert parse_number(field(number)[1]) == number


def test_answers_say_what_is_complete_and_repeat_the_version() -> None:
    """As structured fields have it."""
    assert complete_field(is_complete=True) == (b"Upload-Complete", b"?1")
    assert complete_field(is_complete=False) == (b"Upload-Complete", b"?0")
    for version in INTEROP_VERSIONS:
        name, value = version_field(version)
        assert name == b"Upload-Draft-Interop-Version"
        assert parse_version(value) == version


def field_of(checksum: Checksum) -> bytes:
    """Return a digest as clients send it."""
    return ser({{"sha512": "sha-512", "sha256": "sha-256"}[checksum.algorithm]: checksum.digest}).encode()


@given(DIGESTS)
def test_a_digest_of_a_field(checksum: Checksum) -> None:
    """It is read as it was written."""
    assert parse_digest(field_of(checksum)) == checksum


def test_the_stronger_digest_is_preferred() -> None:
    """Whichever comes first; those by other algorithms, and parameters, are passed over."""
    both = ser({"sha": b"1234", "sha-256": SHA256.digest, "sha-512": SHA512.digest}).encode()

    assert parse_digest(both) == SHA512
    assert parse_digest(field_of(SHA256) + b";a=1") == SHA256
    assert parse_digest(ser({"md5": 5, "sha-256": SHA256.digest}).encode()) == SHA256
    assert parse_digest(ser({"md5": b"", "unixsum": b"1"}).encode()) is None


def test_a_digest_needs_no_padding() -> None:
    """Parsers should not ask for it (RFC 9651 section 4.2.7)."""
    packed = field_of(SHA256)

    assert packed.endswith(b"=:")
    assert parse_digest(packed[:-2] + b":") == SHA256


@pytest.mark.parametrize("raw", [b"SHA-256=:AAAA:", b"sha-256=:AA", b"sha-256:AAAA:", b"sha-256=:A:,", b"=", b"\xff"])
def test_what_is_no_dictionary_has_no_digest(raw: bytes) -> None:
    """The whole field counts as absent."""
    assert parse_digest(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"sha-256=:AAAA:",
        b"sha-256=::",
        b"sha-256",
        b"sha-256=5",
        b'sha-256="AAAA"',
        b"sha-256=(:AAAA:)",
        b"sha-512=" + ser(SHA256.digest).encode(),
        b"sha-512=" + ser(SHA512.digest).encode() + b", sha-256=:AAAA:",
        b"sha-256=" + ser(SHA256.digest).encode() + b", sha-512=1",
    ],
)
def test_a_digest_that_cannot_be(raw: bytes) -> None:
    """Its sender means to be checked, and would not be; this holds for the one that is not preferred, too."""
    with pytest.raises(InvalidDigest):
        parse_digest(raw)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"inline; filename=import.xml", b"import.xml"),
        (b'attachment; filename="a b.xml"', b"a b.xml"),
        (b'INLINE;FILENAME="a"', b"a"),
        (b'inline ;\tfilename = "a" ', b"a"),
        (b'inline; filename="a\\"b\\\\c"', b'a"b\\c'),
        (b'inline; filename="a;filename=b"', b"a;filename=b"),
        (b'inline; filename="\xd1\x84.xml"', b"\xd1\x84.xml"),
        (b'inline; filename="\xf4.xml"', b"\xf4.xml"),
        (b'inline; filename="goods/1/import.xml"', b"goods/1/import.xml"),
        (b'inline; filename="../../etc/passwd"', b"../../etc/passwd"),
        (b"inline; filename*=UTF-8''%D1%84.xml", b"\xd1\x84.xml"),
        (b"inline; filename*=utf-8''a%2Fb", b"a/b"),
        (b"inline; filename*=Utf-8''%d1%84; filename=f", b"\xd1\x84"),
        (b"inline; filename=f; filename*=UTF-8''%d1%84", b"\xd1\x84"),
        (b"inline; filename*=UTF-8'ru-RU'%d1%84", b"\xd1\x84"),
        (b"inline;; filename=f;", b"f"),
        (b'form-data; name="x"; filename="f"', b"f"),
    ],
)
def test_the_name_of_a_file(raw: bytes, name: bytes) -> None:
    """A token, a quoted string, or percent-encoded UTF-8, which comes first; what is in it is for others to judge."""
    assert filename_of(raw) == name


@pytest.mark.parametrize(
    "extended",
    [b"ISO-8859-1''b", b"UTF-8''%F4", b"UTF-8''%4", b"UTF-8''", b"UTF-8b", b"\"UTF-8''b\""],
)
def test_an_extended_name_that_is_unreadable(extended: bytes) -> None:
    """It leaves the plain one, for which its client sends both."""
    assert filename_of(b"inline; filename=f; filename*=" + extended) == b"f"
    assert filename_of(b"inline; filename*=" + extended) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"inline",
        b"inline; size=5",
        b'inline; filename=""',
        b"filename=a",
        b"; filename=a",
        b"inline filename=a",
        b"inline; filename",
        b"inline; filename=",
        b"inline; filename=a b",
        b"inline; filename=a/b",
        b'inline; filename="a',
        b'inline; filename="a\\"',
        b'inline; filename="a"b',
        b'inline; filename="a\0b"',
        b'inline; filename="a\r\nb"',
        b'inline; filename="a\\\nb"',
        b"inline; filename=a; filename=a",
        b'inline; filename=a; FILENAME="b"',
        b"inline; filename*=UTF-8''a; filename*=UTF-8''b; filename=c",
        b"inline; filename=a; size=1; size=2",
        b"inline; filename=a, inline; filename=b",
        b'inline; filename="a", inline; filename="b"',
        b"inline; filename=a, inline",
    ],
)
def test_a_field_without_a_name(raw: bytes) -> None:
    """It has none, is malformed, has a parameter twice, or comes twice."""
    assert filename_of(raw) is None


@given(st.binary(max_size=60).filter(lambda name: not set(name) & {*range(9), *range(10, 32), 127}))
def test_a_quoted_name_comes_back(name: bytes) -> None:
    """With every character quoted that may be."""
    quoted = b"".join(b"\\" + bytes([one]) for one in name)

    assert filename_of(b'inline; filename="' + quoted + b'"') == (name or None)


@given(st.text(max_size=40))
def test_an_extended_name_comes_back(name: str) -> None:
    """Whatever its characters are: the rules of names are applied later."""
    raw = f"inline; filename=f; filename*=UTF-8''{quote_from_bytes(name.encode(), safe='')}".encode()

    assert filename_of(raw) == (name.encode() or b"f")


@pytest.mark.parametrize(
    "raw",
    [
        b"inline;" + b" " * 16384,
        b'inline; filename="' + b"\\a" * 8192,
        b"inline; " + b"a" * 16384,
        b"inline; a" + b" " * 16384,
        b"inline" + b";" * 16384 + b"x",
        b"inline; filename*=UTF-8''" + b"%41" * 5000 + b"%",
    ],
)
def test_a_hostile_field_takes_no_time(raw: bytes) -> None:
    """The grammar is read without going back over what was read: a second is a thousand times what it takes."""
    began = process_time()

    assert filename_of(raw) is None
    assert process_time() - began < 1


@given(st.none() | st.binary(max_size=300), st.none() | st.binary(max_size=300))
def test_metadata_can_be_read_by_importers(filename: bytes | None, content_type: bytes | None) -> None:
    """As that of tus; an empty value is as none."""
    expected = {key: value for key, value in (("filename", filename), ("filetype", content_type)) if value}

    assert unpacked_metadata(pack_metadata(filename, content_type)) == expected


def test_metadata_looks_as_that_of_tus() -> None:
    """Keys and Base64, comma-separated."""
    assert pack_metadata(b"a.xml", b"text/xml") == "filename YS54bWw=,filetype dGV4dC94bWw="
    assert pack_metadata(None, None) == ""


def test_metadata_has_an_end() -> None:
    """The same as for tus: it is kept on record."""
    room = (LONGEST_METADATA - len("filename ")) // 4 * 3

    assert len(pack_metadata(b"a" * room, None)) <= LONGEST_METADATA
    with pytest.raises(MetadataTooLong):
        pack_metadata(b"a" * (room + 1), None)
    with pytest.raises(MetadataTooLong):
        pack_metadata(b"a", b"a" * room)


def test_refusals_have_their_status() -> None:
    """A client does not try the same again."""
    assert InvalidDigest.status == MetadataTooLong.status == 400
