"""Archives from the field: those of people's tools import, and reading one costs nobody else anything."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from daemon import PATIENCE, Daemon
from documents import DOCS, russian
from node_in_memory import Node
from odd_archives import (
    AES,
    DEFLATED,
    DOCUMENT,
    ENCRYPTED,
    IMPORT,
    ODD_PICTURES,
    UNHEARD_OF,
    UTF8,
    Odd,
    archive_of,
    field,
    unicode_path,
)
from trade import PATH, Trade
from twisted.internet.defer import Deferred

from onec_twisted.delivery import archives
from onec_twisted.delivery.examination import EXAMINE
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory
    from twisted.internet.task import Clock

    from onec_twisted.storage.directory import Directory

ASK = "mode=import&filename=import0_1.xml"


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter()


@pytest.fixture
def node(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> Node:
    """A node whose pieces may be as large as these archives, and whose importer unpacks them itself."""
    return Node(make_exchange(importer=importer, body_limit=500_000, session_quota=1_000_000, unpack=False))


@pytest.fixture
def unpacking_node(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> Node:
    """The same, with archives that are unpacked."""
    return Node(make_exchange(importer=importer, body_limit=500_000, session_quota=1_000_000))


NEED_WHAT_IS_MISSING = {
    "a method that nobody has": "x.jpg is compressed by method 77; pack it by deflate",
    "a method that we do not have": "x.jpg is compressed by method 14; pack it by deflate",
    "a password": "x.jpg has a password; pack it without one",
    "a password by AES": "x.jpg has a password; pack it without one",
    "strong encryption": "x.jpg has a password; pack it without one",
    "a patch": "x.jpg has a password; pack it without one",
    "a name that climbs": "../../x.jpg leads out of its folder",
    "a name longer than any": f"a name is too long: {'x' * 80}…",
}
"""Odd pictures that no importer would get: what the node hears about them."""


@pytest.mark.parametrize("kind", ODD_PICTURES)
def test_an_odd_picture_is_unpacked_or_named(unpacking_node: Node, importer: FakeImporter, kind: str) -> None:
    """None is lost in silence: the importer gets it with its document, or the node hears what is wrong with it."""
    odd = ODD_PICTURES[kind]
    unpacking_node.send("v8_1.zip", archive_of(odd, IMPORT))
    answer = unpacking_node.ask(ASK).decode()
    if kind in NEED_WHAT_IS_MISSING:
        assert answer == f"failure\nArchive v8_1.zip cannot be unpacked: {NEED_WHAT_IS_MISSING[kind]}"
        return
    assert answer == "success"
    folder = Path(importer.delivered[0].folder)
    pictures = [path for path in folder.rglob("*.jpg") if path.read_bytes() == odd.content]
    assert len(pictures) == (0 if kind in ("a folder", "no name", "a name of zeros") else 1)
    assert (folder / "import0_1.xml").read_bytes() == DOCUMENT


@pytest.mark.parametrize("asked", ["utf-8", "cp1251"])
@pytest.mark.parametrize("odd", range(9))
def test_a_document_is_unpacked_under_the_name_that_is_asked_for(
    unpacking_node: Node, importer: FakeImporter, odd: int, asked: str
) -> None:
    """However the tool wrote it, and however 1C asks for it."""
    unpacking_node.send("v8_1.zip", archive_of(list(NAMES.values())[odd]))
    name = "".join(f"%{byte:02X}" for byte in "импорт0_1.xml".encode(asked))

    assert unpacking_node.ask(f"mode=import&filename={name}") == b"success"
    assert (Path(importer.delivered[0].folder) / "импорт0_1.xml").read_bytes() == DOCUMENT


@pytest.mark.parametrize("odd", ODD_PICTURES.values(), ids=ODD_PICTURES)
def test_an_odd_picture_does_not_stop_an_export(node: Node, importer: FakeImporter, odd: Odd) -> None:
    """Whether it comes first or last: what is needed and missing concerns that picture alone."""
    for number, entries in enumerate(((odd, IMPORT), (IMPORT, odd))):
        if number:
            node.ask("mode=init")
        node.send("v8_1.zip", archive_of(*entries))
        assert node.ask(ASK) == b"success"

    assert [told.archive for told in importer.delivered] == ["v8_1.zip", "v8_1.zip"]


@pytest.mark.skipif(not shutil.which("unzip"), reason="unzip is not installed")
@pytest.mark.parametrize("odd", ODD_PICTURES.values(), ids=ODD_PICTURES)
def test_info_zip_reads_them_as_well(tmp_path: Path, odd: Odd) -> None:
    """The document, that is: these archives are odd, not damaged."""
    (tmp_path / "a.zip").write_bytes(archive_of(IMPORT, odd))
    done = subprocess.run(["unzip", "-p", "a.zip", "import0_1.xml"], cwd=tmp_path, capture_output=True, check=False)

    assert done.stdout.startswith(DOCUMENT)


@pytest.mark.parametrize(
    "odd",
    [
        Odd(b"import0_1.xml", DOCUMENT, method=UNHEARD_OF),
        Odd(b"import0_1.xml", DOCUMENT, method=AES, flags=ENCRYPTED),
        Odd(b"import0_1.xml", DOCUMENT, version=99),
        Odd(b"import0_1.xml", DOCUMENT, flags=UTF8, extra=field(0x5455, b"\x01\x02\x03", 40)),
    ],
)
def test_an_odd_document_is_left_to_the_importer(node: Node, importer: FakeImporter, odd: Odd) -> None:
    """We do not have what it needs; the site may. The one beside it is looked at as ever."""
    node.send("v8_1.zip", archive_of(odd, Odd(b"offers0_1.xml", DOCUMENT)))

    assert node.ask(ASK) == b"success"
    assert node.ask("mode=import&filename=offers0_1.xml") == b"success"


def test_a_document_whose_size_is_nowhere(node: Node, importer: FakeImporter) -> None:
    """It is damaged, and no other."""
    content = bytearray(archive_of(IMPORT, Odd(b"offers0_1.xml", DOCUMENT)))
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 24] = b"\xff" * 4

    node.send("v8_1.zip", bytes(content))
    assert node.ask(ASK) == b"failure\nArchive v8_1.zip is damaged: the checksum of import0_1.xml is wrong"
    assert node.ask("mode=import&filename=offers0_1.xml") == b"success"


PIECES = [Odd(f"{number}.jpg".encode(), bytes([number]) * 1000) for number in range(9)]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda content: content[:3000] + content[4000:], id="bytes are missing"),
        pytest.param(lambda content: content[:4000] + content[3000:], id="bytes are doubled"),
        pytest.param(
            lambda content: content[:2000] + content[3000:5000] + content[4000:],
            id="one is missing, one doubled",
        ),
    ],
)
def test_missing_bytes_are_noticed(node: Node, importer: FakeImporter, spoil: Callable[[bytes], bytes]) -> None:
    """Entries are not where they are said to be; it is enough that one of them is not."""
    node.send("v8_1.zip", spoil(archive_of(IMPORT, *PIECES)))

    assert node.ask(ASK) == b"failure\nArchive v8_1.zip is damaged: bytes are missing or doubled"
    assert importer.delivered == []


def test_what_surrounds_an_archive(node: Node) -> None:
    """A program before it, a comment behind it, a count that has run over: it is whole all the same."""
    for number, content in enumerate(
        (
            b"MZ" * 1000 + archive_of(IMPORT),
            archive_of(IMPORT, comment=b"PK\x05\x06 is what an end begins with"),
            archive_of(IMPORT, *PIECES, count=3),
            archive_of(IMPORT) + b"\r\n",
        )
    ):
        node.ask("mode=init")
        node.send("v8_1.zip", content)
        assert node.ask(ASK) == b"success", number


NAMES = {
    "Unicode Path over a letter that was missing": Odd(
        b"?\xac\xaf\xae\xe0\xe20_1.xml",
        DOCUMENT,
        extra=unicode_path("импорт0_1.xml", b"?\xac\xaf\xae\xe0\xe20_1.xml"),
    ),
    "Unicode Path among other fields": Odd(
        b"?.xml", DOCUMENT, extra=field(0x5455, b"\x01\0\0\0\0") + unicode_path("импорт0_1.xml", b"?.xml")
    ),
    "UTF-8 with the flag": Odd("импорт0_1.xml".encode(), DOCUMENT, flags=UTF8),
    "UTF-8 without the flag": Odd("импорт0_1.xml".encode(), DOCUMENT),
    "cp866": Odd("импорт0_1.xml".encode("cp866"), DOCUMENT),
    "cp866 with the flag of UTF-8": Odd("импорт0_1.xml".encode("cp866"), DOCUMENT, flags=UTF8),
    "cp1251": Odd("импорт0_1.xml".encode("cp1251"), DOCUMENT),
    "cp1251 in the local header alone": Odd(b"???????0_1.xml", DOCUMENT, local_name="импорт0_1.xml".encode("cp1251")),
    "a backslash in front": Odd(b"\\" + "импорт0_1.xml".encode("cp866"), DOCUMENT),
}


@pytest.mark.parametrize("odd", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("asked", ["utf-8", "cp1251"])
def test_a_name_is_found_in_every_spelling(node: Node, importer: FakeImporter, odd: Odd, asked: str) -> None:
    """However the tool wrote it, and however 1C asks for it."""
    node.send("v8_1.zip", archive_of(odd))
    name = "".join(f"%{byte:02X}" for byte in "импорт0_1.xml".encode(asked))

    assert node.ask(f"mode=import&filename={name}") == b"success"
    assert importer.delivered[0].filename == "импорт0_1.xml"


def test_a_unicode_path_of_another_name_is_no_name(node: Node) -> None:
    """A tool that renamed the entry, and did not know the field, left it behind."""
    node.send("v8_1.zip", archive_of(Odd(b"import0_1.xml", DOCUMENT, extra=unicode_path("old.xml", b"other.xml"))))

    assert node.ask("mode=import&filename=old.xml") == b"failure\nFile not found: old.xml"
    assert node.ask(ASK) == b"success"


def test_a_damaged_document_is_told_in_every_spelling(node: Node) -> None:
    """It is never imported by another of its names."""
    sound = archive_of(Odd("импорт0_1.xml".encode("cp866"), DOCUMENT))
    node.send("v8_1.zip", sound.replace(b"<a/>", b"<b/>", 1))
    name = "импорт0_1.xml"

    assert node.ask(f"mode=import&filename={name}") == (
        f"failure\nArchive v8_1.zip is damaged: the checksum of {name} is wrong".encode()
    )


class Late:
    """Reads archives when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[Deferred[Directory]] = []
        self.ended = 0

    def __call__(self, fd: int, size: int) -> Deferred[Directory]:
        """See ``Examiner``."""

        def end(_: object) -> None:
            self.ended += 1

        self.waiting.append(Deferred(end))
        return self.waiting[-1]


@pytest.fixture
def late() -> Late:
    """What reads archives."""
    return Late()


@pytest.fixture
def slow(make_exchange: Callable[..., InMemory], importer: FakeImporter, late: Late) -> Node:
    """A node whose archives take long to read."""
    return Node(make_exchange(importer=importer, examine=late))


def test_a_hundred_imports_of_one_archive_read_it_once(slow: Node, late: Late) -> None:
    """And take no worker meanwhile: other nodes log in and send pieces."""
    slow.send("v8_1.zip", archive_of(IMPORT))
    waiting = [slow.begin(ASK) for _ in range(100)]
    assert slow.exchange.store.directories == len(late.waiting) == 1
    assert Node(slow.exchange).send("a").body == b"success"
    slow.exchange.clock.advance(10)

    heard = {slow.answer(one) for one in waiting}
    assert heard == {b"progress\nArchive v8_1.zip is being read"}
    assert len(late.waiting) == 1


def test_a_node_hears_progress_until_the_archive_is_read(
    slow: Node, late: Late, importer: FakeImporter, clock: Clock
) -> None:
    """And asks again, as 1C does; then its import is asked for."""
    from onec_twisted.storage.archive import Entry
    from onec_twisted.storage.directory import Directory

    slow.send("v8_1.zip", archive_of(IMPORT))
    waiting = slow.begin(ASK)
    clock.advance(10)
    assert slow.answer(waiting) == b"progress\nArchive v8_1.zip is being read"
    assert late.ended == 0
    waiting = slow.begin(ASK)
    late.waiting[0].callback(Directory.of([Entry(("import0_1.xml",), sound=True)]))

    assert slow.answer(waiting) == b"success"
    assert len(late.waiting) == 1


def test_reading_stops_when_the_node_has_gone(slow: Node, late: Late) -> None:
    """Its connection is lost: nobody would hear the answer."""
    slow.send("v8_1.zip", archive_of(IMPORT))
    waiting = slow.begin(ASK)
    waiting.addErrback(lambda _: None)
    assert late.ended == 0
    waiting.cancel()
    slow.exchange.pipe.flush()

    assert late.ended == 1


def test_too_many_archives_at_once_are_refused_in_words(slow: Node, late: Late) -> None:
    """With the status that says when to come again; a session has so many places, whatever it asks for."""
    waiting: list[Any] = []
    for number in range(archives.OF_SESSION + 1):
        slow.send(f"{number}.zip", archive_of(IMPORT))
        waiting.append(slow.begin(f"mode=import&filename={number}.zip"))
    last = slow.exchange.reply(waiting.pop())

    assert (last.status, last.body) == (503, b"failure\nToo many archives at once - retry later")
    assert last.headers["retry-after"] == "5"
    slow.exchange.clock.advance(10)
    assert all(slow.answer(one).startswith(b"progress") for one in waiting)


def test_a_session_full_of_archives(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked for in so many of them, and the node hears when that was not all."""
    from onec_twisted.delivery import handoffs as handoff

    monkeypatch.setattr(handoff, "MOST_ARCHIVES", 3)
    for number in range(5):
        node.send(f"{number}.zip", archive_of(Odd(f"{number}.xml".encode(), DOCUMENT, method=DEFLATED)))

    assert node.ask("mode=import&filename=2.xml") == b"success"
    assert node.ask("mode=import&filename=1.xml") == (
        b"failure\nThere are too many archives to look for 1.xml in all of them"
    )
    assert node.exchange.store.directories == 3


NAME = "import-by-program.md"
PAGES = [path.read_text(encoding="utf-8") for path in (DOCS / NAME, russian(NAME))]


@pytest.mark.parametrize("page", PAGES, ids=["en", "ru"])
class TestScript:
    """``import.sh`` of both languages; that it works with ``onec-node push`` is tested with their other examples."""

    def run(self, page: str, folder: Path, name: str) -> int:
        """Start it as the daemon does; return its exit status."""
        found = re.search(r"cat > import.sh <<'END'\n(.*?)END\n", page, re.DOTALL)
        assert found is not None
        (folder / "import.sh").write_text(found[1], encoding="utf-8")
        return subprocess.run(["sh", "-e", "import.sh", str(folder), name], cwd=folder, check=False).returncode

    def test_a_document_and_an_event(self, tmp_path: Path, page: str) -> None:
        """The document is found, and an event without one is no failure."""
        (tmp_path / "import0_1.xml").write_bytes("<Товар>Болт</Товар>".encode())

        assert self.run(page, tmp_path, "import0_1.xml") == 0
        assert self.run(page, tmp_path, "") == 0

    def test_what_is_not_there_is_no_success(self, tmp_path: Path, page: str) -> None:
        """Whatever the reason."""
        assert self.run(page, tmp_path, "import0_1.xml") != 0


def readers(daemon: Daemon) -> list[int]:
    """Return the processes of a daemon that read archives."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parent = (process / "stat").read_text().rpartition(") ")[2].split()[1]
            if int(parent) == daemon.process.pid and EXAMINE in (process / "cmdline").read_bytes().decode():
                found.append(int(process.name))
    return found


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for what happens in other processes."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_over(pid: int) -> bool:
    """Return whether a process has ended, be it that nobody has noted that yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("Z")
    except OSError:
        return True


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
@pytest.mark.parametrize("ending", ["the node goes", "the daemon is told to stop", "the daemon is killed"])
def test_no_process_is_left(daemons: Callable[..., Daemon], ending: str) -> None:
    """Which reads an archive that nobody wants to know of any more; here it stands still, as one on a dead disk."""
    daemon = daemons()
    node = Trade("127.0.0.1", daemon.port)
    node.checkauth()
    node.init()
    node.send_file("v8_1.zip", archive_of(IMPORT, *(Odd(b"%d.jpg" % number, b"") for number in range(30_000))))
    query = f"type=catalog&mode=import&filename=import0_1.xml&sessid={node.sessid}"
    node.connection.request("GET", f"{PATH}?{query}", headers={"Cookie": node.cookie})
    wait_until(lambda: readers(daemon))
    (pid,) = readers(daemon)
    os.kill(pid, signal.SIGSTOP)
    try:
        if ending == "the node goes":
            node.close()
        elif ending == "the daemon is killed":
            daemon.kill()
            os.kill(pid, signal.SIGCONT)
        else:
            daemon.stop()
        wait_until(lambda: is_over(pid))
    finally:
        node.close()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    assert "Traceback" not in daemon.log
