"""One must not stop all: the database, and what each may take of what there is."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from line import Line, post

from onec_twisted import database as database_module
from onec_twisted.database import Database
from onec_twisted.errors import CatalogBusy
from onec_twisted.schema import CatalogUnusable, create_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Cursor

    from in_memory import InMemory


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
    cursor.execute("INSERT INTO sessions VALUES (?, ?, 'shop', 1, 0, 1.0, 0)", (sessid, sessid))


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


def test_a_node_hears_that_the_database_is_held(exchange: InMemory) -> None:
    """503 in words, for a piece and for a login; nothing of the piece stays, and all is well when it is let go."""
    session = exchange.checkauth()
    exchange.catalog.recorder.database.patience = 0.01
    with closing(holder(exchange.folder / "1c_temp" / "exchange.sqlite3")):
        answers = [Line(exchange.site).send(post(session, "a", b"x" * 10)) for _ in range(2)]
        cookie, sessid = session
        refused = exchange.request("GET", f"type=catalog&mode=init&sessid={sessid}", Cookie=cookie)
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 503 "] * 2
    assert answers[0].endswith(b"failure\nDatabase busy - retry later")
    assert (refused.status, refused.headers["retry-after"]) == (503, "5")
    assert exchange.files() == {}
    assert not exchange.parts.turns.busy(sessid)

    assert Line(exchange.site).send(post(session, "a", b"x" * 10)).endswith(b"success")


def test_a_start_with_a_held_database_says_what_to_do(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is told to move a sound catalog away."""
    monkeypatch.setattr("onec_twisted.schema.PATIENCE", 0.01)
    path.unlink()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CatalogUnusable, match="held by another program"):
            create_catalog(path)


def fill(cursor: Cursor, start: int) -> None:
    """Record about half a megabyte."""
    for number in range(start, start + 100):
        cursor.execute(
            "INSERT INTO sessions VALUES (?, ?, 'shop', 1, 0, 1.0, 0)", (f"{number}", f"{number}" + "x" * 5000)
        )


def test_the_log_of_the_database_is_short_again(
    database: Database, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a reader has gone that kept it from being taken in; while it is long, no record takes it in."""
    monkeypatch.setattr(database_module, "LONG_LOG", 1_000_000)
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
    from onec_twisted.sweep import Sweep

    exchange = make_exchange()
    parts = exchange.parts
    tidied: list[Database] = []
    monkeypatch.setattr(Database, "tidy", lambda database: tidied.append(database))  # noqa: PLW0108 - bound
    sweep = Sweep(parts.catalog, parts.store, parts.turns, parts.workers, 60, 60, parts.now)
    sweep.once()

    assert tidied == [exchange.catalog.recorder.database]
