"""One writer per file."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from onec_twisted.ingest.locks import SILENCE, Turns
from onec_twisted.model.errors import BodyTimedOut, FileBusy, SessionRestarted, ShuttingDown
from onec_twisted.testing import FakeBody

LOCK_TIMEOUT = 30.0


@define(eq=False)
class Piece:
    """One piece that wants a file, and what became of it."""

    turns: Turns
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
        async with self.turns.of_file(self.sessid, self.name, self.body):
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

    turns: Turns
    state: str = "waiting"
    error: BaseException | None = None
    done: Deferred[None] = field(factory=Deferred)

    def start(self) -> Init:
        """Ask for the session."""
        Deferred.fromCoroutine(self._run()).addErrback(self._failed)
        return self

    async def _run(self) -> None:
        async with self.turns.of_session("s"):
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
def turns(time: Clock) -> Turns:
    """Turns that nobody has taken."""
    return Turns(time, LOCK_TIMEOUT)


def test_one_after_another_in_the_order_of_asking(turns: Turns, time: Clock) -> None:
    """Whole pieces, never two at once; nothing is remembered afterwards."""
    pieces = [Piece(turns).start() for _ in range(4)]
    for place, piece in enumerate(pieces):
        assert [one.state for one in pieces[place:]] == ["writing"] + ["waiting"] * (3 - place)
        assert turns.busy("s")
        piece.finish()

    assert [piece.state for piece in pieces] == ["written"] * 4
    assert not turns.busy("s")
    assert turns._sessions == {}
    assert time.getDelayedCalls() == []


def test_files_and_sessions_do_not_wait_for_each_other(turns: Turns) -> None:
    """Only equal names in one session do."""
    pieces = [Piece(turns, name, sessid).start() for name in "ab" for sessid in "st"]

    assert [piece.state for piece in pieces] == ["writing"] * 4
    for piece in pieces:
        piece.finish()


def test_a_turn_that_does_not_come(turns: Turns, time: Clock) -> None:
    """It is given up after the time-out; those behind it keep their place."""
    writing, gives_up = Piece(turns).start(), Piece(turns).start()
    time.advance(LOCK_TIMEOUT - 1)
    patient = Piece(turns).start()
    time.advance(1)
    assert isinstance(gives_up.error, FileBusy)
    assert patient.state == "waiting"
    writing.finish()

    assert patient.state == "writing"
    patient.finish()
    assert turns._sessions == {}
    assert time.getDelayedCalls() == []


def test_a_silent_writer_makes_way(turns: Turns, time: Clock) -> None:
    """Its client has gone, and the same piece may be waiting already."""
    silent = Piece(turns).start()
    silent.body.silent_for = SILENCE - 1
    waiting = Piece(turns).start()
    assert silent.state == "writing"
    silent.body.silent_for = SILENCE
    time.advance(1)

    assert isinstance(silent.error, BodyTimedOut)
    assert waiting.state == "writing"
    waiting.finish()
    assert time.getDelayedCalls() == []


def test_a_writer_that_brings_bytes_stays(turns: Turns, time: Clock) -> None:
    """However long it takes."""
    slow, waiting = Piece(turns).start(), Piece(turns).start()
    for _ in range(20):
        slow.body.silent_for = 1
        time.advance(1)
    assert (slow.state, waiting.state) == ("writing", "waiting")
    slow.finish()

    assert waiting.state == "writing"
    waiting.finish()


def test_a_writer_nobody_waits_for_may_be_silent(turns: Turns, time: Clock) -> None:
    """The idle time-out is another matter."""
    silent = Piece(turns).start()
    silent.body.silent_for = 10 * SILENCE
    time.advance(10 * SILENCE)

    assert silent.state == "writing"
    silent.finish()


def test_the_next_writer_is_watched_too(turns: Turns, time: Clock) -> None:
    """Two dead clients in front of a living one."""
    pieces = [Piece(turns).start() for _ in range(3)]
    for dead in pieces[:2]:
        dead.body.silent_for = SILENCE
        time.advance(SILENCE)

    assert [piece.state for piece in pieces] == ["failed", "failed", "writing"]
    pieces[2].finish()


def test_init_sends_everybody_away(turns: Turns, time: Clock) -> None:
    """Writers are dropped, those who wait as well; newcomers wait until the session is empty."""
    pieces = [Piece(turns, name).start() for name in "aab"]
    init = Init(turns).start()
    assert [piece.state for piece in pieces] == ["failed"] * 3
    assert all(isinstance(piece.error, SessionRestarted) for piece in pieces)
    assert init.state == "emptying"
    newcomer = Piece(turns).start()
    assert newcomer.state == "waiting"
    init.done.callback(None)

    assert (init.state, newcomer.state) == ("done", "writing")
    newcomer.finish()
    assert turns._sessions == {}
    assert time.getDelayedCalls() == []


def test_init_waits_for_a_piece_that_is_being_recorded(turns: Turns) -> None:
    """It is complete: too late to drop it."""
    recording = Piece(turns).start()
    recording.body.end()
    init = Init(turns).start()
    assert init.state == "waiting"
    recording.done.callback(None)

    assert (recording.state, init.state) == ("written", "emptying")
    init.done.callback(None)


def test_init_gives_up_too(turns: Turns, time: Clock) -> None:
    """A disk that hangs must not hold it for ever; the session goes on."""
    recording = Piece(turns).start()
    recording.body.end()
    init = Init(turns).start()
    time.advance(LOCK_TIMEOUT)
    assert isinstance(init.error, FileBusy)
    recording.done.callback(None)

    assert Piece(turns).start().state == "writing"


def test_init_finds_a_piece_that_passed_just_before_it(turns: Turns) -> None:
    """A piece and an ``init`` that wait behind another ``init``: in their order, never at the same time."""
    first = Init(turns).start()
    piece, second = Piece(turns).start(), Init(turns).start()
    assert (piece.state, second.state) == ("waiting", "waiting")
    first.done.callback(None)

    assert isinstance(piece.error, SessionRestarted)
    assert second.state == "emptying"
    second.done.callback(None)


def test_closing(turns: Turns, time: Clock) -> None:
    """Newcomers are sent away, those in flight may end or are dropped; then nobody is left."""
    writing, waiting, recording = Piece(turns).start(), Piece(turns).start(), Piece(turns, "b").start()
    recording.body.end()
    turns.close()
    idle = turns.idle()
    assert isinstance(Piece(turns, "c").start().error, ShuttingDown)
    turns.drop_all(ShuttingDown)
    assert isinstance(writing.error, ShuttingDown)
    assert isinstance(waiting.error, ShuttingDown)
    assert not idle.called
    recording.done.callback(None)

    assert recording.state == "written"
    assert idle.called
    assert turns.idle().called
    assert time.getDelayedCalls() == []


def test_init_touches_no_other_session(turns: Turns) -> None:
    """Sessions are each other's business no more than nodes are."""
    other = Piece(turns, sessid="t").start()
    init = Init(turns).start()

    assert (other.state, init.state) == ("writing", "emptying")
    other.finish()
    init.done.callback(None)
