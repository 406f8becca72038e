"""The outbox's statements: what is handed off is sealed in the same transaction, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import contents, outcomes
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.catalog.sql.overview import latest
from onec_twisted.model.errors import FileSealed, HandoffRunning, InvalidSession, SessionRestarted
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Handoff, Session, Written

if TYPE_CHECKING:
    from sqlite3 import Cursor

S = Session("s", "shop", 1, 0, 1.0)
QUOTA = 1000


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A catalog with one session."""
    statements.open_session(empty, "s", "hash", "shop", 1.0)
    return empty


def store(
    cursor: Cursor, name: str, exchange_type: str = "catalog", size: int = 5, before: int | None = None
) -> None:
    """Put a piece on record."""
    statements.commit(cursor, S, name, before, Written(size), QUOTA, 1.0, exchange_type)


def sealed(cursor: Cursor) -> list[str]:
    """Return the names of sealed files."""
    return [name for (name,) in cursor.execute("SELECT name FROM files WHERE sealed <> 0 ORDER BY name")]


def note(cursor: Cursor, handoff: Handoff, state: str, words: str = "no", now: float = 3.0) -> None:
    """Put an outcome on record."""
    outcomes.note_outcome(cursor, evolve(handoff, state=state, tries=1, words=words), now)


def owed(cursor: Cursor) -> bool:
    """Return whether the session owes the site something."""
    return bool(cursor.execute("SELECT owed FROM sessions").fetchone()[0])


def test_an_import_seals_the_file_that_it_lies_in(cursor: Cursor) -> None:
    """And no other."""
    store(cursor, "a.zip")
    store(cursor, "b.jpg")
    handoff = outbox.import_requested(cursor, S, "catalog", "import0_1.xml", "a.zip", 5, 2.0)

    assert (handoff.event, handoff.filename, handoff.archive) == ("import", "import0_1.xml", "a.zip")
    assert handoff.files == (("a.zip", 5),)
    assert (handoff.state, handoff.tries, handoff.created, handoff.username) == (WAITING, 0, 2.0, "shop")
    assert sealed(cursor) == ["a.zip"]
    assert not owed(cursor)
    assert outbox.waiting(cursor) == [handoff]
    with pytest.raises(FileSealed):
        store(cursor, "a.zip", size=9, before=5)


def test_documents_that_were_not_asked_for_are_still_owed(cursor: Cursor) -> None:
    """Until they are, or an import fails: then the node sends all of it again. Pictures are not."""
    for name in ("import0_1.xml", "x.jpg", "OFFERS0_1.XML"):
        store(cursor, name)
    first = outbox.import_requested(cursor, S, "catalog", "import0_1.xml", "", 5, 2.0)
    assert owed(cursor)
    assert [one.sessid for one in outbox.quiet_since(cursor, 9.0)] == ["s"]
    second = outbox.import_requested(cursor, S, "catalog", "OFFERS0_1.XML", "", 5, 3.0)
    assert not owed(cursor)
    store(cursor, "late.zip")
    note(cursor, first, SUCCEEDED)
    assert owed(cursor)
    note(cursor, second, FAILED)
    assert not owed(cursor)


def test_what_has_ended_is_not_noted_again(cursor: Cursor) -> None:
    """Whoever comes too late."""
    (event,) = outbox.event_came(cursor, S, "complete", "catalog", "", 2.0)
    note(cursor, event, SUCCEEDED, "")
    note(cursor, event, FAILED)

    assert cursor.execute("SELECT state, words FROM handoffs").fetchall() == [(SUCCEEDED, "")]


def test_asking_again_makes_no_second_one(cursor: Cursor) -> None:
    """While it waits, when it succeeded, and when it failed and the node does not know."""
    store(cursor, "a")
    first = outbox.import_requested(cursor, S, "catalog", "a", "", 5, 2.0)
    assert outbox.import_requested(cursor, S, "catalog", "a", "", 5, 3.0) == first
    for state in (FAILED, SUCCEEDED):
        cursor.execute("UPDATE handoffs SET state = 'waiting'")
        note(cursor, first, state, "words")
        again = outbox.import_requested(cursor, S, "catalog", "a", "", 5, 5.0)
        assert (again.id, again.state, again.words) == (first.id, state, "words")


def test_a_failure_that_the_node_knows_is_followed_by_a_new_one(cursor: Cursor) -> None:
    """With an id of its own: the site may remember the old one's answer."""
    store(cursor, "a")
    first = outbox.import_requested(cursor, S, "catalog", "a", "", 5, 2.0)
    note(cursor, first, FAILED)
    outcomes.note_reported(cursor, first)
    second = outbox.import_requested(cursor, S, "catalog", "a", "", 5, 4.0)

    assert second.id != first.id
    assert second.files == first.files
    assert outbox.imported(cursor, "s", "a") == second


def test_a_file_that_has_grown_meanwhile(cursor: Cursor) -> None:
    """What was looked at is not what would be sealed: it is looked at again."""
    store(cursor, "a")
    with pytest.raises(outbox.FileHasGrown):
        outbox.import_requested(cursor, S, "catalog", "a", "", 4, 2.0)

    assert outbox.waiting(cursor) == []
    assert owed(cursor)


def test_settling_hands_off_what_is_not_sealed(cursor: Cursor) -> None:
    """As a whole, by type, once."""
    store(cursor, "a")
    outbox.import_requested(cursor, S, "catalog", "a", "", 5, 2.0)
    assert outbox.quiet_since(cursor, 9.0) == []
    store(cursor, "c")
    store(cursor, "b")
    store(cursor, "orders.xml", exchange_type="sale")
    (session,) = outbox.quiet_since(cursor, 9.0)
    handoffs = outbox.settle(cursor, session, 9.0)

    assert [(one.event, one.type, one.count, outbox.files_of(cursor, one)) for one in handoffs] == [
        ("settled", "catalog", 2, [("b", 5), ("c", 5)]),
        ("settled", "sale", 1, [("orders.xml", 5)]),
    ]
    assert sealed(cursor) == ["a", "b", "c", "orders.xml"]
    assert outbox.quiet_since(cursor, 9.0) == []
    assert outbox.settle(cursor, session, 9.0) == []


def test_a_settled_file_has_one_handoff_that_tells_of_it(cursor: Cursor) -> None:
    """Whatever becomes of that: a number that comes again tells of none of the files before, and none is lost."""
    for name in ("a", "b", "c", "d"):
        store(cursor, name)
    (first,) = outbox.settle(cursor, outbox.quiet_since(cursor, 9.0)[0], 9.0)
    outbox.import_requested(cursor, S, "catalog", "b", "", 5, 9.0)
    note(cursor, first, FAILED)
    assert latest(cursor, FAILED, 9)[0].files == (("a", 5), ("b", 5), ("c", 5))
    again = outcomes.retry(cursor, first.id, 10.0)
    assert again is not None
    assert again.count == 4
    assert [name for name, _ in outbox.files_of(cursor, again)] == ["a", "b", "c", "d"]
    note(cursor, again, FAILED)
    assert outcomes.drop(cursor, again.id)
    assert not outcomes.drop(cursor, again.id)
    store(cursor, "e")
    cursor.execute("DELETE FROM handoffs")
    (second,) = outbox.settle(cursor, outbox.quiet_since(cursor, 9.0)[0], 9.0)

    assert again.number == first.number
    assert outbox.files_of(cursor, second) == [("e", 5)]
    assert sealed(cursor) == ["a", "b", "c", "d", "e"]


def test_a_session_that_was_touched_is_not_settled(cursor: Cursor) -> None:
    """Its node goes on."""
    store(cursor, "a")
    (session,) = outbox.quiet_since(cursor, 9.0)
    statements.touch(cursor, "s", 8.5)

    assert outbox.settle(cursor, session, 9.0) == []
    assert owed(cursor)
    assert outbox.quiet_since(cursor, 8.0) == []


def test_an_event_comes_after_the_files_before_it(cursor: Cursor) -> None:
    """Which are handed off with it; a second one of its kind brings about nothing, unless the first failed."""
    store(cursor, "a")
    made = outbox.event_came(cursor, S, "complete", "catalog", "", 2.0)
    assert [one.event for one in made] == ["settled", "complete"]
    assert [one.number for one in outbox.waiting(cursor)] == [one.number for one in made]
    assert outbox.event_came(cursor, S, "complete", "catalog", "", 3.0) == []
    note(cursor, made[1], FAILED)
    (again,) = outbox.event_came(cursor, S, "complete", "catalog", "", 4.0)

    assert again.id != made[1].id
    assert [one.type for one in outbox.event_came(cursor, S, "complete", "sale", "", 4.0)] == ["sale"]
    store(cursor, "b")
    assert [one.event for one in outbox.event_came(cursor, S, "complete", "catalog", "", 4.5)] == [
        "settled",
        "complete",
    ]
    (other,) = outbox.event_came(cursor, S, "deactivate", "catalog", "1700000000", 5.0)
    assert (other.event, other.timestamp, other.files) == ("deactivate", "1700000000", ())


def test_init_forgets_what_has_ended(cursor: Cursor) -> None:
    """And owes nothing any more; while something waits to be delivered, it is refused: its files must stay."""
    store(cursor, "a")
    ended = outbox.import_requested(cursor, S, "catalog", "a", "", 5, 2.0)
    note(cursor, ended, SUCCEEDED)
    (waiting,) = outbox.event_came(cursor, S, "complete", "catalog", "", 3.0)
    store(cursor, "b")
    with pytest.raises(HandoffRunning):
        statements.start_epoch(cursor, "s", 4.0)
    assert outbox.waiting(cursor) == [waiting]
    assert outbox.imported(cursor, "s", "a") is not None
    note(cursor, waiting, SUCCEEDED)
    statements.start_epoch(cursor, "s", 4.0)

    assert outbox.imported(cursor, "s", "a") is None
    assert not owed(cursor)
    with pytest.raises(SessionRestarted):
        outbox.import_requested(cursor, S, "catalog", "a", "", 5, 5.0)
    with pytest.raises(SessionRestarted):
        outbox.event_came(cursor, S, "complete", "catalog", "", 5.0)


def test_a_session_that_is_gone(cursor: Cursor) -> None:
    """Hands off nothing; what belonged to it went with it."""
    (event,) = outbox.event_came(cursor, S, "complete", "catalog", "", 2.0)
    assert not statements.remove_session(cursor, "s", 99.0, 99.0), "something waits to be delivered"
    note(cursor, event, SUCCEEDED)
    assert statements.remove_session(cursor, "s", 99.0, 99.0)

    assert cursor.execute("SELECT COUNT(*) FROM handoffs").fetchone() == (0,)
    with pytest.raises(InvalidSession):
        outbox.event_came(cursor, S, "complete", "catalog", "", 4.0)


def test_what_the_sweep_may_take(cursor: Cursor) -> None:
    """Sessions without files by their own time, imported ones by another, the rest never."""
    for number, sessid in enumerate(("kept", "failed", "waits", "owes", "empty"), 1):
        session = Session(sessid, "shop", 1, 0, 1.0)
        statements.open_session(cursor, sessid, sessid, "shop", 1.0)
        if sessid != "empty":
            statements.commit(cursor, session, "a", None, Written(5), QUOTA, 2.0)
        if sessid in ("kept", "failed", "waits"):
            handoff = outbox.import_requested(cursor, session, "catalog", "a", "", 5, 3.0)
            assert handoff.number == number
            if sessid != "waits":
                note(cursor, handoff, SUCCEEDED if sessid == "kept" else FAILED, now=10.0)
    statements.remove_session(cursor, "s", 99.0, 99.0)

    assert sorted(sessid for sessid, _ in statements.ended(cursor, 10.0, 10.5)) == ["empty", "kept"]
    assert sorted(sessid for sessid, _ in statements.ended(cursor, 10.5, 10.0)) == ["empty", "failed"]
    assert sorted(sessid for sessid, _ in statements.ended(cursor, 1.0, 10.5)) == ["kept"]
    assert sorted(sessid for sessid, _ in statements.ended(cursor, 99.0, 99.0)) == ["empty", "failed", "kept"]


@pytest.mark.parametrize("told", [False, True])
def test_a_failed_import_that_is_tried_again(cursor: Cursor, told: bool) -> None:
    """Brings back what its session had owed, unless the node has heard of the failure and sends it all anew."""
    store(cursor, "a.xml")
    store(cursor, "b.xml")
    handoff = outbox.import_requested(cursor, S, "catalog", "a.xml", "", 5, 2.0)
    note(cursor, handoff, FAILED)
    if told:
        outcomes.note_reported(cursor, handoff)
    assert not owed(cursor)
    again = outcomes.retry(cursor, handoff.id, 4.0)
    assert again is not None
    assert owed(cursor) is not told


@pytest.mark.parametrize("empty", ["SQLite"], indirect=True)
def test_no_statement_reads_a_whole_table_for_a_request(cursor: Cursor) -> None:
    """Whatever number of sessions, files and hand-offs is on record."""
    said: list[str] = []
    cursor.connection.set_trace_callback(said.append)
    store(cursor, "a")
    handoff = outbox.import_requested(cursor, S, "catalog", "a", "", 5, 2.0)
    outbox.imported(cursor, "s", "a")
    outbox.event_came(cursor, S, "complete", "catalog", "", 2.0)
    note(cursor, handoff, FAILED)
    outcomes.note_reported(cursor, handoff)
    outbox.waiting(cursor)
    outbox.unchanged(cursor, "s", "a")
    outbox.waiting_before(cursor, handoff)
    store(cursor, "b")
    newer = outbox.import_requested(cursor, S, "catalog", "b", "", 5, 2.0, 1)
    outcomes.note_outcome(cursor, evolve(newer, state=SUCCEEDED), 3.0, ("b",))
    contents.holders(cursor, "s", "a", 10)
    contents.amount(cursor, "s")
    cursor.connection.set_trace_callback(None)
    plans = [row[3] for sql in said for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")]

    assert [plan for plan in plans if plan.startswith("SCAN")] == []
