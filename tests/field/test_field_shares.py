"""One client cannot stop the others: the database, and what each may take of what there is."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_twisted
from line import Line, post
from records import make_catalog, session_of
from relayed import destinations_to
from tus_in_memory import TusInMemory, metadata
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock, deferLater

from onec_twisted.catalog import database as database_module
from onec_twisted.catalog.database import Database
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import uploads as tus_statements
from onec_twisted.catalog.sqlite import CatalogUnusable
from onec_twisted.daemon.sweep import Lifetimes, Sweep
from onec_twisted.delivery.client import SiteClient
from onec_twisted.delivery.relay import AT_ONCE, Relay
from onec_twisted.exchange.orders import SITE_PATIENCE, Orders
from onec_twisted.ingest.space import SMALL_BODY, Space
from onec_twisted.model.errors import (
    CatalogBusy,
    InsufficientStorage,
    InvalidFilename,
    OrdersUnavailable,
    TooManyUploads,
)
from onec_twisted.model.names import SafeName, safe_name
from onec_twisted.model.records import Handoff, Session
from onec_twisted.model.segments import DEEPEST_NAME
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.storage import local as store_module
from onec_twisted.storage.local import Store
from onec_twisted.testing import FakeBody, FakeImporter, LateWorkers, inline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from sqlite3 import Cursor

    from in_memory import InMemory
    from shop import Shop

LOTS = 2**40


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database is that is ready."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    return path


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    """Return a database that is ready."""
    database = Database(path)
    yield database
    database.close()


def holder(path: Path) -> sqlite3.Connection:
    """Hold a database as a sqlite3 shell does in which somebody has typed BEGIN IMMEDIATE."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def touch(cursor: Cursor, sessid: str) -> None:
    """Put a session on record."""
    cursor.execute(
        "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
        " VALUES (?, ?, 'shop', 1, 0, 1.0, 0)",
        (sessid, sessid),
    )


def count(cursor: Cursor) -> int:
    """Return how many sessions there are."""
    return int(cursor.execute("SELECT COUNT(*) FROM sessions").fetchone()[0])


def test_whoever_waits_for_a_held_database_waits_once(database: Database, path: Path) -> None:
    """All who wait hear it at the same time, those who come later hear it at once, and questions are answered."""
    database.patience = 0.3
    database.record([(touch, ("before",))])
    with closing(holder(path)):
        began = time.monotonic()
        heard: list[tuple[float, bool]] = []

        def record() -> None:
            (outcome,) = database.record([(touch, ("s",))])
            heard.append((time.monotonic() - began, bool(outcome.check(CatalogBusy))))

        threads = [threading.Thread(target=record) for _ in range(16)]
        for thread in threads:
            thread.start()
        assert database.read(count) == 1
        for thread in threads:
            thread.join()
        waited = time.monotonic() - began
        for _ in range(100):
            record()
        later = time.monotonic() - began - waited

    assert all(is_busy for _, is_busy in heard)
    assert waited < 16 * 0.3 / 4
    assert later < 100 * 0.3 / 4
    assert database.record([(touch, ("after",))]) == [None]
    assert database._waits == 0
    database.probe()
    assert database._waits == 0.3


def test_a_question_that_cannot_be_asked_is_busy_too(database: Database) -> None:
    """Where another process keeps even readers out; what else is wrong is told as it is."""

    def locked(_: Cursor) -> None:
        raise sqlite3.OperationalError("database is locked")

    def broken(_: Cursor) -> None:
        raise sqlite3.OperationalError("no such table")

    with pytest.raises(CatalogBusy):
        database.read(locked)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        database.survey(broken)
    assert database.read(count) == 0


def test_a_node_hears_that_the_database_is_held(exchange: InMemory) -> None:
    """503 in words, for a piece and for a login; nothing of the piece stays, and all is well when it is let go."""
    session = exchange.checkauth()
    exchange.catalog.recorder.database.patience = 0.01  # type: ignore[attr-defined]
    with closing(holder(exchange.folder / "1c_temp" / "exchange.sqlite3")):
        answers = [Line(exchange.site).send(post(session, "a", b"x" * 10)) for _ in range(2)]
        cookie, sessid = session
        refused = exchange.request("GET", f"type=catalog&mode=init&sessid={sessid}", Cookie=cookie)
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 503 "] * 2
    assert answers[0].endswith(b"failure\nDatabase busy - retry later")
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert exchange.files() == {}
    assert not exchange.parts.locks.busy(sessid)

    assert Line(exchange.site).send(post(session, "a", b"x" * 10)).endswith(b"success")


def test_a_start_with_a_held_database_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to move a sound catalog away."""
    monkeypatch.setattr("onec_twisted.catalog.sqlite.LOCK_PATIENCE", 0.01)
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CatalogUnusable, match="held by another program"):
            create_catalog(path)


def fill(cursor: Cursor, start: int) -> None:
    """Record about half a megabyte."""
    for number in range(start, start + 100):
        cursor.execute(
            "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
            " VALUES (?, ?, 'shop', 1, 0, 1.0, 0)",
            (f"{number}", f"{number}" + "x" * 5000),
        )


def test_the_log_of_the_database_is_short_again(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a reader has gone that kept it from being taken in; while it is long, no record takes it in."""
    monkeypatch.setattr(database_module, "LONG_LOG", 1_000_000)
    monkeypatch.setattr(database_module, "LOOK_AFTER", 0)
    log = path.with_name(f"{path.name}-wal")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT COUNT(*) FROM sessions").fetchone()
    for start in range(0, 1000, 100):
        database.record([(fill, (start,))])
    grown = log.stat().st_size
    assert grown > 4_000_000
    database.tidy()
    assert log.stat().st_size >= grown, "somebody reads what was before it"
    reader.close()
    database.record([(touch, ("s",))])
    assert database._records.connection is not None
    assert database._records.connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (0,)
    database.tidy()

    assert log.stat().st_size == 0
    database.record([(touch, ("t",))])
    assert database._records.connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (4000,)
    assert database.read(count) == 1002


def test_the_sweep_tidies(make_exchange: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch) -> None:
    """Once a minute: the log is short though nobody sends any more."""
    exchange = make_exchange()
    means, parts = exchange.means, exchange.parts
    tidied: list[Database] = []
    monkeypatch.setattr(Database, "tidy", lambda database: tidied.append(database))  # noqa: PLW0108 - bound
    sweep = Sweep(
        recorder=means.catalog.recorder,
        sessions=means.catalog.sessions,
        store=means.store,
        locks=parts.locks,
        workers=means.workers,
        session_ttl=60,
        journal=means.catalog.journal,
        lifetimes=lambda: Lifetimes(60, 86400.0),
        now=means.now,
    )
    sweep.once()

    assert tidied == [exchange.catalog.recorder.database]


def test_what_takes_long_has_threads_of_its_own(path: Path) -> None:
    """However many of those are busy, sessions are opened and pieces recorded."""
    errands = LateWorkers()
    catalog = make_catalog(path, errands=errands)
    asked = ensureDeferred(catalog.sessions.ended(5.0, 5.0))
    opened = ensureDeferred(catalog.sessions.open("s", "t", "shop", 1.0))
    assert (opened.called, asked.called) == (True, False)
    errands.run()
    assert asked.called
    catalog.recorder.close()


def test_a_file_is_brought_to_the_disk_without_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many others there are: its folders up to that of all sessions are, too."""
    store, sessid = Store(tmp_path, synced=False), "0" * 32
    store.prepare()
    for name in ("a", "b"):
        file = store.open(session_of(sessid), SafeName(("d", name)), None)
        file.write([b"x"])
        file.finish()
    synced: list[str] = []
    monkeypatch.setattr(store_module, "sync_file", lambda path: synced.append(Path(path).name))
    monkeypatch.setattr(store_module, "sync_folder", lambda path: synced.append(Path(path).name))
    store.sync(sessid, SafeName(("d", "a")))
    assert synced == ["a", "d", sessid, "1c_temp"]


def test_one_user_does_not_take_all_places(make_exchange: Callable[..., InMemory]) -> None:
    """Half of them, and one of its sessions half of that; each who comes later finds something."""
    exchange = make_exchange(max_uploads=8)
    first, second = exchange.checkauth(), exchange.checkauth()
    other = exchange.checkauth(user="other")
    lines: list[Line] = []

    def begin(session: tuple[str, str]) -> bool:
        """Begin a piece that brings nothing; return whether it may."""
        line = Line(exchange.site)
        answer = line.send(post(session, f"f{len(lines)}", b"x" * 10)[:-10])
        lines.append(line)
        assert not answer or answer.startswith(b"HTTP/1.1 503 ")
        return not answer

    assert [begin(first) for _ in range(4)] == [True, True, False, False]
    assert [begin(second) for _ in range(4)] == [True, False, False, False]
    assert not begin(first)
    assert [begin(other) for _ in range(3)] == [True, True, False]
    for line in lines:
        line.lose()

    assert len(exchange.parts.ingest.transfers) == 0
    assert begin(first)
    lines[-1].lose()


def test_room_that_one_user_is_kept_is_left_to_others() -> None:
    """Who announces much, and sends nothing of it, has no more than is left; a small piece has room all the same."""
    clock = Clock()
    space = Space(lambda: inline(lambda: 100 * SMALL_BODY), clock.seconds, 0)
    ensureDeferred(space.look())
    with ExitStack() as promises:

        def promise(user: str, size: int) -> None:
            promises.enter_context(space.promise(user, LOTS, FakeBody(size), LOTS, user=user))

        promise("greedy", 40 * SMALL_BODY)
        with pytest.raises(TooManyUploads):
            promise("greedy", 30 * SMALL_BODY)
        promise("greedy", SMALL_BODY)
        promise("other", 50 * SMALL_BODY)
        with pytest.raises(InsufficientStorage):
            promise("third", 10 * SMALL_BODY)
        promise("third", 9 * SMALL_BODY)
    assert not space._of
    with space.promise("s", LOTS, FakeBody(100 * SMALL_BODY), LOTS, user="alone"):
        pass


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[tuple[Relay, FakeImporter]]:
    """Return a relay, and its importer, which takes its time."""
    store = Store(tmp_path)
    store.prepare()
    create_catalog(store.database)
    catalog, clock, importer = make_catalog(store.database, inline), Clock(), FakeImporter(patient=True)
    relay = Relay(
        most_tries=3,
        files=catalog.files,
        records=catalog.handoffs,
        prepare=lambda handoff, *_: catalog.handoffs.described(handoff, store.folder(handoff.sessid)),
        destinations=destinations_to(importer),
        now=clock.seconds,
        clock=clock,
        metrics=Metrics(),
        chance=lambda: 1.0,
    )
    relay.startService()
    yield relay, importer
    catalog.recorder.close()


def handoff(user: str, number: int) -> Handoff:
    """Return a hand-off of a session of its own."""
    return Handoff(number, f"{user}{number}", f"{user}{number}", user, "complete", "catalog", "", "", "", (), 0.0)


def test_one_users_imports_leave_slots_to_others(relay: tuple[Relay, FakeImporter]) -> None:
    """Though its site hangs, and thousands wait: each user has one at a time, and the users take turns."""
    delivers, importer = relay
    users = [f"user{number}" for number in range(AT_ONCE + 1)]
    for user in users:
        for number in range(30):
            delivers.add(handoff(user, number))
    assert [description.user for description in importer.delivered] == users[:AT_ONCE]
    importer.end()
    assert [description.user for description in importer.delivered[AT_ONCE:]] == users[AT_ONCE:]
    importer.end()

    assert importer.delivered[-1].user == users[0]


def test_one_users_orders_leave_the_site_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for more than its share waits for what it has asked for before, and not for ever."""
    monkeypatch.setattr("onec_twisted.exchange.orders.AT_ONCE", 2)
    clock = Clock()
    asked: list[tuple[str, Deferred[Any]]] = []

    class Site:
        """Takes its time."""

        def __init__(self) -> None:
            self.clock = clock

        def ask(self, *args: Any) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            asked.append((args[1], answer))
            return answer

    orders = Orders("http://shop.example/orders", cast("SiteClient", Site()))
    outcomes: list[Any] = []
    for user in ("a", "a", "a", "b"):
        session = Session("s", user, 1, 0, 0.0)
        ensureDeferred(orders.document("query", session)).addBoth(lambda failure: outcomes.append(failure.value))
    assert [url.count("user=a") for url, _ in asked] == [1, 1, 0]
    asked[0][1].errback(OSError("no"))
    assert [url.count("user=a") for url, _ in asked] == [1, 1, 0, 1]
    waiting = ensureDeferred(orders.document("query", Session("s", "a", 1, 0, 0.0)))
    waiting.addBoth(lambda failure: outcomes.append(failure.value))
    clock.advance(SITE_PATIENCE)
    assert [type(one) for one in outcomes] == [OrdersUnavailable] * 2
    for _, answer in asked[1:]:
        answer.errback(OSError("no"))
    assert orders._slots.places.taken == 0


@pytest.mark.parametrize("ends", ["read", "dropped", "refused"])
@pytest_twisted.ensureDeferred
async def test_orders_that_have_ended_leave_their_place(shop: Shop, shop_url: str, ends: str) -> None:
    """However they ended."""
    from twisted.internet import reactor

    text = "<?xml version='1.0'?>" if ends != "refused" else "<html>"
    shop.answers = [{"text": text + " " * 3_000_000}]
    orders, session = Orders(shop_url, SiteClient(reactor)), Session("s", "a", 1, 0, 0.0)
    if ends == "refused":
        with pytest.raises(OrdersUnavailable):
            await orders.document("query", session)
    else:
        document = await orders.document("query", session)
        assert orders._slots.places.taken == 1
        if ends == "read":
            await document.write_to(lambda _: None)
        else:
            document.stopProducing()
    while orders._slots.places.taken:
        await deferLater(cast("Any", reactor), 0.001)


def test_no_more_imports_of_a_user_wait_than_there_may(
    make_exchange: Callable[..., InMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """429 in words; another user goes on."""
    monkeypatch.setattr("onec_twisted.delivery.relay.MOST_WAITING", 3)
    exchange = make_exchange(importer=FakeImporter(patient=True))
    cookie, sessid = exchange.checkauth()

    def deactivate(number: int, cookie: str, sessid: str) -> tuple[int, bytes]:
        """Bring about an event."""
        query = f"type=catalog&mode=deactivate&timestamp={number}&sessid={sessid}"
        reply = exchange.request("GET", query, Cookie=cookie)
        return reply.status, reply.body

    assert [deactivate(number, cookie, sessid)[0] for number in range(4)] == [200, 200, 200, 429]
    assert deactivate(9, cookie, sessid)[1] == b"failure\nToo many imports - retry later"
    assert deactivate(9, *exchange.checkauth(user="other")) == (200, b"success")


def test_a_session_has_so_many_handoffs_at_most(exchange: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast they are delivered: each is a row, and none counts for the quota."""
    monkeypatch.setattr(outbox, "MOST_HANDOFFS", 3)
    cookie, sessid = exchange.checkauth()
    answers = [
        exchange.request("GET", f"type=catalog&mode=deactivate&timestamp={n}&sessid={sessid}", Cookie=cookie).status
        for n in range(4)
    ]
    assert answers == [200, 200, 200, 429]


def test_a_session_has_so_many_files_at_most(exchange: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty ones, too; what is there goes on, and init begins anew."""
    monkeypatch.setattr("onec_twisted.catalog.files.FILES_OF_SESSION", 2)
    session = exchange.checkauth()
    for name in ("a", "b"):
        assert Line(exchange.site).send(post(session, name, b"")).endswith(b"success")
    assert b"507 " in Line(exchange.site).send(post(session, "c", b""))
    assert Line(exchange.site).send(post(session, "c", b"x")).endswith(b"failure\nToo many files in one session")
    assert Line(exchange.site).send(post(session, "a", b"x")).endswith(b"success")
    exchange.request("GET", f"type=catalog&mode=init&sessid={session[1]}", Cookie=session[0])
    assert Line(exchange.site).send(post(session, "c", b"x")).endswith(b"success")


def test_a_name_is_no_tower_of_folders() -> None:
    """Each takes an inode and a sync."""
    assert len(safe_name(b"/".join([b"a"] * DEEPEST_NAME)).segments) == DEEPEST_NAME
    with pytest.raises(InvalidFilename):
        safe_name(b"/".join([b"a"] * (DEEPEST_NAME + 1)))


def test_folders_that_are_remembered_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a session, and in all; those that are forgotten are synced once more."""
    monkeypatch.setattr(store_module, "SYNCED_FOLDERS", 10)
    monkeypatch.setattr(store_module, "SYNCED_SESSIONS", 5)
    store = Store(tmp_path)
    store.prepare()
    for sessid in range(20):
        for number in range(20):
            file = store.open(session_of(f"{sessid:032x}"), SafeName((f"d{number}", "f")), None)
            file.write([b"x"])
            file.finish()
    assert len(store._durable) <= 6
    assert all(len(folders) <= 13 for folders in store._durable.values())


def test_a_disk_without_inodes_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in a hundred stays free for everybody else; a file system that counts none has enough."""
    store, real = Store(tmp_path), os.statvfs
    store.prepare()
    assert store.free() > 0
    told = SimpleNamespace(f_files=1000, f_favail=9, f_bavail=5, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda _: told)
    assert store.free() == 0
    told.f_favail = 10
    assert store.free() == 5 * 4096
    told.f_files = told.f_favail = 0
    assert store.free() == 5 * 4096
    monkeypatch.setattr("os.statvfs", real)


def test_unfinished_uploads_are_bounded(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a session, and of a user; one that is ended makes room, and what it told is forgotten."""
    monkeypatch.setattr(tus_statements, "UNFINISHED_OF_SESSION", 2)
    monkeypatch.setattr(tus_statements, "UNFINISHED_OF_USER", 4)
    monkeypatch.setattr(tus_statements, "REMEMBERED_UPLOADS", 4)
    tus = make_tus()
    tus.cookie = tus.exchange.checkauth()[0]
    paths = [tus.made(9, Upload_Metadata=metadata(filename=f"f{n}", note="x" * 50)) for n in range(2)]
    heard = tus.create(9, Upload_Metadata=metadata(filename="f2"))
    assert (heard.status, heard.headers["retry-after"]) == (429, "60")
    assert heard.body == b"Too many unfinished uploads - finish or end some\n"
    assert tus.request("DELETE", paths[0]).status == 204
    tus.made(9, Upload_Metadata=metadata(filename="f2"))
    tus.cookie = None
    assert [tus.create(9).status for _ in range(3)] == [201, 201, 429]
    database = tus.exchange.catalog.recorder.database
    gone = database.read(
        lambda cursor: cursor.execute("SELECT metadata FROM uploads WHERE state = 'gone'").fetchall()
    )
    assert gone == [("",)]


def test_uploads_that_are_gone_are_forgotten_when_they_are_many(
    make_tus: Callable[..., TusInMemory], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who makes and ends them for ever leaves no more than so many rows."""
    monkeypatch.setattr(tus_statements, "REMEMBERED_UPLOADS", 10)
    tus = make_tus()
    paths = []
    for _ in range(30):
        paths.append(tus.made(9))
        assert tus.request("DELETE", paths[-1]).status == 204
    database = tus.exchange.catalog.recorder.database
    assert database.read(lambda cursor: cursor.execute("SELECT COUNT(*) FROM uploads").fetchone()[0]) <= 11
    assert tus.request("HEAD", paths[-1]).status == 410
    assert tus.request("HEAD", paths[0]).status == 404


def test_what_an_unfinished_upload_tells_counts_as_bytes(make_tus: Callable[..., TusInMemory]) -> None:
    """A session of 20 kB holds no more of metadata."""
    tus = make_tus()
    tus.cookie = tus.exchange.checkauth()[0]
    answers = [tus.create(9, Upload_Metadata=metadata(filename=f"f{n}", note="x" * 3000)).status for n in range(6)]
    assert answers == [201] * 4 + [507] * 2
