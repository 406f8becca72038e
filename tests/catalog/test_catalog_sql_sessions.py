"""The catalog's statements; what they do is tested with the catalog."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sqlite import opened
from onec_twisted.model.records import Session, Written

if TYPE_CHECKING:
    from pathlib import Path


def test_each_is_named() -> None:
    """What the module offers is what the catalog takes."""
    assert all(callable(getattr(statements, name)) for name in statements.__all__)


def test_what_a_piece_costs_does_not_grow(tmp_path: Path) -> None:
    """With sessions or files on record: each statement of a piece, a login, an end, finds its rows by a key."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    session = Session("s", "shop", 1, 0, 1.0)
    said: list[str] = []
    with closing(opened(path)) as connection:
        cursor = connection.cursor()
        statements.open_session(cursor, "s", "hash", "shop", 1.0)
        connection.set_trace_callback(said.append)
        statements.commit(cursor, session, "a", None, Written(5), 10, 2.0)
        statements.commit(cursor, session, "a", 5, Written(8), 10, 2.0)
        statements.prove(cursor, session, "a", 8)
        statements.touch(cursor, "s", 3.0)
        statements.session(cursor, "hash", 1000)
        statements.file(cursor, "s", "a")
        statements.open_session(cursor, "t", "another", "shop", 1.0, 100)
        assert not statements.remove_session(cursor, "s", 1.0, 1.0)
        connection.set_trace_callback(None)
        plans = [row[3] for sql in said for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")]

    assert len(said) >= 8
    assert any(plan.startswith("SEARCH") for plan in plans)
    assert [plan for plan in plans if plan.startswith("SCAN")] == []
