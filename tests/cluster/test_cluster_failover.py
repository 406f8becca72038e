"""Another server takes over: what it may lack is refused, and what it cannot lack goes on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from attrs import define, field
from postgres import PATIENCE, Server
from psycopg import OperationalError
from twisted.logger import LogLevel, capturedLogs

from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.failover import LAST_MOMENTS, Acknowledged, Timelines
from onec_twisted.cluster.postgresql import PostgreSQL, connected
from onec_twisted.cluster.tables import create_tables
from onec_twisted.model.errors import CatalogBusy, FileDamaged
from onec_twisted.model.records import Segment, Session, Written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

QUOTA = 10**6
LONG_AGO = 1.0


@define(eq=False)
class Pair:
    """A server and its standby, as a daemon sees them by one address."""

    primary: Server
    standby: Server
    acknowledged: Acknowledged = field(factory=lambda: Acknowledged(time.monotonic))
    timelines: Timelines = field(init=False)
    database: PostgreSQL = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Connect to whichever takes records."""
        ports = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        url = f"postgresql://postgres@{ports}/onec?target_session_attrs=read-write"
        self.timelines = Timelines(connected, self.acknowledged)
        self.database = PostgreSQL(url, time.monotonic, self.timelines.connected, self.acknowledged.note)
        self.database.using(create_tables)
        self.database.using(self.timelines.check)

    def record(self, step: Any, *args: Any) -> Any:
        """Record a step, or raise what it raises."""
        (outcome,) = self.database.record([(step, args)])
        if hasattr(outcome, "raiseException"):
            outcome.raiseException()
        return outcome

    def open(self, number: int, touched: float) -> Session:
        """Open a session."""
        sessid = f"{number}" * 32
        self.record(steps.open_session, sessid, f"hash{number}", "shop", touched)
        return Session(sessid, "shop", 1, 0, touched)

    def send(self, session: Session, before: int | None, size: int, now: float) -> None:
        """Record a piece of the file a.xml."""
        start = before or 0
        written = Written(start + size, (Segment(start, size, f"{session.sessid}{start}", b"d"),), b"d")
        self.record(steps.commit, session, "a.xml", before, written, QUOTA, now, "catalog", "one")

    def fail_over(self) -> None:
        """Crash the server, and let the standby take over."""
        self.primary.stop()
        if self.standby.process is None:
            self.standby.start()
        self.standby.promote()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """A server and its standby, which does not run yet."""
    primary = Server()
    primary.create()
    primary.start()
    primary.ask("CREATE DATABASE onec")
    standby = primary.standby()
    yield primary, standby
    primary.remove()
    standby.remove()


@pytest.fixture
def pair(servers: tuple[Server, Server]) -> Iterator[Pair]:
    """The same, as a daemon sees them."""
    pair = Pair(*servers)
    yield pair
    pair.database.close()


def test_a_standby_that_was_behind(pair: Pair) -> None:
    """Sessions of the last minute are refused until init, and so is one of whose pieces this daemon knows."""
    now = time.time()
    older, recent, finished = pair.open(1, LONG_AGO), pair.open(2, now), pair.open(3, LONG_AGO)
    pair.send(older, None, 10, LONG_AGO)
    pair.send(finished, None, 10, LONG_AGO)
    pair.standby.start()
    _wait_until_equal(pair)
    pair.standby.stop()
    pair.send(older, 10, 5, LONG_AGO)  # acknowledged, and lost
    pair.send(recent, None, 5, LONG_AGO)
    pair.fail_over()

    for session, before in ((older, 10), (recent, None)):
        with pytest.raises(FileDamaged):
            pair.send(session, before, 7, now)
    with capturedLogs() as events:
        pair.timelines.report()
    (event,) = events
    assert event["log_level"] == LogLevel.critical
    assert event["sessids"] == [older.sessid, recent.sessid]
    pair.send(finished, 10, 7, now)

    assert pair.record(steps.start_epoch, older.sessid, now, 0).number == 2
    pair.send(Session(older.sessid, "shop", 2, 0, now), None, 7, now)


def test_a_synchronous_standby(pair: Pair) -> None:
    """It has everything: nothing is refused."""
    pair.standby.start()
    pair.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
    pair.primary.ask("SELECT pg_reload_conf()")
    session = pair.open(1, time.time())
    pair.database.using(pair.timelines.check)  # as each heartbeat does
    pair.send(session, None, 10, time.time())
    pair.fail_over()

    pair.send(session, 10, 5, time.time())
    with capturedLogs() as events:
        pair.timelines.report()
        pair.timelines.report()
    (event,) = events
    assert event["log_level"] == LogLevel.warn


@pytest.mark.parametrize("is_piece", [True, False])
def test_a_commit_that_is_cut_short(pair: Pair, is_piece: bool) -> None:
    """Its connection ends while it waits for the standby: it is on record, and counts once that has it."""
    session = pair.open(1, time.time())
    pair.database.using(lambda _: pair.database.using(id))  # two connections: a new one writes by itself
    _let_commits_wait(pair)
    record: Callable[[], Any] = (
        (lambda: pair.send(session, None, 10, time.time()))
        if is_piece
        else (lambda: pair.record(steps.start_epoch, session.sessid, time.time(), 0))
    )
    with ThreadPoolExecutor(1) as pool:
        recorded = pool.submit(record)
        _wait_until_waiting(pair, "")
        pair.primary.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        _wait_until_waiting(pair, "pg_logical_emit_message")
        assert not recorded.done()
        pair.standby.start()
        recorded.result(PATIENCE)
    pair.fail_over()
    pair.database.using(pair.timelines.check)
    table, columns = ("files", "committed") if is_piece else ("sessions", "epoch")
    assert pair.standby.ask(f"SELECT {columns} FROM {table}", "onec") == [(10 if is_piece else 2,)]


def _let_commits_wait(pair: Pair) -> None:
    """Let commits wait for the standby from now on: the server takes a moment to do what it is told."""
    pair.primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
    pair.primary.ask("SELECT pg_reload_conf()")
    over = threading.Event()
    with psycopg.connect(pair.primary.url("onec"), autocommit=True) as probe, ThreadPoolExecutor(1) as pool:

        def write() -> None:
            while not over.is_set():
                probe.execute("SELECT pg_logical_emit_message(true, 'probe', '')")

        writing = pool.submit(write)
        _wait_until_waiting(pair, "probe")
        over.set()
        pair.primary.ask(f"SELECT pg_cancel_backend({probe.info.backend_pid})")
        writing.result(PATIENCE)


def _wait_until_waiting(pair: Pair, words: str) -> None:
    """Wait until a commit of a statement with these words waits for the standby."""
    deadline = time.monotonic() + PATIENCE
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE"
    while not pair.primary.ask(f"{waiting} '%{words}%'"):
        assert time.monotonic() < deadline, "nothing waits for the standby"
        time.sleep(0.01)


def test_a_daemon_that_starts_later(pair: Pair) -> None:
    """The records tell the timeline before: what was in use is refused, whoever finds that out."""
    session = pair.open(1, time.time())
    pair.database.close()
    pair.standby.start()
    _wait_until_equal(pair)
    pair.fail_over()
    another = Pair(pair.primary, pair.standby)
    with pytest.raises(FileDamaged):
        another.send(session, None, 5, time.time())
    another.database.close()


def test_a_server_that_was_succeeded(pair: Pair) -> None:
    """It is not used any more, though it runs again: what it takes would be lost."""
    pair.standby.start()
    _wait_until_equal(pair)
    pair.fail_over()
    pair.database.using(pair.timelines.check)
    pair.standby.stop()
    pair.primary.start()
    with pytest.raises(CatalogBusy, match="another one has taken over from it"):
        pair.open(1, time.time())
    with pytest.raises(OperationalError):
        pair.timelines.connected(pair.primary.url("onec"))


def test_only_the_last_moments_are_remembered() -> None:
    """What was recorded longer ago has reached every standby that follows."""
    now = [0.0]
    acknowledged, session = Acknowledged(lambda: now[0]), Session("5" * 32, "shop", 1, 0, 0.0)
    acknowledged.note(session, "a", 1)
    now[0] = LAST_MOMENTS / 2
    acknowledged.note(session, "b", 2)
    acknowledged.note(session, "a", 3)
    now[0] = LAST_MOMENTS + 1
    assert acknowledged.latest() == [(session.sessid, 1, "b", 2), (session.sessid, 1, "a", 3)]
    now[0] = 2 * LAST_MOMENTS
    assert acknowledged.latest() == []


def _wait_until_equal(pair: Pair) -> None:
    """Wait until the standby has all that its server has."""
    place = pair.primary.ask("SELECT pg_current_wal_lsn()")[0][0]
    deadline = time.monotonic() + 30
    while not pair.standby.ask(f"SELECT pg_last_wal_replay_lsn() >= '{place}'::pg_lsn")[0][0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
