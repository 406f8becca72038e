"""The SQL of a move: every table, in the same order on both sides, and steps that may be taken again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from onec_twisted.catalog.database import Database
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql import schema
from onec_twisted.cluster import migrating
from onec_twisted.cluster.migrating import (
    LEFT_BEHIND,
    TABLES,
    add,
    add_session,
    columns_of,
    digests_of,
    is_there,
    rows_of,
    rows_of_session,
    running,
    sizes,
)
from onec_twisted.model.records import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.cluster.postgresql import PostgreSQL

SESSID = "a" * 32
NAMES = ["", "A", "Z", "a", "a/b", "aa", "ё", "я", "\N{LINEAR B SYLLABLE B008 A}", "\uffff"]


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Database]:
    """A catalog of a daemon alone."""
    path = tmp_path / "exchange.sqlite3"
    create_catalog(path)
    database = Database(path)
    yield database
    database.close()


def test_every_table_is_moved_or_left_behind() -> None:
    """One that is new has to be thought of here."""
    scripts = f"{schema.SCHEMA}{schema.UPLOADS}{schema.KEPT}{schema.JOURNAL}{schema.SHOPS}{schema.INDEXES}"
    assert {*TABLES, *LEFT_BEHIND} == set(re.findall(r"CREATE TABLE (\w+)", scripts))


def test_keys_and_columns_are_on_both_sides(local: Database, database: PostgreSQL) -> None:
    """PostgreSQL's tables have all columns of SQLite's; no two rows have the same key."""
    for table, keys in TABLES.items():
        columns = local.read(columns_of, table)
        assert set(keys) <= set(columns)
        assert list(rows_of(local, table, columns)) == list(rows_of(database, table, columns)) == []


def test_rows_are_in_the_same_order(local: Database, database: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, letters of all kinds included; a second time nothing is added."""
    monkeypatch.setattr(migrating, "ROWS_AT_ONCE", 3)
    monkeypatch.setattr(migrating, "INSERTED_AT_ONCE", 2)
    columns = local.read(columns_of, "files")
    files = [(sessid, name, 1, 0, 0, 0, "catalog", 0, 1, 0) for sessid in ("b" * 32, SESSID) for name in NAMES]
    for one in (local, database, database):
        if one is not local or not list(rows_of(local, "files", columns)):
            assert one.record([(insert if one is local else add, ("files", columns, files))]) == [None]
    ours, theirs = (list(rows_of(one, "files", columns)) for one in (local, database))

    assert ours == theirs == sorted(files)
    assert database.read(rows_of_session, "files", columns, SESSID) == ours[: len(NAMES)]


def insert(cursor: Any, table: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    """Write rows into SQLite."""
    cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)


def test_a_session_at_once_and_once(local: Database, database: PostgreSQL) -> None:
    """With its segments and digests; it is there afterwards, and not twice."""
    sessions, files = (local.read(columns_of, table) for table in ("sessions", "files"))
    tables = {
        "sessions": (sessions, [(SESSID, "hash", "shop", 3, 7, 1.5, 1, 1, "")]),
        "files": ((*files, "digest"), [(SESSID, "a.xml", 7, 0, 0, 0, "catalog", 0, 1, 1, b"\x00digest")]),
    }
    segments = [("a.xml", Segment(0, 7, "key", b"\x01\x00"))]
    assert not database.read(is_there, SESSID)
    for _ in range(2):
        assert database.record([(add_session, (SESSID, 3, tables, segments))]) == [None]

    assert database.read(is_there, SESSID)
    assert database.read(sizes) == (1, 7)
    assert database.read(digests_of, SESSID) == {"a.xml": b"\x00digest"}
    found = database.using(lambda connection: connection.execute("SELECT * FROM segments").fetchall())
    assert found == [(SESSID, "a.xml", 3, 0, 7, "key", b"\x01\x00")]


def test_who_runs(database: PostgreSQL) -> None:
    """Those that have been seen within their lease."""
    statement = (
        "INSERT INTO daemons (id, name, version, knows, seen) VALUES"
        " ('1', 'one', '1', 6, now() - interval '4 s'), ('2', 'two', '1', 6, now() - interval '6 s')"
    )
    database.using(lambda connection: connection.execute(statement))
    assert database.read(running) == ["one"]
