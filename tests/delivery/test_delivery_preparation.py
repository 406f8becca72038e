"""Hand-offs are ready for their importers: unpacked by a process of its own, once, within limits."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from node_in_memory import Node
from odd_archives import DEFLATED, DOCUMENT, IMPORT, Odd, archive_of
from trade import packed
from twisted.internet.defer import Deferred

from onec_twisted.delivery import prepare
from onec_twisted.delivery.preparation import PREPARE, Preparer
from onec_twisted.delivery.processes import TooMuchAsked
from onec_twisted.storage.gathering import Job, key_of
from onec_twisted.storage.unpacking import NoRoom, Unfit
from onec_twisted.testing import FakeImporter, prepare_inline

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory

PICTURE = b"\xff\xd8jpeg"
IMPORT_ALL = packed({"import0_1.xml": DOCUMENT, "offers0_1.xml": b"<?xml", "import_files/x.jpg": PICTURE})
ASK = "mode=import&filename=import0_1.xml"


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter()


@pytest.fixture
def node(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> Node:
    """A node whose archives are unpacked."""
    return Node(make_exchange(importer=importer, session_quota=200_000))


def test_an_importer_gets_what_an_archive_holds(node: Node, importer: FakeImporter) -> None:
    """Under the names that 1C means, in one folder for all its documents; a reader of archives need not change."""
    node.send("v8_1.zip", IMPORT_ALL)
    assert node.ask(ASK) == b"success"
    assert node.ask("mode=import&filename=offers0_1.xml") == b"success"

    first, second = importer.delivered
    assert first.folder == second.folder
    assert Path(first.folder, "import0_1.xml").read_bytes() == DOCUMENT
    assert Path(first.folder, "import_files/x.jpg").read_bytes() == PICTURE
    told = json.loads(first.as_json())
    assert (told["version"], told["archive"], told["unpacked"]) == (1, None, "v8_1.zip")
    assert told["files"] == [{"name": "import0_1.xml", "size": len(DOCUMENT)}]


def test_without_unpacking_all_is_as_it_was(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> None:
    """The archive is named, and lies in the session's folder."""
    node = Node(make_exchange(importer=importer, unpack=False))
    node.send("v8_1.zip", IMPORT_ALL)
    assert node.ask(ASK) == b"success"

    (told,) = importer.delivered
    assert (told.archive, told.unpacked, told.session_folder) == ("v8_1.zip", None, "")
    assert [path.name for path in Path(told.folder).iterdir()] == ["v8_1.zip"]


def test_a_session_without_archives_needs_no_process(node: Node, importer: FakeImporter) -> None:
    """Its folder is what it was."""
    node.send("import0_1.xml", DOCUMENT)
    assert node.ask(ASK) == b"success"

    (told,) = importer.delivered
    assert [path.name for path in Path(told.folder).iterdir()] == ["import0_1.xml"]
    assert told.unpacked is None


def test_a_document_and_its_pictures_in_an_archive(node: Node, importer: FakeImporter) -> None:
    """They lie together, wherever each came from."""
    node.send("pictures.zip", packed({"import_files/x.jpg": PICTURE}))
    node.send("import_files/y.jpg", b"another")
    node.send("import0_1.xml", DOCUMENT)
    assert node.ask(ASK) == b"success"

    (told,) = importer.delivered
    found = {path.relative_to(told.folder).as_posix() for path in Path(told.folder).rglob("*") if path.is_file()}
    assert found == {"import0_1.xml", "import_files/x.jpg", "import_files/y.jpg"}
    assert (told.unpacked, [file.name for file in told.files]) == (None, ["import0_1.xml"])


def test_what_nobody_asked_for_is_unpacked_as_well(node: Node, importer: FakeImporter) -> None:
    """Its description lists what the archives hold, and what was uploaded beside them."""
    node.send("v8_1.zip", IMPORT_ALL)
    node.send("prices0_1.xml", b"<?xml")
    assert node.ask("mode=complete") == b"success"

    settled, complete = importer.delivered
    names = ["import0_1.xml", "import_files/x.jpg", "offers0_1.xml", "prices0_1.xml"]
    assert [file.name for file in settled.files] == names
    assert all(Path(settled.folder, file.name).stat().st_size == file.size for file in settled.files)
    assert (complete.files, complete.session_folder) == ((), "")


def test_an_archive_that_is_asked_for_by_name(node: Node, importer: FakeImporter) -> None:
    """It is there, and what it holds beside it."""
    node.send("v8_1.zip", IMPORT_ALL)
    assert node.ask("mode=import&filename=v8_1.zip") == b"success"

    (told,) = importer.delivered
    assert Path(told.folder, "v8_1.zip").read_bytes() == IMPORT_ALL
    assert Path(told.folder, "import0_1.xml").exists()
    assert (told.unpacked, [file.name for file in told.files]) == ("v8_1.zip", ["v8_1.zip"])


def test_what_cannot_be_unpacked_is_a_failure_in_words(node: Node, importer: FakeImporter) -> None:
    """The importer is not asked."""
    node.send("v8_1.zip", archive_of(IMPORT, Odd(b"../x.jpg")))

    words = "failure\nArchive v8_1.zip cannot be unpacked: ../x.jpg leads out of its folder"
    assert node.ask(ASK) == words.encode()
    assert importer.delivered == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"unpack_limit": 500}, "it would become more than 500 bytes (--unpack-limit)"),
        ({"unpack_files": 2}, "it has more than 2 files (--unpack-files)"),
        ({"unpack_depth": 1}, "import_files/x.jpg lies in more than 0 folders (--unpack-depth)"),
        ({"session_quota": 9000}, "its 12288 bytes do not fit into the session (--session-quota)"),
    ],
)
def test_the_limits_are_the_administrators(
    make_exchange: Callable[..., InMemory], importer: FakeImporter, changes: dict[str, int], words: str
) -> None:
    """Each has its option, which the words name."""
    node = Node(make_exchange(importer=importer, **{"session_quota": 200_000, **changes}))
    node.send("v8_1.zip", IMPORT_ALL)

    assert node.ask(ASK) == f"failure\nArchive v8_1.zip cannot be unpacked: {words}".encode()


def test_the_ratio_is_the_administrators(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> None:
    """It holds beyond 16 MB."""
    bomb = archive_of(IMPORT, Odd(b"a.jpg", bytes(2**25), method=DEFLATED))
    node = Node(make_exchange(importer=importer, session_quota=2**30, body_limit=10**6, unpack_ratio=500))
    node.send("v8_1.zip", bomb)

    words = "it would become more than 500 times its size (--unpack-ratio)"
    assert node.ask(ASK) == f"failure\nArchive v8_1.zip cannot be unpacked: {words}".encode()


def test_a_full_disk_is_waited_for(node: Node, importer: FakeImporter) -> None:
    """The node hears why; when there is room, the import goes on."""
    node.send("v8_1.zip", IMPORT_ALL)
    node.exchange.store.free_bytes = 5000
    node.exchange.clock.advance(5)
    waiting = node.begin(ASK)
    node.exchange.clock.advance(0.5)
    node.exchange.store.free_bytes = None
    node.exchange.clock.advance(10)

    assert node.answer(waiting) == b"success"
    assert len(importer.delivered) == 1


class Slow:
    """Unpacks when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[str, Job, Callable[[dict[str, Any]], None], Deferred[int]]] = []
        self.cancelled = 0

    def __call__(self, fd: int, job: Job, report: Callable[[dict[str, Any]], None]) -> Deferred[int]:
        """See ``Preparer``."""

        def note(_: object) -> None:
            self.cancelled += 1

        self.jobs.append((os.readlink(f"/proc/self/fd/{fd}"), job, report, Deferred(note)))
        return self.jobs[-1][-1]


@pytest.fixture
def slow() -> Slow:
    """What unpacks archives."""
    return Slow()


@pytest.fixture
def waiting_node(make_exchange: Callable[..., InMemory], importer: FakeImporter, slow: Slow) -> Node:
    """A node whose archives take long to unpack."""
    node = Node(make_exchange(importer=importer, prepare=slow, session_quota=200_000))
    node.send("v8_1.zip", IMPORT_ALL)
    return node


def test_the_node_hears_of_progress(waiting_node: Node, slow: Slow, importer: FakeImporter) -> None:
    """How many files of how many."""
    waiting = waiting_node.begin(ASK)
    ((folder, job, report, ended),) = slow.jobs
    report({"archive": "v8_1.zip", "files": 480, "size": 5000})
    report({"archive": "v8_1.zip", "done": 120, "of": 480, "written": 1000})
    waiting_node.exchange.clock.advance(10)
    assert waiting_node.answer(waiting) == b"progress\nArchive v8_1.zip: unpacked 120 of 480"
    waiting = waiting_node.begin(ASK)
    ended.callback(len(DOCUMENT))

    assert waiting_node.answer(waiting) == b"success"
    assert len(slow.jobs) == 1
    assert (job.view, job.quota) == (key_of("v8_1.zip", len(IMPORT_ALL)), 200_000 - len(IMPORT_ALL))
    assert importer.delivered[0].folder == f"{folder}/.unpacked/{job.view}/files"


def test_what_is_coming_counts_for_uploads(waiting_node: Node, slow: Slow) -> None:
    """Its room is reserved, less what is there already; afterwards it is on the disk."""
    waiting_node.exchange.store.free_bytes = 50_000
    waiting_node.exchange.clock.advance(5)
    waiting = waiting_node.begin(ASK)
    ((_, _, report, ended),) = slow.jobs
    report({"archive": "v8_1.zip", "files": 2, "size": 47_000})
    other = Node(waiting_node.exchange)
    assert other.send("a.xml", bytes(3000)).status == 507
    report({"archive": "v8_1.zip", "done": 1, "of": 2, "written": 46_000})
    assert other.send("a.xml", bytes(3000)).status == 507, "until the disk is looked at again"
    ended.callback(1)

    waiting_node.exchange.clock.advance(5)
    assert other.send("a.xml", bytes(3000)).status == 200
    assert waiting_node.answer(waiting) == b"success"


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (TooMuchAsked("killed"), b"failure\nArchive v8_1.zip takes too much time or memory to be unpacked"),
        (Unfit("Archive v8_1.zip cannot be unpacked: x"), b"failure\nArchive v8_1.zip cannot be unpacked: x"),
        (
            NoRoom("the disk is full"),
            b"progress\nArchive v8_1.zip cannot be unpacked yet: the disk is full - try 2 of 3",
        ),
        (OSError(5, "No space"), b"progress\nArchive v8_1.zip cannot be unpacked yet: No space - try 2 of 3"),
    ],
)
def test_how_it_may_end(waiting_node: Node, slow: Slow, reason: Exception, words: bytes) -> None:
    """For good, or to be tried again."""
    waiting = waiting_node.begin(ASK)
    slow.jobs[0][-1].errback(reason)
    waiting_node.exchange.clock.advance(0.4)
    waiting_node.exchange.clock.advance(9.6 if words.startswith(b"failure") else 0)
    if words.startswith(b"progress"):
        (prospect,) = waiting_node.exchange.parts.relay.prospects().values()
        assert prospect.words.encode().startswith(words[9:])
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        return
    assert waiting_node.answer(waiting) == words


def test_another_archive_is_left_out(
    waiting_node: Node, slow: Slow, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """The log says why."""
    waiting = waiting_node.begin(ASK)
    ((_, _, report, ended),) = slow.jobs
    report({"archive": "v8_2.zip", "why": "Archive v8_2.zip is damaged: it is cut off, or no archive"})
    ended.callback(1)

    assert waiting_node.answer(waiting) == b"success"
    assert [event["why"] for event in nothing_left_behind if "why" in event] == [
        "Archive v8_2.zip is damaged: it is cut off, or no archive"
    ]


class Session:
    """A session's folder with an archive, unpacked by a real process."""

    def __init__(self, path: Path, content: bytes) -> None:
        """Put the archive there."""
        self.path = path
        (path / "v8_1.zip").write_bytes(content)
        self.job = Job(
            view=key_of("v8_1.zip", len(content)),
            top="v8_1.zip",
            wanted="import0_1.xml",
            archives={"v8_1.zip": len(content)},
            needed=["v8_1.zip"],
            stamp="",
            quota=2**30,
            floor=0,
            limits=(2**30, 10_000, 200, 32),
        )
        self.heard: list[dict[str, Any]] = []

    async def unpack(self, timeout: float = 60.0) -> int:
        """Do the job."""
        from twisted.internet import reactor

        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return await Preparer(reactor, timeout)(fd, self.job, self.heard.append)
        finally:
            os.close(fd)


@pytest_twisted.ensureDeferred
async def test_a_process_unpacks(tmp_path: Path) -> None:
    """And reports as it goes."""
    session = Session(tmp_path, IMPORT_ALL)

    assert await session.unpack() == len(DOCUMENT)
    assert (tmp_path / ".unpacked" / session.job.view / "files/import_files/x.jpg").read_bytes() == PICTURE
    assert [sorted(event)[1] for event in session.heard] == ["files", "done", "done", "done"]


@pytest_twisted.ensureDeferred
async def test_a_process_says_why_it_cannot(tmp_path: Path) -> None:
    """For good, or for now."""
    session = Session(tmp_path, archive_of(IMPORT, IMPORT))
    with pytest.raises(Unfit, match="two entries are named"):
        await session.unpack()
    session = Session(tmp_path, IMPORT_ALL)
    session.job.floor = 2**62
    with pytest.raises(NoRoom, match="too full"):
        await session.unpack()
    session.job.floor = 0
    (tmp_path / ".unpacked/.lock").unlink()
    (tmp_path / ".unpacked").rmdir()
    (tmp_path / ".unpacked").symlink_to("/")
    with pytest.raises(NoRoom, match="Not a directory"):
        await session.unpack()


@pytest_twisted.ensureDeferred
async def test_a_process_that_takes_too_long(tmp_path: Path) -> None:
    """Is killed; the next one begins again."""
    session = Session(tmp_path, archive_of(IMPORT, *(Odd(b"%d.jpg" % number, b"") for number in range(9_000))))
    with pytest.raises(TooMuchAsked):
        await session.unpack(0.01)
    assert not (tmp_path / ".unpacked" / session.job.view).exists()

    assert await session.unpack() == len(DOCUMENT)


def script(*changes: str) -> list[str]:
    """Return the command line of the program, with changes to what it uses."""
    package = PREPARE.rsplit("/", 3)[0]
    lines = (
        "import sys",
        f"sys.path.append({package!r})",
        "from onec_twisted.delivery import prepare",
        "from onec_twisted.storage import gathering, unpacking",
        *changes,
        f"sys.argv[0] = {PREPARE!r}",
        "prepare.main(*sys.argv[1:])",
    )
    return [sys.executable, "-I", "-S", "-c", "\n".join(lines)]


def run_by_hand(session: Session, parent: int, *changes: str) -> subprocess.CompletedProcess[bytes]:
    """Run the program as the daemon does."""
    return subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$@" {prepare.FOLDER_DESCRIPTOR}< "$0"',
            str(session.path),
            *script(*changes),
            str(parent),
        ],
        input=session.job.as_json().encode() + b"\n",
        capture_output=True,
        check=False,
    )


def test_it_is_confined(tmp_path: Path) -> None:
    """In memory, processor time, the size of files, and descriptors, before it opens the archive."""
    session = Session(tmp_path, IMPORT_ALL)
    told = "import json, resource, sys; json.dump([resource.getrlimit(one)[0] for one in (%s)], sys.stderr)"
    kinds = ("RLIMIT_AS", "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CORE")
    shows = told % ", ".join(f"resource.{kind}" for kind in kinds)
    done = run_by_hand(session, os.getpid(), "import os", f"gathering.gather = lambda *_: exec({shows!r}, {{}}) or 1")

    limits = [prepare.MEMORY_LIMIT, prepare.PROCESSOR_LIMIT, 2**30, prepare.MOST_DESCRIPTORS, 0]
    assert json.loads(done.stderr) == limits
    assert resource.RLIM_INFINITY not in limits


def test_it_does_not_start_without_its_daemon(tmp_path: Path) -> None:
    """That has ended before it began."""
    session = Session(tmp_path, IMPORT_ALL)
    done = run_by_hand(session, 1)

    assert done.returncode == 1
    assert not (tmp_path / ".unpacked").exists()


def test_it_imports_little() -> None:
    """It starts in some 20 ms, and what it does not have cannot be used against it."""
    told = (
        f"import sys; sys.argv = [{PREPARE!r}]; sys.path.append(sys.argv[0].rsplit('/', 3)[0]);"
        "import onec_twisted.storage.gathering, onec_twisted.delivery.prepare, onec_twisted.delivery.confinement;"
        "print({'twisted', 'attr', 'typing', 'zipfile', 'socket', 'subprocess'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", told], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"


def test_the_fake_does_the_same(tmp_path: Path) -> None:
    """For tests without processes."""
    session = Session(tmp_path, IMPORT_ALL)
    fd = os.open(tmp_path, os.O_RDONLY)
    sizes: list[int] = []
    prepare_inline(fd, session.job, session.heard.append).addCallback(sizes.append)
    os.close(fd)

    assert sizes == [len(DOCUMENT)]
