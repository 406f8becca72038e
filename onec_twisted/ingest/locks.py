"""One writer per file: a ``DeferredLock`` for each file in use, forgotten when nobody wants it.

A later piece waits for its turn, a limited time. While somebody waits, a writer whose sender has fallen silent is
dropped: its client has most likely gone, and the piece that waits may be the same one, sent again.
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
"""Seconds that a writer may bring nothing while another waits."""


@define(eq=False)
class _File:
    """A file that somebody writes or waits for."""

    lock: DeferredLock = field(factory=DeferredLock)
    writer: IBody | None = None
    wanted: int = 0
    patrol: IDelayedCall | None = None


@define(eq=False)
class _Session:
    """A session somebody works in; ``gate`` is shut while ``init`` or the sweep empties it."""

    gate: DeferredLock = field(factory=DeferredLock)
    files: dict[str, _File] = field(factory=dict)
    wanted: int = 0
    reason: type[Refused] = SessionRestarted
    """What those hear who are sent away."""


@define(eq=False)
class FileLocks:
    """Who may write which file. ``lock_timeout`` and ``silence`` are in seconds of ``clock``."""

    clock: IReactorTime
    lock_timeout: float
    silence: float = SILENCE_LIMIT
    _sessions: dict[str, _Session] = field(factory=dict, init=False)
    closed: bool = field(default=False, init=False)
    _idle: list[Deferred[None]] = field(factory=list, init=False)

    def busy(self, sessid: str) -> bool:
        """Return whether somebody writes in the session, or waits to."""
        return sessid in self._sessions

    def busy_sessions(self) -> frozenset[str]:
        """Return the sessids of all sessions in which somebody writes, or waits to."""
        return frozenset(self._sessions)

    def close(self) -> None:
        """Let nobody in any more: newcomers hear ``ShuttingDown``."""
        self.closed = True

    def idle(self) -> Deferred[None]:
        """Fire when nobody writes or waits."""
        idle: Deferred[None] = defer.Deferred()
        self._idle.append(idle)
        self._tell_idle()
        return idle

    def drop_all(self, reason: type[BaseException]) -> None:
        """Drop every writer, for a reason each; a piece that is complete and only being recorded stays.

        To be called once closed.
        """
        for session in list(self._sessions.values()):
            for waiting in list(session.gate.waiting):
                waiting.cancel()
            for file in list(session.files.values()):
                for waiting in list(file.lock.waiting):
                    waiting.cancel()
                if file.writer is not None:
                    file.writer.drop(reason())

    def _tell_idle(self) -> None:
        while self._idle and not self._sessions:
            self._idle.pop().callback(None)

    @asynccontextmanager
    async def of_file(
        self, sessid: str, name: str, writer: IBody | None, busy: type[Refused] = FileBusy
    ) -> AsyncIterator[None]:
        """Have a file to oneself, in the order of asking; None for ``writer`` writes nothing, and is never dropped.

        Raises ``busy`` when the turn does not come in time, ``SessionRestarted`` when the session is emptied
        meanwhile.
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
                session.gate.release()  # runs who waits there, at once: by now this piece is in its place
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
        """Have a whole session to oneself: writers are dropped and rolled back, those who wait are sent away.

        Both are given ``reason``. A piece that is complete and only being recorded is waited for. Newcomers wait.
        Raises ``busy`` when that takes longer than the lock's time-out.
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
        """Count who works in a session, and forget it after the last."""
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
                self._tell_idle()

    async def _wait(
        self, waiting: Deferred[DeferredLock], deadline: float, session: _Session, busy: type[Refused]
    ) -> None:
        """Wait for a lock, until a moment of the clock."""
        if waiting.called:
            return  # nobody else had it
        waiting.addTimeout(max(0.0, deadline - self.clock.seconds()), self.clock)
        try:
            await waiting
        except defer.TimeoutError:
            raise busy from None
        except defer.CancelledError:
            raise ShuttingDown if self.closed else session.reason from None

    def _look(self, file: _File) -> None:
        """Drop a silent writer that somebody waits for, or look again when it could have become silent."""
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
