"""The connections to SQLite, and what it says in our words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from onec_twisted.catalog.sqlite import Line, Names, begin, failure_of, opened
from onec_twisted.model.errors import CatalogBusy, InsufficientStorage, StorageRemoved

if TYPE_CHECKING:
    from pathlib import Path


def test_a_full_disk_is_told_in_our_words() -> None:
    """And the engine's are its cause."""
    full = sqlite3.OperationalError("database or disk is full")
    failure = failure_of(full)
    assert failure.check(InsufficientStorage)
    with pytest.raises(InsufficientStorage) as caught:
        failure.raiseException()
    assert caught.value.__cause__ is full


def test_two_that_record_at_the_same_time(path: Path) -> None:
    """The second hears that the database is busy."""
    with closing(opened(path)) as one, closing(opened(path)) as other:
        other.execute("PRAGMA busy_timeout=1")
        begin(one.cursor())
        with pytest.raises(CatalogBusy):
            begin(other.cursor())


def test_a_database_that_was_taken_away(path: Path) -> None:
    """Nothing is asked of a file that has no name any more."""
    line = Line(path, Names(path), synced=True)
    assert line.ask(lambda cursor: cursor.execute("SELECT 1").fetchone()) == (1,)
    path.unlink()
    with pytest.raises(StorageRemoved):
        line.ask(lambda cursor: cursor.execute("SELECT 1").fetchone())
    line.close()
