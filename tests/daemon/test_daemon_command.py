"""The command onec-exchange."""

from __future__ import annotations

import json
import os
import stat
import sys
from typing import TYPE_CHECKING

import bcrypt
import click
import pytest

from onec_twisted.daemon import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from in_memory import InMemory

    Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Told:
    """Run the command in this process; return its exit code, and what it writes."""

    def run(*arguments: object, stdin: str = "") -> tuple[int, str, str]:
        import io

        monkeypatch.setattr("sys.argv", ["onec-exchange", *map(str, arguments)])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as ended:
            command.main()
        output, errors = capsys.readouterr()
        return int(ended.value.code or 0), output, errors

    return run


def test_users(told: Told, tmp_path: Path) -> None:
    """They are added, get other passwords, are shown, and go; the file keeps its permissions."""
    file = tmp_path / "htpasswd"
    assert told("users", "add", file, "shop", "--stdin", stdin="secret\n") == (0, "shop may log in\n", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    file.chmod(0o600)
    told("users", "add", file, "Иван", "--stdin", stdin="other")
    told("users", "add", file, "shop", "--stdin", stdin="newer\r\n")

    first = file.read_bytes().splitlines()[0]
    assert bcrypt.checkpw(b"newer", first.partition(b":")[2])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert told("users", "list", file) == (0, "shop\nИван\n", "")
    code, output, _ = told("users", "list", file, "--json")
    assert (code, json.loads(output)) == (0, {"users": ["shop", "Иван"]})
    assert told("users", "remove", file, "shop")[0] == 0
    assert told("users", "list", file) == (0, "Иван\n", "")
    assert [path.name for path in tmp_path.iterdir()] == ["htpasswd"]


def test_a_password_that_is_asked_for(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice, and not shown."""
    asked: list[bool] = []

    def prompt(*_: object, hide_input: bool, **__: object) -> str:
        asked.append(hide_input)
        return "secret"

    monkeypatch.setattr(click, "prompt", prompt)
    assert told("users", "add", tmp_path / "htpasswd", "shop")[0] == 0
    assert asked == [True]


@pytest.mark.parametrize(
    ("arguments", "stdin", "code", "words"),
    [
        (("users", "add", "F", "a:b", "--stdin"), "x", 1, "a user name must not have colons"),
        (("users", "add", "F", "shop", "--stdin"), "", 1, "the password is empty"),
        (("users", "add", "PLAIN", "shop", "--stdin"), "x", 1, "line 1 of"),
        (("users", "remove", "PLAIN", "shop"), "", 1, "line 1 of"),
        (("users", "remove", "F", "shop"), "", 1, "F: No such file or directory"),
        (("users", "list", "F"), "", 1, "F: No such file or directory"),
        (("users", "add", "NOWHERE/F", "shop", "--stdin"), "x", 1, "No such file or directory"),
        (("backup", "B", "--media-root=F"), "", 1, "is no media root"),
        (("restore", "PLAIN"), "", 2, "is a file"),
        (("nonsense",), "", 2, "No such command"),
    ],
)
def test_what_goes_wrong(
    told: Told,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    stdin: str,
    code: int,
    words: str,
) -> None:
    """It is said in words, without a traceback, and the exit code tells which it was."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "PLAIN").write_text("shop:plain\n", encoding="utf-8")
    ended, output, errors = told(*arguments, stdin=stdin)

    assert ended == code
    assert words in errors + output
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["PLAIN"]


def test_ctrl_c(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves the file as it was."""

    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(click, "prompt", interrupted)
    assert told("users", "add", tmp_path / "htpasswd", "shop")[0] == command.INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file stays, and nothing is left beside it."""
    file = tmp_path / "htpasswd"
    told("users", "add", file, "shop", "--stdin", stdin="secret")
    before = file.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert told("users", "add", file, "other", "--stdin", stdin="x")[0] == 1
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["htpasswd"]


def test_a_backup_and_its_way_back(told: Told, exchange: InMemory, tmp_path: Path) -> None:
    """With figures, for people and for programs."""
    exchange.checkauth()
    folder = tmp_path / "backup"
    assert told("backup", folder, f"--media-root={exchange.folder}") == (0, "1 sessions with 0 files, 0 bytes\n", "")
    code, output, _ = told("restore", folder, f"--media-root={tmp_path / 'new'}", "--json")

    assert (code, json.loads(output)) == (0, {"sessions": 1, "files": 0, "bytes": 0, "damaged": 0})


PLACES = ("--catalog=postgresql://db/onec", "--store=s3://onec?endpoint=http://store.example")


def test_a_move_without_the_libraries(told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said in one line."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "onec_twisted.daemon.migration", raising=False)
    monkeypatch.delattr("onec_twisted.daemon.migration", raising=False)
    words = "onec-exchange: migrate needs libraries (psycopg is missing): pip install 'onec-twisted[cluster]'\n"
    assert told("migrate", f"--media-root={tmp_path}", *PLACES) == (1, "", words)


@pytest.mark.parametrize("differences", [(), ("files a/b is missing", "c: d: wrong")])
def test_what_a_move_tells(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, differences: tuple[str, ...]
) -> None:
    """What was moved and what was not; each difference is a line, and then it has failed."""
    migration = pytest.importorskip("onec_twisted.daemon.migration", reason="tox -e cluster", exc_type=ImportError)
    moved = migration.Moved(12, 340, 1_288_490_189, 5, 2, 3, differences)
    monkeypatch.setattr(migration, "migrate", lambda *_: moved)
    code, output, errors = told("migrate", f"--media-root={tmp_path}", *PLACES)

    whole, damaged, kept, *last = output.splitlines()
    outcome = "they differ" if differences else "everything is the same"
    assert whole == f"Moved 12 sessions, 340 files (1.2G), 5 hand-offs; compared: {outcome}."
    assert damaged == "2 of the files had lost bytes before: they are refused until init, as they were."
    assert kept == f"3 folders of earlier imports stay in {tmp_path} only."
    assert errors.splitlines() == list(differences)
    told_last = f"Nothing was removed from {tmp_path}: keep it until the daemons have run for a while."
    assert (code, last) == ((1, []) if differences else (0, [told_last]))


def test_a_password_in_the_address_of_a_move(told: Told, tmp_path: Path) -> None:
    """It is refused, and not repeated."""
    pytest.importorskip("onec_twisted.daemon.migration", reason="tox -e cluster", exc_type=ImportError)
    catalog = "--catalog=postgresql://onec:hunter2@db/onec"
    code, output, errors = told("migrate", f"--media-root={tmp_path}", catalog, PLACES[1])
    assert (code, output) == (1, "")
    assert errors.startswith("onec-exchange: --catalog: no password belongs into the address")
    assert "hunter2" not in errors


def test_its_version(told: Told) -> None:
    """As pip knows it."""
    from onec_twisted import __version__

    assert told("--version") == (0, f"onec-exchange, version {__version__}\n", "")
