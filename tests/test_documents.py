"""All documents: their links lead somewhere, their tables have every option and every module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from test_house import ADMIN, BESIDE, HOUSE, NODE, ORDER, TUS

from onec_twisted.options import Options
from onec_twisted.schema import SCHEMA_VERSION

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent
DOCUMENTS = [
    path
    for path in (
        ROOT / "README.md",
        ROOT / "README.ru.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
    )
    if path.exists()
]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

NO_VALUES = {"help", "version", "help-auth", "help-auth-type", "help-importers", "help-admin-auth"}
"""Options that show something and end."""


def text_of(path: Path) -> str:
    """Return a document without its examples."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """Return what can be linked to in a document, as GitHub names it."""
    found: list[str] = []
    for heading in re.findall(r"^#+ (.+)$", text_of(path), re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        found.append(f"{name}-{found.count(name)}" if name in found else name)
    return set(found)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.name))
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
    assert f"(schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION})" in operations


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.name))
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


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_every_option_has_its_row(name: str) -> None:
    """With its default; and no row is of an option that there is not."""
    options = Options()
    known = {option.rstrip("=") for option in options.longOpt} - NO_VALUES
    rows = option_rows(ROOT / name)

    assert set(rows) == known
    for option, _, default, *_ in options.optParameters:
        assert default is None or rows[option] == [str(default)], option


def test_both_readmes_tell_the_same_defaults() -> None:
    """In whatever language."""
    assert option_rows(ROOT / "README.md") == option_rows(ROOT / "README.ru.md")


def modules_under(*titles: str) -> list[str]:
    """Return the modules in the tables under some headings of the architecture."""
    sections = dict(section.split("\n", 1) for section in re.split(r"^#+ ", ARCHITECTURE, flags=re.MULTILINE)[1:])
    return [name for title in titles for name in re.findall(r"^\| `(\w+)` \|", sections[title], re.MULTILINE)]


def test_every_module_is_on_the_map() -> None:
    """In the order of the house, and nothing that there is not."""
    groups = ("Values and decisions", "What they stand on", "To the site", "Where they meet")

    assert modules_under(*groups) == ORDER
    assert set(modules_under("Beside the house")) == BESIDE - {"__init__"}


def test_every_package_is_on_the_map() -> None:
    """Each of its modules, in its order."""
    assert modules_under("The administrator's side") == ADMIN
    assert modules_under("The node's side") == NODE
    assert modules_under("The resumable front door") == TUS
    assert {path.parent.name for path in HOUSE.glob("*/__init__.py")} == {"admin", "node", "tus"}


def test_names_in_the_architecture_exist() -> None:
    """What is in code, and looks like a name of ours, can be found."""
    sources = "".join(path.read_text(encoding="utf-8") for path in HOUSE.rglob("*.py"))
    for name in set(re.findall(r"`(_?[A-Za-z]+(?:[A-Z_][A-Za-z]+)+)`", ARCHITECTURE)):
        assert re.search(rf"\b{name}\b", sources), name
    known = {option.rstrip("=") for option in Options().longOpt}
    assert set(re.findall(r"`--([a-z-]+)", ARCHITECTURE)) <= known


def test_environments_that_are_named_exist() -> None:
    """And every one that a contributor may want is named."""
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    match = re.search(r"^env_list = (.+)$", tox, re.MULTILINE)
    assert match is not None
    known = {*match[1].split(", "), *re.findall(r"^\[testenv:(\w+)\]$", tox, re.MULTILINE)}
    named = set(re.findall(r"tox -e ([a-z0-9]+)", CONTRIBUTING))

    assert named <= known
    assert known - {name for name in known if name.startswith("py3")} <= named
