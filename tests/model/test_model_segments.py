"""What a name on the disk may be."""

from __future__ import annotations

import pytest

from onec_twisted.model.segments import DEEPEST_NAME, NAME_LIMIT, SEGMENT_LIMIT, fits, from_disk, has_marks, on_disk


@pytest.mark.parametrize("name", ["a\nb", "a\0", "\x7f", "\x85", "a\ufffd"])
def test_marks(name: str) -> None:
    """Control characters of both ranges, and what could not be decoded."""
    assert has_marks(name)
    assert not has_marks("Болт №5 (оцинк.).jpg")


def test_lengths_count_in_bytes() -> None:
    """Of a segment, and of the whole with its slashes; so does the depth."""
    assert fits(("ж" * (SEGMENT_LIMIT // 2),))
    assert not fits(("ж" * (SEGMENT_LIMIT // 2 + 1),))
    assert fits(("a" * 203,) * 5)
    assert not fits(("a" * 204,) * 5), NAME_LIMIT
    assert fits(("a",) * DEEPEST_NAME)
    assert not fits(("a",) * (DEEPEST_NAME + 1))
    assert not fits(("a", "b"), 1)


def test_names_survive_the_disk() -> None:
    """There and back."""
    assert from_disk(on_disk("Цены.xml")) == "Цены.xml"
