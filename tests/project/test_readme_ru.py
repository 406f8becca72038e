"""README.ru.md and docs/ru: what they have an administrator type prints what they say; every refusal is explained."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import bcrypt
import click
import pytest
from daemon import PATIENCE, SCRIPTS, Daemon, start
from documents import DOCS, ROOT, TOOLS, kinds, text_of, words_of
from handed_off import SCHEMA
from processes import free_port
from twisted.scripts.twistd import ServerOptions  # type: ignore[attr-defined]  # it is in another module on Windows

from onec_twisted.admin.words.russian import RUSSIAN
from onec_twisted.daemon.command import EXIT_CODES
from onec_twisted.daemon.command import command as onec_exchange
from onec_twisted.daemon.options import Options
from onec_twisted.model.errors import ImportFailed
from onec_twisted.node.command import main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once

README = ROOT / "README.ru.md"
PAGES = [README, *sorted((DOCS / "ru").glob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def sections_of(page: Path) -> dict[str, str]:
    """Return a page's sections by their headings."""
    sections = page.read_text(encoding="utf-8").split("\n## ")
    return {section.partition("\n")[0].removeprefix("# "): section for section in sections}


RUN = sections_of(README)["Запуск"]
"""What everybody has done who types something that a later section, or a page, says."""

WALKS = {
    (name, title): section
    for name, page in zip(NAMES, PAGES, strict=True)
    for title, section in sections_of(page).items()
    if "```console" in section
}


def test_there_are_eleven_walks() -> None:
    """Uploads, a wrong password, three importers, a look, RUFH, tus by hand and from Python, a shop from nothing."""
    assert list(WALKS) == [
        ("README.ru.md", "Первая выгрузка"),
        ("README.ru.md", "Загрузка в магазин"),
        ("docs/ru/connect-1c.md", "Проверка без 1С"),
        ("docs/ru/import-by-program.md", "Пример"),
        ("docs/ru/import-over-http.md", "Пример"),
        ("docs/ru/rufh.md", "То же через curl"),
        ("docs/ru/status-page.md", "Для программ"),
        ("docs/ru/tus.md", "То же через curl"),
        ("docs/ru/tutorial.md", "2. Первая выгрузка"),
        ("docs/ru/tutorial.md", "3. Программа, которая загружает"),
        ("docs/ru/upload-by-tus.md", "Из Python"),
    ]


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """Write the file that ``htpasswd -cB`` would."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "onec.htpasswd").write_text(f"shop:{hashed}\n")
    return tmp_path


def preparations(name: str, title: str) -> str:
    """Return what is typed before a section's dialogue: first the README's, then the page's down to that section."""
    sections = list(sections_of(ROOT / name).items())
    until = [section for _, section in sections[: [heading for heading, _ in sections].index(title) + 1]]
    return "".join(re.findall(r"```sh\n(.*?)```", "\n".join([RUN, *until]), re.DOTALL))


@pytest.mark.skipif(not TOOLS, reason="curl, unzip and jq are not installed")
@pytest.mark.parametrize(("name", "title"), WALKS)
def test_it_prints_what_the_page_says(name: str, title: str, passwords: Path) -> None:
    """Word for word; ``…`` stands for what differs each time."""
    setup = preparations(name, title).replace("8000", str(free_port())).replace(" \\\n", " ")
    for file, content in re.findall(r"cat > (\S+) <<'END'\n(.*?)END\n", setup, re.DOTALL):
        (passwords / file).parent.mkdir(exist_ok=True)
        (passwords / file).write_text(content, encoding="utf-8")
        (passwords / file).chmod(0o755)
    auth, *options = re.findall(r"twistd -n onec-exchange (.+)", setup)[-1].replace("tcp:8081", "tcp:0").split()
    shop = subprocess.Popen([sys.executable, "shop.py"], cwd=passwords) if "python3 shop.py &" in setup else None
    daemon = start(passwords, *options, "--check-documents=yes", auth=auth)  # as it is by default
    try:
        walk(WALKS[name, title], daemon)
    finally:
        daemon.kill()
        if shop is not None:
            shop.kill()
            shop.wait(PATIENCE)


def walk(section: str, daemon: Daemon) -> None:
    """Type what a section says, and compare what is printed, blank lines aside."""
    lines = "\n".join(re.findall(r"```console\n(.*?)```", section, re.DOTALL))
    lines = lines.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}").replace(".venv/bin", str(SCRIPTS))
    if "127.0.0.1:8081" in lines:
        lines = lines.replace("127.0.0.1:8081", f"127.0.0.1:{daemon.admin_port}")
    script = "\n".join(line.removeprefix("$ ") for line in lines.splitlines() if line.startswith("$ "))
    said = [line for line in lines.splitlines() if line and not line.startswith("$ ")]
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=daemon.folder,
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=True,
    )
    printed = [line for line in done.stdout.splitlines() if line]

    assert done.stderr == ""
    assert len(printed) == len(said), printed
    for expected, line in zip(said, printed, strict=True):
        assert re.fullmatch(re.escape(expected).replace("…", ".+"), line), (expected, line)


def test_every_refusal_is_explained() -> None:
    """In the words that are sent, and with the code that comes with them."""
    page = (DOCS / "ru" / "answers.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[^|]+`) \| (\d{3}) \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE)
    told = {words: int(status) for cell, status in rows for words in re.findall("`([^`]+)`", cell)}

    for kind in set(kinds()) - {ImportFailed}:
        assert told.pop(words_of(kind)) == kind.status
    assert set(told.values()) == {ImportFailed.status}


def test_buttons_are_called_as_on_the_page() -> None:
    """Each has its row, and there is no other."""
    page = (DOCS / "ru" / "status-page.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| («.+?») \| [^|]+ \|$", page, re.MULTILINE)
    named = [name for cell in cells for name in re.findall("«(.+?)»", cell)]

    pages = list(RUSSIAN.pages.values())
    assert named[: len(pages)] == pages
    assert named[len(pages) :] == [
        RUSSIAN.retry,
        RUSSIAN.drop,
        RUSSIAN.give_up,
        RUSSIAN.retry_all,
        RUSSIAN.drop_all,
        RUSSIAN.again,
        RUSSIAN.end,
    ]


def test_what_the_status_page_shows_is_called_as_there() -> None:
    """Whoever is told to look for something finds it."""
    page = (DOCS / "ru" / "operations.md").read_text(encoding="utf-8")

    assert re.findall(r"^\| страница, «(.+?)» \|", page, re.MULTILINE) == [
        RUSSIAN.pages["handoffs"],
        RUSSIAN.pages["sessions"],
        RUSSIAN.disk_free,
        RUSSIAN.damaged_files,
    ]
    assert f"«{RUSSIAN.states['failed']}»; «{RUSSIAN.states['waiting']}»" in page


def in_both_languages(name: str) -> tuple[str, str]:
    """Return an English page and the Russian one."""
    return (DOCS / name).read_text(encoding="utf-8"), (DOCS / "ru" / name).read_text(encoding="utf-8")


def options_of(command: click.Command) -> set[str]:
    """Return the options of a command and of those below it."""
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return {option for one in command.params for option in one.opts}.union(*map(options_of, below))


COMMAND_OPTIONS = options_of(main) | options_of(onec_exchange)


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_options_that_are_named_exist(page: Path) -> None:
    """Nobody copies one that does not."""
    of_twistd = [*ServerOptions().longOpt, *Options().longOpt]
    known = {f"--{name.rstrip('=')}" for name in of_twistd} | {"--deploy-hook"}  # which is certbot's

    assert set(re.findall(r"`(--[a-z-]+)", page.read_text(encoding="utf-8"))) <= known | COMMAND_OPTIONS


@pytest.mark.parametrize("page", ["docs/onec-exchange.md", "docs/ru/onec-exchange.md"])
def test_onec_exchange_is_described(page: str) -> None:
    """Each of its commands, and each exit code, has a row; nothing else has."""
    text = (ROOT / page).read_text(encoding="utf-8")
    groups = [onec_exchange, *(one for one in onec_exchange.commands.values() if isinstance(one, click.Group))]
    leaves = {
        f"{'' if group is onec_exchange else f'{group.name} '}{name}"
        for group in groups
        for name, one in group.commands.items()
        if not isinstance(one, click.Group)
    }

    assert set(re.findall(r"^\| `onec-exchange ([a-z ]+?)(?: [A-ZА-Я ]+)?` \|", text, re.MULTILINE)) == leaves
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)} == set(EXIT_CODES)


def test_onec_node_is_the_same_in_both_languages() -> None:
    """Its options with their defaults, where these are no words, and its exit codes."""
    english, russian = in_both_languages("onec-node.md")

    for rows in (r"^\| `(--[a-z-]+)(?:=[^`]*)?` \|(?: (`[^`]+`) \|)?", r"^\| (\d+) \| .+ \|$"):
        assert re.findall(rows, russian, re.MULTILINE) == re.findall(rows, english, re.MULTILINE)


def test_tus_refuses_the_same_in_both_languages() -> None:
    """By status and words."""
    english, russian = (
        sorted(
            (status, words)
            for status, cell in re.findall(r"^\| (\d{3}) \| (`[^|]+) \| [^|]+ \|$", page, re.MULTILINE)
            for words in re.findall("`([^`]+)`", cell)
        )
        for page in in_both_languages("tus.md")
    )

    assert len(russian) > 20
    assert russian == english


def test_the_page_that_uploads_is_the_same_in_both_languages() -> None:
    """The English one is tried in a browser."""
    english, russian = (
        re.findall(r"```html\n.*?```", page, re.DOTALL) for page in in_both_languages("upload-by-tus.md")
    )

    assert english
    assert russian == english


def test_importers_are_told_the_same_in_both_languages() -> None:
    """The same examples of JSON, and every field of the description."""
    english, russian = in_both_languages("importers.md")
    fields = russian.partition("| поле |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`[a-z`, ]+) \| [^|]+ \|$", fields, re.MULTILINE)

    assert re.findall(r"```json\n(.*?)```", russian, re.DOTALL) == re.findall(
        r"```json\n(.*?)```", english, re.DOTALL
    )
    assert sorted(re.findall("[a-z]+", " ".join(rows))) == sorted(SCHEMA["required"])


def test_the_readme_is_short() -> None:
    """It says what this is and how to begin; pages in ``docs/ru`` have the rest."""
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_nobody_is_led_away_from_russian(page: Path) -> None:
    """A page has its English one's name; where one leads to English although there is Russian, it says so."""
    russian = {path.name for path in PAGES[1:]}

    assert page == README or (DOCS / page.name).exists()
    for passage in re.split(r"\n\n|\n(?=[*|\d])", text_of(page)):
        for target in re.findall(r"\]\((?:\.\./|docs/)([a-z0-9-]+\.md)", passage):
            assert target not in russian or "английском" in passage or "In English" in passage, target
