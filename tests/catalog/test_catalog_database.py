"""The connection to the catalog's database, and group commit."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from twisted.python.failure import Failure

from onec_twisted.catalog.database import Database
from onec_twisted.catalog.preparation import create_catalog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from sqlite3 import Cursor


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A database that is ready."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    database = Database(path)
    yield database
    database.close()


def touch(cursor: Cursor, sessid: str) -> int:
    """Put a session on record."""
    cursor.execute(
        "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
        " VALUES (?, ?, 'shop', 1, 0, 1.0, 0)",
        (sessid, sessid),
    )
    return 7


def fail(cursor: Cursor) -> None:
    """Put a session on record, and fail."""
    touch(cursor, "lost")
    raise ValueError("no")


def sessids(cursor: Cursor) -> list[str]:
    """Return who is on record."""
    return [sessid for (sessid,) in cursor.execute("SELECT sessid FROM sessions ORDER BY sessid")]


def test_a_step_that_fails_harms_no_other(database: Database) -> None:
    """It leaves nothing, and its failure in its place."""
    outcomes = database.record([(touch, ("a",)), (fail, ()), (touch, ("b",))])

    assert outcomes[0] == outcomes[2] == 7
    assert isinstance(outcomes[1], Failure)
    assert outcomes[1].check(ValueError)
    assert database.read(sessids) == ["a", "b"]


def test_threads_that_wait_share_a_transaction(database: Database) -> None:
    """While one transaction runs, the steps of all others are gathered, and recorded together in the next."""
    begun, go_on = threading.Event(), threading.Event()
    transactions = []
    database.probe()
    assert database._records.connection is not None
    database._records.connection.set_trace_callback(
        lambda sql: transactions.append(sql) if sql == "BEGIN IMMEDIATE" else None
    )

    def slow(cursor: Cursor) -> None:
        begun.set()
        go_on.wait(10)
        assert database.read(sessids) == []  # nobody's question waits for a record

    threads = [threading.Thread(target=database.record, args=([(slow, ())],))]
    threads[0].start()
    begun.wait(10)
    threads += [threading.Thread(target=database.record, args=([(touch, (f"s{n}",))],)) for n in range(8)]
    for thread in threads[1:]:
        thread.start()
    while len(database._gathered) < 8:
        time.sleep(0.001)
    go_on.set()
    for thread in threads:
        thread.join(10)

    assert database.read(sessids) == [f"s{n}" for n in range(8)]
    assert len(transactions) == 2


def test_a_database_that_cannot_be_opened(tmp_path: Path) -> None:
    """Everybody is told, and nobody waits for ever."""
    database = Database(tmp_path / "nowhere" / "catalog.sqlite3")
    (outcome,) = database.record([(touch, ("a",))])

    assert isinstance(outcome, Failure)
    database.close()
