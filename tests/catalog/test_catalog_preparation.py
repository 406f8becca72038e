"""The catalog's database before the daemon starts."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from onec_twisted.catalog.preparation import create_catalog, record_damage, recorded_lengths
from onec_twisted.catalog.sql.schema import SCHEMA_VERSION
from onec_twisted.catalog.sqlite import CatalogUnusable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that is ready."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    return path


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"this is no database" * 100, "cannot be used"), (None, "cannot be used")],
)
def test_a_database_that_cannot_be_used(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The words say where it is and what to do."""
    path = tmp_path / "catalog.sqlite3"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(CatalogUnusable, match=words) as caught:
        create_catalog(path)

    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_of_a_later_version(path: Path) -> None:
    """It is not touched."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(CatalogUnusable, match=f"schema {SCHEMA_VERSION + 1}"):
        create_catalog(path)


def test_making_it_twice_changes_nothing(path: Path) -> None:
    """Each start of the daemon asks for it."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
            " VALUES ('s', 'h', 'shop', 1, 0, 1.0, 0)"
        )
    create_catalog(path)

    assert recorded_lengths(path) == {"s": {}}


def test_lengths_and_damage(path: Path) -> None:
    """What the start of the daemon asks for, and puts on record."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "INSERT INTO sessions (sessid, token_hash, username, epoch, held, touched, owed)"
            " VALUES ('s', 'h', 'shop', 1, 15, 1.0, 1)"
        )
        connection.executemany(
            "INSERT INTO files (sessid, name, committed, last_start, proven, damaged, type, sealed, by_node)"
            " VALUES ('s', ?, ?, 0, 1, 0, 'catalog', 0, 1)",
            [("a", 10), ("b/c", 5)],
        )
    record_damage(path, [("s", "b/c"), ("t", "a")])

    assert recorded_lengths(path) == {"s": {"a": 10, "b/c": 5}}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM files WHERE damaged").fetchall() == [("b/c",)]
