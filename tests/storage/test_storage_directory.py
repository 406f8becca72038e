"""The compact form of an archive's names."""

from __future__ import annotations

import tracemalloc

import pytest

from onec_twisted.storage.archive import Entry
from onec_twisted.storage.directory import Directory, Names

FOUND = [
    Entry(("import0_1.xml",), sound=True),
    Entry(("Товары.xml", "’®ў\u00a0ал.xml"), sound=False),
    Entry(("import_files/ab/x.jpg",), sound=True),
]


def test_names_can_be_asked_for() -> None:
    """Each spelling of each entry, and no other name."""
    directory = Directory.of(FOUND)

    assert all(name in directory.names for entry in FOUND for name in entry.names)
    assert "offers0_1.xml" not in directory.names
    assert "" not in directory.names
    assert "Товары.xml" in directory.damaged
    assert "import0_1.xml" not in directory.damaged


def test_an_empty_archive() -> None:
    """Has no name."""
    assert "a" not in Directory.from_bytes(Directory.of([]).as_bytes()).names


def test_it_is_passed_on_as_bytes() -> None:
    """And understood at the other end."""
    told = Directory.from_bytes(Directory.of(FOUND).as_bytes())

    assert "Товары.xml" in told.names
    assert "Товары.xml" in told.damaged
    assert "import0_1.xml" in told.names
    assert "import0_1.xml" not in told.damaged


@pytest.mark.parametrize(
    "told", [b"", b"x", bytes(9), (8).to_bytes(8, "little"), (4).to_bytes(8, "little") + bytes(8)]
)
def test_other_bytes_are_no_directory(told: bytes) -> None:
    """A process that wrote something else is not believed."""
    with pytest.raises(ValueError, match="no directory"):
        Directory.from_bytes(told)


def test_many_names_take_little() -> None:
    """8 bytes each, and no object: 249,000 names were 50 MB of strings."""
    told = Directory.of(Entry((f"import_files/{number}.jpg",), sound=True) for number in range(50_000)).as_bytes()
    tracemalloc.start()
    names = Directory.from_bytes(told).names
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert "import_files/49999.jpg" in names
    assert isinstance(names, Names)
    assert peak < 1_000_000
