"""Documents are looked at before the importer is called, by a process of its own; a broken one fails in words."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted
from in_memory import CONFIG
from node_in_memory import Node
from trade import packed
from twisted.internet.defer import Deferred, fail

from onec_twisted.delivery import check
from onec_twisted.delivery.checking import Checker
from onec_twisted.delivery.processes import TooMuchAsked
from onec_twisted.model.document import Document
from onec_twisted.model.errors import ImportInterrupted
from onec_twisted.testing import FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from in_memory import InMemory

GOODS = """<?xml version="1.0" encoding="UTF-8"?>
<КоммерческаяИнформация ВерсияСхемы="2.08"><Каталог СодержитТолькоИзменения="false"><Товары>
<Товар><Картинка>import_files/x.jpg</Картинка></Товар><Товар><Картинка>import_files/y.jpg</Картинка></Товар>
</Товары></Каталог></КоммерческаяИнформация>""".encode()
FOUND = Document(
    name="import0_1.xml",
    root="КоммерческаяИнформация",
    version="2.08",
    changes_only=False,
    products=2,
    offers=0,
    prices=0,
    rests=0,
    orders=0,
    groups=0,
    pictures=2,
    missing=1,
    missing_names=("import_files/y.jpg",),
)
ASK = "mode=import&filename=import0_1.xml"


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off."""
    return FakeImporter()


@pytest.fixture
def exchange(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> InMemory:
    """An exchange whose documents are looked at."""
    return make_exchange(importer=importer, check_documents=True)


@pytest.fixture
def node(exchange: InMemory) -> Node:
    """A node of it."""
    return Node(exchange)


def test_an_importer_is_told_what_is_in_a_document(node: Node, importer: FakeImporter) -> None:
    """And which of its pictures never came."""
    node.send("import_files/x.jpg")
    node.send("import0_1.xml", GOODS)
    assert node.ask(ASK) == b"success"

    (told,) = importer.delivered
    assert told.documents == (FOUND,)
    assert json.loads(told.as_json())["documents"] == [{**FOUND.as_dict(), "missing_names": ["import_files/y.jpg"]}]


def test_a_document_that_was_in_an_archive(node: Node, importer: FakeImporter) -> None:
    """Its pictures were beside it."""
    node.send("v8_1.zip", packed({"import0_1.xml": GOODS, "import_files/x.jpg": b"jpeg"}))
    assert node.ask(ASK) == b"success"
    assert importer.delivered[0].documents == (FOUND,)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (GOODS[:-9], b"import0_1.xml breaks off at line 4"),
        (GOODS + b"\0", b"import0_1.xml is not well-formed at line 4: invalid token"),
    ],
)
def test_a_broken_document_is_a_failure_in_words(
    node: Node, importer: FakeImporter, content: bytes, words: bytes
) -> None:
    """The importer is not called."""
    node.send("import0_1.xml", content)

    assert node.ask(ASK) == b"failure\n" + words
    assert importer.delivered == []


def test_all_documents_that_nobody_asked_for_are_looked_at(node: Node, importer: FakeImporter) -> None:
    """What is no XML is left alone."""
    node.send("b.XML", b"<b/>")
    node.send("a.xml", GOODS)
    node.send("c.txt", b"<")
    assert node.ask("mode=complete") == b"success"

    settled, complete = importer.delivered
    assert [(one.name, one.root) for one in settled.documents or ()] == [
        ("a.xml", "КоммерческаяИнформация"),
        ("b.XML", "b"),
    ]
    assert complete.documents is None


def test_without_checks_all_is_as_it_was(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> None:
    """The importer gets what has come."""
    node = Node(make_exchange(importer=importer, check_documents=False))
    node.send("import0_1.xml", b"<")
    assert node.ask(ASK) == b"success"
    assert importer.delivered[0].documents is None


def test_archives_that_are_not_unpacked_are_not_looked_into(
    make_exchange: Callable[..., InMemory], importer: FakeImporter
) -> None:
    """With ``--unpack=no`` the importer has to."""
    node = Node(make_exchange(importer=importer, check_documents=True, unpack=False))
    node.send("v8_1.zip", packed({"import0_1.xml": b"<?xml"}))
    assert node.ask(ASK) == b"success"
    assert importer.delivered[0].documents is None


def test_the_same_id_has_the_same_bytes(exchange: InMemory, node: Node, importer: FakeImporter) -> None:
    """A picture that comes between two tries changes nothing."""
    importer.patient = True
    node.send("import_files/x.jpg")
    node.send("import0_1.xml", GOODS)
    waiting = node.begin(ASK)
    importer.end(ImportInterrupted("later"))
    node.send("import_files/y.jpg")
    importer.patient = False
    exchange.clock.pump([1.0] * 5)

    assert node.answer(waiting) == b"success"
    first, second = importer.delivered
    assert first.id == second.id
    assert first.as_json() == second.as_json()


def test_what_is_found_is_counted(exchange: InMemory, node: Node) -> None:
    """Sound documents, and broken ones."""
    node.send("import0_1.xml", GOODS)
    node.send("offers0_1.xml", b"<")
    node.ask(ASK)
    node.ask("mode=import&filename=offers0_1.xml")

    assert exchange.means.metrics.checks == {"sound": 1, "broken": 1}


def test_a_document_that_takes_too_much(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> None:
    """It fails, and is not tried for ever."""
    ending: Callable[..., Deferred[Any]] = lambda *_: fail(TooMuchAsked("killed"))  # noqa: E731
    node = Node(make_exchange(importer=importer, check_documents=True, check=ending))
    node.send("import0_1.xml", GOODS)

    assert node.ask(ASK) == b"failure\nThe documents take too much time or memory to be checked"
    assert importer.delivered == []


def test_documents_are_looked_at_unless_one_says_otherwise() -> None:
    """Tests say otherwise."""
    from in_memory import config_of

    assert config_of().check_documents
    assert not config_of("--check-documents=no").check_documents
    assert not CONFIG.check_documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a document and one of its pictures."""
    (tmp_path / "import0_1.xml").write_bytes(GOODS)
    (tmp_path / "import_files").mkdir()
    (tmp_path / "import_files" / "x.jpg").touch()
    return tmp_path


def checked(folder: Path, *documents: tuple[str, int], timeout: float = 60.0) -> Deferred[Any]:
    """Check documents in a process."""
    from twisted.internet import reactor

    async def run() -> Any:
        fd = os.open(folder, os.O_RDONLY)
        try:
            return await Checker(reactor, timeout)(fd, list(documents))
        finally:
            os.close(fd)

    return Deferred.fromCoroutine(run())


@pytest_twisted.inlineCallbacks
def test_the_process_says_what_it_finds(folder: Path) -> Any:
    """Up to the first document that is broken."""
    (folder / "b.xml").write_text("<b>", encoding="utf-8")
    found = yield checked(folder, ("import0_1.xml", len(GOODS)), ("b.xml", 3), ("c.xml", 1))
    assert found == ([FOUND], "b.xml breaks off at line 1")

    found = yield checked(folder, ("c.xml", 1))
    assert found == ([], "c.xml cannot be read: No such file or directory")


@pytest_twisted.inlineCallbacks
def test_encodings_that_python_has_to_load(folder: Path) -> Any:
    """The limits of the process leave room for that."""
    (folder / "b.xml").write_bytes('<?xml version="1.0" encoding="windows-1251"?><б/>'.encode("cp1251"))
    (documents, broken) = yield checked(folder, ("b.xml", (folder / "b.xml").stat().st_size))

    assert ([one.root for one in documents], broken) == (["б"], "")


@pytest_twisted.inlineCallbacks
def test_a_process_that_takes_too_long_is_killed(folder: Path) -> Any:
    """A document of many tags needs longer than that."""
    with (folder / "b.xml").open("wb") as file:
        file.write(b"<b>" + b"<c/>" * 2_000_000 + b"</b>")
    with pytest.raises(TooMuchAsked):
        yield checked(folder, ("b.xml", 8_000_007), timeout=0.2)


@pytest_twisted.inlineCallbacks
def test_a_process_that_takes_too_much_memory_ends(folder: Path) -> Any:
    """Expat keeps every name of an element that it has met."""
    with (folder / "b.xml").open("wb") as file:
        file.write(b"<b>")
        for number in range(60):
            file.write(b"<%c%d%s/>" % (97 + number % 26, number, b"x" * 7_500_000))
        file.write(b"</b>")
    size = (folder / "b.xml").stat().st_size
    with pytest.raises(TooMuchAsked):
        yield checked(folder, ("b.xml", size))


def test_the_limits_are_those_in_the_documents() -> None:
    """See docs/security.md."""
    assert (check.MEMORY_LIMIT, check.PROCESSOR_LIMIT) == (256 * 1024**2, 900)
