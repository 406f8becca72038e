"""Numbers and moments as people read them."""

from __future__ import annotations

import json

import pytest
from handed_off import handoff

from onec_twisted.admin.words.english import ENGLISH
from onec_twisted.admin.words.figures import clock, duration, found, found_in, size
from onec_twisted.admin.words.russian import RUSSIAN


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
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.42, "0.4 s"),
        (9, "9 s"),
        (9.99, "10 s"),
        (12.3, "12 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (172800, "2 d"),
    ],
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


def test_documents_that_say_little() -> None:
    """Whatever is missing is not counted."""
    assert found_in([{"name": "a.xml", "products": None}, {"products": 2}], ENGLISH) == "products: 2"


def test_a_time_of_day() -> None:
    """In the time zone of the machine."""
    assert len(clock(1_800_000_000.0)) == 5
    assert clock(1_800_000_000.0) == clock(1_800_000_000.0 + 86400)
