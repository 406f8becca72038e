"""Files on record: how far each has grown, and what is known of its last answer."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from records import QUOTA, length, make_catalog, now_of, opened, opened_late
from twisted.internet import defer

from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.errors import InsufficientStorage, InvalidSession, SessionRestarted
from onec_twisted.model.records import FileRecord, Session, Written
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from pathlib import Path

    from onec_twisted.catalog.catalog import Catalog


def test_a_file_grows_by_what_is_committed(catalog: Catalog) -> None:
    """The length, what the session holds, and when it was touched are recorded together."""
    session = opened(catalog)
    assert length(catalog, "s", "a") is None
    now_of(catalog.files.commit(session, "a", None, lambda: Written(0), QUOTA, 2.0))
    now_of(catalog.files.commit(session, "a", 0, lambda: Written(10), QUOTA, 3.0))
    now_of(catalog.files.commit(session, "b", None, lambda: Written(5), QUOTA, 4.0))

    assert length(catalog, "s", "a") == 10
    assert now_of(catalog.sessions.find("ss")) == Session("s", "shop", epoch=1, held=15, touched=4.0)


@pytest.mark.parametrize("before", [None, 10])
def test_a_piece_over_the_quota_is_not_recorded(catalog: Catalog, before: int | None) -> None:
    """Nothing changes."""
    session = opened(catalog)
    if before is not None:
        now_of(catalog.files.commit(session, "a", None, lambda: Written(before or 0), QUOTA, 2.0))
    with pytest.raises(InsufficientStorage):
        now_of(catalog.files.commit(session, "a", before, lambda: Written(QUOTA + 1), QUOTA, 3.0))

    assert length(catalog, "s", "a") == before


def test_a_piece_of_an_old_epoch_is_not_recorded(catalog: Catalog) -> None:
    """What was on its way when ``init`` came never appears."""
    session = opened(catalog)
    now_of(catalog.files.commit(session, "a", None, lambda: Written(10), QUOTA, 2.0))
    now_of(catalog.sessions.start_epoch("s", 3.0, 0))
    with pytest.raises(SessionRestarted):
        now_of(catalog.files.commit(session, "a", 10, lambda: Written(20), QUOTA, 4.0))

    assert length(catalog, "s", "a") is None
    assert now_of(catalog.sessions.find("ss")) == Session("s", "shop", epoch=2, held=0, touched=3.0)


def test_a_piece_of_a_session_that_is_gone_is_not_recorded(catalog: Catalog) -> None:
    """The sweep was quicker."""
    session = opened(catalog)
    assert now_of(catalog.sessions.remove("s", 9.0, 9.0))
    with pytest.raises(InvalidSession):
        now_of(catalog.files.commit(session, "a", None, lambda: Written(10), QUOTA, 4.0))


def test_a_second_writer_is_found_out(catalog: Catalog) -> None:
    """Turns see to it that there is none; if there were one, its piece would not be recorded."""
    session = opened(catalog)
    now_of(catalog.files.commit(session, "a", None, lambda: Written(10), QUOTA, 2.0))
    with pytest.raises(RuntimeError):
        now_of(catalog.files.commit(session, "a", 5, lambda: Written(20), QUOTA, 2.0))
    with pytest.raises(sqlite3.IntegrityError):
        now_of(catalog.files.commit(session, "a", None, lambda: Written(20), QUOTA, 2.0))

    assert length(catalog, "s", "a") == 10
    found = now_of(catalog.sessions.find("ss"))
    assert found is not None
    assert found.held == 10


def test_archives(catalog: Catalog) -> None:
    """By their names, and how long they are."""
    session = opened(catalog)
    other = opened(catalog, "t")
    now_of(catalog.files.commit(other, "x.ZIP", None, lambda: Written(1), QUOTA, 2.0))
    now_of(catalog.files.commit(session, "a.xml", None, lambda: Written(1), QUOTA, 2.0))

    assert now_of(catalog.files.archives("s", 10)) == {}
    assert now_of(catalog.files.archives("t", 10)) == {"x.ZIP": 1}


def test_damage_of_all(catalog: Catalog) -> None:
    """Of one session, in its epoch."""
    session, other = opened(catalog), opened(catalog, "t")
    for one in (session, other):
        now_of(catalog.files.commit(one, "a", None, lambda: Written(5), QUOTA, 2.0))
    now_of(catalog.files.damage_all(session))

    assert now_of(catalog.files.has_damaged("s"))
    assert not now_of(catalog.files.has_damaged("t"))


def prove(catalog: Catalog, session: Session, committed: int) -> None:
    """Record a proof, which waits for company until it is told not to."""
    proven: defer.Deferred[Any] = defer.Deferred()
    catalog.files.prove(session, "a", committed, proven.callback)
    assert not proven.called
    catalog.files.flush()
    now_of(proven)


def test_proof_and_damage(catalog: Catalog) -> None:
    """They belong to the file as it is now: a later piece or epoch has to prove itself."""
    session = opened(catalog)
    now_of(catalog.files.commit(session, "a", None, lambda: Written(5), QUOTA, 2.0))
    now_of(catalog.files.commit(session, "a", 5, lambda: Written(8), QUOTA, 2.0))
    prove(catalog, session, 5)
    assert now_of(catalog.files.find("s", "a")) == FileRecord(8, 5)
    prove(catalog, session, 8)
    assert now_of(catalog.files.find("s", "a")) == FileRecord(8, 5, proven=True)
    now_of(catalog.files.damage(session, "a"))
    now_of(catalog.files.commit(session, "a", 8, lambda: Written(9), QUOTA, 2.0))
    assert now_of(catalog.files.find("s", "a")) == FileRecord(9, 8, damaged=True)
    now_of(catalog.sessions.start_epoch("s", 3.0, 0))
    again = now_of(catalog.sessions.find("ss"))
    assert again is not None
    now_of(catalog.files.commit(again, "a", None, lambda: Written(9), QUOTA, 2.0))
    prove(catalog, session, 9)

    assert now_of(catalog.files.find("s", "a")) == FileRecord(9, 0)
    now_of(catalog.files.sync())


def test_a_full_disk(catalog: Catalog) -> None:
    """It is told as that, nothing is recorded, and the catalog works again when there is room."""
    session = opened(catalog)
    connection = catalog.recorder.database._records.connection  # type: ignore[attr-defined]
    assert connection is not None
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(InsufficientStorage):
        now_of(catalog.files.commit(session, "x" * 10_000, None, lambda: Written(1), QUOTA, 2.0))
    connection.execute("PRAGMA max_page_count = 1000000")
    now_of(catalog.files.commit(session, "x" * 10_000, None, lambda: Written(1), QUOTA, 2.0))

    assert length(catalog, "s", "x" * 10_000) == 1


def test_a_file_that_cannot_be_brought_to_the_disk_is_not_recorded(catalog: Catalog) -> None:
    """Its failure is told as it is."""
    session = opened(catalog)

    def cannot() -> Written:
        raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input"):
        now_of(catalog.files.commit(session, "b", None, cannot, QUOTA, 2.0))

    assert now_of(catalog.files.find("s", "b")) is None


def test_a_proof_does_not_wait_for_a_piece(path: Path) -> None:
    """One that is being brought to the disk may take seconds; the proof is on record before, and a flush waits."""
    workers, catalog, session = opened_late(path)
    committing = defer.ensureDeferred(catalog.files.commit(session, "a", None, lambda: Written(10), QUOTA, 2.0))
    workers.run()
    now_of(committing)
    proven: defer.Deferred[Any] = defer.Deferred()
    catalog.files.prove(session, "a", 10, proven.callback)
    seen: list[FileRecord | None] = []

    def slow() -> Written:
        seen.append(catalog.recorder.database.read(statements.file, "s", "a"))
        return Written(1)

    catalog.files.record_proofs()
    committing = defer.ensureDeferred(catalog.files.commit(session, "b", None, slow, QUOTA, 3.0))
    flushed = catalog.files.flush()
    assert not flushed.called
    workers.run()
    now_of(proven)
    now_of(committing)

    assert flushed.called
    assert seen == [FileRecord(10, 0, proven=True)]
    catalog.recorder.close()


def test_a_proof_that_cannot_be_recorded(path: Path) -> None:
    """Who waits for it is told, and nobody tries for ever."""

    class NoWorkers(LateWorkers):
        def __call__(self, *_: Any) -> Any:
            raise RuntimeError("can't start new thread")

    catalog = make_catalog(path, NoWorkers())  # type: ignore[arg-type]
    proven: defer.Deferred[Any] = defer.Deferred()
    catalog.files.prove(Session("s", "shop", 1, 0, 1.0), "a", 10, proven.callback)
    assert catalog.files.flush().called
    with pytest.raises(RuntimeError, match="thread"):
        now_of(proven)
