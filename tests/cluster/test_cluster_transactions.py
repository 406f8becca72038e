"""What surrounds a step: the rest of it is tried with the statements."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg

from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.transactions import ORDER_LOCK
from onec_twisted.model.records import Segment, Session, Written

if TYPE_CHECKING:
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
