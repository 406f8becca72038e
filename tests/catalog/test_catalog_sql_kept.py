"""Folders of earlier epochs: what was imported is kept in them, as long as there is room, and for its time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from onec_twisted.catalog.sql import contents, kept, outcomes
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.records import FAILED, SUCCEEDED, Epoch, KeptFolder, Session, Written

if TYPE_CHECKING:
    from sqlite3 import Cursor


@pytest.fixture
def cursor(empty: Cursor) -> Cursor:
    """A catalog with one session."""
    statements.open_session(empty, "s", "hash", "shop", 1.0)
    return empty


def imported(cursor: Cursor, epoch: int, now: float, state: str = SUCCEEDED) -> None:
    """Have a file imported that has five bytes."""
    session = Session("s", "shop", epoch, 0, 1.0)
    statements.commit(cursor, session, "a", None, Written(5), 1000, now)
    handoff = outbox.import_requested(cursor, session, "catalog", "a", "", 5, now)
    outcomes.note_outcome(cursor, evolve(handoff, state=state, tries=1), now)


def folders(cursor: Cursor) -> list[str]:
    """Return the folders that are kept."""
    return [folder for (folder,) in cursor.execute("SELECT folder FROM kept ORDER BY changed")]


def test_what_was_imported_keeps_its_folder(cursor: Cursor) -> None:
    """The session gets another one, until it has nothing imported: then it stays in that."""
    imported(cursor, 1, 2.0)
    assert statements.start_epoch(cursor, "s", 3.0, 100) == Epoch(2, "s.2", has_moved=True)
    assert statements.start_epoch(cursor, "s", 4.0, 100) == Epoch(3, "s.2")
    imported(cursor, 3, 5.0, FAILED)
    assert statements.start_epoch(cursor, "s", 6.0, 100) == Epoch(4, "s.2")
    imported(cursor, 4, 7.0)
    assert statements.start_epoch(cursor, "s", 8.0, 100) == Epoch(5, "s.5", has_moved=True)

    assert folders(cursor) == ["s", "s.2"]
    assert contents.moved(cursor) == {"s": "s.5"}
    some = ["s", "s.2", "s.3", "s.5", "t", "t.2"]
    assert statements.unknown(cursor, some) == ["s.3", "t", "t.2"]


def test_an_event_alone_keeps_nothing(cursor: Cursor) -> None:
    """It has no files."""
    (handoff,) = outbox.event_came(cursor, Session("s", "shop", 1, 0, 1.0), "complete", "catalog", "", 2.0)
    outcomes.note_outcome(cursor, evolve(handoff, state=SUCCEEDED), 3.0)

    assert statements.start_epoch(cursor, "s", 4.0, 100) == Epoch(2, "s")


def test_the_oldest_go_when_there_is_no_room(cursor: Cursor) -> None:
    """Before the younger ones, and all of them before something is kept for which there is no room at all."""
    for epoch in (1, 2, 3):
        imported(cursor, epoch, float(epoch))
        begun = statements.start_epoch(cursor, "s", float(epoch), 10)
    assert (begun.outdated, folders(cursor)) == (("s",), ["s.2", "s.3"])
    imported(cursor, 4, 4.0)

    assert statements.start_epoch(cursor, "s", 5.0, 4) == Epoch(5, "s.4", outdated=("s.2", "s.3"))
    assert folders(cursor) == []


def test_there_are_only_so_many(cursor: Cursor, monkeypatch: pytest.MonkeyPatch) -> None:
    """However small they are."""
    monkeypatch.setattr(kept, "MOST_KEPT", 2)
    for epoch in (1, 2, 3):
        imported(cursor, epoch, float(epoch))
        statements.start_epoch(cursor, "s", float(epoch), 1000)

    assert folders(cursor) == ["s.2", "s.3"]


def test_each_has_its_time(cursor: Cursor) -> None:
    """Since its last import; the session need not be there any more."""
    for epoch in (1, 2):
        imported(cursor, epoch, float(epoch))
        statements.start_epoch(cursor, "s", 9.0, 1000)
    statements.end_session(cursor, "s")
    assert kept.kept_since(cursor, 1.0) == []
    assert kept.kept_since(cursor, 2.0) == [KeptFolder("s", 1.0, "shop")]
    kept.forget(cursor, ["s"])
    assert statements.unknown(cursor, ["s", "s.2", "s.3"]) == ["s", "s.3"]
    assert [one.folder for one in kept.kept_since(cursor, 3.0)] == ["s.2"]
