"""One name for each entry of an archive, as its tool meant it."""

from __future__ import annotations

import pytest
from odd_archives import unicode_path

from onec_twisted.storage.spelling import Guess, fields, names

NAMES = ["Цены.xml", "картинки/болт.jpg", "Жёлтый щит №5.jpg", "эхо.jpg", "ЩЁТКА.JPG"]


def guessed(raws: list[bytes]) -> list[str]:
    """Return the names of an archive's entries."""
    guess = Guess()
    for raw in raws:
        guess.note(raw)
    return [guess.name(raw, b"") for raw in raws]


@pytest.mark.parametrize("encoding", ["utf-8", "cp866", "cp1251"])
@pytest.mark.parametrize("some", [NAMES, *([name] for name in NAMES), ["a.xml", "рис.jpg", "Шар.jpg"]])
def test_all_letters_tell_the_encoding(some: list[str], encoding: str) -> None:
    """Those of one name often suffice; where they do not, the others help."""
    assert guessed([name.encode(encoding) for name in some]) == some


def test_what_no_encoding_has() -> None:
    """It gets a name all the same, the same each time."""
    assert guessed([b"\x98\xff\xfe.jpg", "ЩУКА".encode("cp1251")]) == ["Ш\xa0■.jpg", "ЩУКА"]
    assert guessed([b"a\0b"]) == ["a"]


def test_info_zip_says_it() -> None:
    """If it says it of this name, and not of another."""
    assert Guess().name(b"?.xml", unicode_path("Цены.xml", b"?.xml")) == "Цены.xml"
    assert Guess().name(b"?.xml", unicode_path("Цены.xml", b"x.xml")) == "?.xml"
    assert Guess().name(b"?.xml", b"\x01") == "?.xml"


def test_names_that_a_node_may_use() -> None:
    """All readings, the most likely first, from both headers, without a prefix."""
    dos, windows = "Ж.xml".encode("cp866"), "Ж.xml".encode("cp1251")

    assert names(b"\\a.xml", b"", b"\\a.xml", 0) == ("a.xml",)
    assert "Ж.xml" in names(windows, b"", windows, 0)
    assert names(dos, b"", windows, 0)[0] == "Ж.xml"
    assert names(b"x" * 2000, b"", b"x" * 2000, 0) == ()


def test_fields_end_with_the_first_that_is_cut_off() -> None:
    """What comes before it counts."""
    assert list(fields(b"\x01\0\x02\0ab\x02\0\x09\0c")) == [(1, b"ab")]
