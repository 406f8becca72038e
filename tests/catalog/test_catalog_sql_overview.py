"""What the administrator asks the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import outcomes
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sql.overview import MANY_FILES, matching, overview, summary
from onec_twisted.model.journal import HandoffFilter
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Session, Written

if TYPE_CHECKING:
    from sqlite3 import Cursor


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A catalog with three sessions: with a hand-off in each state, with a damaged file, and empty."""
    for sessid, touched in (("a", 1.0), ("b", 2.0), ("c", 3.0)):
        statements.open_session(empty, sessid, f"hash {sessid}", "shop", touched)
    a, b = Session("a", "shop", 1, 0, 1.0), Session("b", "shop", 1, 0, 2.0)
    for name in ("1.xml", "2.xml", "3.xml"):
        statements.commit(empty, a, name, None, Written(5), 1000, 1.0)
    statements.commit(empty, b, "4.xml", None, Written(7), 1000, 2.0)
    statements.damage(empty, b, "4.xml")
    for name, state in (("1.xml", SUCCEEDED), ("2.xml", FAILED), ("3.xml", WAITING)):
        handoff = outbox.import_requested(empty, a, "catalog", name, "", 5, 4.0)
        outcomes.note_outcome(empty, evolve(handoff, state=state, tries=1, words="said"), 5.0)
    return empty


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
    for number in range(MANY_FILES + 5):
        statements.commit(cursor, b, f"{number}.jpg", None, Written(0), 1000, 9.0)

    assert overview(cursor, 1).sessions[0].files == MANY_FILES + 1


@pytest.mark.parametrize("empty", ["SQLite"], indirect=True)
def test_what_it_costs_does_not_grow(cursor: Cursor) -> None:
    """Sessions are looked at once; what belongs to one is found by its key, and damaged files by an index."""
    said: list[str] = []
    cursor.connection.set_trace_callback(said.append)
    overview(cursor, 10)
    cursor.connection.set_trace_callback(None)
    plans = [row[3] for sql in said for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")]

    scanned = [plan for plan in plans if plan.startswith("SCAN")]
    assert {plan.split()[1] for plan in scanned} <= {"sessions", "handoffs", "files", "uploads", "(subquery", "few"}
    assert [
        plan
        for plan in scanned
        if plan.startswith(("SCAN handoffs", "SCAN files", "SCAN uploads")) and "INDEX" not in plan
    ] == []
    of_one = [plan for plan in plans if "sessid=?" in plan]
    assert len(of_one) == 4
    assert not any("handoffs_in_state" in plan for plan in of_one)


@pytest.mark.parametrize("empty", ["SQLite"], indirect=True)
def test_many_sessions_with_failed_hand_offs(cursor: Cursor) -> None:
    """They are counted by session and state together: looking at each failed one for each session took seconds."""
    plan = "SELECT COUNT(*) FROM handoffs WHERE sessid = 'a' AND state = 'failed'"
    rows = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {plan}")]

    assert rows == ["SEARCH handoffs USING COVERING INDEX handoffs_of_session (sessid=? AND state=?)"]


@pytest.mark.parametrize(
    ("wanted", "states"),
    [
        (HandoffFilter(), [WAITING, FAILED, SUCCEEDED]),
        (HandoffFilter(state=FAILED), [FAILED]),
        (HandoffFilter(username="other"), []),
        (HandoffFilter(shop="default"), [WAITING, FAILED, SUCCEEDED]),
        (HandoffFilter(shop="other"), []),
        (HandoffFilter(username="shop", limit=1), [WAITING]),
        (HandoffFilter(before=2), [SUCCEEDED]),
    ],
)
def test_hand_offs_that_a_filter_lets_through(cursor: Cursor, wanted: HandoffFilter, states: list[str]) -> None:
    """The newest first; how many of its user and shop have failed is counted whatever the state and the page."""
    found, failed = matching(cursor, wanted)

    assert [handoff.state for handoff in found] == states
    assert failed == (0 if "other" in {wanted.username, wanted.shop} else 1)
