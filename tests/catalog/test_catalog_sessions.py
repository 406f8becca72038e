"""Sessions on record, and who is answered from memory."""

from __future__ import annotations

import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest
from records import QUOTA, length, make_catalog, now_of, opened, opened_late
from twisted.internet import defer

from onec_twisted.catalog.cache import NothingKnown
from onec_twisted.catalog.catalog import Catalog
from onec_twisted.catalog.database import Database
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.model.errors import InsufficientStorage
from onec_twisted.model.records import FileRecord, Session, Written
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_session_is_found_by_its_token(catalog: Catalog) -> None:
    """And by nothing else."""
    session = opened(catalog)

    assert session == Session("s", "shop", epoch=1, held=0, touched=1.0)
    assert now_of(catalog.sessions.find("s")) is None


def test_the_token_is_not_in_the_database(catalog: Catalog, path: Path) -> None:
    """Whoever reads a copy of the database cannot take a session over; and only we may read it."""
    now_of(catalog.sessions.open("s", "top-secret-token", "shop", 1.0))
    dump = b"".join(one.read_bytes() for one in path.parent.iterdir())

    assert b"top-secret-token" not in dump
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}


def test_who_is_untouched(catalog: Catalog) -> None:
    """A session that was touched since is not among them."""
    opened(catalog, "old", 1.0)
    opened(catalog, "new", 1.0)
    now_of(catalog.sessions.touch("new", 10.0))

    assert now_of(catalog.sessions.ended(5.0, 0.0)) == [("old", "shop")]
    assert now_of(catalog.sessions.unknown(["old", "lost", "new"])) == ["lost"]


def test_a_session_that_was_touched_meanwhile_is_not_removed(catalog: Catalog) -> None:
    """Neither it nor its files."""
    session = opened(catalog)
    now_of(catalog.files.commit(session, "a", None, lambda: Written(5), QUOTA, 8.0))

    assert not now_of(catalog.sessions.remove("s", 8.0, 8.0))
    assert length(catalog, "s", "a") == 5


def test_a_session_in_use_is_answered_from_memory(path: Path) -> None:
    """After its first request nothing is asked of the database; what fails is read anew."""
    workers, catalog, session = opened_late(path)
    assert now_of(catalog.files.find("s", "a")) is None
    assert workers.hops == 1

    committing = defer.ensureDeferred(
        catalog.files.commit(session, "a", None, lambda: Written(QUOTA + 1), QUOTA, 2.0)
    )
    workers.run()
    with pytest.raises(InsufficientStorage):
        now_of(committing)
    reading = defer.ensureDeferred(catalog.sessions.find("ss"))
    workers.run()
    assert now_of(reading) == session
    assert workers.hops == 3
    catalog.recorder.close()


def test_what_is_read_while_it_is_written_is_not_kept(path: Path) -> None:
    """It may be older than what is recorded: the next request reads it again."""
    first = make_catalog(path)
    session = opened(first)
    first.recorder.close()
    workers = LateWorkers()
    catalog = make_catalog(path, workers)
    reading = defer.ensureDeferred(catalog.sessions.find("ss"))
    committing = defer.ensureDeferred(catalog.files.commit(session, "a", None, lambda: Written(10), QUOTA, 2.0))
    workers.run()
    assert now_of(reading) == session
    now_of(committing)
    again = defer.ensureDeferred(catalog.sessions.find("ss"))
    workers.run()
    assert now_of(again) == Session("s", "shop", epoch=1, held=10, touched=2.0)
    assert now_of(catalog.files.find("s", "a")) == FileRecord(10, 0)
    catalog.recorder.close()


def test_who_asks_first_goes_on_first(path: Path) -> None:
    """Requests that come while a session is read wait for the same reading, and keep their order."""
    first = make_catalog(path)
    session = opened(first)
    first.recorder.close()
    workers = LateWorkers()
    catalog = make_catalog(path, workers)
    order: list[tuple[int, Session | None]] = []

    async def ask(number: int) -> None:
        order.append((number, await catalog.sessions.find("ss")))

    for number in range(3):
        defer.ensureDeferred(ask(number))
    assert workers.hops == 1
    workers.run()

    assert order == [(number, session) for number in range(3)]
    catalog.recorder.close()


def test_a_session_that_cannot_be_read(tmp_path: Path) -> None:
    """All who wait hear of it, and the next one tries again."""
    workers = LateWorkers()
    catalog = make_catalog(tmp_path / "nowhere" / "catalog.sqlite3", workers)
    outcomes: list[Any] = []
    for _ in range(2):
        defer.ensureDeferred(catalog.sessions.find("ss")).addErrback(outcomes.append)
    workers.run()
    defer.ensureDeferred(catalog.sessions.find("ss")).addErrback(outcomes.append)
    workers.run()

    assert [outcome.type for outcome in outcomes] == [sqlite3.OperationalError] * 3


def test_who_is_in_is_asked_beside_what_requests_ask(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all sessions: of 100,000 that takes 0.4 s, and is asked again and again."""
    opened(catalog)
    monkeypatch.delattr(type(catalog.recorder.database), "read")

    assert now_of(catalog.sessions.users()) == ["shop"]
    assert now_of(catalog.sessions.of_user("shop")) == ["s"]


@pytest.fixture
def shared(path: Path) -> Iterator[tuple[LateWorkers, Catalog]]:
    """A catalog that keeps nothing in memory, as one of several daemons, with workers that wait for the test."""
    workers = LateWorkers()
    catalog = Catalog(Recorder(Database(path), workers, Metrics(), workers, known=NothingKnown()))
    opening = defer.ensureDeferred(catalog.sessions.open("s", "token", "shop", 1.0))
    workers.run()
    now_of(opening)
    yield workers, catalog
    catalog.recorder.close()


def done(workers: LateWorkers, waiting: Any) -> Any:
    """Let the workers work until it is done; return its outcome."""
    waiting = defer.ensureDeferred(waiting)
    while not waiting.called:
        workers.run()
    return now_of(waiting)


def test_a_session_and_a_file_are_one_question(shared: tuple[LateWorkers, Catalog]) -> None:
    """For whoever asks first; the next one asks the database, and so does one whose file has changed."""
    workers, catalog = shared
    session = done(workers, catalog.sessions.find("token", b"a"))
    before = workers.hops
    assert done(workers, catalog.files.find("s", "a")) is None
    assert workers.hops == before
    assert done(workers, catalog.files.find("s", "a")) is None
    assert workers.hops == before + 1

    done(workers, catalog.sessions.find("token", b"a"))
    done(workers, catalog.files.commit(session, "a", None, lambda: Written(5), QUOTA, 2.0))
    assert done(workers, catalog.files.find("s", "a")) == FileRecord(5, 0)


def test_a_file_that_changes_while_it_is_read(shared: tuple[LateWorkers, Catalog]) -> None:
    """What was read is not kept: who would use it would be overtaken for nothing."""
    workers, catalog = shared
    session = done(workers, catalog.sessions.find("token"))
    finding = defer.ensureDeferred(catalog.sessions.find("token", b"a"))
    committing = defer.ensureDeferred(catalog.files.commit(session, "a", None, lambda: Written(5), QUOTA, 2.0))
    workers.run()
    assert now_of(finding) == session
    now_of(committing)
    assert done(workers, catalog.files.find("s", "a")) == FileRecord(5, 0)


@pytest.mark.parametrize("name", [b"../a", b"", b"."])
def test_a_name_that_will_be_refused(shared: tuple[LateWorkers, Catalog], name: bytes) -> None:
    """Is not asked for: the session is found all the same."""
    workers, catalog = shared
    assert done(workers, catalog.sessions.find("token", name)).sessid == "s"
