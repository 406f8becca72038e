"""A process of its own reads an archive: real processes, with answers, without, and with nobody who waits."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from odd_archives import DOCUMENT, IMPORT, ODD_PICTURES, PICTURE, Odd, archive_of
from trade import packed
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from onec_twisted.delivery import examine
from onec_twisted.delivery.examination import EXAMINE, Examiner
from onec_twisted.delivery.processes import TooMuchAsked
from onec_twisted.storage.archive import ArchiveDamaged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = packed({"import0_1.xml": b"<?xml" * 1000, "import_files/x.jpg": b"jpeg"})


@contextmanager
def opened(path: Path, content: bytes) -> Iterator[int]:
    """Write an archive, and open it to read."""
    path.write_bytes(content)
    with path.open("rb") as file:
        yield file.fileno()


def examiner(timeout: float = 30.0) -> Examiner:
    """Return one with the real reactor."""
    from twisted.internet import reactor

    return Examiner(reactor, timeout)


@pytest_twisted.ensureDeferred
async def test_it_tells_what_lies_in_an_archive(tmp_path: Path) -> None:
    """The file may be closed as soon as the process runs."""
    with opened(tmp_path / "a.zip", CONTENT) as fd:
        waiting = examiner()(fd, len(CONTENT))
    found = await waiting

    assert "import0_1.xml" in found.names
    assert "import_files/x.jpg" in found.names
    assert "import0_1.xml" not in found.damaged


@pytest_twisted.ensureDeferred
async def test_it_needs_nothing_more_when_it_has_begun(tmp_path: Path) -> None:
    """No module is left to be imported, whatever an archive has: it cannot open a file any more."""
    content = archive_of(*ODD_PICTURES.values(), IMPORT, Odd("Цены.xml".encode("cp1251"), DOCUMENT))
    with opened(tmp_path / "a.zip", content) as fd:
        waiting = examiner()(fd, len(content))
    found = await waiting

    assert all(name in found.names for name in ("import0_1.xml", PICTURE, "Цены.xml"))


@pytest_twisted.ensureDeferred
async def test_it_says_why_an_archive_is_damaged(tmp_path: Path) -> None:
    """In the words of ``archive``."""
    with opened(tmp_path / "a.zip", CONTENT) as fd, pytest.raises(ArchiveDamaged, match="cut off, or no archive"):
        await examiner()(fd, len(CONTENT) - 1)


def slow_archive(path: Path) -> int:
    """Make an archive that takes seconds to read, and return its size."""
    with zipfile.ZipFile(path, "w") as made:
        for number in range(20_000):
            made.writestr(f"{number}.jpg", b"")
        with made.open(zipfile.ZipInfo("a.xml"), "w") as document:
            for _ in range(200):
                document.write(bytes(2**20))
    return path.stat().st_size


@pytest_twisted.ensureDeferred
async def test_one_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """And nobody waits for it any more."""
    size = slow_archive(tmp_path / "a.zip")
    with (tmp_path / "a.zip").open("rb") as file, pytest.raises(TooMuchAsked, match="not ended after 0 s"):
        await examiner(0.05)(file.fileno(), size)


class Noting:
    """The real reactor; it notes which processes were started."""

    def __init__(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.started: list[Any] = []

    def spawnProcess(self, *arguments: Any, **keywords: Any) -> None:
        """Start one."""
        self.started.append(self.reactor.spawnProcess(*arguments, **keywords))

    def callLater(self, *arguments: Any) -> Any:
        """Do something later."""
        return self.reactor.callLater(*arguments)


@pytest_twisted.ensureDeferred
async def test_one_that_nobody_waits_for_is_ended(tmp_path: Path) -> None:
    """As its node has gone: no process is left."""
    noting = Noting()
    size = slow_archive(tmp_path / "a.zip")
    with (tmp_path / "a.zip").open("rb") as file:
        waiting = Examiner(noting, 30)(file.fileno(), size)
    (process,) = noting.started
    pid = process.pid
    os.kill(pid, 0)
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    deadline = time.monotonic() + 30
    while process.pid is not None:
        assert time.monotonic() < deadline
        await deferLater(noting.reactor, 0.01)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest_twisted.ensureDeferred
async def test_one_that_ends_without_an_answer(tmp_path: Path) -> None:
    """Its last words are for the log; a size that is none stands for whatever may happen to it."""
    with opened(tmp_path / "a.zip", CONTENT) as fd, pytest.raises(TooMuchAsked, match="invalid literal"):
        await examiner()(fd, "many")  # type: ignore[arg-type]


def test_when_no_process_can_be_started(tmp_path: Path) -> None:
    """The caller hears why."""

    class Full:
        """A reactor whose system has no process left."""

        def spawnProcess(self, *_: Any, **__: Any) -> None:
            """Refuse."""
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with pytest.raises(OSError, match="temporarily unavailable"):
        Examiner(Full(), 1.0)(0, 0)


def begin(path: Path, parent: int, *program: str) -> subprocess.Popen[bytes]:
    """Start the program by hand."""
    python = [sys.executable, "-I", "-S", *(program or (EXAMINE,)), str(parent), str(path.stat().st_size)]
    return subprocess.Popen(
        ["sh", "-c", f'exec "$@" {examine.ARCHIVE_DESCRIPTOR}< "$0"', str(path), *python],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def changed(*changes: str) -> str:
    """Return the program with changes to what it uses."""
    package = EXAMINE.rsplit("/", 3)[0]
    begin = (
        "import sys",
        f"sys.path.append({package!r})",
        "from onec_twisted.delivery import examine",
        "from onec_twisted.storage import archive",
    )
    return "\n".join((*begin, *changes, f"sys.argv[0] = {EXAMINE!r}", "examine.main(*sys.argv[1:])"))


def end_of(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Return its exit status and its answer."""
    with process:
        assert process.stdout is not None
        answer = process.stdout.read()
    return process.returncode, answer


@pytest.mark.parametrize(("limit", "value"), [("MEMORY_LIMIT", 2**20), ("PROCESSOR_LIMIT", 1)])
def test_it_takes_only_so_much(tmp_path: Path, limit: str, value: int) -> None:
    """Of memory, and of the processor: whatever is packed, the system ends it, and there is no answer."""
    path = tmp_path / "a.zip"
    slow_archive(path)
    script = changed(
        f"examine.{limit} = {value}",
        f"archive.CHECKED_LIMIT = {2**40 if limit == 'SECONDS' else 0}",
        "entries = archive.entries",
        "archive.entries = lambda *told: (one for _ in range(100) for one in entries(*told))",
    )
    status, answer = end_of(begin(path, os.getpid(), "-c", script))

    assert status in ({1} if limit == "MEMORY_LIMIT" else {-signal.SIGXCPU, -signal.SIGKILL})
    assert answer == b""


def test_it_does_not_outlive_the_daemon(tmp_path: Path) -> None:
    """Neither when that has ended before it began, nor when it ends now: its standard input is closed."""
    path = tmp_path / "a.zip"
    slow_archive(path)
    assert end_of(begin(path, parent=1)) == (1, b"")

    process = begin(
        path, os.getpid(), "-c", changed("archive.entries = lambda *told: (one for one in iter(int, 1) if one)")
    )
    deadline = time.monotonic() + 30
    while not is_confined(process.pid):  # else it has not come so far
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert process.stdin is not None
    process.stdin.close()

    status, answer = end_of(process)
    assert status < 0
    assert answer == b""


def is_confined(pid: int) -> bool:
    """Return whether a process has its limits, the last of them, with which it begins to read."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0] == examine.ARCHIVE_DESCRIPTOR + 1


def test_it_imports_little() -> None:
    """It starts in some 10 ms, and what it does not have cannot be used against it."""
    script = (
        f"import sys; sys.argv = [{EXAMINE!r}]; sys.path.append(sys.argv[0].rsplit('/', 3)[0]);"
        "import onec_twisted.storage.archive, onec_twisted.storage.directory, onec_twisted.delivery.examine;"
        "print({'twisted', 'attr', 'typing', 'zipfile', 'socket', 'subprocess'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
