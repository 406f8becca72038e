"""The tables, and how those of an older version become those of this one."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql.schema import COUNTS, MIGRATIONS, SCHEMA_VERSION
from onec_twisted.catalog.sqlite import CatalogUnusable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that is ready."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    return path


VERSION_1 = """
CREATE TABLE sessions (sessid TEXT PRIMARY KEY, token_hash TEXT NOT NULL UNIQUE, username TEXT NOT NULL,
    epoch INTEGER NOT NULL, held INTEGER NOT NULL, touched DOUBLE PRECISION NOT NULL, owed INTEGER NOT NULL);
CREATE TABLE files (sessid TEXT NOT NULL, name TEXT NOT NULL, committed INTEGER NOT NULL, last_start INTEGER NOT NULL,
    proven INTEGER NOT NULL, damaged INTEGER NOT NULL, type TEXT NOT NULL, sealed INTEGER NOT NULL,
    PRIMARY KEY (sessid, name)) WITHOUT ROWID;
CREATE TABLE handoffs (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, sessid TEXT NOT NULL,
    username TEXT NOT NULL, event TEXT NOT NULL, type TEXT NOT NULL, filename TEXT NOT NULL, archive TEXT NOT NULL,
    timestamp TEXT NOT NULL, files TEXT NOT NULL, created DOUBLE PRECISION NOT NULL, state TEXT NOT NULL,
    changed DOUBLE PRECISION NOT NULL, tries INTEGER NOT NULL, words TEXT NOT NULL, told INTEGER NOT NULL);
CREATE INDEX handoffs_of_session ON handoffs (sessid);
CREATE INDEX handoffs_in_state ON handoffs (state);
INSERT INTO sessions VALUES ('s', 'h', 'shop', 3, 15, 1.5, 1);
INSERT INTO files VALUES ('s', 'a', 15, 5, 1, 0, 'catalog', 0);
INSERT INTO handoffs VALUES (7, 'i', 's', 'shop', 'import', 'catalog', 'a', '', '', '[["a", 15]]', 1.0, 'failed', 2.0,
    16, 'no', 0);
PRAGMA user_version = 1;
"""
"""What the first version wrote, with something in it."""


def shape(path: Path) -> list[tuple[str, ...]]:
    """Return the tables and indices of a database, with their columns."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name, type, tbl_name FROM sqlite_master ORDER BY name").fetchall()
        columns = {name: connection.execute(f"PRAGMA table_info({name})").fetchall() for name, _, _ in names}
        return [(*row, repr(columns[row[0]])) for row in names]


def columns(path: Path) -> dict[str, list[str]]:
    """Return the names of the columns of each table and index, in the order of the alphabet."""
    with closing(sqlite3.connect(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master")]
        return {name: sorted(row[1] for row in connection.execute(f"PRAGMA table_info({name})")) for name in names}


def content(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of a database."""
    with closing(sqlite3.connect(path)) as connection:
        tables = ("sessions", "files", "handoffs")
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


def test_a_database_of_the_version_before(path: Path, tmp_path: Path) -> None:
    """It becomes what this version would have made, and keeps all that is in it."""
    old = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
    before = content(old)
    create_catalog(old)

    assert shape(old) == shape(path)
    after = content(old)
    assert {table: [row[: len(before[table][0])] for row in rows] for table, rows in after.items()} == before
    assert after["handoffs"][0][-6:] == (1, "", "", '["a"]', 0, 0)
    assert all(before.values())
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)


def test_a_database_of_the_first_day_of_version_3(path: Path, tmp_path: Path) -> None:
    """It lacks what version 3 was given later, and gets that, too."""
    old = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
        connection.executescript(MIGRATIONS[1] + MIGRATIONS[2].replace(COUNTS, "") + "PRAGMA user_version = 3;")
    create_catalog(old)

    assert columns(old) == columns(path)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT count, documents FROM handoffs").fetchall() == [(1, '["a"]')]
        assert connection.execute("SELECT imports, state FROM exchanges").fetchall() == [(1, "failed")]


def test_a_database_of_version_5(path: Path, tmp_path: Path) -> None:
    """All that its journal knows is of the default shop."""
    old = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
        connection.executescript("".join(MIGRATIONS[number] for number in range(1, 5)) + "PRAGMA user_version = 5;")
        connection.execute("INSERT INTO refusals VALUES (1, 1.0, 2.0, 1, 'u', 'a', '', 401, 'no', 'No', 'GET /')")
        connection.commit()
    create_catalog(old)

    assert shape(old) == shape(path)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT username, shop FROM exchanges").fetchall() == [("shop", "default")]
        assert connection.execute("SELECT username, shop FROM refusals").fetchall() == [("u", "default")]


def test_a_migration_that_breaks_off_has_changed_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next start, or the version before, finds it as it was."""
    old = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(old)) as connection:
        connection.executescript(VERSION_1)
    before = shape(old)
    monkeypatch.setitem(MIGRATIONS, SCHEMA_VERSION - 1, "CREATE TABLE half (a); CREATE TABLE half (a);")
    with pytest.raises(CatalogUnusable, match="cannot be used"):
        create_catalog(old)

    assert shape(old) == before
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)


def test_every_version_can_become_this_one() -> None:
    """Each but the last has its step."""
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))
