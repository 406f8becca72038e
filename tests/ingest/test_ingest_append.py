"""What is on the disk is what is on record, whatever goes wrong in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from twisted.internet.defer import Deferred

from onec_twisted.ingest.append import Growth
from onec_twisted.model.errors import SessionRestarted, SyncFailed
from onec_twisted.model.names import SafeName
from onec_twisted.testing import inline

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from in_memory import InMemory

    from onec_twisted.model.records import Session

NAME = SafeName(("a",))


@pytest.fixture
def session(exchange: InMemory) -> Session:
    """A session with a file of three bytes."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"abc", Cookie=cookie)
    known = exchange.catalog.recorder.known.of_sessid(sessid)
    assert known is not None
    return known.session


@pytest.fixture
def growth(exchange: InMemory) -> Growth:
    """Growth of the exchange's files."""
    return Growth(exchange.catalog.files, exchange.store, inline, exchange.parts.metrics)


def bring(exchange: InMemory, session: Session) -> Callable[[], int]:
    """Return a function that appends to the file."""

    def appended() -> int:
        file = exchange.store.open(session.sessid, NAME, 3)
        file.write([b"def"])
        file.finish()
        return 6

    return appended


def kept(growth: Growth, session: Session, brings: Callable[[], int], record: Any) -> list[Any]:
    """Return what became of it."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(growth.keep(session, NAME, brings, record)).addCallbacks(
        outcome.append, lambda failure: outcome.append(failure.value)
    )
    return outcome


def test_what_is_recorded_stays(exchange: InMemory, session: Session, growth: Growth) -> None:
    """And is timed."""
    before = exchange.metric("onec_sync_duration_seconds_count", target="file")
    commit = exchange.catalog.files.commit
    assert kept(
        growth, session, bring(exchange, session), lambda brings: commit(session, "a", 3, brings, 100, 1.0)
    ) == [6]
    assert exchange.files()[f"{session.sessid}/a"] == b"abcdef"
    assert exchange.metric("onec_sync_duration_seconds_count", target="file") == before + 1


def test_what_is_refused_is_cut_off(exchange: InMemory, session: Session, growth: Growth) -> None:
    """To what is on record."""

    async def refuse(brings: Callable[[], int]) -> None:
        brings()
        raise SessionRestarted

    (error,) = kept(growth, session, bring(exchange, session), refuse)
    assert isinstance(error, SessionRestarted)
    assert exchange.files()[f"{session.sessid}/a"] == b"abc"


def test_what_was_recorded_all_the_same_stays(exchange: InMemory, session: Session, growth: Growth) -> None:
    """The record has the last word."""

    async def record_and_fail(brings: Callable[[], int]) -> None:
        await exchange.catalog.files.commit(session, "a", 3, brings, 100, 1.0)
        raise ZeroDivisionError

    (error,) = kept(growth, session, bring(exchange, session), record_and_fail)
    assert isinstance(error, ZeroDivisionError)
    assert exchange.files()[f"{session.sessid}/a"] == b"abcdef"


def test_damage_is_recorded_and_told(
    exchange: InMemory, session: Session, growth: Growth, nothing_left_behind: list[dict[str, Any]]
) -> None:
    """Loudly."""
    Deferred.fromCoroutine(growth.damaged(session, NAME, SyncFailed()))
    known = exchange.catalog.recorder.known.of_sessid(session.sessid)
    assert known is not None
    assert known.files["a"].damaged
    assert nothing_left_behind[-1]["log_level"].name == "critical"
