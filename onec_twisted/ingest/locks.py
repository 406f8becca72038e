"""One writer per file: a lock for each file in use, removed when nobody needs it.

A later piece waits for the lock for a limited time. While a piece waits, a writer whose sender has fallen silent is
dropped: its client has most likely gone, and the waiting piece may be the same one, sent again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet import defer
from twisted.internet.defer import Deferred

from onec_twisted.model.errors import BodyTimedOut, FileBusy, SessionRestarted, ShuttingDown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.http.interfaces import IBody
    from onec_twisted.model.errors import Refused

__all__ = ["FileLocks"]

SILENCE_LIMIT = 5.0
"""Seconds that a writer may receive nothing while another waits."""


@define(eq=False)
class _Lock:
    """Held by one at a time, in the order of requests: a ``DeferredLock`` that makes no Deferred while it is free."""

    is_held: bool = field(default=False, init=False)
    waiting: list[Deferred[None]] = field(factory=list, init=False)

    def take(self) -> Deferred[None] | None:
        """Take it, and return None if it was free; otherwise return a Deferred that fires when it is taken."""
        if not self.is_held:
            self.is_held = True
            return None
        turn: Deferred[None] = Deferred(self.waiting.remove)
        self.waiting.append(turn)
        return turn

    def release(self) -> None:
        """Pass it on to the one who has waited longest."""
        if self.waiting:
            self.waiting.pop(0).callback(None)
        else:
            self.is_held = False


@define(eq=False)
class _File(_Lock):
    """A file that has a writer, or waiters."""

    writer: IBody | None = None
    wanted: int = 0
    patrol: IDelayedCall | None = None


@define(eq=False)
class _Session(_Lock):
    """A session in use; it is held while ``init`` or the sweep empties it."""

    files: dict[str, _File] = field(factory=dict)
    wanted: int = 0
    reason: type[Refused] = SessionRestarted
    """The refusal raised for waiters that are turned away."""


@define(eq=False)
class _Turn:
    """The turn of one piece at a file, for a block of ``async with``."""

    locks: FileLocks
    sessid: str
    name: str
    writer: IBody | None
    busy: type[Refused]
    _session: _Session = field(init=False)
    _file: _File = field(init=False)

    async def __aenter__(self) -> None:
        """Wait for the turn."""
        locks = self.locks
        deadline = locks.clock.seconds() + locks.lock_timeout
        session = self._session = locks.enter(self.sessid)
        try:
            passes = session.is_held
            if passes:
                await locks.wait(session.take(), deadline, session, self.busy)
            file = self._file = session.files.setdefault(self.name, _File())
            file.wanted += 1
            turn = file.take()
            if turn is None:
                file.writer = self.writer
            if passes:
                session.release()  # resumes the next waiter at once: by now this piece is in the file's queue
            if turn is None:
                return
            try:
                locks.look(file)
                await locks.wait(turn, deadline, session, self.busy)
                file.writer = self.writer
                locks.look(file)
            except BaseException:
                self._leave_file()
                raise
        except BaseException:
            locks.leave(self.sessid)
            raise

    async def __aexit__(self, *_: object) -> None:
        """Pass the file on."""
        self._file.writer = None
        self._file.release()
        self._leave_file()
        self.locks.leave(self.sessid)

    def _leave_file(self) -> None:
        file = self._file
        file.wanted -= 1
        if not file.wanted:
            del self._session.files[self.name]
            if file.patrol is not None:
                file.patrol.cancel()


@define(eq=False)
class FileLocks:
    """The locks of all files in use. ``lock_timeout`` and ``silence`` are in seconds of ``clock``."""

    clock: IReactorTime
    lock_timeout: float
    silence: float = SILENCE_LIMIT
    _sessions: dict[str, _Session] = field(factory=dict, init=False)
    closed: bool = field(default=False, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    def busy(self, sessid: str) -> bool:
        """Return whether the session has writers or waiters."""
        return sessid in self._sessions

    def busy_sessions(self) -> frozenset[str]:
        """Return the sessids of all sessions that have writers or waiters."""
        return frozenset(self._sessions)

    def close(self) -> None:
        """Reject newcomers with ``ShuttingDown`` from now on."""
        self.closed = True

    def idle(self) -> Deferred[None]:
        """Return a Deferred that fires when there are no writers and no waiters."""
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        self._fire_idle()
        return idle

    def drop_all(self, reason: type[BaseException]) -> None:
        """Drop every writer with an instance of ``reason``; keep pieces that are complete and only being recorded.

        Call it only after ``close``.
        """
        for session in list(self._sessions.values()):
            for waiting in list(session.waiting):
                waiting.cancel()
            for file in list(session.files.values()):
                for waiting in list(file.waiting):
                    waiting.cancel()
                if file.writer is not None:
                    file.writer.drop(reason())

    def _fire_idle(self) -> None:
        while self._idle and not self._sessions:
            self._idle.pop().callback(None)

    def of_file(
        self, sessid: str, name: str, writer: IBody | None, busy: type[Refused] = FileBusy
    ) -> AbstractAsyncContextManager[None]:
        """Lock a file, in the order of requests; a holder without a ``writer`` writes nothing and is never dropped.

        Raises ``busy`` when waiting times out, ``SessionRestarted`` when the session is emptied in the meantime.
        """
        return _Turn(self, sessid, name, writer, busy)

    @asynccontextmanager
    async def of_session(
        self, sessid: str, reason: type[Refused] = SessionRestarted, busy: type[Refused] = FileBusy
    ) -> AsyncIterator[None]:
        """Lock a whole session: writers are dropped and rolled back, waiters are turned away, both with ``reason``.

        Waits for pieces that are complete and only being recorded. Newcomers wait. Raises ``busy`` when that takes
        longer than the lock's time-out.
        """
        deadline = self.clock.seconds() + self.lock_timeout
        session = self.enter(sessid)
        try:
            await self.wait(session.take(), deadline, session, busy)
            try:
                session.reason = reason
                for file in list(session.files.values()):
                    for waiting in list(file.waiting):
                        waiting.cancel()
                    if file.writer is not None:
                        file.writer.drop(reason())
                for file in list(session.files.values()):
                    await self.wait(file.take(), deadline, session, busy)
                    file.release()
                yield
            finally:
                session.release()
        finally:
            self.leave(sessid)

    def enter(self, sessid: str) -> _Session:
        """Return a session, which stays the same until ``leave``. Raises ``ShuttingDown``."""
        if self.closed:
            raise ShuttingDown
        session = self._sessions.get(sessid)
        if session is None:
            session = self._sessions[sessid] = _Session()
        session.wanted += 1
        return session

    def leave(self, sessid: str) -> None:
        """Remove a session after the last one of those who have entered it."""
        session = self._sessions[sessid]
        session.wanted -= 1
        if not session.wanted:
            del self._sessions[sessid]
            self._fire_idle()

    async def wait(
        self, turn: Deferred[None] | None, deadline: float, session: _Session, busy: type[Refused]
    ) -> None:
        """Wait for what ``take`` of a lock has returned, until ``deadline`` by the clock."""
        if turn is None:
            return
        turn.addTimeout(max(0.0, deadline - self.clock.seconds()), self.clock)
        try:
            await turn
        except defer.TimeoutError:
            raise busy from None
        except defer.CancelledError:
            raise ShuttingDown if self.closed else session.reason from None

    def look(self, file: _File) -> None:
        """Drop a silent writer that others wait for, or schedule the next check for when it could be silent."""
        if file.patrol is not None:
            if file.patrol.active():
                file.patrol.cancel()
            file.patrol = None
        writer = file.writer
        if writer is None or file.wanted < 2:
            return
        silent = writer.silence()
        if silent >= self.silence:
            writer.drop(BodyTimedOut())
            return
        file.patrol = self.clock.callLater(self.silence - silent, self.look, file)
