"""What is on the disk is what is on record, whatever goes wrong in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define
from twisted.internet.defer import Deferred

from onec_twisted.ingest.append import commit_body
from onec_twisted.ingest.writers import BufferedWriter
from onec_twisted.model.errors import SessionRestarted
from onec_twisted.model.names import SafeName
from onec_twisted.testing import FakeBody, inline

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from in_memory import InMemory

    from onec_twisted.model.records import Session, Written

NAME = SafeName(("a",))


@pytest.fixture
def session(exchange: InMemory) -> Session:
    """A session with a file of three bytes."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"abc", Cookie=cookie)
    known = exchange.catalog.recorder.known.of_sessid(sessid)
    assert known is not None
    return known.session


@define(eq=False)
class Appended:
    """An append of three bytes to the file, with a record of the test's own."""

    session: Session
    commit: Callable[[Callable[[], Written]], Any]
    name: SafeName = NAME
    start: int = 3


def committed(exchange: InMemory, session: Session, commit: Callable[[Callable[[], Written]], Any]) -> list[Any]:
    """Append to the file; return what became of it."""
    outcome: list[Any] = []
    append: Any = Appended(session, commit)
    writer = BufferedWriter(FakeBody(), inline, lambda: exchange.store.open(session, NAME, 3))
    writer.write(b"def")
    Deferred.fromCoroutine(commit_body(exchange.parts.ingest, append, writer, writer.write_rest)).addCallbacks(
        outcome.append, lambda failure: outcome.append(failure.value)
    )
    return outcome


def test_what_is_recorded_stays(exchange: InMemory, session: Session) -> None:
    """And is timed."""
    before = exchange.metric("onec_sync_duration_seconds_count", target="file")
    commit = exchange.catalog.files.commit
    lengths: list[int] = []

    async def record(write: Callable[[], Written]) -> None:
        lengths.append(await commit(session, "a", 3, write, 100, 1.0))

    assert committed(exchange, session, record) == [None]
    assert lengths == [6]
    assert exchange.files()[f"{session.sessid}/a"] == b"abcdef"
    assert exchange.metric("onec_sync_duration_seconds_count", target="file") == before + 1


def test_what_is_refused_is_cut_off(exchange: InMemory, session: Session) -> None:
    """To what is on record."""

    async def refuse(write: Callable[[], Written]) -> None:
        write()
        raise SessionRestarted

    (error,) = committed(exchange, session, refuse)
    assert isinstance(error, SessionRestarted)
    assert exchange.files()[f"{session.sessid}/a"] == b"abc"


def test_what_was_recorded_all_the_same_stays(exchange: InMemory, session: Session) -> None:
    """The record has the last word."""

    async def record_and_fail(write: Callable[[], Written]) -> None:
        await exchange.catalog.files.commit(session, "a", 3, write, 100, 1.0)
        raise ZeroDivisionError

    (error,) = committed(exchange, session, record_and_fail)
    assert isinstance(error, ZeroDivisionError)
    assert exchange.files()[f"{session.sessid}/a"] == b"abcdef"
