"""The frame around an append."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred

from onec_twisted.ingest.engine import Stored
from onec_twisted.model.errors import ConnectionDropped, FileBusy, Refused, SyncFailed, UploadTooSlow
from onec_twisted.model.names import SafeName
from onec_twisted.model.records import Session, Written
from onec_twisted.testing import FakeBody

if TYPE_CHECKING:
    from collections.abc import Callable

    from in_memory import InMemory
    from twisted.internet.task import Clock

SESSION = Session("0" * 32, "shop", 1, 0, 0.0)


class Busy(Refused):
    """Somebody else has the file."""


@define(eq=False)
class Appended:
    """An append that stores nothing, and notes what is asked of it."""

    fails: BaseException | None = None
    refuses: BaseException | None = None
    waits: Deferred[None] | None = None
    session: Session = SESSION
    name: SafeName = field(factory=lambda: SafeName(("a",)))
    body: Any = field(factory=lambda: FakeBody(3))
    busy: type[Refused] = FileBusy
    start: int = 0
    asked: list[Any] = field(factory=list)

    async def admit(self) -> AbstractContextManager[int]:
        """Promise ten bytes."""
        if self.refuses is not None:
            raise self.refuses
        return nullcontext(10)

    async def store(self, room: int) -> Stored:
        """Note the room."""
        self.asked.append(room)
        if self.waits is not None:
            await self.waits
        if self.fails is not None:
            raise self.fails
        return Stored(3, None, "stored")

    async def commit(self, write: Callable[[], Written]) -> None:
        """Record nothing."""

    async def broke_off(self, error: BaseException) -> None:
        """Note why."""
        self.asked.append(error)


def taken(exchange: InMemory, append: Appended) -> list[Any]:
    """Return what becomes of an append."""
    outcome: list[Any] = []
    Deferred.fromCoroutine(exchange.parts.ingest.take(append)).addCallbacks(
        outcome.append, lambda failure: outcome.append(failure.value)
    )
    return outcome


def test_one_that_is_stored(exchange: InMemory) -> None:
    """It has its room, is counted, and is known no more."""
    append = Appended()
    assert taken(exchange, append) == [Stored(3, None, "stored")]
    assert append.asked == [10]
    assert exchange.metric("onec_pieces_total", outcome="stored") == 1
    assert len(exchange.parts.ingest.transfers) == 0


@pytest.mark.parametrize(
    ("error", "accepted", "outcome"),
    [
        (UploadTooSlow(), 0, "refused"),
        (ConnectionDropped(), 0, "broken"),
        (ConnectionDropped(), 2, "partial"),
        (ZeroDivisionError(), 0, "failed"),
    ],
)
def test_one_that_fails(exchange: InMemory, error: BaseException, accepted: int, outcome: str) -> None:
    """It is told so, and counted by what has become of it."""
    append = Appended(fails=error)
    append.body.accepted = accepted
    assert taken(exchange, append) == [error]
    assert append.asked == [10, error]
    assert exchange.metric("onec_pieces_total", outcome=outcome) == 1
    assert len(exchange.parts.ingest.transfers) == 0
    assert not exchange.parts.locks.busy(SESSION.sessid)


def test_one_that_has_no_room(exchange: InMemory) -> None:
    """It was never on its way, so it did not break off."""
    refused = UploadTooSlow()
    append = Appended(refuses=refused)
    assert taken(exchange, append) == [refused]
    assert append.asked == []
    assert exchange.metric("onec_pieces_total", outcome="refused") == 1


def test_one_after_the_other(exchange: InMemory, clock: Clock) -> None:
    """A file's lock is waited for, for a limited time; each protocol has its own words for that."""
    first = Appended(waits=Deferred())
    outcome = taken(exchange, first)
    late = taken(exchange, Appended(busy=Busy))
    assert exchange.parts.ingest.transfers.waiting() == 1
    clock.advance(30)
    assert isinstance(late[0], Busy)
    assert first.waits is not None
    first.waits.callback(None)
    assert outcome == [Stored(3, None, "stored")]


def test_damage_is_recorded_and_reported(exchange: InMemory, nothing_left_behind: list[dict[str, Any]]) -> None:
    """The file is refused from now on, and a critical event names it."""
    cookie, sessid = exchange.checkauth()
    exchange.request("POST", f"type=catalog&mode=file&filename=a&sessid={sessid}", b"abc", Cookie=cookie)
    known = exchange.catalog.recorder.known.of_sessid(sessid)
    assert known is not None
    Deferred.fromCoroutine(exchange.parts.ingest.note_damage(known.session, SafeName(("a",)), SyncFailed()))
    assert known.files["a"].damaged
    event = nothing_left_behind[-1]
    assert (event["log_level"].name, event["name"], event["error"]) == ("critical", "a", "SyncFailed")
