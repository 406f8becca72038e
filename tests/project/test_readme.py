"""What README.md and the guides have a reader type prints what they say; every refusal has its row."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from daemon import PATIENCE, SCRIPTS, Daemon, start
from documents import ROOT, TOOLS, kinds
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.once

PAGES = (
    "README.md",
    "docs/tutorial.md",
    "docs/import-by-program.md",
    "docs/import-over-http.md",
    "docs/upload-by-tus.md",
    "docs/status-page.md",
)
"""Where somebody is led through something, step by step."""

BEGIN = {
    "A first upload": ["Run it"],
    "2. Upload an export": ["1. Run the daemon"],
    "3. The same with curl": ["1. Run the daemon"],
    "5. Import the export": ["2. Upload an export", "4. Write an importer"],
}
"""Sections whose commands come before those of another one."""

TYPED = re.compile(r"```sh\n.*?```", re.DOTALL)


def walks_of(name: str) -> dict[str, str]:
    """Return the sections of a page that have dialogues, with their preparations; a page may be a single section."""
    page = (ROOT / name).read_text(encoding="utf-8")
    sections = {section.partition("\n")[0].removeprefix("# "): section for section in page.split("\n## ")}
    return {
        title: "".join("\n".join(TYPED.findall(sections[before])) for before in BEGIN.get(title, [])) + section
        for title, section in sections.items()
        if "```console" in section
    }


WALKS = {(name, title): section for name in PAGES for title, section in walks_of(name).items()}


@contextmanager
def as_told(section: str, folder: Path) -> Iterator[Daemon]:
    """Do what a section says before its dialogue, in a folder; ports are others than it says."""
    setup = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).replace("127.0.0.1:8000", "127.0.0.1:PORT")
    setup = setup.replace('"127.0.0.1", 8000', '"127.0.0.1", PORT').replace("PORT", str(free_port()))
    match = re.search(r"twistd -n onec-exchange (--auth=\S+)(?: (--importer=\S+))?(?: --admin=\S+)?\n", setup)
    assert match is not None
    for name, content in re.findall(r"cat > (\S+) <<'END'\n(.*?)END\n", setup, re.DOTALL):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    for name in re.findall(r"^chmod \+x (\S+)$", setup, re.MULTILINE):
        (folder / name).chmod(0o755)
    shop = subprocess.Popen([sys.executable, "shop.py"], cwd=folder) if "python3 shop.py &" in setup else None
    admin = ["--admin=tcp:0:interface=127.0.0.1"] if "--admin=" in match[0] else []
    options = [*([match[2]] if match[2] else []), "--check-documents=yes", *admin]  # as it is by default
    daemon = start(folder, *options, auth=match[1])
    try:
        yield daemon
    finally:
        daemon.kill()
        if shop is not None:
            shop.kill()
            shop.wait(PATIENCE)


def test_there_are_nine_walks() -> None:
    """A first upload, twice, and by hand; three programs and a web application that import; tus; the status page."""
    assert list(WALKS) == [
        ("README.md", "A first upload"),
        ("README.md", "Import it"),
        ("docs/tutorial.md", "2. Upload an export"),
        ("docs/tutorial.md", "3. The same with curl"),
        ("docs/tutorial.md", "5. Import the export"),
        ("docs/import-by-program.md", "Import with a program"),
        ("docs/import-over-http.md", "Import over HTTP"),
        ("docs/upload-by-tus.md", "From a script"),
        ("docs/status-page.md", "Watch it work"),
    ]


@pytest.mark.skipif(not TOOLS, reason="curl, unzip and jq are not installed")
@pytest.mark.parametrize("section", WALKS.values(), ids=[f"{name}-{title}" for name, title in WALKS])
def test_it_prints_what_the_page_says(section: str, tmp_path: Path) -> None:
    """Word for word; ``…`` stands for what differs each time."""
    with as_told(section, tmp_path) as daemon:
        walk(section, daemon)


def walk(section: str, daemon: Daemon) -> None:
    """Type what a section says, and compare what is printed."""
    lines = "\n".join(re.findall(r"```console\n(.*?)```", section, re.DOTALL)).splitlines()
    script = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    if "127.0.0.1:8081" in script:
        script = script.replace("127.0.0.1:8081", f"127.0.0.1:{daemon.admin_port}")
    told = [line for line in lines if line and not line.startswith("$ ")]
    said = [line.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}") for line in told]
    done = subprocess.run(
        [
            "bash",
            "-euc",
            script.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}").replace(".venv/bin", str(SCRIPTS)),
        ],
        cwd=daemon.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    printed = done.stdout.splitlines()

    assert done.stderr == ""
    assert len(printed) == len(said)
    for expected, line in zip(said, printed, strict=True):
        assert re.fullmatch(re.escape(expected).replace("…", ".+"), line), (expected, line)


ANSWERS = (ROOT / "docs" / "answers.md").read_text(encoding="utf-8")


def test_every_refusal_is_in_the_table() -> None:
    """In the words that are sent."""
    for refused in kinds():
        name, words = refused.__name__, refused.words
        if name in (
            "MissingCredentials",
            "WrongCredentials",
            "ContradictoryHeaders",
            "FileInTheWay",
            "FileNotFound",
            "ImportFailed",
            "WrongOffset",
        ):
            continue

        assert f"`{words}`" in ANSWERS, name
