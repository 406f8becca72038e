"""What every piece needs: each statement does what the steps of ``catalog.sql`` do, and tells who was first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from onec_twisted.catalog.sql import contents, resumable
from onec_twisted.catalog.sql import handoffs as outbox
from onec_twisted.catalog.sql import sessions as steps
from onec_twisted.cluster.contents import segments_of
from onec_twisted.cluster.statements import confirm, take_answer, take_upload
from onec_twisted.ingest.daemons import Overtaken
from onec_twisted.model.errors import (
    FileDamaged,
    FileSealed,
    InsufficientStorage,
    InvalidSession,
    SessionRestarted,
    TooManySessions,
    UploadTakenOver,
    WrongOffset,
)
from onec_twisted.model.records import Epoch, FileRecord, Segment, Session, Written
from onec_twisted.model.uploads import UploadRecord

if TYPE_CHECKING:
    from collections.abc import Callable

    from onec_twisted.cluster.postgresql import PostgreSQL

SESSID = "5" * 32
SESSION = Session(SESSID, "shop", 1, 0, 1.0)
QUOTA = 100


def written(start: int, length: int, key: str = "") -> Written:
    """Return a piece of one segment."""
    return Written(start + length, (Segment(start, length, key or f"key {start}", b"d"),), b"%d" % length)


@pytest.fixture
def record(database: PostgreSQL) -> Callable[..., Any]:
    """Record a step, or raise what it raises; there is one session."""

    def record(step: Callable[..., Any], *args: Any) -> Any:
        (outcome,) = database.record([(step, args)])
        if hasattr(outcome, "raiseException"):
            outcome.raiseException()
        return outcome

    record(steps.open_session, SESSID, "hash", "shop", 1.0)
    return record


def held(database: PostgreSQL) -> int:
    """Return how many bytes the session holds."""
    found, _, _ = database.read(steps.session, "hash", 0)
    return int(found.held)


def test_a_session_with_a_file(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """One question has both, as the step of SQLite has; a file that is not there is none."""
    assert database.read(contents.session_and_file, "another hash", "a") is None
    assert database.read(contents.session_and_file, "hash", "a") == (SESSION, None)
    record(steps.commit, SESSION, "a", None, written(0, 5), QUOTA, 2.0, "catalog", "one")
    session, found = database.read(contents.session_and_file, "hash", "a")
    assert found == database.read(steps.file, SESSID, "a")
    assert session == database.read(steps.session, "hash", 0)[0]


def test_a_piece_takes_its_place(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """With its segments, its answer and its digest; then the next one follows it."""
    assert database.read(steps.file, SESSID, "a") is None
    record(steps.commit, SESSION, "a", None, written(0, 5), QUOTA, 2.0, "catalog", "one")
    assert database.read(steps.file, SESSID, "a") == FileRecord(5, 0, answer="one", digest=b"5")
    record(steps.commit, SESSION, "a", 5, written(5, 3), QUOTA, 3.0, "catalog", "two")

    assert database.read(steps.file, SESSID, "a") == FileRecord(8, 5, answer="two", digest=b"3")
    assert database.read(segments_of, SESSID, "a") == [Segment(0, 5, "key 0", b"d"), Segment(5, 3, "key 5", b"d")]
    assert held(database) == 8
    assert database.read(steps.session, "hash", 0)[0].touched == 3.0
    assert database.read(outbox.quiet_since, 9.0) != []


def test_the_order_of_files(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """Is that in which they were begun; an empty piece begins one, too."""
    for number, name in enumerate(("b", "a", "c")):
        record(steps.commit, SESSION, name, None, Written(0), QUOTA, 2.0, "catalog", f"answer {number}")
    places = database.using(lambda connection: connection.execute("SELECT name, place FROM files ORDER BY place"))
    assert places.fetchall() == [("b", 1), ("a", 2), ("c", 3)]


@pytest.mark.parametrize("before", [None, 5])
def test_who_comes_second_is_overtaken(database: PostgreSQL, record: Callable[..., Any], before: int | None) -> None:
    """Nothing of it is recorded, and it is told what was not."""
    if before:
        record(steps.commit, SESSION, "a", None, written(0, 5), QUOTA, 2.0, "catalog", "first")
    start = before or 0
    record(steps.commit, SESSION, "a", before, written(start, 3), QUOTA, 2.0, "catalog", "mine")
    theirs = written(start, 4, "other")
    with pytest.raises(Overtaken) as caught:
        record(steps.commit, SESSION, "a", before, theirs, QUOTA, 2.0, "catalog", "theirs")

    assert caught.value.written == theirs
    assert database.read(steps.file, SESSID, "a").answer == "mine"
    assert held(database) == start + 3


@pytest.mark.parametrize(
    ("refused", "prepare", "session", "quota"),
    [
        (InvalidSession, None, Session("6" * 32, "shop", 1, 0, 1.0), QUOTA),
        (SessionRestarted, None, Session(SESSID, "shop", 2, 0, 1.0), QUOTA),
        (InsufficientStorage, None, SESSION, 7),
        (FileDamaged, (steps.damage, SESSION, "a"), SESSION, QUOTA),
        (FileSealed, (outbox.import_requested, SESSION, "catalog", "a", "", 5, 2.0), SESSION, QUOTA),
    ],
)
def test_why_a_piece_is_refused(
    database: PostgreSQL, record: Callable[..., Any], refused: type[Exception], prepare: Any, session: Any, quota: int
) -> None:
    """In the words that one daemon has for it."""
    record(steps.commit, SESSION, "a", None, written(0, 5), QUOTA, 2.0, "catalog", "one")
    if prepare is not None:
        record(*prepare)
    with pytest.raises(refused):
        record(steps.commit, session, "a", 5, written(5, 3), quota, 2.0, "catalog", "two")

    assert held(database) == 5


def test_whose_answer_counts(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """That of the record's name: a proof of another changes nothing, and a proven one cannot be taken."""
    record(steps.commit, SESSION, "a", None, written(0, 5), QUOTA, 2.0, "catalog", "one")
    assert not record(take_answer, SESSION, "a", "other", "two")
    assert record(take_answer, SESSION, "a", "one", "two")
    record(steps.prove, SESSION, "a", 5, "one")
    assert not database.read(steps.file, SESSID, "a").proven
    record(steps.prove, SESSION, "a", 5, "two")
    assert database.read(steps.file, SESSID, "a").proven
    assert not record(take_answer, SESSION, "a", "two", "three")


def test_a_clock_that_is_behind(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """Does not make a session look unused."""
    record(steps.touch, SESSID, 9.0)
    record(confirm, SESSID, 5.0)
    assert database.read(steps.session, "hash", 0)[0].touched == 9.0


def test_init_forgets_the_segments(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """Of the epochs before; a session that ends has none."""
    record(steps.commit, SESSION, "a", None, written(0, 5), QUOTA, 2.0, "catalog", "one")
    assert record(steps.start_epoch, SESSID, 3.0, 0) == Epoch(2, SESSID)
    assert database.read(segments_of, SESSID, "a") == []
    second = Session(SESSID, "shop", 2, 0, 1.0)
    record(steps.commit, second, "a", None, written(0, 5, "new"), QUOTA, 2.0, "catalog", "two")
    assert [one.object for one in database.read(segments_of, SESSID, "a")] == ["new"]
    record(steps.end_session, SESSID)
    left = database.using(lambda connection: connection.execute("SELECT count(*) FROM segments").fetchone())
    assert left == (0,)


def test_a_late_init_empties_nothing(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """Its node has begun again at another daemon, and sent a piece since."""
    assert record(steps.start_epoch, SESSID, 3.0, 0, 1).number == 2
    second = Session(SESSID, "shop", 2, 0, 1.0)
    record(steps.commit, second, "a", None, written(0, 5), QUOTA, 3.0, "catalog", "one")
    with pytest.raises(SessionRestarted):
        record(steps.start_epoch, SESSID, 4.0, 0, 1)
    assert [one.object for one in database.read(segments_of, SESSID, "a")] == ["key 0"]
    record(steps.start_epoch, SESSID, 5.0, 0)
    assert database.read(segments_of, SESSID, "a") == []


def test_an_upload_has_segments_too(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """Until it is removed."""
    upload = UploadRecord("u", "shop", SESSID, "b", 10, "", own=False)
    record(resumable.create, upload, 1, QUOTA, 2.0)
    record(resumable.grow, SESSION, upload, None, written(0, 4), QUOTA, 2.0, None)
    record(resumable.grow, SESSION, upload, 4, written(4, 6), QUOTA, 2.0, None)
    assert [one.start for one in database.read(segments_of, SESSID, "b")] == [0, 4]
    assert record(resumable.remove, upload, 3.0)
    assert database.read(segments_of, SESSID, "b") == []


def test_the_newest_request_for_an_upload_counts(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """What an older one has received is not recorded, nor at another length than it began at."""
    upload = UploadRecord("u", "shop", SESSID, "b", 10, "", own=False)
    record(resumable.create, upload, 1, QUOTA, 2.0)
    older, newer = record(take_upload, "u"), record(take_upload, "u")
    assert (older, newer) == (1, 2)
    assert record(take_upload, "none") == 0
    with pytest.raises(UploadTakenOver):
        record(resumable.grow, SESSION, upload, None, written(0, 4), QUOTA, 2.0, None, older)
    record(resumable.grow, SESSION, upload, None, written(0, 4), QUOTA, 2.0, None, newer)
    with pytest.raises(WrongOffset):
        record(resumable.grow, SESSION, upload, None, written(0, 4, "late"), QUOTA, 2.0, None, newer)
    assert [one.object for one in database.read(segments_of, SESSID, "b")] == ["key 0"]


def test_the_number_of_sessions_is_exact(database: PostgreSQL, record: Callable[..., Any]) -> None:
    """Also when they are opened at once: see ``test_cluster_postgresql``."""
    with pytest.raises(TooManySessions):
        record(steps.open_session, "7" * 32, "another", "shop", 2.0, 1)
