"""Records go to the disk in workers, and those that may wait go with others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from onec_twisted.catalog.cache import KnownSession
from onec_twisted.catalog.database import Database
from onec_twisted.catalog.preparation import create_catalog
from onec_twisted.catalog.recorder import Recorder
from onec_twisted.catalog.sql import sessions as statements
from onec_twisted.model.records import Session
from onec_twisted.runtime.metrics import Metrics
from onec_twisted.testing import LateWorkers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from onec_twisted.catalog.interfaces import Step

OPEN: Step = (statements.open_session, ("s", "hash", "shop", 1.0))


@pytest.fixture
def workers() -> LateWorkers:
    """Return workers that wait for the test."""
    return LateWorkers()


@pytest.fixture
def recorder(tmp_path: Path, workers: LateWorkers) -> Iterator[Recorder]:
    """Return a recorder with an empty database."""
    path = tmp_path / "exchange.sqlite3"
    create_catalog(path)
    recorder = Recorder(Database(path), workers, Metrics(), workers)
    yield recorder
    recorder.close()


def sessids(recorder: Recorder) -> list[str]:
    """Return the sessions on record."""
    rows = recorder.database.read(lambda cursor: cursor.execute("SELECT sessid FROM sessions").fetchall())
    return [sessid for (sessid,) in rows]


def test_what_waits_goes_with_the_next_record(recorder: Recorder, workers: LateWorkers) -> None:
    """It costs no hop, and no sync, of its own."""
    waited: Deferred[Any] = Deferred()
    recorder.record_later("s", (statements.touch, ("s", 9.0)), waited.callback)
    recorded = ensureDeferred(recorder.record("s", lambda: OPEN))
    assert not waited.called
    workers.run()

    assert workers.hops == 1
    assert waited.called
    assert recorded.called
    rows = recorder.database.read(lambda cursor: cursor.execute("SELECT touched FROM sessions").fetchall())
    assert rows == [(9.0,)]


def test_a_record_that_nobody_waits_for_any_more(recorder: Recorder, workers: LateWorkers) -> None:
    """Is made nevertheless, with what goes along; until then it is on its way, also for ``flush``."""
    waited: Deferred[Any] = Deferred()
    recorder.record_later("s", (statements.touch, ("s", 9.0)), waited.callback)
    recorded = ensureDeferred(recorder.record("s", lambda: OPEN))
    recorded.addErrback(lambda failure: failure.trap(CancelledError))
    recorded.cancel()
    flushed = recorder.flush()
    assert not waited.called
    assert not flushed.called
    with recorder.recorded_meanwhile() as meanwhile:
        assert meanwhile == {"s"}
    workers.run()

    assert waited.called
    assert waited.result is None
    assert flushed.called
    rows = recorder.database.read(lambda cursor: cursor.execute("SELECT touched FROM sessions").fetchall())
    assert rows == [(9.0,)]


def test_what_waits_is_recorded_when_asked_for(recorder: Recorder, workers: LateWorkers) -> None:
    """Nothing waits for ever."""
    waited: Deferred[Any] = Deferred()
    recorder.record_later("s", OPEN, waited.callback)
    flushed = recorder.flush()
    assert not flushed.called
    workers.run()

    assert waited.called
    assert flushed.called
    assert sessids(recorder) == ["s"]


def test_nothing_to_flush(recorder: Recorder) -> None:
    """Nobody waits then."""
    assert recorder.flush().called


def test_a_step_that_fails_makes_its_session_unknown(recorder: Recorder, workers: LateWorkers) -> None:
    """Nobody knows what is on record, so it is read again; what went along is recorded all the same."""
    recorder.known.add("hash", KnownSession(Session("s", "shop", 1, 0, 1.0)))
    waited: Deferred[Any] = Deferred()
    recorder.record_later("s", OPEN, waited.callback)

    def fail(_: object) -> None:
        raise ValueError

    failed = ensureDeferred(recorder.record("s", lambda: (fail, ())))
    workers.run()
    failed.addErrback(lambda failure: failure.trap(ValueError))

    assert waited.called
    assert recorder.known.of_sessid("s") is None
    assert sessids(recorder) == ["s"]


def test_records_on_their_way_are_told(recorder: Recorder, workers: LateWorkers) -> None:
    """Who reads meanwhile must not keep what was read."""
    recorded: Deferred[None] = ensureDeferred(recorder.record("before", lambda: (statements.nothing, ())))
    with recorder.recorded_meanwhile() as meanwhile:
        ensureDeferred(recorder.record("during", lambda: (statements.nothing, ())))
        assert meanwhile == {"before", "during"}
    workers.run()
    assert recorded.called
    with recorder.recorded_meanwhile() as later:
        assert later == set()


def test_whoever_waits_and_fails(recorder: Recorder, workers: LateWorkers) -> None:
    """Leaves nothing that a stop would wait for."""

    def fail(_: object) -> None:
        raise ValueError("boom")

    recorder.record_later("s", (statements.nothing, ()), fail)
    recorded = ensureDeferred(recorder.record("s", lambda: OPEN))
    recorded.addErrback(lambda failure: failure.trap(ValueError))
    workers.run()
    assert recorder.flush().called
