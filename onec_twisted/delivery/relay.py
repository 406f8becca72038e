"""Delivers the recorded hand-offs to the importer, each at least once.

Hand-offs of one session are delivered one after another, in order; those of different sessions concurrently. A failed
delivery is retried with exponential back-off, up to a maximum number of tries.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from attrs import define, evolve, field
from cachetools import LRUCache
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.task import deferLater
from twisted.logger import Logger

from onec_twisted.model.errors import (
    CatalogBusy,
    FileDamaged,
    HandoffRunning,
    ImportFailed,
    ImportInterrupted,
    TooManyImports,
)
from onec_twisted.model.records import FAILED, SUCCEEDED, WAITING, Handoff
from onec_twisted.model.shown import harmless
from onec_twisted.runtime.backoff import Backoff
from onec_twisted.runtime.fairness import Places, Slots

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from twisted.internet.interfaces import IReactorTime

    from onec_twisted.catalog.files import FileRecords
    from onec_twisted.catalog.handoffs import HandoffRecords
    from onec_twisted.delivery.interfaces import IImporter
    from onec_twisted.model.description import Description
    from onec_twisted.runtime.metrics import Metrics

__all__ = ["Relay", "pause_before"]

AT_ONCE = 8
"""Hand-offs of a user delivered at the same time, from different sessions; of all users twice as many."""

MOST_WAITING = 10_000
"""Most hand-offs of one user that may wait; all of them are in memory."""

TRY_PAUSE = Backoff(first=1.0, longest=3600.0)
"""How long a hand-off waits before its next try."""

IMPORT_GRACE = 30.0
"""Seconds that running imports get to finish when the daemon stops; the others are restarted with the daemon."""

REMEMBERED_HANDOFFS = 1000
"""Finished hand-offs that are remembered, so that none is added again."""

WORDS_LIMIT = 1000
"""Most characters of an importer's message that are kept."""


def pause_before(tries: int, chance: float) -> float:
    """Return the seconds to wait after so many tries; ``chance`` from 0 to 1 adds jitter."""
    return TRY_PAUSE.after(tries) * (0.5 + chance / 2)


@define(eq=False)
class _Pending:
    """A hand-off still to be delivered, and the requests that wait for its outcome."""

    handoff: Handoff
    progress: str = "Import waits for its turn"
    delivering: bool = False
    retry_after: float = 0.0
    """Seconds that the importer wants to pass before the next try."""
    waiting: list[Deferred[None]] = field(factory=list)

    def note_progress(self, words: str) -> None:
        """Store a progress line for the person who waits."""
        if words.strip():
            self.progress = harmless(" ".join(words.strip()[:WORDS_LIMIT].splitlines()))


def _wake(waiting: list[Deferred[None]]) -> None:
    """Wake all waiters."""
    while waiting:
        waiting.pop(0).callback(None)


class Relay(Service):
    """Delivers hand-offs, each in at most ``most_tries`` tries.

    ``prepare`` is a ``Preparation``; ``now`` returns seconds since 1970, ``chance`` a number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        most_tries: int,
        files: FileRecords,
        records: HandoffRecords,
        prepare: Callable[[Handoff, Callable[[str], None]], Awaitable[Description]],
        importer: IImporter,
        now: Callable[[], float],
        clock: IReactorTime,
        metrics: Metrics,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Start without hand-offs: the recorded ones are loaded when the service starts."""
        self._most_tries = most_tries
        self._files, self._records = files, records
        self._prepare = prepare
        self._importer = importer
        self._now, self._clock, self._chance = now, clock, chance
        self._metrics = metrics
        self._slots = Slots(Places(2 * AT_ONCE))
        self._pending: dict[str, _Pending] = {}
        self._lines: dict[str, deque[_Pending]] = {}
        self._running: dict[str, Deferred[None]] = {}
        self._ended: LRUCache[str, Handoff] = LRUCache(REMEMBERED_HANDOFFS)
        """Recently finished hand-offs: a caller with an older copy of the record may still add one as waiting."""
        self._loading: Deferred[None] | None = None
        self._unloaded: list[Deferred[None]] | None = []
        """Waiters for the recorded hand-offs to be loaded; None once they are."""
        self._stopping = False

    def startService(self) -> None:
        """Resume with the hand-offs recorded before the daemon last stopped."""
        super().startService()
        self._loading = Deferred.fromCoroutine(self._load())

    def stopService(self) -> Deferred[None]:
        """Answer all waiters, give imports time to finish, then cancel them: they are restarted with the daemon."""
        super().stopService()
        self._stopping = True
        if self._loading is not None:
            self._loading.cancel()
        for waiting in [self._unloaded or [], *(pending.waiting for pending in self._pending.values())]:
            _wake(waiting)
        for sessid, running in list(self._running.items()):
            if not self._lines[sessid][0].delivering:
                running.cancel()
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        """Wait for the running imports."""
        running = list(self._running.values())
        if not running:
            return
        self._log.info("waiting up to {seconds} s for {count} imports", seconds=IMPORT_GRACE, count=len(running))
        late = [self._clock.callLater(IMPORT_GRACE, one.cancel) for one in running]
        await DeferredList(running)
        for call in late:
            if call.active():
                call.cancel()

    async def _load(self) -> None:
        """Load the hand-offs still to be delivered, and sort those added meanwhile into their order."""
        try:
            while True:
                try:
                    handoffs = await self._records.waiting()
                    break
                except CancelledError:
                    raise
                except Exception:
                    self._log.failure("waiting hand-offs could not be read from the database; this will be retried")
                    await deferLater(self._clock, TRY_PAUSE.first)
        except CancelledError:
            return
        early = [pending.handoff for pending in self._pending.values()]
        unloaded, self._unloaded = self._unloaded or [], None
        for handoff in sorted({one.id: one for one in (*handoffs, *early)}.values(), key=lambda one: one.number):
            self._put_in_line(self._pending.setdefault(handoff.id, _Pending(handoff)))
        _wake(unloaded)

    def add(self, handoff: Handoff) -> None:
        """Queue a waiting hand-off for delivery, after the earlier ones of its session."""
        self._added(handoff)

    def _added(self, handoff: Handoff) -> _Pending:
        """Queue a hand-off if it waits and is new; return its pending entry."""
        handoff = self._ended.get(handoff.id, handoff)
        if handoff.state != WAITING or self._stopping:
            return self._pending.get(handoff.id) or _Pending(handoff)
        if handoff.id not in self._pending:
            self._pending[handoff.id] = _Pending(handoff)
            if self._unloaded is None:
                self._put_in_line(self._pending[handoff.id])
        return self._pending.get(handoff.id) or _Pending(self._ended[handoff.id])

    def check_room(self, user: str) -> None:
        """Raise ``TooManyImports`` if the maximum number of a user's hand-offs wait."""
        waiting = self._pending.values() if len(self._pending) >= MOST_WAITING else ()
        if sum(pending.handoff.username == user for pending in waiting) >= MOST_WAITING:
            raise TooManyImports

    def _put_in_line(self, pending: _Pending) -> None:
        """Append a hand-off to its session's queue, and start delivery if it is the first."""
        sessid = pending.handoff.sessid
        line = self._lines.setdefault(sessid, deque())
        line.append(pending)
        if len(line) == 1:
            running = Deferred.fromCoroutine(self._deliver_all(sessid, line))
            if not running.called:
                self._running[sessid] = running

    def progress(self) -> dict[str, str]:
        """Return a progress message for each hand-off still to be delivered, by its id."""
        return {name: pending.progress for name, pending in self._pending.items()}

    async def outcome(self, handoff: Handoff, patience: float) -> Handoff:
        """Deliver a waiting hand-off, and return the outcome.

        After ``patience`` seconds it is returned in its current state, with its progress in ``words``.
        """
        pending = self._added(handoff)
        if handoff.id in self._pending and not self._stopping:
            await self._wait(pending.waiting, patience)
        waits = pending.handoff.state == WAITING
        return evolve(pending.handoff, words=pending.progress) if waits else pending.handoff

    async def idle(self, sessid: str, patience: float) -> None:
        """Wait until a session has nothing left to deliver. Raises ``HandoffRunning`` after ``patience`` seconds."""
        deadline = self._clock.seconds() + patience
        while self._unloaded is not None or sessid in self._lines:
            left = deadline - self._clock.seconds()
            if left <= 0 or self._stopping:
                raise HandoffRunning
            await self._wait(self._lines[sessid][-1].waiting if self._unloaded is None else self._unloaded, left)

    async def _wait(self, waiting: list[Deferred[None]], patience: float) -> None:
        """Wait to be woken with the other waiters, at most ``patience`` seconds."""
        over: Deferred[None] = Deferred()
        waiting.append(over)

        def give_up() -> None:
            waiting.remove(over)
            over.callback(None)

        late = self._clock.callLater(patience, give_up)
        await over
        if late.active():
            late.cancel()

    async def _deliver_all(self, sessid: str, line: deque[_Pending]) -> None:
        """Deliver a session's hand-offs until none is left or the daemon stops."""
        try:
            while line and not self._stopping:
                pending = line[0]
                await self._deliver(pending)
                if pending.handoff.state == WAITING:
                    break  # the daemon stops
                line.popleft()
                del self._pending[pending.handoff.id]
                self._ended[pending.handoff.id] = pending.handoff
                if not line:
                    del self._lines[sessid]
                _wake(pending.waiting)
        except CancelledError:
            return
        finally:
            if self._lines.get(sessid, line) is line:  # else a waiter has added a hand-off, and another run began
                self._running.pop(sessid, None)

    async def _deliver(self, pending: _Pending) -> None:
        """Deliver a hand-off, retrying up to the limit."""
        while pending.handoff.state == WAITING and not self._stopping:
            async with self._slots.of(pending.handoff.username):
                pending.delivering = True  # until recorded: it must not be cancelled in between
                pending.progress = self._beginning(pending.handoff)
                tried = await self._try(pending)
            await self._note(tried)
            pending.handoff, pending.delivering = tried, False
            if tried.state == WAITING and not self._stopping:
                pause = max(pause_before(tried.tries, self._chance()), min(pending.retry_after, TRY_PAUSE.longest))
                pending.progress = f"{tried.words} - try {tried.tries + 1} of {self._most_tries} in {pause:.0f} s"
                await deferLater(self._clock, pause)

    def _beginning(self, handoff: Handoff) -> str:
        """Return the progress message for the start of a try."""
        again = f"{handoff.words} - try {handoff.tries + 1} of {self._most_tries} is running"
        return again if handoff.tries else "Import is running"

    async def _try(self, pending: _Pending) -> Handoff:
        """Try to deliver once; return the updated hand-off."""
        handoff, pending.retry_after = evolve(pending.handoff, tries=pending.handoff.tries + 1), 0.0
        try:
            if await self._files.has_damaged(handoff.sessid):
                raise ImportFailed(FileDamaged.words)
            description = await self._prepare(handoff, pending.note_progress)
            await self._importer.deliver(description, pending.note_progress)
        except ImportFailed as failed:
            state, words = FAILED, failed.words
        except ImportInterrupted as interrupted:
            state, words, pending.retry_after = WAITING, str(interrupted), interrupted.retry_after
        except Exception as error:
            if self._stopping and isinstance(error, CancelledError):
                raise
            self._log.failure("{sessid}: the importer failed", sessid=handoff.sessid, handoff=handoff.id)
            state, words = WAITING, f"The importer failed ({type(error).__name__})"
        else:
            state, words = SUCCEEDED, ""
        if state == WAITING and handoff.tries >= self._most_tries:
            state, words = FAILED, f"Given up after {handoff.tries} tries: {words}"
        handoff = evolve(handoff, state=state, words=harmless(" ".join(words[:WORDS_LIMIT].splitlines())))
        self._metrics.tried("interrupted" if handoff.state == WAITING else handoff.state)
        self._log_outcome(handoff)
        return handoff

    def _log_outcome(self, handoff: Handoff) -> None:
        """Log the outcome of a try."""
        words = {
            SUCCEEDED: "{sessid}: {what} delivered to the importer",
            WAITING: "{sessid}: {what} not delivered on attempt {tries} of {most}: {words}",
            FAILED: "{sessid}: {what} failed permanently on attempt {tries}: {words}",
        }
        write = {SUCCEEDED: self._log.info, WAITING: self._log.warn, FAILED: self._log.error}[handoff.state]
        write(
            words[handoff.state],
            sessid=handoff.sessid,
            user=handoff.username,
            handoff=handoff.id,
            what=f"{handoff.event} {handoff.filename}".rstrip(),
            event=handoff.event,
            filename=handoff.filename,
            state=handoff.state,
            tries=handoff.tries,
            most=self._most_tries,
            words=handoff.words,
        )

    async def _note(self, handoff: Handoff) -> None:
        """Record the outcome of a try, retrying until it succeeds, so that the hand-off is not delivered again."""
        while True:
            try:
                await self._records.note_outcome(handoff, self._now())
                return
            except CancelledError:
                raise
            except CatalogBusy:
                pass  # already logged
            except Exception:
                self._log.failure("{sessid}: the outcome of a hand-off could not be recorded", sessid=handoff.sessid)
            await deferLater(self._clock, TRY_PAUSE.first)
