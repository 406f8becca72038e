"""Two languages: which one a browser gets, and that each says all."""

from __future__ import annotations

import re

import pytest
from attrs import fields
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.admin.pages.frame import PAGES_OF_SHOPS
from onec_twisted.admin.verdict import REASONS
from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.language import LANGUAGES, words_for
from onec_twisted.admin.words.russian import RUSSIAN
from onec_twisted.admin.words.text import Words
from onec_twisted.model.journal import STATES
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("ru", "ru"),
        ("ru-RU,ru;q=0.9,en-US;q=0.8", "ru"),
        ("en-US,en;q=0.9,ru;q=0.8", "en"),
        ("de, ru;q=0.3", "ru"),
        ("de", "en"),
        ("*", "en"),
        ("*;q=0.1, ru;q=0.2", "ru"),
        ("ru;q=0", "en"),
        ("RU", "ru"),
        ("ru;q=nonsense, en;q=0.1", "en"),
    ],
)
def test_the_language(accept: str | None, language: str) -> None:
    """The one that the browser likes best, of those that we speak."""
    assert words_for(accept).language == language


@given(st.text())
def test_whatever_a_browser_sends(accept: str) -> None:
    """There is a language."""
    assert words_for(accept) in LANGUAGES.values()


def test_both_languages_say_all() -> None:
    """Nothing is left empty or in the other language, and keys and places for values are the same."""
    for field in fields(Words):
        english, russian = getattr(ENGLISH, field.name), getattr(RUSSIAN, field.name)
        assert russian
        if field.name in {"title", "healths"}:
            continue
        if isinstance(english, dict):
            assert english.keys() == russian.keys()
            assert all(english[key] != russian[key] for key in english)
        elif isinstance(english, tuple):
            assert len(english) == len(russian)
        else:
            assert english != russian, field.name
            assert re.findall(r"{\w+}", english) == re.findall(r"{\w+}", russian)


def test_no_latin_letter_stands_in_for_a_russian_one() -> None:
    """A word is of one alphabet: otherwise no search finds it."""
    said = [text for field in fields(Words) for text in _texts(getattr(RUSSIAN, field.name))]

    assert [word for text in said for word in re.findall(r"\w+", text) if re.search(r"[a-z]", word, re.IGNORECASE)
            and re.search(r"[а-яё]", word, re.IGNORECASE)] == []  # fmt: skip


def _texts(value: object) -> list[str]:
    """Return the texts in a value."""
    if isinstance(value, dict):
        return [str(text) for text in value.values()]
    return [value] if isinstance(value, str) else [str(text) for text in value] if isinstance(value, tuple) else []


def test_what_has_a_name_in_the_program_has_one_here() -> None:
    """Pages, reasons, states, events."""
    assert tuple(ENGLISH.pages) == PAGES_OF_SHOPS
    assert tuple(ENGLISH.reasons) == REASONS
    assert ENGLISH.states.keys() == {*STATES, WAITING, SUCCEEDED, FAILED, "runs", "repeated"}
    assert ENGLISH.events.keys() == {"import", "upload", "settled", "complete", "deactivate"}
    assert ENGLISH.legend.keys() == {"ok", "failed", "running", "nothing"}
