"""What is on record of the objects of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cluster_relays import SESSID, Relaying

from onec_twisted.catalog.sql import sessions
from onec_twisted.cluster.contents import all_segments_of, epochs_of, files_of, on_record, segments_of
from onec_twisted.model.records import Segment

if TYPE_CHECKING:
    from onec_twisted.cluster.postgresql import PostgreSQL


def test_files_and_their_segments(database: PostgreSQL) -> None:
    """Of one file, or of all; nothing of a session that is not there."""
    daemon = Relaying(database)
    for name in ("b.xml", "a.xml"):
        daemon.sealed(name)
    segment = Segment(0, 5, f"{SESSID}/a.xml", b"d")
    assert database.read(segments_of, SESSID, "a.xml") == [segment]
    assert database.read(all_segments_of, SESSID) == {
        "a.xml": [segment],
        "b.xml": [Segment(0, 5, f"{SESSID}/b.xml", b"d")],
    }
    assert database.read(files_of, SESSID) == {"a.xml": 5, "b.xml": 5}
    other = "6" * 32
    assert database.read(all_segments_of, other) == database.read(files_of, other) == {}
    assert database.read(epochs_of, other) is None


def test_sessions_that_must_stay(database: PostgreSQL) -> None:
    """Those on record, and those of which something is kept; asked for all of them at once."""
    database.record([(sessions.open_session, ("a" * 32, "hash", "shop", 1.0))])
    database.using(
        lambda connection: connection.execute(
            "INSERT INTO kept (folder, sessid, size, changed) VALUES (%s, %s, 5, 1.0)", ("b" * 32, "b" * 32)
        )
    )
    asked = ["a" * 32, "b" * 32, "c" * 32]
    assert sorted(database.read(on_record, asked)) == asked[:2]
    assert database.read(on_record, []) == []
