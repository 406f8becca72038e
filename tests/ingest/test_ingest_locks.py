"""One writer per file."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from onec_twisted.ingest.locks import SILENCE_LIMIT, FileLocks
from onec_twisted.model.errors import BodyTimedOut, FileBusy, SessionRestarted, ShuttingDown
from onec_twisted.testing import FakeBody

LOCK_TIMEOUT = 30.0


@define(eq=False)
class Piece:
    """One piece that wants a file, and what became of it."""

    locks: FileLocks
    name: str = "a"
    sessid: str = "s"
    body: FakeBody = field(factory=FakeBody)
    state: str = "waiting"
    error: BaseException | None = None
    done: Deferred[None] = field(factory=Deferred)

    def start(self) -> Piece:
        """Ask for the turn."""
        Deferred.fromCoroutine(self._run()).addErrback(self._failed)
        return self

    async def _run(self) -> None:
        async with self.locks.of_file(self.sessid, self.name, self.body):
            self.state = "writing"
            await self.body.stream_to(None, 0, ValueError())  # type: ignore[arg-type]
            await self.done
        self.state = "written"

    def _failed(self, failure: Any) -> None:
        self.state, self.error = "failed", failure.value

    def finish(self) -> None:
        """Write all of it, record it, and let go."""
        self.body.end()
        self.done.callback(None)


@define(eq=False)
class Init:
    """An ``init`` that wants a session, and what became of it."""

    locks: FileLocks
    state: str = "waiting"
    error: BaseException | None = None
    done: Deferred[None] = field(factory=Deferred)

    def start(self) -> Init:
        """Ask for the session."""
        Deferred.fromCoroutine(self._run()).addErrback(self._failed)
        return self

    async def _run(self) -> None:
        async with self.locks.of_session("s"):
            self.state = "emptying"
            await self.done
        self.state = "done"

    def _failed(self, failure: Any) -> None:
        self.state, self.error = "failed", failure.value


@pytest.fixture
def time() -> Clock:
    """The clock of the turns."""
    return Clock()


@pytest.fixture
def locks(time: Clock) -> FileLocks:
    """Turns that nobody has taken."""
    return FileLocks(time, LOCK_TIMEOUT)


def test_one_after_another_in_the_order_of_asking(locks: FileLocks, time: Clock) -> None:
    """Whole pieces, never two at once; nothing is remembered afterwards."""
    pieces = [Piece(locks).start() for _ in range(4)]
    for place, piece in enumerate(pieces):
        assert [one.state for one in pieces[place:]] == ["writing"] + ["waiting"] * (3 - place)
        assert locks.busy("s")
        piece.finish()

    assert [piece.state for piece in pieces] == ["written"] * 4
    assert not locks.busy("s")
    assert locks._sessions == {}
    assert time.getDelayedCalls() == []


def test_files_and_sessions_do_not_wait_for_each_other(locks: FileLocks) -> None:
    """Only equal names in one session do."""
    pieces = [Piece(locks, name, sessid).start() for name in "ab" for sessid in "st"]

    assert [piece.state for piece in pieces] == ["writing"] * 4
    for piece in pieces:
        piece.finish()


def test_a_turn_that_does_not_come(locks: FileLocks, time: Clock) -> None:
    """It is given up after the time-out; those behind it keep their place."""
    writing, gives_up = Piece(locks).start(), Piece(locks).start()
    time.advance(LOCK_TIMEOUT - 1)
    patient = Piece(locks).start()
    time.advance(1)
    assert isinstance(gives_up.error, FileBusy)
    assert patient.state == "waiting"
    writing.finish()

    assert patient.state == "writing"
    patient.finish()
    assert locks._sessions == {}
    assert time.getDelayedCalls() == []


def test_a_silent_writer_makes_way(locks: FileLocks, time: Clock) -> None:
    """Its client has gone, and the same piece may be waiting already."""
    silent = Piece(locks).start()
    silent.body.silent_for = SILENCE_LIMIT - 1
    waiting = Piece(locks).start()
    assert silent.state == "writing"
    silent.body.silent_for = SILENCE_LIMIT
    time.advance(1)

    assert isinstance(silent.error, BodyTimedOut)
    assert waiting.state == "writing"
    waiting.finish()
    assert time.getDelayedCalls() == []


def test_a_writer_that_brings_bytes_stays(locks: FileLocks, time: Clock) -> None:
    """However long it takes."""
    slow, waiting = Piece(locks).start(), Piece(locks).start()
    for _ in range(20):
        slow.body.silent_for = 1
        time.advance(1)
    assert (slow.state, waiting.state) == ("writing", "waiting")
    slow.finish()

    assert waiting.state == "writing"
    waiting.finish()


def test_a_writer_nobody_waits_for_may_be_silent(locks: FileLocks, time: Clock) -> None:
    """The idle time-out is another matter."""
    silent = Piece(locks).start()
    silent.body.silent_for = 10 * SILENCE_LIMIT
    time.advance(10 * SILENCE_LIMIT)

    assert silent.state == "writing"
    silent.finish()


def test_the_next_writer_is_watched_too(locks: FileLocks, time: Clock) -> None:
    """Two dead clients in front of a living one."""
    pieces = [Piece(locks).start() for _ in range(3)]
    for dead in pieces[:2]:
        dead.body.silent_for = SILENCE_LIMIT
        time.advance(SILENCE_LIMIT)

    assert [piece.state for piece in pieces] == ["failed", "failed", "writing"]
    pieces[2].finish()


def test_init_sends_everybody_away(locks: FileLocks, time: Clock) -> None:
    """Writers are dropped, those who wait as well; newcomers wait until the session is empty."""
    pieces = [Piece(locks, name).start() for name in "aab"]
    init = Init(locks).start()
    assert [piece.state for piece in pieces] == ["failed"] * 3
    assert all(isinstance(piece.error, SessionRestarted) for piece in pieces)
    assert init.state == "emptying"
    newcomer = Piece(locks).start()
    assert newcomer.state == "waiting"
    init.done.callback(None)

    assert (init.state, newcomer.state) == ("done", "writing")
    newcomer.finish()
    assert locks._sessions == {}
    assert time.getDelayedCalls() == []


def test_init_waits_for_a_piece_that_is_being_recorded(locks: FileLocks) -> None:
    """It is complete: too late to drop it."""
    recording = Piece(locks).start()
    recording.body.end()
    init = Init(locks).start()
    assert init.state == "waiting"
    recording.done.callback(None)

    assert (recording.state, init.state) == ("written", "emptying")
    init.done.callback(None)


def test_init_gives_up_too(locks: FileLocks, time: Clock) -> None:
    """A disk that hangs must not hold it for ever; the session goes on."""
    recording = Piece(locks).start()
    recording.body.end()
    init = Init(locks).start()
    time.advance(LOCK_TIMEOUT)
    assert isinstance(init.error, FileBusy)
    recording.done.callback(None)

    assert Piece(locks).start().state == "writing"


def test_init_finds_a_piece_that_passed_just_before_it(locks: FileLocks) -> None:
    """A piece and an ``init`` that wait behind another ``init``: in their order, never at the same time."""
    first = Init(locks).start()
    piece, second = Piece(locks).start(), Init(locks).start()
    assert (piece.state, second.state) == ("waiting", "waiting")
    first.done.callback(None)

    assert isinstance(piece.error, SessionRestarted)
    assert second.state == "emptying"
    second.done.callback(None)


def test_closing(locks: FileLocks, time: Clock) -> None:
    """Newcomers are sent away, those in flight may end or are dropped; then nobody is left."""
    writing, waiting, recording = Piece(locks).start(), Piece(locks).start(), Piece(locks, "b").start()
    recording.body.end()
    locks.close()
    idle = locks.idle()
    assert isinstance(Piece(locks, "c").start().error, ShuttingDown)
    locks.drop_all(ShuttingDown)
    assert isinstance(writing.error, ShuttingDown)
    assert isinstance(waiting.error, ShuttingDown)
    assert not idle.called
    recording.done.callback(None)

    assert recording.state == "written"
    assert idle.called
    assert locks.idle().called
    assert time.getDelayedCalls() == []


def test_init_touches_no_other_session(locks: FileLocks) -> None:
    """Sessions are each other's business no more than nodes are."""
    other = Piece(locks, sessid="t").start()
    init = Init(locks).start()

    assert (other.state, init.state) == ("writing", "emptying")
    other.finish()
    init.done.callback(None)
