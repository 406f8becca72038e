"""What becomes of hand-offs: a newer document supersedes the older ones of its name, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import outcomes
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Handoff, Session, Written

if TYPE_CHECKING:
    from sqlite3 import Cursor


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """An empty catalog."""
    return empty


def settled(cursor: Cursor, sessid: str, *names: str, user: str = "shop", exchange_type: str = "catalog") -> Handoff:
    """Hand off the files of a session of its own that nobody asked for."""
    session = Session(sessid, user, 1, 0, 1.0)
    statements.open_session(cursor, sessid, sessid, user, 1.0)
    for name in names:
        statements.commit(cursor, session, name, None, Written(5), 1000, 1.0, exchange_type)
    (handoff,) = outbox.settle(cursor, session, 2.0)
    return handoff


def note(cursor: Cursor, handoff: Handoff, state: str, *documents: str) -> list[Handoff]:
    """Put an outcome on record."""
    return outcomes.note_outcome(cursor, evolve(handoff, state=state, tries=1, words="no"), 3.0, documents)


def known(cursor: Cursor, handoff: Handoff) -> Handoff:
    """Return what is on record."""
    return outbox.where(cursor, "number = ?", handoff.number)[0]


def test_a_newer_document_supersedes_an_older_one(cursor: Cursor) -> None:
    """In whatever hand-off that was, if it failed; not those of other users, types and names, nor a younger one."""
    older = settled(cursor, "a", "import0_1.xml", "offers0_1.xml")
    others = [
        settled(cursor, "b", "import0_1.xml", user="other"),
        settled(cursor, "c", "import0_1.xml", exchange_type="sale"),
        settled(cursor, "d", "prices0_1.xml"),
    ]
    for one, names in (
        (older, ("import0_1.xml", "offers0_1.xml")),
        *((one, ("import0_1.xml",)) for one in others[:2]),
    ):
        note(cursor, one, FAILED, *names)
    note(cursor, others[2], FAILED, "prices0_1.xml")
    newer = settled(cursor, "e", "offers0_1.xml")
    newest = settled(cursor, "f", "offers0_1.xml")
    note(cursor, newest, FAILED, "offers0_1.xml")
    assert note(cursor, newer, SUCCEEDED, "offers0_1.xml") == []

    assert known(cursor, older).superseded
    assert known(cursor, older).words == "A newer offers0_1.xml was imported, so this one is not imported any more"
    assert not any(known(cursor, one).superseded for one in (*others, newest))
    with pytest.raises(outcomes.Superseded):
        outcomes.retry(cursor, older.id, 4.0)


def test_one_that_waits_again_is_superseded_too(cursor: Cursor) -> None:
    """It was tried again while the newer one was under way: it fails, and is returned."""
    older = settled(cursor, "a", "import0_1.xml")
    note(cursor, older, FAILED, "import0_1.xml")
    newer = settled(cursor, "b", "import0_1.xml")
    again = outcomes.retry(cursor, older.id, 4.0)
    assert again is not None
    assert (again.number, again.state) == (older.number, WAITING)
    assert outbox.waiting_before(cursor, newer) == [again]

    assert note(cursor, newer, SUCCEEDED, "import0_1.xml") == [known(cursor, older)]
    assert known(cursor, older).state == FAILED


def test_without_documents_nothing_is_superseded(cursor: Cursor) -> None:
    """Nor by a hand-off that is not at the site; and what became known of documents stays known."""
    older = settled(cursor, "a", "import0_1.xml")
    note(cursor, older, WAITING, "import0_1.xml")
    note(cursor, older, FAILED)
    for sessid, state, names in (("b", SUCCEEDED, ()), ("c", FAILED, ("import0_1.xml",))):
        note(cursor, settled(cursor, sessid, "import0_1.xml"), state, *names)
    assert not known(cursor, older).superseded
    note(cursor, settled(cursor, "d", "import0_1.xml"), SUCCEEDED, "import0_1.xml")

    assert known(cursor, older).superseded


def test_what_was_found_in_documents_is_looked_for_again(cursor: Cursor) -> None:
    """By one that waits again."""
    handoff = settled(cursor, "a", "import0_1.xml")
    outcomes.note_checked(cursor, handoff.id, "[]")
    assert outcomes.checked(cursor, handoff.id) == "[]"
    note(cursor, handoff, FAILED)
    again = outcomes.retry(cursor, handoff.id, 4.0)
    assert again is not None

    assert (again.checked, outcomes.checked(cursor, again.id), outcomes.checked(cursor, "x")) == ("", "", "")


def test_what_was_delivered_waits_again(cursor: Cursor) -> None:
    """Under another id and in its place; what waits or failed is left to others."""
    handoff = settled(cursor, "a", "import0_1.xml", "b.xml")
    assert outcomes.redeliver(cursor, handoff.id, 4.0) is None
    note(cursor, handoff, SUCCEEDED, "import0_1.xml")
    again = outcomes.redeliver(cursor, handoff.id, 4.0)

    assert again is not None
    assert again.id != handoff.id
    assert (again.number, again.state, again.tries) == (handoff.number, WAITING, 0)
    assert outcomes.redeliver(cursor, handoff.id, 5.0) is None


def test_an_older_document_is_not_delivered_again(cursor: Cursor) -> None:
    """After a newer one of its name the site must not get it."""
    older, newer = settled(cursor, "a", "import0_1.xml"), settled(cursor, "b", "import0_1.xml")
    for one in (older, newer):
        note(cursor, one, SUCCEEDED, "import0_1.xml")

    with pytest.raises(outcomes.Superseded):
        outcomes.redeliver(cursor, older.id, 4.0)
    assert outcomes.redeliver(cursor, newer.id, 4.0) is not None


@pytest.mark.parametrize("by_request", [True, False])
def test_files_that_are_gone_are_not_delivered_again(cursor: Cursor, by_request: bool) -> None:
    """The session was emptied since."""
    if by_request:
        session = Session("a", "shop", 1, 0, 1.0)
        statements.open_session(cursor, "a", "a", "shop", 1.0)
        statements.commit(cursor, session, "a.xml", None, Written(5), 1000, 1.0, "catalog")
        handoff = outbox.import_requested(cursor, session, "catalog", "a.xml", "", 5, 2.0)
    else:
        handoff = settled(cursor, "a", "a.xml")
    note(cursor, handoff, SUCCEEDED, "a.xml")
    cursor.execute("DELETE FROM files WHERE sessid = 'a'")

    assert outcomes.redeliver(cursor, handoff.id, 4.0) is None
