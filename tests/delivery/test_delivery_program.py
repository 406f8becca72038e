"""The importer ``exec:``: real programs, good, bad, slow and deaf."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_twisted
from attrs import evolve
from handed_off import handoff
from one_try import outcome_of
from processes import is_gone
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from zope.interface.verify import verifyObject

from onec_twisted.delivery import program
from onec_twisted.delivery.interfaces import IImporter
from onec_twisted.delivery.program import LAUNCH, Program, checked_program
from onec_twisted.model.description import Description, UploadedFile, describe

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    """Make a shell script that can be started."""

    def make(text: str) -> str:
        path = tmp_path / "import site.sh"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    return make


@pytest.fixture
def description(tmp_path: Path) -> Description:
    """What is handed off."""
    folder = tmp_path / "the folder"
    folder.mkdir()
    return describe(handoff(filename="a b; $(c).xml"), str(folder))


def importer(path: str, timeout: float = 30.0) -> Program:
    """Return the importer."""
    from twisted.internet import reactor

    return Program(path, reactor, timeout)


async def outcome(path: str, description: Description, timeout: float = 30.0) -> tuple[str, str, list[str]]:
    """Deliver once; return how it ended, in which words, and the progress before."""
    return await outcome_of(importer(path, timeout), description)


def test_it_is_an_importer() -> None:
    """As the interface has it."""
    assert verifyObject(IImporter, importer("/bin/true"))


@pytest_twisted.ensureDeferred
async def test_what_the_program_is_told(
    script: Callable[[str], str], description: Description, tmp_path: Path
) -> None:
    """Folder and name as they are, without a shell; the JSON on standard input, to its end."""
    path = script(f'printf "%s\\n" "$0" "$@" > {tmp_path}/told; cat > {tmp_path}/json')
    assert await outcome(path, description) == ("done", "", [])

    assert (tmp_path / "told").read_text().splitlines() == [path, description.folder, "a b; $(c).xml"]
    assert (tmp_path / "json").read_bytes() == description.as_json() + b"\n"
    assert json.loads((tmp_path / "json").read_bytes())["id"] == description.id


@pytest.mark.parametrize(
    ("text", "ends", "words", "progress"),
    [
        ("echo 10 %; echo; echo 50 %; printf done", "done", "", ["10 %", "50 %", "done"]),
        ("exec < /dev/null; sleep 0.1", "done", "", []),
        ("echo a >&2; echo 'Нет цены' >&2; echo >&2; exit 1", "failed", "Нет цены", []),
        ("printf 'Нет цены' | iconv -f utf-8 -t cp1251 >&2; exit 2", "failed", "Нет цены", []),
        ("exit 3", "failed", "The importer ended with status 3", []),
        ("echo later >&2; exit 75", "interrupted", "later", []),
        ("kill -9 $$", "interrupted", "The importer was ended by signal 9", []),
        ("yes | head -c 100 >/dev/null; exit 0", "done", "", []),
        ("head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "failed", "x" * 4096, []),
    ],
)
@pytest_twisted.ensureDeferred
async def test_how_programs_end(
    script: Callable[[str], str], description: Description, text: str, ends: str, words: str, progress: list[str]
) -> None:
    """Status 0 is success, 75 and a signal want another try, else the last line that it complained is the failure."""
    assert await outcome(script(text), description) == (ends, words, progress)


@pytest_twisted.ensureDeferred
async def test_a_program_that_hangs_is_killed_with_all_that_it_started(
    script: Callable[[str], str], description: Description, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that does not listen; it is tried again."""
    monkeypatch.setattr(program, "LAUNCH_GRACE", 0.3)
    path = script(f"trap '' TERM; sleep 1000 & echo $! > {tmp_path}/pid; while :; do sleep 0.1; done")
    started = time.monotonic()

    assert await outcome(path, description, timeout=0.5) == (
        "interrupted",
        "The importer had not ended after 0 s",
        [],
    )
    assert time.monotonic() - started < 10
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest_twisted.ensureDeferred
async def test_a_program_that_leaves_others_behind(
    script: Callable[[str], str], description: Description, tmp_path: Path
) -> None:
    """They keep its output open; nobody waits for them."""
    path = script(f"sleep 60 & echo $! > {tmp_path}/pid; echo started; exit 0")
    started = time.monotonic()

    assert await outcome(path, description) == ("done", "", ["started"])
    assert time.monotonic() - started < 20
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest_twisted.ensureDeferred
async def test_a_program_that_leaves_a_daemon_behind(
    script: Callable[[str], str], description: Description, tmp_path: Path
) -> None:
    """In a session of its own, with our pipes, and more on its input than the pipe holds: nobody waits for it."""
    path = script(f"exec {sys.executable} {tmp_path}/leave.py")
    (tmp_path / "leave.py").write_text(
        "import subprocess\n"
        "left = subprocess.Popen(['sleep', '60'], start_new_session=True)\n"
        f"open('{tmp_path}/pid', 'w').write(str(left.pid))\n"
    )
    many = evolve(description, files=tuple(UploadedFile(f"import_files/{number}.jpg", 1) for number in range(9000)))
    started = time.monotonic()

    assert await outcome(path, many) == ("done", "", [])
    assert await outcome(path, many) == ("done", "", []), "and it does not hold the folder's lock"
    assert time.monotonic() - started < 30
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest_twisted.ensureDeferred
async def test_a_cancelled_import_ends_its_program(
    script: Callable[[str], str], description: Description, tmp_path: Path
) -> None:
    """The daemon stops: nothing goes on behind its back."""
    from twisted.internet import reactor

    path = script(f"echo $$ > {tmp_path}/pid; sleep 1000")
    running: Deferred[None] = ensureDeferred(importer(path).deliver(description, lambda _: None))
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        await deferLater(reactor, 0.02)
    running.cancel()
    with pytest.raises(CancelledError):
        await running

    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest_twisted.ensureDeferred
async def test_a_program_that_has_gone_since_the_start(
    script: Callable[[str], str], description: Description
) -> None:
    """Somebody is about to put another one there: it is tried again."""
    path = script("exit 0")
    os.unlink(path)
    ends, words, _ = await outcome(path, description)

    assert (ends, words) == ("interrupted", f"{path} cannot be started: No such file or directory")


def launched(path: str, folder: str) -> subprocess.Popen[bytes]:
    """Start a program as a daemon does that is killed soon; return when it has the folder to itself."""
    left = subprocess.Popen([sys.executable, "-I", "-S", LAUNCH, str(os.getpid()), path, folder, "a"])
    while not (Path(path).parent / "order").exists():
        time.sleep(0.02)
    return left


@pytest_twisted.ensureDeferred
async def test_one_session_is_never_imported_twice_at_once(
    script: Callable[[str], str], description: Description, tmp_path: Path
) -> None:
    """What a killed daemon's program left running is waited for."""
    path = script(f"echo begin >> {tmp_path}/order; sleep 0.7; echo end >> {tmp_path}/order")
    left = launched(path, description.folder)
    assert (await outcome(path, description))[0] == "done"
    left.wait(10)

    assert (tmp_path / "order").read_text().split() == ["begin", "end"] * 2


def test_a_program_dies_with_the_daemon(script: Callable[[str], str], tmp_path: Path) -> None:
    """Whatever kills that, and with all that it has started."""
    path = script(f"sleep 1000 & echo $! > {tmp_path}/pid; wait")
    code = (
        "import os, subprocess, sys, time;"
        f"launch = [sys.executable, '-I', '-S', {LAUNCH!r}, str(os.getpid()), {path!r}, {str(tmp_path)!r}, 'a'];"
        "subprocess.Popen(launch);"
        "time.sleep(1000)"
    )
    daemon = subprocess.Popen([sys.executable, "-c", code])
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.02)
    daemon.kill()
    daemon.wait(10)

    assert is_gone(int((tmp_path / "pid").read_text()))


def test_a_program_whose_daemon_is_gone_already_does_not_start(script: Callable[[str], str], tmp_path: Path) -> None:
    """Killed in the moment in between."""
    path = script(f"touch {tmp_path}/started")
    done = subprocess.run(
        [sys.executable, "-I", "-S", LAUNCH, "1", path, str(tmp_path), ""], check=False, capture_output=True
    )

    assert done.returncode != 0
    assert not (tmp_path / "started").exists()


@pytest_twisted.ensureDeferred
async def test_signals_are_as_programs_expect_them(
    script: Callable[[str], str], description: Description, tmp_path: Path
) -> None:
    """Python ignores SIGPIPE; the program does not inherit that."""
    path = script(f"grep SigIgn /proc/self/status > {tmp_path}/ignored")
    assert (await outcome(path, description))[0] == "done"

    assert int((tmp_path / "ignored").read_text().split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


def test_what_cannot_be_started_is_told_at_the_start(tmp_path: Path, script: Callable[[str], str]) -> None:
    """In words for the administrator."""
    path = script("exit 0")
    assert checked_program(path) == path
    Path(path).chmod(0o644)
    with pytest.raises(ValueError, match=r"chmod \+x"):
        checked_program(path)
    for missing in ("", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(ValueError, match="there is no program"):
            checked_program(missing)


@pytest_twisted.ensureDeferred
async def test_a_frozen_daemon_takes_its_program_along(
    script: Callable[[str], str], description: Description, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of several daemons, another one delivers it then: so a program is ended whose daemon has become silent."""
    monkeypatch.setattr(program, "TICK_INTERVAL", 1000.0)
    monkeypatch.setattr(program, "TICK_PATIENCE", 0.2)
    path = script(f"echo $$ > {tmp_path}/pid; sleep 60 & wait")
    assert await outcome(path, evolve(description, attempt=1)) == (
        "interrupted",
        "The importer was ended by signal 15",
        [],
    )
    assert is_gone(int((tmp_path / "pid").read_text()))


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("attempt", [0, 3])
async def test_a_daemon_that_runs_keeps_its_program(
    script: Callable[[str], str], description: Description, monkeypatch: pytest.MonkeyPatch, attempt: int
) -> None:
    """However long that takes; the program has no descriptor but its three."""
    monkeypatch.setattr(program, "TICK_INTERVAL", 0.05)
    monkeypatch.setattr(program, "TICK_PATIENCE", 0.3)
    path = script("cat > /dev/null; sleep 1; [ ! -e /proc/$$/fd/3 ] || exit 9; echo done")
    assert await outcome(path, evolve(description, attempt=attempt)) == ("done", "", ["done"])
