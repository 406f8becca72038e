"""What a node asks to import, what it leaves behind and the events that it tells of, in the answers that it hears."""

from __future__ import annotations

import errno
import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve
from in_memory import NOW, InMemory
from node_in_memory import Node
from trade import packed
from twisted.internet.defer import Deferred, ensureDeferred

from onec_twisted.model.errors import ImportFailed, ImportInterrupted, SyncFailed
from onec_twisted.model.names import SafeName
from onec_twisted.testing import FakeBody, FakeImporter

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.task import Clock

HOLD = 10
SETTLE = 300


@pytest.fixture
def importer() -> FakeImporter:
    """Who takes what is handed off; the tests say how it ends."""
    return FakeImporter(patient=True)


@pytest.fixture
def exchange(make_exchange: Callable[..., InMemory], importer: FakeImporter) -> InMemory:
    """An exchange that hands off to the fake."""
    return make_exchange(importer=importer)


def is_heard(waiting: Deferred[Any]) -> list[bool]:
    """Return a list that fills when an answer comes."""
    heard: list[bool] = []

    def note(response: Any) -> Any:
        heard.append(True)
        return response

    waiting.addCallback(note)
    return heard


@pytest.fixture
def node(exchange: InMemory) -> Node:
    """A node."""
    return Node(exchange)


IMPORT = "mode=import&filename=import0_1.xml"


def test_an_import_is_held_and_then_answered(node: Node, importer: FakeImporter, clock: Clock) -> None:
    """With progress while it takes long, again and again, and success at the end; the importer runs once."""
    node.send("import0_1.xml")
    waiting = node.begin(IMPORT)
    heard = is_heard(waiting)
    clock.advance(HOLD - 0.1)
    assert heard == []
    importer.running[0][1]("Goods: 10 %")
    clock.advance(0.2)
    assert node.answer(waiting) == b"progress\nGoods: 10 %"
    waiting = node.begin(IMPORT)
    importer.end()

    assert node.answer(waiting) == b"success"
    assert [node.ask(IMPORT) for _ in range(3)] == [b"success"] * 3
    assert len(importer.delivered) == 1


def test_the_importer_is_told_what_it_needs(exchange: InMemory, node: Node, importer: FakeImporter) -> None:
    """Who, what, where, how large."""
    node.send("import0_1.xml", b"<?xml")
    node.begin(IMPORT)
    told = importer.delivered[0]

    assert (told.event, told.type, told.user, told.sessid) == ("import", "catalog", "shop", node.sessid)
    assert (told.filename, told.archive, told.timestamp) == ("import0_1.xml", None, None)
    assert told.folder == str(exchange.folder / "1c_temp" / node.sessid)
    assert [(file.name, file.size) for file in told.files] == [("import0_1.xml", 5)]
    importer.end()


def test_a_failure_is_heard_in_the_importers_words(node: Node, importer: FakeImporter) -> None:
    """In one line, without HTML; asked again, it runs again under another id; the next file is not stopped by it."""
    node.send("import0_1.xml")
    node.send("offers0_1.xml")
    waiting = node.begin(IMPORT)
    importer.end(ImportFailed("Товар <b>№ 7</b>\nhas no price " + "!" * 300))
    heard = node.answer(waiting).decode()
    assert heard.startswith("failure\nТовар  b № 7 /b  has no price !!")
    assert len(heard.split("\n")[1]) == 255
    waiting = node.begin("mode=import&filename=offers0_1.xml")
    importer.end()
    assert node.answer(waiting) == b"success"
    waiting = node.begin(IMPORT)
    importer.end()

    assert node.answer(waiting) == b"success"
    assert [told.filename for told in importer.delivered] == ["import0_1.xml", "offers0_1.xml", "import0_1.xml"]
    assert importer.delivered[0].id != importer.delivered[2].id


def test_a_failure_between_two_questions_is_told_first(node: Node, importer: FakeImporter, clock: Clock) -> None:
    """Nobody waited when it came; it runs again only when the node has heard of it."""
    node.send("import0_1.xml")
    waiting = node.begin(IMPORT)
    clock.advance(HOLD)
    assert node.answer(waiting).startswith(b"progress\n")
    importer.end(ImportFailed("no"))

    assert node.ask(IMPORT) == b"failure\nno"
    assert len(importer.delivered) == 1
    node.begin(IMPORT)
    assert len(importer.delivered) == 2
    importer.end()


def test_a_failure_that_nobody_heard_is_told_again(exchange: InMemory, node: Node, importer: FakeImporter) -> None:
    """The connection had ended while it was held."""
    node.send("import0_1.xml")
    node.begin(IMPORT).addErrback(lambda _: None)
    exchange.pipe._pumps[-1].serverIO.abortConnection()
    exchange.pipe.flush()
    importer.end(ImportFailed("no"))

    assert node.ask(IMPORT) == b"failure\nno"
    assert len(importer.delivered) == 1


def test_a_site_that_is_asleep(node: Node, importer: FakeImporter, clock: Clock) -> None:
    """The person at the screen reads why it takes so long."""
    node.send("import0_1.xml")
    waiting = node.begin(IMPORT)
    importer.end(ImportInterrupted("The site cannot be asked: it refuses connections"))
    clock.advance(0.5)
    importer_again = node.begin(IMPORT)
    clock.advance(0.5)
    importer.end()

    assert node.answer(waiting) == b"success"
    assert node.answer(importer_again) == b"success"


@pytest.mark.parametrize("uploaded", [True, False])
def test_a_sealed_file_takes_no_piece(exchange: InMemory, node: Node, importer: FakeImporter, uploaded: bool) -> None:
    """Whether it was asked for or its archive was; others do, and after ``init`` it does again."""
    name = "import0_1.xml" if uploaded else "v8_1.zip"
    content = b"<?xml" if uploaded else packed({"import0_1.xml": b"<?xml"})
    node.send(name, content)
    waiting = node.begin(IMPORT)
    refused = node.send(name)
    assert (refused.status, refused.body) == (409, b"failure\nFile was handed off already - init starts anew")
    assert refused.headers["upload-offset"] == str(len(content))
    assert node.send("picture.jpg").body == b"success"
    importer.end()
    assert node.answer(waiting) == b"success"
    assert node.send(name).status == 409
    assert exchange.files()[f"{node.sessid}/{name}"] == content
    node.ask("mode=init")

    assert node.send(name, b"new").body == b"success"
    if uploaded:
        node.begin(IMPORT)
        assert len(importer.delivered) == 2, "another epoch, another import"
        importer.end()


def test_a_piece_that_is_on_its_way_is_waited_for(exchange: InMemory, node: Node, importer: FakeImporter) -> None:
    """What is imported is what was acknowledged."""
    node.send("import0_1.xml", b"abc")
    session = exchange.catalog.recorder.known.of_sessid(node.sessid)
    assert session is not None
    body = FakeBody(3)
    outcome: list[Any] = []
    ensureDeferred(exchange.pieces().take(session.session, SafeName(("import0_1.xml",)), body, None)).addBoth(
        outcome.append
    )
    waiting = node.begin(IMPORT)
    assert importer.delivered == []
    body.feed(b"def")
    body.end()
    importer.end()

    assert node.answer(waiting) == b"success"
    assert outcome[0].committed == 6
    assert [file.size for file in importer.delivered[0].files] == [6]
    outcome[0].acknowledgement.forget()


def test_names_inside_archives(exchange: InMemory, node: Node, importer: FakeImporter) -> None:
    """Are found in any of them; each directory is read once."""
    node.send("v8_1.zip", packed({"import0_1.xml": b"<?xml", "offers0_1.xml": b"<?xml"}))
    node.send("v8_2.zip", packed({"prices0_1.xml": b"<?xml"}))
    importer.patient = False
    answers = [node.ask(f"mode=import&filename={name}0_1.xml") for name in ("import", "offers", "prices", "rests")]

    assert answers == [b"success"] * 3 + [b"failure\nFile not found: rests0_1.xml"]
    assert [told.unpacked for told in importer.delivered] == ["v8_1.zip", "v8_1.zip", "v8_2.zip"]
    assert exchange.store.directories == 2


def test_another_archive_with_the_same_name(node: Node, importer: FakeImporter) -> None:
    """Is another document, and imported; the one that was sent last is meant, and its result is remembered."""
    importer.patient = False
    node.send("v8_2.zip", packed({"import0_1.xml": b"<old/>", "offers0_1.xml": b"<a/>"}))
    assert node.ask(IMPORT) == b"success"
    node.send("v8_1.zip", packed({"import0_1.xml": b"<new/>"}))
    assert [node.ask(IMPORT) for _ in range(2)] == [b"success"] * 2
    assert node.ask("mode=import&filename=offers0_1.xml") == b"success"
    node.send("picture.jpg")
    assert node.ask(IMPORT) == b"success"
    node.send("import0_1.xml", b"<newest/>")
    assert [node.ask(IMPORT) for _ in range(2)] == [b"success"] * 2

    assert [(told.filename, told.unpacked) for told in importer.delivered] == [
        ("import0_1.xml", "v8_2.zip"),
        ("import0_1.xml", "v8_1.zip"),
        ("offers0_1.xml", "v8_2.zip"),
        ("import0_1.xml", None),
    ]


def test_the_last_one_sent_is_meant(node: Node, importer: FakeImporter) -> None:
    """Whatever the names are, and though the first one was asked for before."""
    importer.patient = False
    node.send("import0_1.xml", b"<old/>")
    node.send("b.zip", packed({"import0_1.xml": b"<new/>"}))
    node.send("a.zip", packed({"import0_1.xml": b"<newest/>"}))
    node.send("c.zip", b"PK")
    assert node.ask(IMPORT) == b"success"

    assert [told.unpacked for told in importer.delivered] == ["a.zip"]


def test_a_failed_import_and_another_archive(node: Node, importer: FakeImporter) -> None:
    """The failure is that of the first one; the second is imported, and then the first one never again."""
    node.send("v8_1.zip", packed({"import0_1.xml": b"<old/>"}))
    waiting = node.begin(IMPORT)
    importer.end(ImportFailed("no"))
    assert node.answer(waiting) == b"failure\nno"
    node.send("v8_2.zip", packed({"import0_1.xml": b"<new/>"}))
    waiting = node.begin(IMPORT)
    importer.end()

    assert node.answer(waiting) == b"success"
    assert [told.unpacked for told in importer.delivered] == ["v8_1.zip", "v8_2.zip"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (packed({"import0_1.xml": b"<?xml" * 99})[:-30], "Archive v8_1.zip is damaged: it is cut off, or no archive"),
        (b"PK", "Archive v8_1.zip is damaged: it is cut off, or no archive"),
        (
            packed({"import0_1.xml": b"<?xml" * 99}, 0).replace(b"<?xml", b"<!xml", 1),
            "Archive v8_1.zip is damaged: the checksum of import0_1.xml is wrong",
        ),
    ],
)
def test_damaged_archives_are_told_before_anybody_imports(
    node: Node, importer: FakeImporter, content: bytes, words: str
) -> None:
    """By their names, whether something in them is asked for or the archive itself."""
    node.send("v8_1.zip", content)

    assert node.ask(IMPORT) == f"failure\n{words}".encode()
    assert importer.delivered == []
    assert node.send("v8_1.zip", b"x").body == b"success", "and is not sealed"


def test_a_damaged_archive_beside_a_good_one(node: Node, importer: FakeImporter) -> None:
    """Does not matter to what lies in the good one."""
    importer.patient = False
    node.send("v8_1.zip", b"PK")
    node.send("v8_2.zip", packed({"import0_1.xml": b"<?xml"}))

    assert node.ask(IMPORT) == b"success"
    assert node.ask("mode=import&filename=v8_1.zip") == (
        b"failure\nArchive v8_1.zip is damaged: it is cut off, or no archive"
    )


def test_two_questions_at_once_make_one_import(node: Node, importer: FakeImporter) -> None:
    """A proxy, or 1C:UNF, may ask twice."""
    node.send("import0_1.xml")
    one, two = node.begin(IMPORT), node.begin(IMPORT)
    importer.end()

    assert (node.answer(one), node.answer(two)) == (b"success", b"success")
    assert len(importer.delivered) == 1


def test_a_quiet_session_is_handed_off_as_a_whole(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock
) -> None:
    """When its node has asked for nothing so long; an empty one hands off nothing."""
    Node(exchange).ask("mode=init")
    node.send("import0_1.xml")
    node.send("import_files/ab/x.jpg", b"jpeg")
    clock.advance(SETTLE - 1)
    exchange.parts.handoffs.settle_quiet()
    assert importer.delivered == []
    clock.advance(2)
    exchange.parts.handoffs.settle_quiet()
    exchange.parts.handoffs.settle_quiet()
    (told,) = importer.delivered

    assert (told.event, told.filename, told.archive, told.sessid) == ("settled", None, None, node.sessid)
    assert [(file.name, file.size) for file in told.files] == [("import0_1.xml", 1), ("import_files/ab/x.jpg", 4)]
    assert node.send("import0_1.xml").status == 409
    importer.end()


def test_a_restart_gives_nodes_their_time_again(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock
) -> None:
    """While the daemon was down no node could ask for anything: an upload that goes on is not sealed before."""
    node.send("import0_1.xml")
    clock.advance(10 * SETTLE)
    again = evolve(exchange.parts.handoffs)
    again.settle_quiet()
    clock.advance(SETTLE - 1)
    again.settle_quiet()
    assert importer.delivered == []
    clock.advance(2)
    again.settle_quiet()

    assert len(importer.delivered) == 1
    importer.end()


def test_pictures_beside_an_imported_document_are_not_left_behind(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock
) -> None:
    """They came before its import; what comes after it is handed off when the session is quiet."""
    importer.patient = False
    node.send("x.jpg")
    node.send("import0_1.xml")
    node.ask(IMPORT)
    clock.advance(SETTLE + 1)
    exchange.parts.handoffs.settle_quiet()
    assert [told.event for told in importer.delivered] == ["import"]
    node.send("late.xml")
    clock.advance(SETTLE + 1)
    exchange.parts.handoffs.settle_quiet()

    assert [told.event for told in importer.delivered] == ["import", "settled"]
    assert [file.name for file in importer.delivered[1].files] == ["late.xml", "x.jpg"]


@pytest.mark.parametrize("fails", [True, False])
def test_documents_that_were_not_asked_for(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock, fails: bool
) -> None:
    """The node died between two imports: they are handed off as well. After a failure it sends all of it again."""
    node.send("import0_1.xml")
    node.send("offers0_1.xml")
    waiting = node.begin(IMPORT)
    importer.end(ImportFailed("no") if fails else None)
    assert node.answer(waiting) == (b"failure\nno" if fails else b"success")
    clock.advance(SETTLE + 1)
    importer.patient = False
    exchange.parts.handoffs.settle_quiet()

    assert [told.event for told in importer.delivered] == (["import"] if fails else ["import", "settled"])


def test_another_session_changes_nothing(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock
) -> None:
    """Of the same user, at the same time: each is quiet, or not, by itself."""
    other = Node(exchange, "sale")
    node.send("a")
    clock.advance(SETTLE - 1)
    other.send("orders.xml")
    clock.advance(2)
    exchange.parts.handoffs.settle_quiet()

    assert [(told.sessid, told.type) for told in importer.delivered] == [(node.sessid, "catalog")]
    clock.advance(SETTLE)
    exchange.parts.handoffs.settle_quiet()
    importer.end()
    assert [(told.sessid, told.type) for told in importer.delivered[1:]] == [(other.sessid, "sale")]
    importer.end()


def test_an_upload_that_runs_keeps_its_session_open(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock
) -> None:
    """However slow: a session in use is not quiet."""
    node.send("a")
    clock.advance(SETTLE + 1)
    over: Deferred[None] = Deferred()

    async def slowly() -> None:
        async with exchange.parts.locks.of_file(node.sessid, "b", FakeBody()):
            await over

    Deferred.fromCoroutine(slowly())
    exchange.parts.handoffs.settle_quiet()
    assert importer.delivered == []
    over.callback(None)
    exchange.parts.handoffs.settle_quiet()

    assert len(importer.delivered) == 1
    importer.end()


@pytest.mark.parametrize("mode", ["complete", "deactivate"])
def test_events_are_delivered_and_answered_at_once(
    exchange: InMemory, node: Node, importer: FakeImporter, mode: str
) -> None:
    """From any session; with what the node sent along, and once however often it asks."""
    assert node.ask(f"mode={mode}&timestamp=1700000000") == b"success"
    assert node.ask(f"mode={mode}&timestamp=1700000000") == b"success"
    (told,) = importer.delivered

    assert (told.event, told.timestamp, told.files) == (mode, "1700000000", ())
    assert told.user == "shop"
    importer.end()


def test_complete_hands_off_what_came_before_it(node: Node, importer: FakeImporter) -> None:
    """In the same session: the files first, then the event."""
    node.send("a")
    assert node.ask("mode=complete") == b"success"
    importer.end()
    importer.end()

    assert [(told.event, len(told.files)) for told in importer.delivered] == [("settled", 1), ("complete", 0)]


def test_complete_drops_a_piece_that_is_on_its_way(exchange: InMemory, node: Node, importer: FakeImporter) -> None:
    """Its sender has long gone on: what is handed off does not change under the importer's eyes."""
    importer.patient = False
    node.send("a", b"abc")
    session = exchange.catalog.recorder.known.of_sessid(node.sessid)
    assert session is not None
    body = FakeBody(3)
    outcome: list[Any] = []
    ensureDeferred(exchange.pieces().take(session.session, SafeName(("a",)), body, None)).addBoth(outcome.append)
    body.feed(b"d")
    assert node.ask("mode=complete") == b"success"

    assert outcome[0].value is body.dropped
    assert [told.event for told in importer.delivered] == ["settled", "complete"]
    assert exchange.files()[f"{node.sessid}/a"] == b"abc"


def test_init_waits_for_what_is_being_imported(node: Node, importer: FakeImporter, clock: Clock) -> None:
    """The files do not vanish under the importer's hands; when it takes too long the node is told to come again."""
    node.send("import0_1.xml")
    node.begin(IMPORT).addErrback(lambda _: None)
    init = node.begin("mode=init")
    heard = is_heard(init)
    clock.advance(29)
    assert heard == []
    clock.advance(1)
    assert node.answer(init) == b"failure\nSession is being imported - retry later"
    init = node.begin("mode=init")
    importer.end()

    assert node.answer(init).startswith(b"zip=yes\n")


def test_init_throws_away_what_nobody_asked_for(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock
) -> None:
    """As ever: there is nothing to hand off then."""
    node.send("a")
    node.ask("mode=init")
    clock.advance(SETTLE + 1)
    exchange.parts.handoffs.settle_quiet()

    assert importer.delivered == []


def test_damaged_files_are_not_handed_off(
    exchange: InMemory, node: Node, importer: FakeImporter, clock: Clock, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """That is on record and in the log; the importer hears nothing."""
    node.send("a")
    (exchange.folder / "1c_temp" / node.sessid / "a").write_bytes(b"")
    assert node.send("a").body == b"failure\nFile damaged"
    clock.advance(SETTLE + 1)
    exchange.parts.handoffs.settle_quiet()
    handoffs = exchange.catalog.recorder.database.read(
        lambda cursor: cursor.execute("SELECT event, state, words FROM handoffs").fetchall()
    )

    assert handoffs == [("settled", "failed", "File damaged")]
    assert importer.delivered == []
    assert any("failed permanently" in event["log_format"] for event in nothing_left_behind)


def test_a_sync_that_fails_at_the_hand_off(
    make_exchange: Callable[..., InMemory],
    importer: FakeImporter,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --durability=handoff: nothing that may be lost is handed off, whoever asks for it."""
    exchange = make_exchange(importer=importer, durability="handoff")
    node = Node(exchange)
    node.send("a")
    clock.advance(SETTLE + 1)

    def broken(store: Any, sessid: str) -> None:
        raise SyncFailed(errno.EIO, "Input/output error")

    monkeypatch.setattr(type(exchange.store), "sync", broken)
    exchange.parts.handoffs.settle_quiet()

    assert importer.delivered == []
    assert node.ask("mode=import&filename=a") == b"failure\nFile damaged"


def test_a_quiet_session_that_cannot_be_handed_off_now(
    exchange: InMemory,
    node: Node,
    importer: FakeImporter,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    nothing_left_behind: list[dict[str, Any]],
) -> None:
    """It is handed off next time."""
    node.send("a")
    clock.advance(SETTLE + 1)
    with monkeypatch.context() as patch:
        patch.setattr(type(exchange.catalog.handoffs), "quiet_since", lambda *_: 1 / 0)
        exchange.parts.handoffs.settle_quiet()
    assert [event["log_failure"].type for event in nothing_left_behind if "log_failure" in event] == [
        ZeroDivisionError
    ]
    nothing_left_behind.clear()
    exchange.parts.handoffs.settle_quiet()

    assert len(importer.delivered) == 1
    importer.end()


def test_kept_files_are_told_of_beside_them(make_exchange: Callable[..., InMemory], clock: Clock) -> None:
    """The default importer: who lists the folder finds a manifest."""
    exchange = make_exchange()
    node = Node(exchange)
    node.send("import0_1.xml", b"<?xml")

    assert node.ask(IMPORT) == b"success"
    manifest = json.loads(exchange.files()[f"{node.sessid}/manifest.json"])
    assert (manifest["user"], manifest["type"], manifest["sessid"]) == ("shop", "catalog", node.sessid)
    assert [(file["name"], file["size"]) for file in manifest["files"]] == [("import0_1.xml", 5)]
    assert [one["filename"] for one in manifest["handoffs"]] == ["import0_1.xml"]


def test_no_node_can_send_a_manifest(exchange: InMemory, node: Node) -> None:
    """It would be taken for ours."""
    assert node.send("manifest.json").body == b"failure\nInvalid filename"
    assert node.send("./manifest.json").body == b"failure\nInvalid filename"
    assert node.send("x/manifest.json").body == b"success"


def test_empty_documents_are_commerceml(exchange: InMemory) -> None:
    """Of 2.10, dated; a site without --orders has them for 1C."""
    sale = Node(exchange, "sale")
    orders = ET.fromstring(sale.ask("mode=query"))

    assert (orders.tag, orders.get("ВерсияСхемы")) == ("КоммерческаяИнформация", "2.10")
    assert orders.get("ДатаФормирования", "")[:10] in {"2027-01-15", "2027-01-16", "2027-01-14"}
    assert sale.ask("mode=info").startswith(b"<?xml")
    assert sale.ask("mode=success") == b"success"
    assert NOW == 1_800_000_000.0
