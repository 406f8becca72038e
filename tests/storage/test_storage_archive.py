"""Archives are read where they lie, within bounds; damage is found before anybody imports it."""

from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zipfile
from typing import TYPE_CHECKING

import pytest
from attrs import field, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from trade import packed

from onec_twisted.model.segments import NAME_LIMIT
from onec_twisted.storage import archive, spelling
from onec_twisted.storage.archive import ArchiveDamaged, Entry, entries

if TYPE_CHECKING:
    from pathlib import Path

CONTENTS = {
    "import0_1.xml": b"<?xml" * 500,
    "offers0_1.xml": b"<?xml" * 300,
    "import_files/ab/x.jpg": os.urandom(5000),
}


@frozen
class Found:
    """The names in an archive, and those of damaged documents."""

    names: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()
    entries: list[Entry] = field(factory=list, eq=False)


def read(path: Path, content: bytes, size: int | None = None) -> Found:
    """Return what is found in an archive with this content."""
    path.write_bytes(content)
    fd = os.open(path, os.O_RDONLY)
    try:
        found = list(entries(fd, len(content) if size is None else size))
    finally:
        os.close(fd)
    damaged = (entry for entry in found if not entry.sound)
    return Found(
        frozenset(name for entry in found for name in entry.names),
        frozenset(name for entry in damaged for name in entry.names),
        found,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the archive lies."""
    return tmp_path / "a.zip"


@pytest.mark.parametrize("packing", [zipfile.ZIP_BZIP2, pytest.param(zipfile.ZIP_LZMA, marks=pytest.mark.once)])
def test_packings_without_a_limit_are_left_alone(path: Path, packing: int) -> None:
    """Python unpacks these in one go, whatever they become: a forged size would not stop it."""
    content = bytearray(packed({"a.xml": bytes(200_000_000)}, packing))
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = (1000).to_bytes(4, "little")
    tracemalloc.start()
    found = read(path, bytes(content))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == Found(frozenset({"a.xml"}), frozenset())
    assert peak < 5_000_000


def test_only_so_many_documents_are_looked_at(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of all are known."""
    monkeypatch.setattr(archive, "MOST_DOCUMENTS", 1)
    content = bytearray(packed({"a.xml": b"<?xml", "b.xml": b"<?xml"}, zipfile.ZIP_STORED))
    content[content.rindex(b"<?xml")] ^= 1
    found = read(path, bytes(content))

    assert found == Found(frozenset({"a.xml", "b.xml"}), frozenset())


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_names_are_found(path: Path, packing: int) -> None:
    """However it is packed."""
    assert read(path, packed(CONTENTS, packing)) == Found(frozenset(CONTENTS), frozenset())


def test_an_empty_archive_has_no_names(path: Path) -> None:
    """It is whole all the same."""
    assert read(path, packed({})) == Found()


def test_what_lies_behind_its_end_is_not_looked_at(path: Path) -> None:
    """Bytes of a piece that is on its way."""
    content = packed(CONTENTS)

    assert read(path, content + os.urandom(70_000), len(content)).names == frozenset(CONTENTS)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.9, 0.999])
def test_an_archive_that_is_cut_off(path: Path, left: float) -> None:
    """Its directory is at its end, so it has none."""
    content = packed(CONTENTS)
    with pytest.raises(ArchiveDamaged, match="cut off, or no archive"):
        read(path, content[: int(len(content) * left)])


def test_what_is_no_archive(path: Path) -> None:
    """Whatever its name says."""
    with pytest.raises(ArchiveDamaged, match="cut off, or no archive"):
        read(path, b"<html>" * 1000)


@pytest.mark.parametrize("by", [-1000, 1000])
def test_a_piece_that_is_missing_or_doubled(path: Path, by: int) -> None:
    """The directory is sound, and does not fit what it tells of."""
    content = packed(CONTENTS)
    middle = len(content) // 2
    broken = content[:middle] + content[middle - by :]
    with pytest.raises(ArchiveDamaged, match="missing or doubled"):
        read(path, broken)


def test_a_document_that_is_not_what_the_directory_says(path: Path) -> None:
    """Its checksum tells; the other documents can be imported."""
    content = bytearray(packed(CONTENTS, zipfile.ZIP_STORED))
    content[content.index(b"<?xml") + 50] ^= 1
    found = read(path, bytes(content))

    assert found.names == frozenset(CONTENTS)
    assert found.damaged == {"import0_1.xml"}


def test_a_checksum_in_the_directory_that_is_wrong(path: Path) -> None:
    """The same, the other way round."""
    content = bytearray(packed(CONTENTS))
    content[content.rindex(b"PK\x01\x02", 0, content.rindex(b"offers0_1.xml")) + 16] ^= 1

    assert read(path, bytes(content)).damaged == {"offers0_1.xml"}


def test_a_directory_that_is_broken(path: Path) -> None:
    """An entry does not begin as entries do."""
    content = bytearray(packed(CONTENTS))
    content[content.rindex(b"PK\x01\x02")] ^= 1
    with pytest.raises(ArchiveDamaged, match="central directory"):
        read(path, bytes(content))


def test_names_in_the_letters_of_russian_dos(path: Path) -> None:
    """What packers of that time write; and a backslash for a slash."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        made.writestr("ZZZZZZ.xml", b"<?xml")
        made.writestr("import_files\\x.jpg", b"x")
    content = whole.getvalue().replace(b"ZZZZZZ", "Товары".encode("cp866"))

    assert {"Товары.xml", "import_files/x.jpg"} <= read(path, content).names


def test_too_many_entries_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before they are taken apart."""
    monkeypatch.setattr(archive, "MOST_ENTRIES", 2)
    with pytest.raises(ArchiveDamaged, match="more than 2 entries"):
        read(path, packed(CONTENTS))


def test_a_directory_that_is_too_large_is_not_read(path: Path) -> None:
    """Whatever its end promises: no memory is taken for it."""
    content = bytes(200) + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 2**30, 0, 0)
    with path.open("wb") as file:
        file.truncate(2**30)
        file.seek(0, 2)
        file.write(content)
    fd = os.open(path, os.O_RDONLY)
    tracemalloc.start()
    with pytest.raises(ArchiveDamaged, match="larger than"):
        list(entries(fd, 2**30 + len(content)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    os.close(fd)

    assert peak < 2**20


def test_a_bomb_is_not_unpacked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Documents larger than we look at are left to the importer; others are read without keeping them."""
    monkeypatch.setattr(archive, "CHECKED_LIMIT", 10_000_000)
    content = packed({"a.xml": bytes(20_000_000), "b.xml": bytes(5_000_000)})
    tracemalloc.start()
    found = read(path, content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found == Found(frozenset({"a.xml", "b.xml"}), frozenset())
    assert peak < 5_000_000


def test_names_that_are_too_long_are_passed_over(path: Path) -> None:
    """No node can ask for them."""
    assert spelling.LONGEST_NAME == NAME_LIMIT
    assert read(path, packed({"a" * 5000: b"x", "b": b"y"})).names == {"b"}


def test_what_wants_a_password_is_left_to_the_importer(path: Path) -> None:
    """We do not read it, and do not call it damaged."""
    content = bytearray(packed({"a.xml": b"<?xml"}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1

    assert read(path, bytes(content)) == Found(frozenset({"a.xml"}), frozenset())


WHOLE = packed(CONTENTS)


@settings(max_examples=300, deadline=None)
@given(place=st.integers(0, len(WHOLE) - 1), value=st.binary(min_size=1, max_size=8))
def test_any_damage_is_told_or_harmless(tmp_path_factory: pytest.TempPathFactory, place: int, value: bytes) -> None:
    """It ends in ``ArchiveDamaged`` or a directory, never in anything else."""
    path = tmp_path_factory.getbasetemp() / "damaged.zip"
    broken = WHOLE[:place] + value + WHOLE[place + len(value) :]
    try:
        found = read(path, broken)
    except ArchiveDamaged as damaged:
        if not str(damaged):
            raise
    else:
        assert len(found.entries) <= len(CONTENTS)
