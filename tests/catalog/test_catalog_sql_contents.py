"""What a session holds: the files that may hold a document, the one that was sent last first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from onec_twisted.catalog.sql import contents
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.records import Session, Written

if TYPE_CHECKING:
    from sqlite3 import Cursor

S = Session("s", "shop", 1, 0, 1.0)
QUOTA = 1000


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A catalog with one session."""
    statements.open_session(empty, "s", "hash", "shop", 1.0)
    return empty


def store(cursor: Cursor, name: str, size: int = 5, before: int | None = None) -> None:
    """Put a piece on record."""
    statements.commit(cursor, S, name, before, Written(size), QUOTA, 1.0)


def test_the_last_one_sent_comes_first(cursor: Cursor) -> None:
    """By when each was begun, not by its name, nor by when it has grown; other files are left out."""
    for name in ("b.zip", "import0_1.xml", "a.ZIP", "picture.jpg", "c.zip"):
        store(cursor, name)
    store(cursor, "b.zip", 9, 5)

    held = {"c.zip": 5, "a.ZIP": 5, "import0_1.xml": 5, "b.zip": 9}
    found, begun = contents.holders(cursor, "s", "import0_1.xml", 10)
    assert (list(found.items()), begun) == (list(held.items()), 5)
    assert list(contents.archives(cursor, "s", 2)) == ["c.zip", "a.ZIP"]


def test_files_of_an_older_version(cursor: Cursor) -> None:
    """Nobody knows when they were begun: any new one was sent after them."""
    for name in ("b.zip", "a.zip"):
        store(cursor, name)
    cursor.execute("UPDATE files SET place = 0")
    cursor.execute("UPDATE sessions SET begun = 0")
    store(cursor, "c.zip")

    assert list(contents.archives(cursor, "s", 9)) == ["c.zip", "a.zip", "b.zip"]


def test_how_much_there_is(cursor: Cursor) -> None:
    """In bytes and files; nothing in a session that is not there."""
    for name in ("a", "b"):
        store(cursor, name)

    assert contents.amount(cursor, "s") == (10, 2)
    assert contents.amount(cursor, "t") == (0, 0)
    assert contents.holders(cursor, "t", "a", 9) == ({}, 0)
