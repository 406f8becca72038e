"""The database: what is recorded when connections break, when daemons write at once, and when there is no server."""

from __future__ import annotations

import random
import signal
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from attrs import define, field
from daemon import PATIENCE
from journal_rows import fill
from postgres import Server
from zope.interface.verify import verifyObject

from onec_twisted.catalog.database import Database
from onec_twisted.catalog.interfaces import IDatabase
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import history, outcomes, overview
from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.catalog.sqlite import DatabaseFailed, opened
from onec_twisted.cluster import postgresql as module
from onec_twisted.cluster.contents import segments_of
from onec_twisted.cluster.cursor import SharedCursor
from onec_twisted.cluster.postgresql import PostgreSQL, connected
from onec_twisted.ingest.daemons import Overtaken
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage, SessionRestarted, TooManySessions
from onec_twisted.model.journal import ExchangeFilter, RefusalFilter
from onec_twisted.model.records import Segment, Session, Written
from onec_twisted.runtime.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SESSID = "5" * 32
SESSION = Session(SESSID, "shop", 1, 0, 1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pause for a moment only before another attempt."""
    monkeypatch.setattr(module, "PAUSES", Backoff(first=0.001, longest=0.001))


def outcome(database: IDatabase, step: Any, *args: Any) -> Any:
    """Return what a step returns, or raise what it raises."""
    (came,) = database.record([(step, args)])
    if hasattr(came, "raiseException"):
        came.raiseException()
    return came


def piece(start: int, length: int, key: str) -> Written:
    """Return a piece of one segment."""
    return Written(start + length, (Segment(start, length, key, b"d"),), b"digest")


def until(holds: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.001)


@define(eq=False)
class Breaking:
    """Makes connections that break when a statement is executed: before it, or when it is on record."""

    word: str = ""
    before: bool = False
    left: int = 0
    broken: list[str] = field(factory=list)

    def connect(self, url: str) -> psycopg.Connection[Any]:
        """Return a connection whose cursors break it."""
        connection = connected(url)
        breaking = self

        class Cursor(psycopg.Cursor[Any]):
            def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
                if not breaking.left or breaking.word not in str(query):
                    return super().execute(query, *args, **kwargs)
                breaking.left -= 1
                breaking.broken.append(str(query))
                if not breaking.before:
                    super().execute(query, *args, **kwargs)
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

        connection.cursor_factory = Cursor
        return connection


@pytest.fixture
def breaking(database: PostgreSQL) -> Breaking:
    """What breaks the connections of the database, once a test says so."""
    breaking = Breaking()
    database.connect = breaking.connect
    return breaking


def test_it_is_what_it_says(database: PostgreSQL, tmp_path: Path) -> None:
    """As that of one daemon is."""
    create_catalog(tmp_path / "catalog.sqlite3")
    with closing(Database(tmp_path / "catalog.sqlite3")) as local:
        assert verifyObject(IDatabase, local)
    assert verifyObject(IDatabase, database)


@pytest.mark.parametrize("before", [True, False])
def test_a_piece_whose_connection_breaks(database: PostgreSQL, breaking: Breaking, before: bool) -> None:
    """Is recorded once, whether it was before or not, also if that happens again and again."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    breaking.word, breaking.before, breaking.left = "INSERT INTO segments", before, 2 if before else 1
    outcome(database, steps.commit, SESSION, "a", None, piece(0, 5, "one"), 100, 2.0, "catalog", "one")
    assert len(breaking.broken) == (2 if before else 1)
    breaking.left = 1
    outcome(database, steps.commit, SESSION, "a", 5, piece(5, 3, "two"), 100, 2.0, "catalog", "two")

    assert database.read(steps.file, SESSID, "a").committed == 8
    assert [one.object for one in database.read(segments_of, SESSID, "a")] == ["one", "two"]


def test_an_empty_piece_whose_connection_breaks(database: PostgreSQL, breaking: Breaking) -> None:
    """It has no segment, but the answer has a name."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    breaking.word, breaking.left = "INSERT INTO segments", 1
    outcome(database, steps.commit, SESSION, "a", None, Written(0), 100, 2.0, "catalog", "one")
    assert database.read(steps.file, SESSID, "a").answer == "one"


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("word", ["BEGIN", "COMMIT"])
def test_a_step_whose_connection_breaks(database: PostgreSQL, breaking: Breaking, word: str, before: bool) -> None:
    """The server knows what became of the transaction: it is done once, and what it returned is returned."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    breaking.word, breaking.before, breaking.left = word, before, 1
    assert outcome(database, steps.start_epoch, SESSID, 2.0, 0).number == 2
    assert breaking.broken != []
    assert database.read(steps.session, "hash", 0)[0].epoch == 2


def test_a_question_whose_connection_breaks(database: PostgreSQL, breaking: Breaking) -> None:
    """Is asked again."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    breaking.word, breaking.left = "token_hash", 2
    assert database.read(steps.session, "hash", 0)[0].sessid == SESSID


def test_steps_do_not_affect_each_other(database: PostgreSQL) -> None:
    """One that fails leaves the others, and its own transaction, as if it had not been asked."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    done, failed, after = database.record(
        [
            (steps.touch, (SESSID, 5.0)),
            (outbox.event_came, (Session(SESSID, "shop", 7, 0, 1.0), "complete", "catalog", "", 2.0)),
            (steps.nothing, ()),
        ]
    )
    assert (done, after) == (None, None)
    assert failed.check(SessionRestarted)
    assert database.read(outbox.waiting) == []


def test_a_step_that_knows_only_a_hand_off(database: PostgreSQL) -> None:
    """It has its session to itself all the same."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    outcome(database, steps.commit, SESSION, "a.xml", None, piece(0, 5, "one"), 100, 2.0, "catalog", "one")
    handoff = outcome(database, outbox.import_requested, SESSION, "catalog", "a.xml", "", 5, 3.0)
    locked: list[Any] = []

    def hold(connection: psycopg.Connection[Any]) -> None:
        with connection.transaction():
            connection.execute("SELECT 1 FROM sessions WHERE sessid = %s FOR UPDATE", (SESSID,))
            waiting = threading.Thread(target=lambda: locked.append(outcome(database, outcomes.drop, handoff.id)))
            waiting.start()
            waiting.join(0.2)
            locked.append("still held")
        waiting.join()

    database.using(hold)
    assert locked == ["still held", False]


def test_eight_writers_and_init_at_once(database: PostgreSQL) -> None:
    """The lengths, what the session holds, and its epoch fit, whoever was first."""
    outcome(database, steps.open_session, SESSID, "hash", "shop", 1.0)
    stored: list[tuple[int, int]] = []
    unforeseen: list[BaseException] = []
    over = threading.Event()

    def write(writer: int) -> None:
        chance, number = random.Random(writer), 0
        while not over.is_set() and not unforeseen:
            found, _, _ = database.read(steps.session, "hash", 0)
            known = database.read(steps.file, SESSID, "a")
            before = known.committed if known is not None else None
            size, number = chance.randrange(1, 50), number + 1
            key = f"{writer}-{number}"
            written = piece(before or 0, size, key)
            try:
                outcome(database, steps.commit, found, "a", before, written, 4000, 2.0, "catalog", key)
                stored.append((found.epoch, size))
            except (Overtaken, SessionRestarted, InsufficientStorage):
                continue
            except BaseException as error:
                unforeseen.append(error)

    def has_stored(epoch: int) -> bool:
        return bool(unforeseen) or sum(known == epoch for known, _ in stored) >= 10

    writers = [threading.Thread(target=write, args=(writer,), daemon=True) for writer in range(8)]
    for one in writers:
        one.start()
    try:
        for epoch in (1, 2, 3, 4):
            until(partial(has_stored, epoch))
            if epoch < 4:
                outcome(database, steps.start_epoch, SESSID, 3.0, 0)
    finally:
        over.set()
    for one in writers:
        one.join(PATIENCE)

    assert unforeseen == []
    found, _, _ = database.read(steps.session, "hash", 0)
    known = database.read(steps.file, SESSID, "a")
    assert found.epoch == 4
    assert known.committed == found.held == sum(size for epoch, size in stored if epoch == 4) <= 4000
    segments = database.read(segments_of, SESSID, "a")
    assert [one.start for one in segments[1:]] == [one.start + one.length for one in segments[:-1]]
    assert segments[-1].start + segments[-1].length == known.committed


def test_the_number_of_sessions_is_exact(database: PostgreSQL) -> None:
    """However many daemons open one at once."""
    opened: list[Any] = []

    def open_one(number: int) -> None:
        try:
            opened.append(outcome(database, steps.open_session, f"{number:032x}", f"{number}", "shop", 1.0, 3))
        except TooManySessions:
            opened.append("refused")

    threads = [threading.Thread(target=open_one, args=(number,)) for number in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert sorted(opened, key=str) == [None] * 3 + ["refused"] * 5


def test_no_more_connections_than_it_may_have(database: PostgreSQL, postgresql: Server) -> None:
    """Eight, whatever many threads ask."""
    name = database.url.rpartition("/")[2]
    threads = [
        threading.Thread(target=database.read, args=(lambda cursor: cursor.execute("SELECT pg_sleep(0.05)"),))
        for _ in range(20)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert postgresql.ask(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'") == [(8,)]
    database.close()


@pytest.fixture
def own() -> Iterator[Server]:
    """A server that a test may stop."""
    server = Server()
    server.create()
    server.start()
    yield server
    server.remove()


def test_a_server_that_crashes(own: Server) -> None:
    """Is asked again by itself; while it is away, the node is told to come later, and the log has one line."""
    database = PostgreSQL(own.url("postgres"), time.monotonic)
    own.ask("CREATE TABLE things (size BIGINT)")
    database.probe()
    own.stop(signal.SIGQUIT)
    with pytest.raises(CatalogBusy) as caught:
        database.read(lambda cursor: cursor.execute("SELECT size FROM things").fetchall())
    assert "\n" not in str(caught.value)
    with pytest.raises(DatabaseFailed):
        database.probe()
    (failed,) = database.record([(steps.touch, (SESSID, 2.0))])
    assert failed.check(CatalogBusy)
    own.start()
    assert database.read(lambda cursor: cursor.execute("SELECT size FROM things").fetchall()) == []
    database.probe()
    database.close()


def test_a_server_that_only_reads(own: Server) -> None:
    """Health says so: nothing can be recorded there."""
    own.ask("ALTER SYSTEM SET default_transaction_read_only = on")
    own.ask("SELECT pg_reload_conf()")
    own.stop(signal.SIGINT)
    own.start()
    database = PostgreSQL(own.url("postgres"), time.monotonic)
    with pytest.raises(DatabaseFailed, match="read-only"):
        database.probe()
    database.close()


def test_the_journal_is_the_same(database: PostgreSQL, tmp_path: Path) -> None:
    """Whatever an administrator asks, PostgreSQL answers as SQLite does."""
    create_catalog(tmp_path / "catalog.sqlite3")
    with closing(opened(tmp_path / "catalog.sqlite3")) as connection:
        _fill(connection.cursor())
    database.using(lambda connection: _fill(SharedCursor(psycopg.ClientCursor(connection))))
    with closing(Database(tmp_path / "catalog.sqlite3")) as local:
        questions: list[tuple[Any, ...]] = [
            *((history.exchanges, one) for one in FILTERS),
            *((history.exchange, number) for number in range(1, 121)),
            *((history.users, shop) for shop in ("", "default", "north")),
            (history.refusals, RefusalFilter(limit=30)),
            (history.refusals, RefusalFilter(shop="north", before=1e9, limit=30)),
            (history.minutes, 0),
            (history.outdated, 2000.0, {"north": 3000.0}, 100),
            (overview.summary,),
            (overview.overview, 10),
        ]
        for question in questions:
            assert database.survey(*question) == local.survey(*question), question


FILTERS = [
    ExchangeFilter(limit=60),
    ExchangeFilter(username="north:user1", limit=60),
    ExchangeFilter(shop="south", state="failed", limit=60),
    ExchangeFilter(since=300.0, until=3000.0, limit=60),
    ExchangeFilter(file="IMPORT", before=70, limit=60),
    ExchangeFilter(file="ТОВАРЫ 1", limit=60),
    ExchangeFilter(file="%", limit=60),
    ExchangeFilter(file="\\", limit=60),
]


def _fill(cursor: Any) -> None:
    """Put exchanges and refusals on record."""
    fill(cursor, exchanges=120, users=5, refusals=50, minutes=3, shops=("default", "north", "south"))
