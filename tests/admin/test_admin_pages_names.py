"""Names that deceive, and that they cannot."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import HOSTILE, HOSTILE_TEXT, read, source_of

from onec_twisted.admin.pages.names import LONGEST_SHOWN, is_unseen, shown, spelled


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("import0_1.xml", "import0_1.xml"),
        ("Товары ё.xml", "Товары ё.xml"),
        ("a\u202egpj.exe", "aU+202Egpj.exe"),
        ("a\u200bb", "aU+200Bb"),
        ("a\u00a0b", "aU+00A0b"),
        ("a\r\nb", "aU+000D U+000Ab"),
        ("a\u3164b\ufe0f", "aU+3164bU+FE0F"),
        ("\U000e0041", "U+E0041"),
        ("\ud800", "U+D800"),
        ("👍", "👍"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, seen: str) -> None:
    """Whether it changes the direction, has no width, or is no character at all; what people write stays."""
    assert read(shown(text)).text == seen


def test_marks_are_told_from_a_name_that_spells_them() -> None:
    """A mark has its own look; in an attribute it has brackets."""
    assert len(read(shown("a\u202eb")).of_class("mark")) == 1
    assert read(shown("aU+202Eb")).of_class("mark") == []
    assert spelled("a\u202eb") == "a[U+202E]b"


def test_a_hostile_name_is_text() -> None:
    """In its own direction, too: what follows it is left alone."""
    assert "<script" not in source_of(shown(HOSTILE))
    document = read(shown(HOSTILE))
    assert document.text == HOSTILE_TEXT
    assert document.all("bdi") == [{}]
    assert shown("") == ""


def test_a_heap_of_marks_does_not_cover_the_lines_around() -> None:
    """A few accents on a letter are a language; the others are written out."""
    assert read(shown("e\u0301")).text == "e\u0301"
    assert read(shown("e" + "\u0301" * 100)).text.count("U+0301") == 96


def test_a_long_name_ends() -> None:
    """With a sign that it goes on."""
    assert read(shown("x" * 1000)).text == "x" * LONGEST_SHOWN + "…"
    assert spelled("x" * 1000) == "x" * LONGEST_SHOWN + "…"


@given(st.text(max_size=50))
def test_nothing_unseen_is_left(text: str) -> None:
    """Of whatever text."""
    for seen in (read(shown(text)).text, spelled(text)):
        assert not any(is_unseen(mark) for mark in seen)
        assert not any(unicodedata.bidirectional(mark) in {"RLO", "LRO", "RLE", "LRE", "PDF"} for mark in seen)
