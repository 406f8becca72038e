"""The contents of archives that nodes send, each read once for all requests, apart from pieces and logins.

A few archives are read at a time, one per user; the others queue by user and session, which take turns. A request
that waits too long is rejected and may be retried. A reading is cancelled when all nodes that waited for it are gone.
"""

from __future__ import annotations

import errno
import os
from collections import Counter, OrderedDict, deque
from typing import TYPE_CHECKING, Any

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from onec_twisted.delivery.processes import TooMuchAsked
from onec_twisted.model.errors import ArchivesBusy, FileDamaged, ImportFailed, ShuttingDown
from onec_twisted.model.names import SafeName
from onec_twisted.model.shops import shop_of
from onec_twisted.runtime.fairness import Sharing
from onec_twisted.storage.archive import ArchiveDamaged

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.model.records import Session
    from onec_twisted.runtime.workers import Workers
    from onec_twisted.storage.directory import Directory
    from onec_twisted.storage.interfaces import IStore

__all__ = ["Archives", "Asker", "StillReading"]

AT_ONCE = 4
"""Archives read at the same time, each of a different user."""

OF_SHOP_AT_ONCE = 2
"""Of them, those of users of one shop, if there are several."""

OF_SESSION, OF_USER, OF_SHOP, OF_ALL = 8, 32, 128, 256
"""Most archives queued or being read: per session, per user, per shop, in total."""

DIRECTORIES_SIZE = 16 * 1024 * 1024
"""Bytes of directories kept in memory, for all archives together."""

DIRECTORY_OVERHEAD = 500
"""Bytes that a directory without names takes in memory."""


class StillReading(Exception):
    """The archive that may contain a name is still being read: the node receives the message, and retries."""


NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
"""Errors on opening a recorded file that mean that it is missing or was replaced."""


@frozen
class Asker:
    """A requester: its session, and how long it waits for an answer, as a time on the reactor's clock in seconds.

    ``gone`` fires or fails when the requester has disconnected.
    """

    session: Session
    until: float
    gone: Deferred[Any] = field(factory=Deferred)


@define(eq=False)
class _Reading:
    """An archive that is queued or being read, and the requests that wait for it."""

    key: tuple[Hashable, ...]
    session: Session
    archive: str
    size: int
    waiting: list[Deferred[Directory | str]] = field(factory=list)
    examined: Deferred[Directory] | None = None
    over: bool = False
    outdated: bool = False
    """Whether the archive may have been replaced since: only requests that already wait receive the result."""


def _cost(known: Directory | str) -> int:
    """Return the bytes that a cached result takes."""
    return DIRECTORY_OVERHEAD + (0 if isinstance(known, str) else len(known.names.packed) + len(known.damaged.packed))


@define
class _Lines:
    """Queues of readings by user and session, served in turn."""

    sharing: Sharing
    _users: OrderedDict[str, OrderedDict[str, deque[_Reading]]] = field(factory=OrderedDict)

    def add(self, reading: _Reading) -> None:
        """Queue a reading behind those of its session."""
        sessions = self._users.setdefault(reading.session.username, OrderedDict())
        sessions.setdefault(reading.session.sessid, deque()).append(reading)

    def remove(self, reading: _Reading) -> None:
        """Remove a reading from its queue."""
        user, sessid = reading.session.username, reading.session.sessid
        self._users[user][sessid].remove(reading)
        self._tidy(user, sessid)

    def take(self, running: Sequence[_Reading]) -> _Reading | None:
        """Return the next reading of a user who has none ``running``, and move that user and session to the end.

        Nor has its shop as many as are left for others.
        """
        busy = {one.session.username for one in running}
        most = OF_SHOP_AT_ONCE if self.sharing.among_shops else AT_ONCE
        shops = Counter(shop_of(user) for user in busy)
        free = (one for one in self._users if one not in busy and shops[shop_of(one)] < most)
        user = next(free, None)
        if user is None:
            return None
        sessions = self._users[user]
        sessid = next(iter(sessions))
        reading = sessions[sessid].popleft()
        sessions.move_to_end(sessid)
        self._users.move_to_end(user)
        self._tidy(user, sessid)
        return reading

    def _tidy(self, user: str, sessid: str) -> None:
        """Remove empty queues."""
        if not self._users[user][sessid]:
            del self._users[user][sessid]
        if not self._users[user]:
            del self._users[user]


class Archives(Service):
    """Reads and caches the directories of archives. ``examine`` reads one, and may be cancelled: see ``Examiner``."""

    _log = Logger()

    def __init__(
        self,
        store: IStore,
        workers: Workers,
        clock: IReactorTime,
        examine: Callable[[int, int], Deferred[Directory]],
        sharing: Sharing | None = None,
    ) -> None:
        """Start with an empty cache."""
        self._sharing = sharing or Sharing()
        self._store = store
        self._workers = workers
        self._clock = clock
        self._examine = examine
        self._known: OrderedDict[tuple[Hashable, ...], Directory | str] = OrderedDict()
        self._known_bytes = 0
        self._readings: dict[tuple[Hashable, ...], _Reading] = {}
        self._lines = _Lines(self._sharing)
        self._running: list[_Reading] = []
        self._stopping = False

    async def directory(self, asker: Asker, archive: str, size: int) -> Directory:
        """Return the directory of the archive in the first ``size`` bytes of a file.

        Raises ``ImportFailed`` if it is damaged or takes too much time or memory, ``FileDamaged`` if it is missing,
        ``StillReading`` if the wait is too long, ``ArchivesBusy`` if too many archives are queued, and
        ``CancelledError`` if the requester has gone.
        """
        key = asker.session.sessid, asker.session.epoch, archive, size
        known = self._known.get(key)
        if known is None:
            known = await self._wait(self._reading_of(key, asker.session, archive, size), asker)
        else:
            self._known.move_to_end(key)
        if isinstance(known, str):
            raise ImportFailed(known)
        return known

    def forget(self, sessid: str) -> None:
        """Discard what is cached of a session's archives: one was removed, and its name may be reused."""
        for key in [key for key in self._known if key[0] == sessid]:
            self._known_bytes -= _cost(self._known.pop(key))
        for reading in [one for one in self._readings.values() if one.session.sessid == sessid and not one.outdated]:
            reading.outdated = True
            del self._readings[reading.key]
            reading.key = (*reading.key, reading)
            self._readings[reading.key] = reading

    def stopService(self) -> Any:
        """Stop reading; waiting requests fail with ``ShuttingDown``."""
        self._stopping = True
        for reading in list(self._readings.values()):
            self._end(reading, ShuttingDown())
        return super().stopService()

    def _reading_of(self, key: tuple[Hashable, ...], session: Session, archive: str, size: int) -> _Reading:
        """Return the reading of an archive, queued if it is new. Raises ``ArchivesBusy`` if there are too many."""
        reading = self._readings.get(key)
        if reading is None:
            if self._stopping:
                raise ShuttingDown
            others = [one.session for one in self._readings.values()]
            of_user = [one for one in others if one.username == session.username]
            of_session = [one for one in of_user if one.sessid == session.sessid]
            of_shop = [one for one in others if shop_of(one.username) == shop_of(session.username)]
            most_of_shop = OF_SHOP if self._sharing.among_shops else OF_ALL
            counts = ((others, OF_ALL), (of_shop, most_of_shop), (of_user, OF_USER), (of_session, OF_SESSION))
            if any(len(some) >= most for some, most in counts):
                raise ArchivesBusy
            reading = self._readings[key] = _Reading(key, session, archive, size)
            self._lines.add(reading)
        return reading

    async def _wait(self, reading: _Reading, asker: Asker) -> Directory | str:
        """Wait for a reading that others may wait for, too."""

        def leave(_: object) -> None:
            if answer in reading.waiting:
                reading.waiting.remove(answer)

        def give_up() -> None:
            leave(None)
            answer.errback(StillReading(f"Archive {reading.archive} is being read"))

        def go(outcome: object) -> object:
            if not answer.called:
                answer.cancel()
                if not reading.waiting:
                    self._end(reading, CancelledError())
            return outcome

        answer: Deferred[Directory | str] = Deferred(leave)
        reading.waiting.append(answer)
        self._go_on()
        if answer.called:
            return await answer
        late = self._clock.callLater(max(0.0, asker.until - self._clock.seconds()), give_up)
        asker.gone.addBoth(go)
        try:
            return await answer
        finally:
            if late.active():
                late.cancel()

    def _go_on(self) -> None:
        """Start as many queued readings as the limit allows."""
        while len(self._running) < AT_ONCE and not self._stopping:
            reading = self._lines.take(self._running)
            if reading is None:
                return
            self._running.append(reading)
            Deferred.fromCoroutine(self._read(reading)).addBoth(self._note, reading)

    async def _read(self, reading: _Reading) -> Directory | str:
        """Return an archive's directory, or why it cannot be read."""
        name = SafeName(tuple(reading.archive.split("/")))
        try:
            fd = await self._workers(self._store.open_archive, reading.session.sessid, name)
        except OSError as error:
            if error.errno not in NOT_THERE:
                raise
            raise FileDamaged from error
        try:
            if reading.over:
                raise CancelledError
            reading.examined = self._examine(fd, reading.size)
        except OSError as error:
            self._log.error("the process that reads archives cannot be started ({error})", error=str(error))
            raise ArchivesBusy from error
        finally:
            os.close(fd)
        try:
            return await reading.examined
        except ArchiveDamaged as damaged:
            return f"Archive {reading.archive} is damaged: {damaged}"
        except TooMuchAsked as error:
            self._log.warn(
                "{sessid}: reading archive {archive} exceeded a limit ({error})",
                sessid=reading.session.sessid,
                user=reading.session.username,
                archive=reading.archive,
                error=str(error),
            )
            return f"Archive {reading.archive} takes too much time or memory to be read"

    def _note(self, outcome: Directory | str | Failure, reading: _Reading) -> None:
        """Cache the result, pass it to all waiting requests, and start the next reading."""
        self._running.remove(reading)
        if not reading.over:
            if not isinstance(outcome, Failure) and not reading.outdated:
                self._remember(reading.key, outcome)
            self._answer(reading, outcome)
        self._go_on()

    def _answer(self, reading: _Reading, outcome: Directory | str | Failure) -> None:
        """Pass the outcome of a reading to all waiting requests."""
        reading.over = True
        del self._readings[reading.key]
        waiting, reading.waiting = reading.waiting, []
        for answer in waiting:
            answer.callback(outcome)  # a Failure makes it an errback

    def _end(self, reading: _Reading, reason: BaseException) -> None:
        """Cancel a reading; all waiting requests fail with ``reason``."""
        if reading not in self._running:
            self._lines.remove(reading)
        self._answer(reading, Failure(reason))
        if reading.examined is not None:
            reading.examined.cancel()

    def _remember(self, key: tuple[Hashable, ...], known: Directory | str) -> None:
        """Cache a result; the least recently used ones are evicted."""
        self._known[key] = known
        self._known_bytes += _cost(known)
        while self._known_bytes > DIRECTORIES_SIZE and len(self._known) > 1:
            _, oldest = self._known.popitem(last=False)
            self._known_bytes -= _cost(oldest)
