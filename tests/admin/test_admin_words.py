"""Two languages, and numbers as people read them."""

from __future__ import annotations

import json

import pytest
from attrs import fields
from handed_off import handoff
from hypothesis import given
from hypothesis import strategies as st

from onec_twisted.admin.words import ENGLISH, LANGUAGES, RUSSIAN, Words, duration, found, size, words_for
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
    """Nothing is left empty or in the other language, and keys are the same."""
    for field in fields(Words):
        english, russian = getattr(ENGLISH, field.name), getattr(RUSSIAN, field.name)
        assert english
        assert russian
        if isinstance(english, dict):
            assert english.keys() == russian.keys()
        elif isinstance(english, tuple):
            assert len(english) == len(russian)
        elif field.name != "title":
            assert english != russian, field.name
    assert ENGLISH.states.keys() == {WAITING, SUCCEEDED, FAILED}
    assert ENGLISH.events.keys() == {"import", "upload", "settled", "complete", "deactivate"}


@pytest.mark.parametrize(
    ("count", "english", "russian"),
    [
        (0, "0 B", "0 Б"),
        (999, "999 B", "999 Б"),
        (1000, "1.0 KB", "1,0 КБ"),
        (1536, "1.5 KB", "1,5 КБ"),
        (104857600, "100 MB", "100 МБ"),
        (2**30 * 21.5, "21.5 GB", "21,5 ГБ"),
        (2**60, "1048576 TB", "1048576 ТБ"),
    ],
)
def test_sizes(count: float, english: str, russian: str) -> None:
    """Powers of 1024, as in the options."""
    assert (size(count, ENGLISH), size(count, RUSSIAN)) == (english, russian)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (0.4, "0 s"), (59.9, "60 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (172800, "2 d")],
)
def test_durations(seconds: float, text: str) -> None:
    """In the largest unit that is full."""
    assert duration(seconds, ENGLISH) == text


def test_what_was_found_in_documents() -> None:
    """All of a hand-off's together; what there is none of is not named."""
    one = dict.fromkeys(ENGLISH.found, 0) | {"products": 100, "pictures": 90}
    two = dict.fromkeys(ENGLISH.found, 0) | {"products": 20, "missing": 2}
    checked = handoff(checked=json.dumps([one, two]))

    assert found(checked, ENGLISH) == "products: 120, pictures: 90, pictures missing: 2"
    assert found(checked, RUSSIAN) == "товаров: 120, картинок: 90, не хватает картинок: 2"
    assert found(handoff(), ENGLISH) == ""
