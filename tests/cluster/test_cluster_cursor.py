"""Statements of SQLite's, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from postgres import Server

    from onec_twisted.cluster.cursor import SharedCursor


@pytest.fixture
def cursor(postgresql: Server) -> Iterator[SharedCursor]:
    """A cursor, of which nothing stays."""
    with postgresql.rolled_back() as cursor:
        cursor.execute("CREATE TABLE things (number BIGSERIAL, name TEXT, size BIGINT, flag BIGINT)")
        yield cursor


def test_parameters_by_place_and_by_name(cursor: SharedCursor) -> None:
    """Percent signs and colons in a text are what they are; truth is a number, and so is a sum."""
    cursor.executemany(
        "INSERT INTO things (name, size, flag) VALUES (?, ?, ?)", [("a%b", 1, True), ("c:d", 2, False)]
    )
    assert cursor.lastrowid == 2
    assert cursor.execute("SELECT name FROM things WHERE name LIKE '%\\%%' ESCAPE '\\'").fetchall() == [("a%b",)]
    cursor.execute("SELECT name, flag FROM things WHERE size = :size OR name = :name", {"size": 2, "name": "x:name"})
    assert list(cursor) == [("c:d", 0)]
    cursor.execute("SELECT SUM(size), SUM(size) / 2.0 FROM things WHERE ? IS NULL OR ? = ''", (None, "x"))
    assert cursor.fetchone() == (3, 1.5)
    cursor.execute("UPDATE things SET size = 0")
    assert cursor.rowcount == 2


def test_a_text_with_nul(cursor: SharedCursor) -> None:
    """PostgreSQL has none: it is shown as what cannot be shown."""
    cursor.execute("INSERT INTO things (name) VALUES (?)", ("a\0b",))
    assert cursor.execute("SELECT name FROM things").fetchone() == ("a\N{REPLACEMENT CHARACTER}b",)
