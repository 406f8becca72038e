"""All documents: their links lead somewhere, their tables have every option and every module."""

from __future__ import annotations

import re
import runpy
from typing import TYPE_CHECKING

import pytest
from documents import DOCS, ROOT, anchors, russian, text_of
from house import HOUSE, PACKAGES

from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.daemon.options import Options

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

DOCUMENTS = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "README.ru.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "SECURITY.md",
        *sorted(DOCS.rglob("*.md")),
    )
    if path.exists()
]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

NO_VALUES = {"help", "version", "help-auth", "help-auth-type", "help-importers", "help-admin-auth"} | {
    "print-config",
    "check",
}
"""Options that show something and end."""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    for target in re.findall(r"\]\(((?![a-z]+:)[^)\s]+)\)", text_of(path)):
        place, _, anchor = target.partition("#")
        there = (path.parent / place).resolve() if place else path

        assert there.exists(), target
        assert there.is_relative_to(ROOT), target
        assert not anchor or anchor in anchors(there), target


def test_the_schema_is_the_one_that_is_told() -> None:
    """So that nobody takes the sample of a later one for this one."""
    operations = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")

    assert f"version of its schema, {SCHEMA_VERSION} now" in operations
    assert f"(schema {SCHEMA_VERSION + 1}, this one supports {SCHEMA_VERSION})" in operations


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_end(path: Path) -> None:
    """Each fence that opens is closed, and no machine's own path is told."""
    content = path.read_text(encoding="utf-8")

    assert len(re.findall(r"^```", content, re.MULTILINE)) % 2 == 0
    assert "/root/" not in content
    assert "/work/" not in content


def option_rows(path: Path) -> dict[str, list[str]]:
    """Return the table of options: the defaults by the option's name; one may stand in the option itself."""
    row = re.compile(r"^\| `--([a-z-]+)=([^|`]*)` \|([^|]*)\| [^|]+ \|$", re.MULTILINE)
    return {
        name: re.findall(r"`([^`]+)`", cell) if cell.strip() else [value]
        for name, value, cell in row.findall(path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("path", [DOCS / "options.md", russian("options.md")], ids=["en", "ru"])
def test_every_option_has_its_row(path: Path) -> None:
    """With its default; and no row is of an option that there is not."""
    options = Options()
    known = {option.rstrip("=") for option in options.longOpt} - NO_VALUES
    rows = option_rows(path)

    assert set(rows) == known
    for option, _, default, *_ in options.optParameters:
        assert default is None or rows[option] == [str(default)], option


def test_both_languages_have_the_same_defaults() -> None:
    """In whatever language."""
    assert option_rows(DOCS / "options.md") == option_rows(russian("options.md"))


def test_the_readme_is_short() -> None:
    """It says what this is and how to begin; pages in ``docs/`` have the rest."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("folder", [DOCS, DOCS / "ru"], ids=["en", "ru"])
def test_every_page_is_in_the_index(folder: Path) -> None:
    """Once, under its kind; and nothing that there is not."""
    index = folder / "index.md"
    listed = re.findall(r"\]\(([a-z0-9-]+\.md)\)", index.read_text(encoding="utf-8"))

    assert sorted(listed) == sorted(path.name for path in folder.glob("*.md") if path != index)


@pytest.mark.parametrize("path", [DOCS / "architecture.md", russian("architecture.md")], ids=["en", "ru"])
def test_every_package_is_on_the_map(path: Path) -> None:
    """In the order of the house, and nothing that there is not."""
    _, house, *_ = re.split(r"^## ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)

    assert re.findall(r"^\| `(\w+)` \|", house, re.MULTILINE) == list(PACKAGES)


@pytest.mark.parametrize("source", sorted((DOCS / "diagrams").glob("*.txt")), ids=lambda path: str(path.stem))
def test_diagrams_are_drawn_from_their_texts(source: Path) -> None:
    """By ``python docs/diagrams/draw.py``, so that the picture says what the text does."""
    draw = runpy.run_path(str(DOCS / "diagrams" / "draw.py"))

    drawn = draw["as_svg"](source.read_text(encoding="utf-8"))

    assert source.with_suffix(".svg").read_text(encoding="utf-8") == drawn


def test_names_in_the_architecture_exist() -> None:
    """What is in code, and looks like a name of ours, can be found."""
    sources = "".join(f"{path.stem}\n{path.read_text(encoding='utf-8')}" for path in HOUSE.rglob("*.py"))
    for name in set(re.findall(r"`(_?[A-Za-z]+(?:[A-Z_][A-Za-z]+)+)`", ARCHITECTURE)):
        assert re.search(rf"\b{name}\b", sources), name
    known = {option.rstrip("=") for option in Options().longOpt}
    assert set(re.findall(r"`--([a-z-]+)", ARCHITECTURE)) <= known


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if "ru" not in path.parts and ".ru." not in path.name])
def test_english_is_plain(path: Path) -> None:
    """It has none of the words that betray a translation."""
    words = re.sub(r"`[^`]*`", "", text_of(path))

    assert re.findall(r"\b(?:anew|whoever|hears?|heard|brings?|brought|goes on|going on|went on)\b", words) == []


@pytest.mark.parametrize("folder", ["onec_twisted", "tests", "bench", "twisted"])
def test_sources_cite_what_readers_can_open(folder: str) -> None:
    """Sections of pages that are here, RFCs and tus."""
    protocol = (DOCS / "protocol.md").read_text(encoding="utf-8")
    for path in (ROOT / folder).rglob("*.py"):
        source = " ".join(path.read_text(encoding="utf-8").split())
        for section in re.findall(r"protocol\.md, (\w\.?\d+)", source):
            assert f"\n### {section}. " in protocol, (path.name, section)
        assert str(path) == __file__ or not re.search(r"\bDESIGN\b|\bresumable\.md", source), path.name


def test_environments_that_are_named_exist() -> None:
    """And every one that a contributor may want is named."""
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    match = re.search(r"^env_list = (.+)$", tox, re.MULTILINE)
    assert match is not None
    known = {*match[1].split(", "), *re.findall(r"^\[testenv:(\w+)\]$", tox, re.MULTILINE)}
    named = set(re.findall(r"tox -e ([a-z0-9]+)", CONTRIBUTING))

    assert named <= known
    assert known - {name for name in known if name.startswith("py3")} <= named
