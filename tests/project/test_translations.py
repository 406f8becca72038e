"""Russian pages that follow their English page section by section: what one says, the other says too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from documents import DOCS, russian, text_of
from house import PACKAGES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

NAMES = ["architecture.md", "protocol.md", "speed.md"]
"""Other Russian pages are made for a reader of their own; tests compare the tables that both languages have."""

MEASURED = "speed.md"
"""The page whose figures Russian readers find in bench/results: test_bench compares the goals."""

DIAGRAMS = sorted((DOCS / "diagrams").glob("*.ru.txt"))


def sections_of(text: str) -> list[tuple[str, str]]:
    """Return the sections of a page with their headings, the hashes included."""
    sections = re.split(r"^(?=#+ )", text, flags=re.MULTILINE)
    return [(heading, rest) for heading, _, rest in (section.partition("\n") for section in sections[1:])]


def in_both_languages(name: str) -> list[tuple[tuple[str, str], tuple[str, str]]]:
    """Return the sections of both pages, without their examples, side by side."""
    english, translated = (sections_of(text_of(path)) for path in (DOCS / name, russian(name)))
    return list(zip(english, translated, strict=True))


def names_in(text: str) -> set[str]:
    """Return what stands in code; a page names the other language's pages, each in its own folder."""
    return {name.replace("docs/ru/", "docs/") for name in re.findall(r"`([^`]+)`", text)}


def figures_in(text: str, *, is_russian: bool) -> list[str]:
    """Return the numbers outside of code and addresses, as 10000 and 0.5: Russian has them as 10 000 and 0,5."""
    words = re.sub(r"`[^`]*`|\]\([^)]*\)", " ", text)
    if is_russian:
        words = re.sub(r"(?<=\d)\s(?=\d{3}\b)", "", words)
    found = re.findall(r"(?<![\w/.,-])\d+(?:[.,]\d+)*(?!\w)", words)
    return sorted(one.replace(",", "." if is_russian else "") for one in found)


def test_figures_are_read_as_each_language_writes_them() -> None:
    """With its own marks of thousands and of decimals; names, versions of protocols and code have none."""
    english = figures_in("10,000 of 0.5 s, 300 KB; in UTF-8, 1C, HTTP/1.1 and `65`", is_russian=False)
    translated = figures_in("10 000 по 0,5 с, 300 КБ; в UTF-8, 1С, HTTP/1.1 и `66`", is_russian=True)

    assert english == translated == ["0.5", "10000", "300"]


@pytest.mark.parametrize("name", NAMES)
def test_both_have_the_same_sections(name: str) -> None:
    """At the same depth, and with the same numbers."""
    mark = re.compile(r"#+ (?:N\d+\.)?")
    for (english, _), (translated, _) in in_both_languages(name):
        assert mark.findall(english) == mark.findall(translated), (english, translated)


@pytest.mark.parametrize("name", NAMES)
def test_both_have_the_same_examples(name: str) -> None:
    """Byte for byte: those of the English page are tried."""
    english, translated = (
        re.findall(r"^```.*?^```$", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        for path in (DOCS / name, russian(name))
    )

    assert translated == english


@pytest.mark.parametrize("name", NAMES)
def test_both_name_the_same(name: str) -> None:
    """Every mode, option, header, refusal and module that a section of one has is in that section of the other."""
    for (heading, english), (_, translated) in in_both_languages(name):
        assert names_in(english) - names_in(translated) == set(), heading
        assert names_in(translated) - names_in(english) == set(), heading


@pytest.mark.parametrize("name", [name for name in NAMES if name != MEASURED])
def test_both_have_the_same_figures(name: str) -> None:
    """In every section."""
    for (heading, english), (_, translated) in in_both_languages(name):
        assert figures_in(translated, is_russian=True) == figures_in(english, is_russian=False), heading


@pytest.mark.parametrize("name", [name for name in NAMES if name != MEASURED])
def test_both_have_the_same_tables_and_lists(name: str) -> None:
    """With as many rows and entries."""
    for (heading, english), (_, translated) in in_both_languages(name):
        for entry in (r"^\|", r"^\* ", r"^\d+\. "):
            assert len(re.findall(entry, translated, re.MULTILINE)) == len(
                re.findall(entry, english, re.MULTILINE)
            ), heading


def test_every_word_of_the_glossary_is_translated() -> None:
    """The Russian glossary says what it is in English."""
    paths = DOCS / "glossary.md", russian("glossary.md")
    english, translated = (path.read_text(encoding="utf-8") for path in paths)
    words = re.findall(r"^\| ([^|]+) \| [^|]+ \|$", english, re.MULTILINE)[1:]
    cells = re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \|$", translated, re.MULTILINE)

    assert set(words) <= {word for cell in cells for word in cell.split(", ")}


def test_both_say_when_to_change_the_same_options() -> None:
    """Each that may have to be changed has its row."""
    english = dict(sections_of(text_of(DOCS / "operations.md")))["## What to set"]
    translated = dict(sections_of(text_of(russian("options.md"))))["## Когда менять"]
    options, same = (
        sorted(option for cell in re.findall(r"^\| (`--[^|]+) \|", rows, re.MULTILINE) for option in cell.split(", "))
        for rows in (english, translated)
    )

    assert options == same


def steps_of(diagram: Path) -> list[tuple[int, str]]:
    """Return the lane of each step, and what takes it, with its number."""
    _, heads, *lines = diagram.read_text(encoding="utf-8").splitlines()
    lanes = [lane.strip() for lane in heads.split("|")]
    parts = [[part.strip() for part in line.split("|")] for line in lines]
    return [(lanes.index(lane), who) for who, lane, _ in parts]


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda path: str(path.name))
def test_diagrams_have_the_same_steps(diagram: Path) -> None:
    """In the same lanes, by the same packages; what is no package has a name in each language."""
    english = steps_of(diagram.with_name(diagram.name.replace(".ru.", ".")))
    packages = [(lane, who) for lane, who in steps_of(diagram) if who.isascii()]

    assert [lane for lane, _ in steps_of(diagram)] == [lane for lane, _ in english]
    assert packages == [(lane, who) for lane, who in english if who.split()[1] in PACKAGES]
