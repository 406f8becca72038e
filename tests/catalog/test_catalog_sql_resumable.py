"""Uploads on record, with the files and sessions that they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import outcomes, uploads
from onec_twisted.catalog.sql import resumable as statements
from onec_twisted.catalog.sql import sessions as core
from onec_twisted.catalog.sql.overview import summary
from onec_twisted.model.errors import (
    FileBegun,
    FileBusy,
    FileSealed,
    FileTooLarge,
    HandoffRunning,
    InvalidLength,
    InvalidSession,
    SessionRestarted,
    TooManySessions,
    UploadGone,
    UploadOpen,
)
from onec_twisted.model.journal import UNKNOWN_SENDER
from onec_twisted.model.records import FAILED, SUCCEEDED, Session, Written
from onec_twisted.model.uploads import COMPLETE, GONE, OPEN, RUFH, UploadRecord

if TYPE_CHECKING:
    import sqlite3

    from onec_twisted.model.records import Handoff

QUOTA = 100
NOBODY: frozenset[str] = frozenset()
OWN = UploadRecord("u1", "shop", "s1", "a.xml", 10, "", own=True)
SHARED = UploadRecord("u2", "shop", "s2", "a.xml", 10, "", own=False)
SESSION = Session("s2", "shop", 1, 0, 1.0)


@pytest.fixture
def cursor(empty: sqlite3.Cursor) -> sqlite3.Cursor:
    """An empty catalog with one session."""
    core.open_session(empty, "s2", "hash", "shop", 1.0)
    return empty


def state(cursor: sqlite3.Cursor, upload: UploadRecord) -> str:
    """Return an upload's state."""
    found = statements.find(cursor, upload.id)
    assert found is not None
    return found.upload.state


def piece(cursor: sqlite3.Cursor, before: int | None, after: int) -> None:
    """Let a node's file grow."""
    core.commit(cursor, SESSION, "a.xml", before, Written(after), QUOTA, 2.0)


def grow(
    cursor: sqlite3.Cursor, before: int | None, after: int, metadata: dict[str, str] | None = None
) -> Handoff | None:
    """Let the upload of a session grow."""
    return statements.grow(cursor, SESSION, SHARED, before, Written(after), QUOTA, 2.0, metadata)


def test_one_with_a_session_of_its_own(cursor: sqlite3.Cursor) -> None:
    """Both are on record, or neither."""
    made = statements.create_with_session(cursor, OWN, "h", QUOTA, 5.0, 0, UNKNOWN_SENDER)
    assert statements.find(cursor, "u1") == made
    assert made.session == Session("s1", "shop", 1, 0, 5.0)
    assert made.file is None
    with pytest.raises(TooManySessions):
        statements.create_with_session(cursor, evolve(OWN, id="u3", sessid="s3"), "g", QUOTA, 5.0, 2, UNKNOWN_SENDER)
    with pytest.raises(FileTooLarge):
        statements.create_with_session(
            cursor, evolve(OWN, id="u3", sessid="s3", length=101), "g", QUOTA, 5.0, 0, UNKNOWN_SENDER
        )
    assert statements.find(cursor, "u3") is None
    assert summary(cursor).unfinished == 1


def test_one_in_a_session(cursor: sqlite3.Cursor) -> None:
    """It goes on where the file is."""
    piece(cursor, None, 4)
    made = statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    assert made.committed == 4
    found = statements.find(cursor, "u2")
    assert found is not None
    assert found.upload == SHARED
    assert found.committed == 4
    assert found.session is not None
    assert found.session.touched == 5.0


@pytest.mark.parametrize(
    ("upload", "epoch", "reason"),
    [
        (evolve(SHARED, sessid="none"), 1, InvalidSession),
        (SHARED, 2, SessionRestarted),
        (evolve(SHARED, length=3), 1, InvalidLength),
        (evolve(SHARED, length=101), 1, FileTooLarge),
    ],
)
def test_one_that_cannot_be(
    cursor: sqlite3.Cursor, upload: UploadRecord, epoch: int, reason: type[Exception]
) -> None:
    """Nothing is recorded."""
    piece(cursor, None, 4)
    with pytest.raises(reason):
        statements.create(cursor, upload, epoch, QUOTA, 5.0)
    assert summary(cursor).unfinished == 0


def test_two_of_one_name(cursor: sqlite3.Cursor) -> None:
    """The first goes when it has brought nothing, and stays otherwise."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    second = evolve(SHARED, id="u3")
    statements.create(cursor, second, 1, QUOTA, 6.0)
    assert statements.find(cursor, SHARED.id) is None
    statements.grow(cursor, SESSION, second, None, Written(5), QUOTA, 7.0, None)
    with pytest.raises(UploadOpen):
        statements.create(cursor, evolve(SHARED, id="u4"), 1, QUOTA, 8.0)
    assert state(cursor, second) == OPEN


def test_growing(cursor: sqlite3.Cursor) -> None:
    """The file's length is the upload's; nobody owes the site half a file, and no answer has to be proven."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    assert grow(cursor, None, 4) is None
    record = core.file(cursor, "s2", "a.xml")
    assert record is not None
    assert (record.committed, record.proven, record.sealed) == (4, True, False)
    assert outbox.quiet_since(cursor, 99.0) == []
    handoff = grow(cursor, 4, 10, {"ключ": "значение"})
    assert handoff is not None
    assert (handoff.event, handoff.filename, handoff.files) == ("upload", "a.xml", (("a.xml", 10),))
    assert handoff.metadata == '{"ключ": "значение"}'
    assert state(cursor, SHARED) == COMPLETE
    record = core.file(cursor, "s2", "a.xml")
    assert record is not None
    assert record.sealed
    assert outbox.imported(cursor, "s2", "a.xml") == handoff
    with pytest.raises(UploadGone):
        grow(cursor, 10, 10, {})


def test_what_1c_owes_is_owed_all_the_same(cursor: sqlite3.Cursor) -> None:
    """A request of tus takes nothing of that away."""
    piece(cursor, None, 4)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, 4, 6)
    assert [session.sessid for session in outbox.quiet_since(cursor, 99.0)] == ["s2"]


@pytest.mark.parametrize(("length", "settles"), [(10, False), (None, False), (4, True)])
def test_a_quiet_session_hands_off_what_is_whole(cursor: sqlite3.Cursor, length: int | None, settles: bool) -> None:
    """Half an upload is for nobody; one that 1C has ended is for the site."""
    statements.create(cursor, evolve(SHARED, length=length), 1, QUOTA, 1.0)
    piece(cursor, None, 4)
    (session,) = outbox.quiet_since(cursor, 99.0)
    assert len(outbox.settle(cursor, session, 99.0)) == settles


def test_a_file_that_1c_has_had_imported(cursor: sqlite3.Cursor) -> None:
    """Does not grow."""
    piece(cursor, None, 4)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    outbox.import_requested(cursor, SESSION, "catalog", "a.xml", "", 4, 6.0)
    with pytest.raises(FileSealed):
        grow(cursor, 4, 6)


def test_the_length_is_told_with_the_bytes(cursor: sqlite3.Cursor) -> None:
    """And is on record with them."""
    statements.create(cursor, evolve(SHARED, length=None), 1, QUOTA, 5.0)
    statements.grow(cursor, SESSION, evolve(SHARED, length=7), None, Written(3), QUOTA, 6.0, None)
    found = statements.find(cursor, "u2")
    assert found is not None
    assert found.upload.length == 7


def test_removing(cursor: sqlite3.Cursor) -> None:
    """The file is forgotten, its room is free, and that there was an upload is remembered."""
    core.commit(cursor, SESSION, "b", None, Written(3), QUOTA, 2.0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    assert statements.remove(cursor, SHARED, 6.0)
    assert core.file(cursor, "s2", "a.xml") is None
    with pytest.raises(UploadGone):
        statements.remove(cursor, SHARED, 6.0)
    assert state(cursor, SHARED) == GONE
    cursor.execute("SELECT held FROM sessions WHERE sessid = 's2'")
    assert cursor.fetchone() == (3,)


def test_removing_what_is_being_delivered(cursor: sqlite3.Cursor) -> None:
    """Is for later."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 10, {})
    with pytest.raises(HandoffRunning):
        statements.remove(cursor, SHARED, 6.0)


@pytest.mark.parametrize("before", [True, False])
def test_removing_leaves_what_a_node_has_brought(cursor: sqlite3.Cursor, before: bool) -> None:
    """It was told that this is there."""
    if before:
        piece(cursor, None, 3)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, 3 if before else None, 4)
    if not before:
        piece(cursor, 4, 6)
    assert not statements.remove(cursor, SHARED, 6.0)
    assert core.file(cursor, "s2", "a.xml") is not None
    assert state(cursor, SHARED) == GONE


def test_removing_forgets_what_became_of_the_file(cursor: sqlite3.Cursor) -> None:
    """Another of its name is imported anew, and nobody can try the old one again."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    handoff = grow(cursor, None, 10, {})
    assert handoff is not None
    outcomes.note_outcome(cursor, evolve(handoff, state=FAILED), 6.0)
    assert statements.remove(cursor, SHARED, 7.0)
    assert outbox.imported(cursor, "s2", "a.xml") is None
    assert outcomes.retry(cursor, handoff.id, 8.0) is None


def test_removing_is_nothing_to_others(cursor: sqlite3.Cursor) -> None:
    """What is being delivered of the same session does not keep it."""
    core.commit(cursor, SESSION, "b", None, Written(3), QUOTA, 2.0)
    outbox.import_requested(cursor, SESSION, "catalog", "b", "", 3, 3.0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    assert statements.remove(cursor, SHARED, 6.0)


def test_removing_what_was_handed_off_with_others(cursor: sqlite3.Cursor) -> None:
    """Cannot be: the site was told of all that lie in an archive."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    complete = grow(cursor, None, 10, {})
    assert complete is not None
    asked = outbox.import_requested(cursor, SESSION, "catalog", "b.xml", "a.xml", 10, 6.0)
    for handoff in (complete, asked):
        outcomes.note_outcome(cursor, evolve(handoff, state=SUCCEEDED), 100.0)
    with pytest.raises(FileSealed):
        statements.remove(cursor, SHARED, 101.0)


def test_a_request_that_brings_nothing(cursor: sqlite3.Cursor) -> None:
    """Leaves a node's last piece as it was: its repeat is still known as one."""
    piece(cursor, None, 4)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    before = core.file(cursor, "s2", "a.xml")
    assert grow(cursor, 4, 4) is None
    assert core.file(cursor, "s2", "a.xml") == before


def test_what_a_node_has_brought_is_owed_until_the_upload_ends(cursor: sqlite3.Cursor) -> None:
    """It is handed off when nobody goes on with it."""
    piece(cursor, None, 4)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    (session,) = outbox.quiet_since(cursor, 99.0)
    assert outbox.settle(cursor, session, 99.0) == []
    (session,) = outbox.quiet_since(cursor, 99.0)
    uploads.expire(cursor, 50.0, 0.0, NOBODY)
    assert state(cursor, SHARED) == GONE
    (handoff,) = outbox.settle(cursor, session, 99.0)
    assert outbox.files_of(cursor, handoff) == [("a.xml", 4)]
    assert outbox.quiet_since(cursor, 99.0) == []


def settled(cursor: sqlite3.Cursor) -> list[str]:
    """Hand a quiet session off; return the names."""
    return [
        name
        for session in outbox.quiet_since(cursor, 99.0)
        for handoff in outbox.settle(cursor, session, 99.0)
        for name, _ in outbox.files_of(cursor, handoff)
    ]


def test_half_an_upload_is_not_handed_off_when_it_has_expired(cursor: sqlite3.Cursor) -> None:
    """Though the session is, for what a node has sent; nor is it when another upload goes on, or has expired, too."""
    core.commit(cursor, SESSION, "b.xml", None, Written(3), QUOTA, 2.0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    uploads.expire(cursor, 50.0, 0.0, NOBODY)
    second = evolve(SHARED, id="u3")
    statements.create(cursor, second, 1, QUOTA, 60.0)
    statements.grow(cursor, SESSION, second, 4, Written(6), QUOTA, 61.0, None)
    assert settled(cursor) == ["b.xml"]
    assert outbox.quiet_since(cursor, 99.0) == [], "no node has sent any of the other one"
    core.commit(cursor, SESSION, "c.xml", None, Written(3), QUOTA, 62.0)
    uploads.expire(cursor, 90.0, 90.0, NOBODY)
    assert settled(cursor) == ["c.xml"], "half a file stays half a file, also when its uploads are forgotten"
    assert statements.find(cursor, second.id) is None


def test_a_node_that_goes_on_with_half_an_upload_has_it_handed_off(cursor: sqlite3.Cursor) -> None:
    """It is the node's then."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    uploads.expire(cursor, 50.0, 0.0, NOBODY)
    piece(cursor, 4, 8)
    assert settled(cursor) == ["a.xml"]


@pytest.mark.parametrize("ends", ["removed", "init"])
def test_a_node_that_sends_a_file_of_the_same_size_has_it_handed_off(cursor: sqlite3.Cursor, ends: str) -> None:
    """What an upload had brought of a file that is gone says nothing of the next one."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    if ends == "removed":
        assert statements.remove(cursor, SHARED, 6.0)
        session = SESSION
    else:
        session = evolve(SESSION, epoch=core.start_epoch(cursor, "s2", 6.0).number)
    core.commit(cursor, session, "a.xml", None, Written(4), QUOTA, 7.0)
    assert settled(cursor) == ["a.xml"]


def test_an_empty_file_of_a_node_is_handed_off(cursor: sqlite3.Cursor) -> None:
    """When the upload that would have gone on with it has expired."""
    piece(cursor, None, 0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    assert settled(cursor) == []
    uploads.expire(cursor, 50.0, 0.0, NOBODY)
    assert settled(cursor) == ["a.xml"]


def test_an_empty_file_of_a_node_stays(cursor: sqlite3.Cursor) -> None:
    """When the upload that would have gone on with it is removed."""
    piece(cursor, None, 0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    assert not statements.remove(cursor, SHARED, 6.0)
    assert core.file(cursor, "s2", "a.xml") is not None


def test_an_empty_beginning_of_an_upload_is_not_handed_off(cursor: sqlite3.Cursor) -> None:
    """It is half of something as well."""
    core.commit(cursor, SESSION, "b.xml", None, Written(3), QUOTA, 2.0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 0)
    uploads.expire(cursor, 50.0, 0.0, NOBODY)
    assert settled(cursor) == ["b.xml"]


def test_removing_what_two_uploads_have_brought(cursor: sqlite3.Cursor) -> None:
    """The first has expired, and nobody else wants its bytes; the site is waited for as ever."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    uploads.expire(cursor, 50.0, 0.0, NOBODY)
    second = evolve(SHARED, id="u3")
    statements.create(cursor, second, 1, QUOTA, 60.0)
    handoff = statements.grow(cursor, SESSION, second, 4, Written(10), QUOTA, 61.0, {})
    assert handoff is not None
    with pytest.raises(HandoffRunning):
        statements.remove(cursor, second, 62.0)
    outcomes.note_outcome(cursor, evolve(handoff, state=SUCCEEDED), 63.0)
    assert statements.remove(cursor, second, 64.0)
    session = core.session_of(cursor, "s2")
    assert session is not None
    assert session.held == 0


def test_half_an_upload_is_no_document_that_a_node_has_still_to_ask_for(cursor: sqlite3.Cursor) -> None:
    """So it makes no session one that owes."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    core.commit(cursor, SESSION, "b.xml", None, Written(3), QUOTA, 6.0)
    outbox.import_requested(cursor, SESSION, "catalog", "b.xml", "", 3, 7.0)
    assert outbox.quiet_since(cursor, 99.0) == []


def test_one_whose_session_is_in_use_does_not_expire(cursor: sqlite3.Cursor) -> None:
    """Somebody brings it."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    uploads.expire(cursor, 50.0, 0.0, frozenset({"s2"}))
    assert state(cursor, SHARED) == OPEN


def test_one_that_was_outgrown_does_not_keep_the_name(cursor: sqlite3.Cursor) -> None:
    """Its client can do no more with it."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    grow(cursor, None, 4)
    with pytest.raises(UploadOpen):
        statements.create(cursor, evolve(SHARED, id="u3"), 1, QUOTA, 6.0)
    piece(cursor, 4, 11)
    statements.create(cursor, evolve(SHARED, id="u3", length=20), 1, QUOTA, 6.0)
    assert state(cursor, SHARED) == GONE


def test_a_session_stays_for_what_is_unfinished(cursor: sqlite3.Cursor) -> None:
    """Though all that was handed off has been kept long enough."""
    core.commit(cursor, SESSION, "b", None, Written(3), QUOTA, 2.0)
    handoff = outbox.import_requested(cursor, SESSION, "catalog", "b", "", 3, 3.0)
    outcomes.note_outcome(cursor, evolve(handoff, state=SUCCEEDED), 4.0)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    assert core.ended(cursor, 5.0, 50.0) == []
    statements.remove(cursor, SHARED, 6.0)
    assert [sessid for sessid, _ in core.ended(cursor, 5.0, 50.0)] == ["s2"]


def test_a_session_that_goes_takes_its_uploads(cursor: sqlite3.Cursor) -> None:
    """They are remembered for a while from its last use on, then forgotten."""
    statements.create_with_session(cursor, OWN, "h", QUOTA, 5.0, 0, UNKNOWN_SENDER)
    assert core.remove_session(cursor, "s1", 6.0, 6.0)
    assert state(cursor, OWN) == GONE
    uploads.expire(cursor, 0.0, 5.0, NOBODY)
    assert state(cursor, OWN) == GONE
    uploads.expire(cursor, 0.0, 5.1, NOBODY)
    assert statements.find(cursor, "u1") is None


def test_an_epoch_that_begins_ends_them(cursor: sqlite3.Cursor) -> None:
    """Their files are gone."""
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    core.start_epoch(cursor, "s2", 7.0)
    assert state(cursor, SHARED) == GONE


@pytest.mark.parametrize("empty", ["SQLite"], indirect=True)
def test_what_a_request_costs_does_not_grow(cursor: sqlite3.Cursor) -> None:
    """With uploads on record: each statement finds its rows by a key."""
    said: list[str] = []
    cursor.connection.set_trace_callback(said.append)
    statements.create(cursor, SHARED, 1, QUOTA, 5.0)
    statements.create_with_session(cursor, OWN, "h", QUOTA, 5.0, 10, UNKNOWN_SENDER)
    statements.find(cursor, "u2")
    grow(cursor, None, 4)
    grow(cursor, 4, 10, {})
    uploads.expire(cursor, 1.0, 1.0, NOBODY)
    cursor.connection.set_trace_callback(None)
    plans = [row[3] for sql in said for row in cursor.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert len(said) >= 15
    assert [plan for plan in plans if plan.startswith("SCAN")] == []


def test_one_by_rufh_begins_its_file(cursor: sqlite3.Cursor) -> None:
    """A node was first, if only at another daemon: nothing is recorded."""
    piece(cursor, None, 5)
    with pytest.raises(FileBegun):
        statements.create(cursor, evolve(SHARED, protocol=RUFH), 1, QUOTA, 3.0)
    assert statements.find(cursor, "u2") is None


def test_an_import_waits_for_one_by_rufh(cursor: sqlite3.Cursor) -> None:
    """Not for one that has brought nothing, nor for one by tus, whose length says when it is all."""
    statements.create(cursor, evolve(SHARED, protocol=RUFH), 1, QUOTA, 3.0)
    uploads.check_import(cursor, "s2", "a.xml")
    statements.grow(cursor, SESSION, evolve(SHARED, protocol=RUFH), None, Written(5), QUOTA, 3.0, None)
    with pytest.raises(FileBusy):
        uploads.check_import(cursor, "s2", "a.xml")
    uploads.check_import(cursor, "s2", "b.xml")
    cursor.execute("UPDATE uploads SET protocol = 'tus'")
    uploads.check_import(cursor, "s2", "a.xml")
