"""What surrounds a step: the rest of it is tried with the statements."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import resumable
from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.statements import take_upload
from onec_twisted.cluster.transactions import BEFORE, ORDER_LOCK
from onec_twisted.model.records import Segment, Session, Written
from onec_twisted.model.uploads import RUFH, UploadRecord

if TYPE_CHECKING:
    import pytest

    from onec_twisted.cluster.postgresql import PostgreSQL

SESSID = "5" * 32
SESSION = Session(SESSID, "shop", 1, 0, 1.0)


def test_hand_offs_are_numbered_in_the_order_in_which_they_are_committed(
    database: PostgreSQL,
) -> None:
    """Another daemon is recording one of the same user: this one waits, or it would be delivered first."""
    written = Written(5, (Segment(0, 5, "key", b"d"),), b"d")
    database.record([(steps.open_session, (SESSID, "hash", "shop", 1.0))])
    database.record([(steps.commit, (SESSION, "a.xml", None, written, 100, 2.0, "catalog", "one"))])
    order = f"pg_advisory_xact_lock({ORDER_LOCK}, hashtext('shop'))"
    waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    with psycopg.connect(database.url) as other, psycopg.connect(database.url, autocommit=True) as looking:
        other.execute(f"SELECT {order}")
        asked = SESSION, "catalog", "a.xml", "", 5, 3.0
        recorded: list[Any] = []
        thread = threading.Thread(
            target=lambda: recorded.append(database.record([(outbox.import_requested, asked)])), daemon=True
        )
        thread.start()
        while looking.execute(waits).fetchone() == (0,):
            assert thread.is_alive()
        assert recorded == []
        other.rollback()
        thread.join(30)
    assert recorded[0][0].filename == "a.xml"


def test_what_was_told_stays(database: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another daemon counts a newer request and tells it the offset: no older one is recorded between."""
    upload = UploadRecord("u" * 32, "shop", SESSID, "a.xml", None, "", own=False, protocol=RUFH)
    database.record([(steps.open_session, (SESSID, "hash", "shop", 1.0))])
    database.record([(resumable.create, (upload, 1, 100, 1.0))])
    (older,) = database.record([(take_upload, (upload.id,))])
    written = Written(5, (Segment(0, 5, "key", b"d"),), b"d")
    check, told, threads = BEFORE[resumable.grow], [], []

    def look() -> None:
        database.record([(take_upload, (upload.id,))])
        told.append(database.read(resumable.find, upload.id).committed)

    def look_after(cursor: Any, *args: Any) -> None:
        check(cursor, *args)
        threads.append(threading.Thread(target=look, daemon=True))
        threads[0].start()
        threads[0].join(0.5)  # it is done, or waits for this transaction

    monkeypatch.setitem(BEFORE, resumable.grow, look_after)
    database.record([(resumable.grow, (SESSION, upload, None, written, 100, 2.0, None, older))])
    threads[0].join(30)
    assert told == [database.read(resumable.find, upload.id).committed]
