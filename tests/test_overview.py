"""What the administrator asks the database."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted import outbox, statements
from onec_twisted.overview import MANY, overview, probe, summary
from onec_twisted.records import FAILED, SUCCEEDED, WAITING, Session
from onec_twisted.schema import create_catalog, opened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from sqlite3 import Cursor


@pytest.fixture
def cursor(tmp_path: Path) -> Iterator[Cursor]:
    """A catalog with three sessions: with a hand-off in each state, with a damaged file, and empty."""
    path = tmp_path / "catalog.sqlite3"
    create_catalog(path)
    with closing(opened(path)) as connection:
        cursor = connection.cursor()
        for sessid, touched in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
            statements.open_session(cursor, sessid, f"hash {sessid}", "shop", touched)
        a, b = Session("a", "shop", 1, 0, 1.0), Session("b", "shop", 1, 0, 2.0)
        for name in ("1.xml", "2.xml", "3.xml"):
            statements.commit(cursor, a, name, None, 5, 1000, 1.0)
        statements.commit(cursor, b, "4.xml", None, 7, 1000, 2.0)
        statements.damage(cursor, b, "4.xml")
        for name, state in (("1.xml", SUCCEEDED), ("2.xml", FAILED), ("3.xml", WAITING)):
            handoff = outbox.import_asked(cursor, a, "catalog", name, "", 5, 4.0)
            outbox.note_outcome(cursor, evolve(handoff, state=state, tries=1, words="said"), 5.0)
        yield cursor


def test_how_much_there_is(cursor: Cursor) -> None:
    """Numbers of all."""
    found = summary(cursor)

    assert (found.sessions, found.owing, found.damaged) == (3, 1, 1)
    assert found.handoffs == {WAITING: 1, SUCCEEDED: 1, FAILED: 1}


def test_what_is_shown(cursor: Cursor) -> None:
    """The sessions used last, and hand-offs, failed ones first."""
    found = overview(cursor, 10)

    assert [line.session.sessid for line in found.sessions] == ["c", "b", "a"]
    assert [(line.files, line.damaged, line.owed) for line in found.sessions] == [
        (0, False, False),
        (1, True, True),
        (3, False, False),
    ]
    assert [(line.waiting, line.failed) for line in found.sessions] == [(0, 0), (0, 0), (1, 1)]
    assert [(one.filename, one.state) for one in found.handoffs] == [
        ("2.xml", FAILED),
        ("3.xml", WAITING),
        ("1.xml", SUCCEEDED),
    ]


def test_a_few_of_many(cursor: Cursor) -> None:
    """At most so many of each."""
    found = overview(cursor, 1)

    assert (len(found.sessions), len(found.handoffs)) == (1, 3)


def test_a_session_with_many_files(cursor: Cursor) -> None:
    """They are not counted to the end."""
    b = Session("b", "shop", 1, 0, 2.0)
    for number in range(MANY + 5):
        statements.commit(cursor, b, f"{number}.jpg", None, 0, 1000, 9.0)

    assert overview(cursor, 1).sessions[0].files == MANY + 1


def test_the_probe_changes_nothing(cursor: Cursor) -> None:
    """It only sees whether somebody else holds the database."""
    before = overview(cursor, 10)
    probe(cursor)

    assert overview(cursor, 10) == before
    assert not cursor.connection.in_transaction


def test_damaged_files_are_found_by_an_index(cursor: Cursor) -> None:
    """However many files there are."""
    plan = cursor.execute("EXPLAIN QUERY PLAN SELECT COUNT(*) FROM files WHERE damaged <> 0").fetchall()

    assert "damaged_files" in str(plan)
