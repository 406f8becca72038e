"""One writer per file: a ``DeferredLock`` for each file in use, removed when nobody needs it.

A later piece waits for the lock for a limited time. While a piece waits, a writer whose sender has fallen silent is
dropped: its client has most likely gone, and the waiting piece may be the same one, sent again.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet import defer
from twisted.internet.defer import DeferredLock

from onec_twisted.model.errors import BodyTimedOut, FileBusy, SessionRestarted, ShuttingDown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from onec_twisted.http.interfaces import IBody
    from onec_twisted.model.errors import Refused

__all__ = ["FileLocks"]

SILENCE_LIMIT = 5.0
"""Seconds that a writer may receive nothing while another waits."""


@define(eq=False)
class _File:
    """A file that has a writer, or waiters."""

    lock: DeferredLock = field(factory=DeferredLock)
    writer: IBody | None = None
    wanted: int = 0
    patrol: IDelayedCall | None = None


@define(eq=False)
class _Session:
    """A session in use; ``gate`` is held while ``init`` or the sweep empties it."""

    gate: DeferredLock = field(factory=DeferredLock)
    files: dict[str, _File] = field(factory=dict)
    wanted: int = 0
    reason: type[Refused] = SessionRestarted
    """The refusal raised for waiters that are turned away."""


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
        idle: Deferred[None] = defer.Deferred()
        self._idle.append(idle)
        self._fire_idle()
        return idle

    def drop_all(self, reason: type[BaseException]) -> None:
        """Drop every writer with an instance of ``reason``; keep pieces that are complete and only being recorded.

        Call it only after ``close``.
        """
        for session in list(self._sessions.values()):
            for waiting in list(session.gate.waiting):
                waiting.cancel()
            for file in list(session.files.values()):
                for waiting in list(file.lock.waiting):
                    waiting.cancel()
                if file.writer is not None:
                    file.writer.drop(reason())

    def _fire_idle(self) -> None:
        while self._idle and not self._sessions:
            self._idle.pop().callback(None)

    @asynccontextmanager
    async def of_file(
        self, sessid: str, name: str, writer: IBody | None, busy: type[Refused] = FileBusy
    ) -> AsyncIterator[None]:
        """Lock a file, in the order of requests; a holder without a ``writer`` writes nothing and is never dropped.

        Raises ``busy`` when waiting times out, ``SessionRestarted`` when the session is emptied in the meantime.
        """
        deadline = self.clock.seconds() + self.lock_timeout
        with self._session(sessid) as session:
            passes = session.gate.locked
            if passes:
                await self._wait(session.gate.acquire(), deadline, session, busy)
            file = session.files.setdefault(name, _File())
            file.wanted += 1
            turn = file.lock.acquire()
            if turn.called:
                file.writer = writer
            if passes:
                session.gate.release()  # resumes the next waiter at once: by now this piece is in the file's queue
            try:
                self._look(file)
                await self._wait(turn, deadline, session, busy)
                file.writer = writer
                self._look(file)
                try:
                    yield
                finally:
                    file.writer = None
                    file.lock.release()
            finally:
                file.wanted -= 1
                if not file.wanted:
                    del session.files[name]
                    if file.patrol is not None:
                        file.patrol.cancel()

    @asynccontextmanager
    async def of_session(
        self, sessid: str, reason: type[Refused] = SessionRestarted, busy: type[Refused] = FileBusy
    ) -> AsyncIterator[None]:
        """Lock a whole session: writers are dropped and rolled back, waiters are turned away, both with ``reason``.

        Waits for pieces that are complete and only being recorded. Newcomers wait. Raises ``busy`` when that takes
        longer than the lock's time-out.
        """
        deadline = self.clock.seconds() + self.lock_timeout
        with self._session(sessid) as session:
            await self._wait(session.gate.acquire(), deadline, session, busy)
            try:
                session.reason = reason
                for file in list(session.files.values()):
                    for waiting in list(file.lock.waiting):
                        waiting.cancel()
                    if file.writer is not None:
                        file.writer.drop(reason())
                for file in list(session.files.values()):
                    await self._wait(file.lock.acquire(), deadline, session, busy)
                    file.lock.release()
                yield
            finally:
                session.gate.release()

    @contextmanager
    def _session(self, sessid: str) -> Iterator[_Session]:
        """Count the users of a session, and remove it after the last one."""
        if self.closed:
            raise ShuttingDown
        session = self._sessions.setdefault(sessid, _Session())
        session.wanted += 1
        try:
            yield session
        finally:
            session.wanted -= 1
            if not session.wanted:
                del self._sessions[sessid]
                self._fire_idle()

    async def _wait(
        self, waiting: Deferred[DeferredLock], deadline: float, session: _Session, busy: type[Refused]
    ) -> None:
        """Wait for a lock, until ``deadline`` by the clock."""
        if waiting.called:
            return  # the lock was free
        waiting.addTimeout(max(0.0, deadline - self.clock.seconds()), self.clock)
        try:
            await waiting
        except defer.TimeoutError:
            raise busy from None
        except defer.CancelledError:
            raise ShuttingDown if self.closed else session.reason from None

    def _look(self, file: _File) -> None:
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
        file.patrol = self.clock.callLater(self.silence - silent, self._look, file)
