"""README.ru.md: what it has an administrator type prints what it says, and its tables tell what there is."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest
from daemon import PATIENCE, SCRIPTS, Daemon, start
from documents import TOOLS, kinds, words_of
from processes import free_port

from onec_twisted.admin.words import RUSSIAN
from onec_twisted.model.errors import ImportFailed

pytestmark = pytest.mark.once

README = (Path(__file__).parents[2] / "README.ru.md").read_text(encoding="utf-8")
SECTIONS = {section.partition("\n")[0]: section for section in README.split("\n## ")}
WALKS = [title for title, section in SECTIONS.items() if "```console" in section]


def test_there_are_three_walks() -> None:
    """One without 1C, one that ends in a program, one in a web application."""
    assert WALKS == ["Проверка без 1С", "Как файлы попадают на сайт", "Если загружает сам сайт"]


@pytest.fixture
def passwords(tmp_path: Path) -> Path:
    """Write the file that ``htpasswd -cB`` would."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "onec.htpasswd").write_text(f"shop:{hashed}\n")
    return tmp_path


@pytest.mark.skipif(not TOOLS, reason="curl, unzip and jq are not installed")
@pytest.mark.parametrize("title", WALKS)
def test_it_prints_what_the_readme_says(title: str, passwords: Path) -> None:
    """Word for word; ``…`` stands for what differs each time."""
    setup = "".join(re.findall(r"```sh\n(.*?)```", SECTIONS["Установка"] + SECTIONS[title], re.DOTALL))
    setup = setup.replace("8000", str(free_port()))
    for name, content in re.findall(r"cat > (\S+) <<'END'\n(.*?)END\n", setup, re.DOTALL):
        (passwords / name).write_text(content)
        (passwords / name).chmod(0o755)
    auth, *options = re.findall(r"twistd -n onec-exchange (.+)", setup)[-1].split()
    shop = subprocess.Popen([sys.executable, "shop.py"], cwd=passwords) if "python3 shop.py &" in setup else None
    daemon = start(passwords, *options, auth=auth)
    try:
        walk(SECTIONS[title], daemon)
    finally:
        daemon.kill()
        if shop is not None:
            shop.kill()
            shop.wait(PATIENCE)


def walk(section: str, daemon: Daemon) -> None:
    """Type what a section says, and compare what is printed, blank lines aside."""
    lines = "\n".join(re.findall(r"```console\n(.*?)```", section, re.DOTALL)).splitlines()
    script = "\n".join(line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    said = [line for line in lines if line and not line.startswith("$ ")]
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{daemon.port}").replace(".venv/bin", str(SCRIPTS))
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
    rows = re.findall(r"^\| (`[^|]+`) \| (\d{3}) \| [^|]+ \| [^|]+ \|$", README, re.MULTILINE)
    told = {words: int(status) for cell, status in rows for words in re.findall("`([^`]+)`", cell)}

    for kind in set(kinds()) - {ImportFailed}:
        assert told.pop(words_of(kind)) == kind.status
    assert set(told.values()) == {ImportFailed.status}


def test_buttons_are_called_as_on_the_page() -> None:
    """Each has its row, and there is no other."""
    buttons = re.findall(r"^\| «(.+?)» \| [^|]+ \|$", SECTIONS["Страница состояния"], re.MULTILINE)

    assert buttons == [RUSSIAN.retry, RUSSIAN.drop, RUSSIAN.end]
